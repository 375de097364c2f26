"""An operator's open transaction makes no enqueuer wait, whatever its isolation;
a dropped queue takes no job.
"""

import pytest
from stage import make_lane
from support import Database, sqlstate_of

LEVELS = ("read committed", "repeatable read", "serializable")
STEPS = (
    "select jobs.pause('default')",
    "select jobs.alter_queue('default', concurrency => 3)",
    "select jobs.alter_queue('default', accepting => false)",
)
ENQUEUE = "select jobs.enqueue('pg_catalog.now')"


@pytest.mark.parametrize("level", LEVELS)
@pytest.mark.parametrize("step", STEPS)
def test_an_open_pause_makes_no_enqueuer_wait(database: Database, level: str, step: str) -> None:
    make_lane(database)
    operator = database.connect("operator")
    operator.execute("begin")
    operator.execute(step.encode())
    enqueuer = database.connect(lock_timeout="200ms")
    enqueuer.execute(f"begin isolation level {level}".encode())
    enqueuer.execute(ENQUEUE)
    enqueuer.execute("commit")
    operator.execute("commit")


@pytest.mark.parametrize("level", LEVELS[1:])
@pytest.mark.parametrize("before", ["", STEPS[0]])
def test_an_old_snapshot_hears_that_its_queue_was_dropped(
    database: Database, level: str, before: str
) -> None:
    """Also where the queue was changed first: the row that it sees is followed to its end."""
    database.run("select jobs.create_queue('gone')", role="operator")
    old = database.connect()
    old.execute(f"begin isolation level {level}".encode())
    old.execute("select count(*) from jobs.queues")
    if before:
        database.run(before.replace("default", "gone"), role="operator")
    database.run("select jobs.drop_queue('gone')", role="operator")
    assert (
        sqlstate_of(lambda: old.execute("select jobs.enqueue('pg_catalog.now', queue => 'gone')"))
        == "40001"
    )

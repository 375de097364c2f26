"""A queue runs no more jobs at once than it may, however its concurrency is changed while they run."""

import time

from stage import gate_shut, ledger, put, wait_at_gate
from support import Database


def _limit(database: Database, concurrency: int) -> None:
    database.admin("select jobs.alter_queue('default', concurrency => %s)", [concurrency])


def test_lowered_and_raised_again_while_jobs_run(database: Database) -> None:
    """Jobs that began before a lower number still count when it is raised again."""
    _limit(database, 4)
    for number in range(8):
        put(database, "app.gate", {"n": number})
    with gate_shut(database):
        database.run("select jobs.start(4)")
        before = wait_at_gate(database, 4)
        _limit(database, 1)
        _limit(database, 4)
        database.run("select jobs.start(4)")
        time.sleep(1)  # time for a fifth, which must not come
        assert wait_at_gate(database, 4) == before
    database.drain()

    assert ledger(database) == list(range(8))
    assert database.admin("select n, session_id from jobs_internal.slot where queue_id = 1 order by n") == [
        (number, None) for number in (1, 2, 3, 4)
    ]


def test_lowered_while_jobs_run(database: Database) -> None:
    """What runs goes on; whoever held a slot beyond the lower number takes nothing more."""
    _limit(database, 3)
    for number in (101, 102, 103):
        put(database, "app.gate", {"n": number})
    with gate_shut(database):
        database.run("select jobs.start(3)")
        wait_at_gate(database, 3)
        _limit(database, 1)
        for _ in range(8):
            put(database, "app.crowd")
    database.drain(sessions=3)

    assert ledger(database) == [1] * 8 + [101, 102, 103]

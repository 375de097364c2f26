"""What a round tells of an owner's sessions, and how many it asks for."""

from typing import Any

import pytest
from stage import gate_shut, make_lane, put, put_many, put_sql, wait_at_gate, wait_for
from support import Database, wait_until

SPIN = """
create function app.spin() returns void language plpgsql as
  $$ declare n bigint := 0; begin loop n := n + 1; end loop; end $$;
"""


def demand(database: Database) -> dict[str, Any]:
    return database.record("select * from jobs_internal.session_demand()", role="postgres")


def facts(database: Database, *names: str) -> list[int]:
    found = demand(database)
    return [found[name] for name in names]


def test_sessions_that_wait_do_not_move(database: Database) -> None:
    """Three jobs wait for a lock; a second later they are no reason to leave others undone."""
    with gate_shut(database):
        for number in range(3):
            put(database, "app.gate", {"n": number})
        database.run("select jobs.start(3)")
        wait_at_gate(database, 3)
        assert facts(database, "active_sessions", "alone", "working", "moving", "in_chunks") == [
            3,
            3,
            3,
            0,
            0,
        ]
        wait_until(lambda: facts(database, "occupied") == [3])
        put(database, "app.gate", {"n": 3})
        assert facts(database, "session_demand", "lanes", "new_lanes") == [4, 1, 1]
    database.drain()


def test_sessions_that_compute_move(database: Database) -> None:
    database.run(SPIN)
    jobs = [put(database, "app.spin") for _ in range(2)]
    database.run("select jobs.start(2)")
    wait_until(lambda: facts(database, "working", "moving") == [2, 2])
    for job in jobs:
        database.run("select jobs.cancel(%s)", [job])
        assert wait_for(database, job)["state"] == "cancelled"


def test_a_session_that_watches_a_child_says_nothing(database: Database) -> None:
    """It waits for the child, whatever that does."""
    with gate_shut(database):
        put_sql(database, "do $$ begin commit; perform pg_advisory_lock(1); end $$")
        database.run("select jobs.start()")
        wait_at_gate(database)
        wait_until(lambda: facts(database, "active_sessions", "working") == [1, 0])
    database.drain()


@pytest.mark.parametrize(
    ("jobs", "ms", "expected"),
    [
        (1, 0.2, 1),
        (150, 0.2, 1),
        (1000, 0.2, 3),
        (1000, 0.01, 1),
        (2, 100, 2),
        (3, 20, 1),
        (300, 100, 16),
    ],
)
def test_sessions_for_a_tenth_of_a_second(
    database: Database, jobs: int, ms: float, expected: int
) -> None:
    """Counted to 200, and no further: beyond, the numbers of the messages say how many
    there are.
    """
    make_lane(database)
    put_many(database, "app.note", [{"n": number} for number in range(jobs)])
    database.admin("update jobs_internal.lane set avg_ms = %s", [ms])
    assert facts(database, "session_demand", "new_lanes") == [expected, 0]
    database.admin("select jobs.pause()")

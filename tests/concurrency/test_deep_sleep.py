"""A supervisor sleeps deep only when whoever enqueues is sure to ring: nobody who saw it awake is
still at work.
"""

from typing import Any

import pytest
from psycopg import Connection
from stage import make_lane, put
from support import Database, Row, wait_until

from .waiting import begin

ENQUEUE = "select jobs.enqueue('app.note', '{\"n\": 1}')"


class Sleeper:
    """A supervisor by hand."""

    def __init__(self, line: Connection[Row]) -> None:
        """Register, and listen."""
        self._line = line
        self._number = self._ask("select jobs_internal.supervisor_open('hand', 'here', 1, '0')")
        line.execute("listen pyworker")

    def _ask(self, query: str, arguments: tuple[object, ...] = ()) -> Any:
        row = self._line.execute(query.encode(), arguments).fetchone()
        return row[0] if row else None

    def sleep(self) -> bool:
        """Fall asleep; true: something is due after all."""
        return bool(self._ask("select jobs_internal.supervisor_sleep(%s, true)", (self._number,)))

    def tick(self) -> dict[str, Any]:
        """Look."""
        found = self._ask("select jobs_internal.supervisor_tick(%s)", (self._number,))
        assert isinstance(found, dict)
        return found

    def rung(self) -> bool:
        """Tell whether somebody rang since the last question."""
        return bool(list(self._line.notifies(timeout=0.2)))


@pytest.fixture
def sleeper(database: Database) -> Sleeper:
    """One that is awake, with nothing to do."""
    make_lane(database)
    database.drain()
    return Sleeper(database.connect("supervisor"))


def test_it_looks_until_who_saw_it_awake_has_ended(database: Database, sleeper: Sleeper) -> None:
    late = database.connect()
    begin(late, ENQUEUE)
    assert not sleeper.sleep()
    for _ in range(3):
        assert sleeper.tick()["must_poll"]
    late.execute("commit")
    assert not sleeper.rung(), "he saw it awake"
    found = sleeper.tick()
    assert [owner["session_demand"] for owner in found["owners"]] == [1]


def test_it_sleeps_deep_when_all_have_ended_and_is_rung_for(
    database: Database, sleeper: Sleeper
) -> None:
    sleeper.sleep()
    assert sleeper.tick()["must_poll"], "nobody has looked yet who there was"
    wait_until(lambda: not sleeper.tick()["must_poll"], 20)
    late = database.connect()
    begin(late, ENQUEUE)
    assert not sleeper.tick()["must_poll"]
    assert not sleeper.rung()
    late.execute("commit")
    assert sleeper.rung()
    put(database, "app.note", {"n": 2})
    assert sleeper.rung()


def test_one_who_writes_later_in_an_old_transaction_rings(
    database: Database, sleeper: Sleeper
) -> None:
    late = database.connect()
    late.execute("begin")
    late.execute("select count(*) from app.ledger")
    sleeper.sleep()
    wait_until(lambda: not sleeper.tick()["must_poll"], 20)
    late.execute(ENQUEUE.encode())
    late.execute("commit")
    assert sleeper.rung()

"""A supervisor sleeps deep only when whoever enqueues is sure to ring: nobody who saw it awake is
still at work.
"""

from typing import Any

import pytest
from psycopg import Connection
from psycopg.types.json import Jsonb
from stage import make_lane, put, put_sql
from support import Database, Row, wait_until

from .byhand import Worker
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


@pytest.mark.parametrize(
    ("outcome", "rings"),
    [
        ("failed", True),
        ("interrupted", True),
        ("held", True),
        ("snoozed", True),
        ("succeeded", False),
        ("vacuumed", True),  # a supervisor that only watches has slept since
    ],
)
def test_an_end_that_is_to_be_followed_or_logged_rings(
    database: Database, sleeper: Sleeper, outcome: str, rings: bool
) -> None:
    worker = Worker(database=database)
    job = (
        put_sql(database, "vacuum app.ledger")
        if outcome in ("held", "vacuumed")
        else put(database, "app.note", {"n": 1})
    )
    sleeper.tick()
    worker.start_first()
    sleeper.sleep()
    sleeper.rung()
    if outcome == "held":
        database.admin('update jobs_internal.operation set gives_way = \'{"why": "yield"}\'')
    worker.begin()
    worker.finish(job, "succeeded" if outcome == "vacuumed" else outcome)
    assert not sleeper.rung()
    worker.commit()
    over = outcome in ("succeeded", "vacuumed")
    assert database.job(job)["state"] == ("succeeded" if over else "scheduled")
    assert sleeper.rung() == rings


def test_it_knows_what_is_watched(database: Database, sleeper: Sleeper) -> None:
    lock = database.connect(role="app")
    lock.execute("begin; lock table app.ledger")
    job = put_sql(database, "vacuum app.ledger")
    database.run("select jobs.start(1)")
    wait_until(lambda: sleeper.tick()["watched"] == 1)
    assert sleeper.tick()["running"] == 1
    lock.execute("commit")
    wait_until(lambda: database.job(job)["state"] == "succeeded")
    assert sleeper.tick()["watched"] == 0


def test_a_job_that_finds_no_slot_for_its_child_rings(database: Database, sleeper: Sleeper) -> None:
    worker = Worker(database=database)
    job = put_sql(database, "vacuum app.ledger")
    sleeper.tick()
    worker.start_first()
    sleeper.sleep()
    sleeper.rung()
    worker.ask(
        "select jobs_internal.requeue_uncharged(%(me)s, %(job)s, 1)",
        {"me": worker.number, "job": job},
    )
    assert database.job(job)["state"] == "scheduled"
    assert sleeper.rung()


@pytest.mark.parametrize("waited_for", [True, False])
def test_an_end_that_others_wait_for_rings(
    database: Database, sleeper: Sleeper, waited_for: bool
) -> None:
    job = put(database, "app.note", {"n": 1}, run_at="2099-01-01")
    if waited_for:
        put(database, "app.note", {"n": 2}, options=Jsonb({"after": [job]}))
    sleeper.tick()
    sleeper.sleep()
    sleeper.rung()
    assert database.value("select jobs.cancel(%s)", [job]) == "cancelled"
    assert sleeper.rung() == waited_for


def test_the_closing_and_the_last_end_of_a_batch_ring(database: Database, sleeper: Sleeper) -> None:
    """What follows from them is a supervisor's where no session of the owner is there."""
    batch = database.value("select jobs.create_batch('b', 'pg_catalog.now')")
    job = put(database, "app.note", {"n": 1}, options=Jsonb({"batch": batch}))
    sleeper.tick()
    for query, calls in (
        (f"select jobs.close_batch({batch})", 0),
        (f"select jobs.cancel({job})", 1),
    ):
        sleeper.sleep()
        sleeper.rung()
        database.run(query)
        assert sleeper.rung()
        sleeper.tick()
        assert database.value("select cardinality(callback_jobs) from jobs.batches") == calls


@pytest.mark.parametrize("of_a_schedule", [True, False])
def test_a_cancel_rings_where_an_occurrence_may_wait_for_that_end(
    database: Database, sleeper: Sleeper, of_a_schedule: bool
) -> None:
    if of_a_schedule:
        database.run(
            "select jobs.schedule('again', 'after 10 minutes', task => 'app.note',"
            " args => '{\"n\": 1}')"
        )
        job = database.value("select jobs.run_schedule('again')")
    else:
        job = put(database, "app.note", {"n": 1})
    sleeper.sleep()
    sleeper.rung()
    assert database.value("select jobs.cancel(%s)", [job]) == "cancelled"
    assert sleeper.rung() == of_a_schedule

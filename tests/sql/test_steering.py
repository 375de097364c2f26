"""cancel, retry, run_now, wait and await: each says what it did, and refuses what it cannot do."""

import psycopg
import pytest
from support import Database

from .conftest import Enqueue, enqueue_on

LATER = "2100-01-01"


def _refusal(database: Database, query: str) -> psycopg.errors.Diagnostic:
    with pytest.raises(psycopg.Error) as caught:
        database.run(query)
    assert caught.value.diag.message_detail
    assert caught.value.diag.message_hint
    return caught.value.diag


@pytest.mark.parametrize("run_at", [LATER, "2000-01-01"])
@pytest.mark.parametrize("lane", [True, False], ids=["lane", "no lane"])
def test_cancel(database: Database, put: Enqueue, run_at: str, *, lane: bool) -> None:
    """A job that has not started is cancelled at once and never runs; cancelling again says so."""
    if lane:
        put("app.nothing")
        database.drain()
    job = put("app.mark", {"tag": "x"}, run_at=run_at)
    said = [database.value("select jobs.cancel(%s)", [job]) for _ in range(2)]
    database.drain()

    assert said == ["cancelled", "cancelled"]
    assert database.job(job)["state"] == "cancelled"
    assert database.job(job)["error"]["sqlstate"] == "PWC01"
    assert database.run("select * from app.marks") == []


def test_cancel_rolled_back(database: Database, put: Enqueue) -> None:
    """The cancel of a job that waits is undone by a rollback: the job runs."""
    job = put("app.mark", {"tag": "x"})
    with database.connect() as connection:
        connection.autocommit = False
        connection.execute("select jobs.cancel(%s)", [job])
        connection.rollback()
    database.drain()

    assert database.job(job)["state"] == "succeeded"


def test_cancel_in_the_transaction_that_enqueued(database: Database) -> None:
    """A job can be cancelled before the commit of its enqueue."""
    with database.connect() as connection, connection.transaction():
        job = enqueue_on(connection, "app.mark", {"tag": "x"})
        said = connection.execute("select jobs.cancel(%s)", [job]).fetchone()
    database.drain()

    assert said == ("cancelled",)
    assert database.job(job)["state"] == "cancelled"


def test_finished_job_says_its_state(database: Database, put: Enqueue) -> None:
    """cancel, run_now and wait of a finished job give its state and change nothing."""
    job = put("app.nothing")
    database.drain()
    calls = [f"jobs.cancel({job})", f"jobs.run_now({job})", f"jobs.wait({job}, '0')"]

    assert [database.value(f"select {call}") for call in calls] == ["succeeded"] * 3


def test_retry(database: Database, put: Enqueue) -> None:
    """A failed job runs again under its id, with one more attempt and its history."""
    database.run("create function app.once() returns integer language sql return 1 / 0")
    job = put("app.once", max_attempts=1)
    database.drain()
    database.run("create or replace function app.once() returns integer language sql return 1")
    said = [database.value("select jobs.retry(%s)", [job]) for _ in range(2)]
    database.drain()

    assert said == ["retrying", "queued"]
    assert database.result(job) == 1
    assert (database.job(job)["attempt"], database.job(job)["max_attempts"]) == (2, 2)
    outcomes = database.run(
        "select attempt, outcome from jobs.attempts where job_id = %s order by attempt", [job]
    )
    assert outcomes == [(1, "failed"), (2, "succeeded")]


def test_retry_of_a_success(database: Database, put: Enqueue) -> None:
    """A job that succeeded is not run again: PW031."""
    job = put("app.nothing")
    database.drain()

    assert _refusal(database, f"select jobs.retry({job})").sqlstate == "PW031"


def test_retry_with_a_taken_key(database: Database, put: Enqueue) -> None:
    """A job whose unique_key another unfinished job has is not retried: PW032."""
    job = put("app.nothing", unique_key="k")
    database.run("select jobs.cancel(%s)", [job])
    put("app.nothing", unique_key="k")

    assert _refusal(database, f"select jobs.retry({job})").sqlstate == "PW032"


def test_run_now(database: Database, put: Enqueue) -> None:
    """A job for later becomes due now."""
    job = put("app.add", {"a": 1}, run_at=LATER)
    said = database.value("select jobs.run_now(%s)", [job])
    database.drain()

    assert said == "queued"
    assert database.result(job) == 11


def test_start_runs_only_ones_own(database: Database, put: Enqueue) -> None:
    """jobs.start runs the jobs of its caller, and nobody else's."""
    theirs = enqueue_on(database.line("other"), "pg_catalog.now")
    mine = put("app.nothing")
    started = database.value("select jobs.start(2)")
    database.drain()

    assert started == 2
    assert database.job(mine)["state"] == "succeeded"
    assert database.job(theirs, role="other")["state"] == "scheduled"


def test_wait(database: Database, put: Enqueue) -> None:
    """jobs.wait returns the state of a job that ends meanwhile; jobs.await says it in a NOTICE."""
    good, bad = put("app.nothing"), put("app.series", {"n": 100000})
    notices: list[str] = []
    database.line().add_notice_handler(lambda said: notices.append(str(said.message_primary)))
    database.run("select jobs.start()")
    states = [database.value("select jobs.wait(%s, '10 s')", [job]) for job in (good, bad)]
    database.run(f"call jobs.await({good}, '10 s')")

    assert states == ["succeeded", "failed"]
    assert notices == [f"job {good}: succeeded"]


@pytest.mark.parametrize("call", ["select jobs.wait({}, '50 ms')", "call jobs.await({}, '50 ms')"])
def test_not_finished_in_time(database: Database, put: Enqueue, call: str) -> None:
    """Past the timeout it is PW036, which names the state."""
    job = put("app.nothing", run_at=LATER)
    said = _refusal(database, call.format(job))

    assert said.sqlstate == "PW036"
    assert "scheduled" in str(said.message_detail)


@pytest.mark.parametrize("level", ["repeatable read", "serializable"])
def test_wait_at_another_isolation(database: Database, put: Enqueue, level: str) -> None:
    """jobs.wait refuses a snapshot in which a job never ends: PW033."""
    job = put("app.nothing")
    with database.connect() as connection:
        connection.execute(f"begin isolation level {level}".encode())
        with pytest.raises(psycopg.Error) as caught:
            connection.execute("select jobs.wait(%s, '1 s')", [job])

    assert caught.value.sqlstate == "PW033"
    assert "jobs.await" in str(caught.value.diag.message_hint)
    assert caught.value.diag.message_detail


@pytest.mark.parametrize(
    "query",
    [
        "select jobs.enqueue_sql('vacuum app.marks')",
        "select jobs.enqueue_sql('create index concurrently on app.marks (tag)')",
        """select jobs.enqueue('app.keep', '{"tag": "x"}')""",
    ],
)
def test_wait_for_top_level(database: Database, query: str) -> None:
    """jobs.wait refuses a job that may wait for the waiter's own snapshot, PW034;
    jobs.await takes it.
    """
    job = database.value(query)
    said = _refusal(database, f"select jobs.wait({job}, '1 s')")
    database.run("select jobs.start()")
    database.run(f"call jobs.await({job}, '10 s')")

    assert said.sqlstate == "PW034"
    assert "jobs.await" in str(said.message_hint)
    assert database.job(job)["state"] == "succeeded"


@pytest.mark.parametrize("savepoint", [False, True])
def test_wait_in_the_transaction_that_enqueued(database: Database, *, savepoint: bool) -> None:
    """jobs.wait refuses a job that its own transaction enqueued, also inside a savepoint: PW035."""
    with database.connect() as connection:
        connection.autocommit = False
        if savepoint:
            connection.execute("savepoint a")
        job = enqueue_on(connection, "app.nothing")
        with pytest.raises(psycopg.Error) as caught:
            connection.execute("select jobs.wait(%s, '200 ms')", [job])

    assert caught.value.sqlstate == "PW035"
    assert caught.value.diag.message_detail
    assert caught.value.diag.message_hint


def test_await_inside_a_transaction(database: Database, put: Enqueue) -> None:
    """jobs.await commits, so a transaction block refuses it, and says so."""
    job = put("app.nothing", run_at=LATER)
    with database.connect() as connection:
        connection.autocommit = False
        with pytest.raises(psycopg.Error) as refused:
            connection.execute("call jobs.await(%s, '1 s')".replace("%s", str(job)).encode())
    assert refused.value.sqlstate == "PW037"

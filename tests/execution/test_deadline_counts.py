"""When a deadline counts, and what is none."""

from typing import Any

import pytest
from psycopg.types.json import Jsonb
from stage import (
    attempts,
    gate_shut,
    ledger,
    make_lane,
    put,
    put_sql,
    state,
    wait_at_gate,
    wait_running,
)
from support import Database, sqlstate_of, wait_until

from .deadlines import LATER, counts, end_of, let_pass, round_of_deadlines

STEPS = Jsonb(["select app.note(1)", "select app.gate()", "select app.note(2)"])


def test_a_retry_begins_in_time_or_not_at_all(database: Database) -> None:
    """A deadline is for each attempt: one that fails, and whose next would begin later, has failed;
    one whose next waits when the deadline passes is cancelled, and says what came before.
    """
    database.admin("select jobs.alter_queue('default', backoff => '1 hour')")
    soon = database.value("select clock_timestamp() + interval '10 minutes'")
    failed = put(database, "app.fail", options={"deadline": soon.isoformat()}, max_attempts=3)
    waits = put(database, "app.fail", options=LATER, max_attempts=3)
    database.drain()
    assert end_of(database, failed)[0::2] == ("failed", 1)
    assert "after its deadline" in database.job(failed)["error"]["detail"]
    assert attempts(database, failed) == [(1, "failed")]
    assert state(database, waits) == "scheduled"
    let_pass(database, waits)
    assert round_of_deadlines(database) == 1
    assert end_of(database, waits) == ("cancelled", "PWC03", 1)
    before = database.job(failed)["error"]["sqlstate"]
    assert database.job(waits)["error"]["detail"].startswith(f"Attempt 1 had ended with {before}")
    assert attempts(database, waits) == [(1, "failed")]


def test_steps_go_on_once_one_is_done(database: Database) -> None:
    """Work that is half done is not left there: after the first step no deadline counts."""
    with gate_shut(database):
        job = database.value("select jobs.enqueue_steps(%s, options => %s)", [STEPS, Jsonb(LATER)])
        database.run("select jobs.start()")
        wait_at_gate(database)
        assert not counts(database, job)
        let_pass(database, job)
        assert round_of_deadlines(database) == 0
    wait_until(lambda: not database.background())
    assert (state(database, job), ledger(database)) == ("succeeded", [None, 1, 2])


def test_an_end_unseen_is_asked_for_first(database: Database) -> None:
    """A statement that may have run is not said to have not begun."""
    job = put_sql(database, "vacuum app.ledger", run_at="2099-01-01", options=LATER)
    database.admin("update jobs_internal.job set verify = true where id = %s", [job])
    let_pass(database, job)
    assert round_of_deadlines(database) == 0
    database.run("select jobs.run_now(%s)", [job])
    database.drain()
    assert state(database, job) == "succeeded"


def test_a_retry_by_hand_counts_no_deadline(database: Database) -> None:
    job = put(database, "app.note", {"n": 1}, options=LATER)
    let_pass(database, job)
    assert round_of_deadlines(database) == 1
    assert database.value("select jobs.retry(%s)", [job]) == "retrying"
    database.drain()
    assert (state(database, job), ledger(database)) == ("succeeded", [1])


def test_a_rollback_leaves_nothing(database: Database) -> None:
    with database.connect() as line:
        line.execute("begin")
        line.execute("select jobs.enqueue('pg_catalog.now', options => %s)", [Jsonb(LATER)])
        line.execute("rollback")
    assert not database.admin("select 1 from jobs_internal.job_deadline")


def test_what_has_no_job_is_forgotten(database: Database) -> None:
    """A unique_key that is taken leaves a row for no job, whatever else may: it goes in time."""
    first = put(database, "pg_catalog.now", unique_key="x", run_at="2099-01-01", options=LATER)
    again = put(database, "pg_catalog.now", unique_key="x", run_at="2099-01-01", options=LATER)
    assert again == first
    assert database.admin("select job_id from jobs_internal.job_deadline") == [(first,)]
    database.admin("insert into jobs_internal.job_deadline values (999999, '2000-01-01')")
    assert round_of_deadlines(database) == 0
    assert database.admin("select job_id from jobs_internal.job_deadline") == [(first,)]


def test_a_round_sees_to_it_and_wakes_for_it(database: Database) -> None:
    """The round itself: it says when the next deadline is, and cancels what is late, paused or
    not.
    """
    supervisor = database.connect("supervisor")
    (number,) = supervisor.execute(
        "select jobs_internal.supervisor_open('one', 'here', 1, '1')"
    ).fetchone() or (None,)

    def tick() -> dict[str, Any]:
        row = supervisor.execute("select jobs_internal.supervisor_tick(%s)", [number]).fetchone()
        assert row is not None
        return dict(row[0])

    make_lane(database)
    at = database.value("select clock_timestamp() + interval '30 minutes'")
    job = put(database, "pg_catalog.now", options={"deadline": at.isoformat()})
    database.admin("select jobs.pause()")
    ms = tick()["next_due_ms"]
    assert ms is not None
    assert 0 < ms <= 1_800_000
    let_pass(database, job)
    tick()
    assert end_of(database, job) == ("cancelled", "PWC03", 0)
    assert tick()["next_due_ms"] is None
    database.admin("select jobs.resume()")


def test_explain_tells_it(database: Database) -> None:
    """Beside the reason to wait while it is to come; as the reason when it has passed."""
    job = put(database, "pg_catalog.now", run_at="2099-01-01", options=LATER)
    found = database.record("select * from jobs.explain(%s)", [job])
    assert found["code"] == "time"
    assert [line for line in found["also"] if "cancelled if it has not started" in line]
    let_pass(database, job)
    found = database.record("select * from jobs.explain(%s)", [job])
    assert found["code"] == "deadline"


@pytest.mark.parametrize(
    ("deadline", "run_at"),
    [
        ("soon", None),
        ("", None),
        ("infinity", None),
        ("-infinity", None),
        ("2000-01-01", None),
        (3, None),
        (None, None),
        ("2099-01-01", "2099-01-02"),
        ("2099-01-01", "infinity"),
    ],
)
def test_what_is_no_deadline_is_refused(
    database: Database, deadline: object, run_at: str | None
) -> None:
    def ask() -> None:
        put(
            database,
            "pg_catalog.now",
            options={"deadline": deadline},
            **({"run_at": run_at} if run_at else {}),
        )

    assert sqlstate_of(ask) == "PW029"
    assert not database.admin("select 1 from jobs_internal.job")
    assert not database.admin("select 1 from jobs_internal.job_deadline")


def test_a_time_is_one_of_the_caller(database: Database) -> None:
    """Without a zone it is meant in the caller's TimeZone, and kept as what it meant."""
    line = database.connect("app")
    line.execute("set timezone = 'Asia/Tokyo'")
    line.execute("set datestyle = 'German'")
    line.execute(
        "select jobs.enqueue('pg_catalog.now', run_at => '01.01.2090', options => %s)",
        [Jsonb({"deadline": "02.03.2099 09:00"})],
    )
    kept = database.admin(
        "select (options ->> 'deadline')::timestamptz = '2099-03-02 00:00+00',"
        " d.at = '2099-03-02 00:00+00' from jobs_internal.job as j"
        " join jobs_internal.job_deadline as d on d.job_id = j.id"
    )
    assert kept == [(True, True)]


def test_a_cancel_by_hand_wins_by_being_first(database: Database) -> None:
    job = put(database, "pg_catalog.now", run_at="2099-01-01", options=LATER)
    let_pass(database, job)
    assert database.value("select jobs.cancel(%s)", [job]) == "cancelled"
    assert round_of_deadlines(database) == 0
    assert end_of(database, job) == ("cancelled", "PWC01", 0)
    assert not counts(database, job)


def test_an_interrupted_job_has_not_begun(database: Database) -> None:
    """An interruption charges nothing, and undoes all: such a job has not begun."""
    with gate_shut(database):
        job = put(database, "app.gate", options=LATER)
        database.run("select jobs.start()")
        pid = wait_running(database, job)["pid"]
        wait_at_gate(database)
        let_pass(database, job)
        database.admin("select pg_terminate_backend(%s)", [pid])
        wait_until(lambda: not database.background())
    database.admin("select jobs_internal.rescue()")
    round_of_deadlines(database)
    assert end_of(database, job) == ("cancelled", "PWC03", 0)

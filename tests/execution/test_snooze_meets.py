"""A run that snoozes meets a cancel, a timeout, the end of its session, a schedule, a deadline."""

import pytest
from stage import (
    attempts,
    gate_shut,
    put,
    state,
    wait_at_gate,
)
from support import Database, wait_until

from .schedules import START, fire, runs, schedule, set_clock
from .snoozing import SETUP, done, job_row


@pytest.fixture(autouse=True)
def functions(database: Database) -> None:
    database.run(SETUP)


def test_a_cancel_that_comes_while_it_runs_wins(database: Database) -> None:
    """It had snoozed already, but its function had not returned."""
    with gate_shut(database):
        job = put(database, "app.naps", {"n": 1, "pause": "1 hour", "after": "waits"})
        database.run("select jobs.start()")
        wait_at_gate(database)
        assert database.value("select jobs.cancel(%s)", [job]) == "cancelling"
        wait_until(lambda: state(database, job) == "cancelled")
    wait_until(lambda: not database.background())
    assert done(database) == []


def test_a_cancel_that_comes_too_late_for_the_run(database: Database) -> None:
    """The run is kept, and the job does not come back. The request is committed while the job
    waits, and no signal is sent.
    """
    with gate_shut(database):
        job = put(database, "app.naps", {"n": 1, "pause": "1 hour", "after": "waits"})
        database.run("select jobs.start()")
        wait_at_gate(database)
        database.admin(
            "insert into jobs_internal.stop_request (job_id, attempt, reason, requested_by)"
            " values (%s, 1, 'cancelled', 'app')",
            [job],
        )
    wait_until(lambda: not database.background())
    found = job_row(database, job)
    assert (found["state"], found["error"]["sqlstate"]) == ("cancelled", "PWC01")
    assert found["result"] is None
    assert done(database) == [1]


def test_a_timeout_is_one_of_each_run(database: Database) -> None:
    """A run that is over its time is timed out, whatever it had said; the runs before do not count
    towards it.
    """
    with gate_shut(database):
        job = put(
            database,
            "app.naps",
            {"n": 1, "pause": "1 hour", "after": "waits"},
            timeout="1 hour",
            max_attempts=1,
        )
        database.run("select jobs.start()")
        (pid,) = wait_at_gate(database)
        database.admin(
            "insert into jobs_internal.stop_request (job_id, attempt, reason, requested_by)"
            " values (%s, 1, 'timed_out', 'supervisor')",
            [job],
        )
        database.admin("update jobs_internal.job set started_at = started_at - interval '1 day'")
        database.admin("select pg_cancel_backend(%s)", [pid])
        wait_until(lambda: state(database, job) == "failed")
    wait_until(lambda: not database.background())
    assert attempts(database, job) == [(1, "timed_out")]
    assert done(database) == []


def test_a_session_that_dies_after_the_call(database: Database) -> None:
    """What it did and its new time are one commit: none of them is there, and the job runs again,
    each effect once.
    """
    with gate_shut(database):
        job = put(database, "app.naps", {"n": 1, "pause": "1 hour", "after": "waits"})
        database.run("select jobs.start()")
        (pid,) = wait_at_gate(database)
        database.admin("select pg_terminate_backend(%s)", [pid])
        wait_until(lambda: not database.background())
        assert done(database) == []
    database.admin("select jobs_internal.rescue()")
    database.drain()
    found = job_row(database, job)
    assert (found["state"], found["attempt"], found["snoozes"]) == ("succeeded", 1, 0)
    assert done(database) == [2]


def test_an_occurrence_that_snoozes_is_not_finished(database: Database) -> None:
    """One job, one occurrence, still the same one when it comes back; the next one meets it by the
    schedule's overlap.
    """
    database.run(
        "create function app.asks() returns void language plpgsql as $$ begin"
        " insert into app.done (n, run) select 1, extract(epoch from due_at)::bigint"
        " from jobs.current_run();"
        " if nextval('app.calls') = 1 then perform jobs.snooze('1 hour'); end if; end $$"
    )
    schedule(database, "s", "every 1 hour", task="app.asks", args={}, starts_at=START.isoformat())
    set_clock(database, START)
    first = START.replace(hour=1)
    fire(database, first)
    database.drain()
    (job,) = database.run("select id from jobs.job")[0]
    assert job_row(database, job)["snoozes"] == 1
    fire(database, START.replace(hour=2))
    assert [outcome for _, outcome in runs(database)] == ["fired", "skipped"]
    database.run("select jobs.run_now(%s)", [job])
    database.drain()
    assert state(database, job) == "succeeded"
    assert done(database) == 2 * [int(first.timestamp())]
    fire(database, START.replace(hour=3))
    assert [outcome for _, outcome in runs(database)] == ["fired", "skipped", "fired"]


def test_its_unique_key_stays_its_own(database: Database) -> None:
    job = put(database, "app.naps", {"n": 1, "pause": "1 hour"}, unique_key="k")
    database.drain()
    assert put(database, "app.naps", {"n": 2}, unique_key="k") == job


@pytest.mark.parametrize("keep", [True, False])
def test_a_deadline_counts_until_a_run_is_kept(database: Database, *, keep: bool) -> None:
    job = put(
        database,
        "app.naps",
        {"n": 1, "pause": "1 hour", "keep": keep},
        options={"deadline": "2100-01-01"},
    )
    database.drain()
    database.admin("update jobs_internal.job_deadline set at = '2000-01-01'")
    assert database.admin("select jobs_internal.cancel_late_jobs()") == [(0 if keep else 1,)]
    assert state(database, job) == ("scheduled" if keep else "cancelled")


def test_what_was_held_against_it_is_gone(database: Database) -> None:
    """A run to its end shows that it did not crash the server, and was not interrupted."""
    job = put(database, "app.naps", {"n": 1, "pause": "1 hour"})
    database.admin("update jobs_internal.job set interruptions = 2, crashes = 1")
    database.drain()
    assert database.admin(
        "select interruptions, crashes from jobs_internal.job where id = %s", [job]
    ) == [(0, 0)]


def test_the_outbox_tells_it(database: Database) -> None:
    job = put(database, "app.naps", {"n": 1, "pause": "1 hour"})
    database.drain()
    told = [
        one
        for (body,) in database.admin("select body from jobs_internal.outbox")
        for one in body["others"]
    ]
    assert [(one["job_id"], one["outcome"], one["state"]) for one in told] == [
        (job, "snoozed", "scheduled")
    ]
    assert told[0]["retry_at"]


def test_a_job_cannot_say_it_of_another_job(database: Database) -> None:
    """The setting names the job: what a job leaves by hand for another is none."""
    database.run(
        "create function app.forges(what text) returns void language plpgsql as $$ begin"
        " perform set_config('pyworker.snooze', what, false),"
        " set_config('pyworker.logged', 'on', false); end $$"
    )
    first = put(database, "app.forges", {"what": "2 3600 keep"}, max_attempts=1)
    assert first == 1
    # job 2 and those behind it run in the same session, each after one that names it
    jobs = [
        put(database, "app.forges", {"what": what}, max_attempts=1)
        for what in ("3 3600 undo", "999 3600 keep", "", "x", "NaN", "7 1e9 keep", "8 -1 undo")
    ]
    database.drain()
    assert [state(database, job) for job in (first, *jobs)] == ["succeeded"] * 8

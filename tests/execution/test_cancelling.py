"""Cancel: of what waits, of what runs, between short jobs, of many and again and again."""

from typing import Any

import pytest
from stage import (
    attempts,
    drain_once,
    gate_shut,
    know_as_short,
    ledger,
    make_lane,
    put,
    put_many,
    put_sql,
    quick_retries,
    state,
    wait_at_gate,
    wait_for,
    wait_running,
)
from support import Database, sqlstate_of, wait_until


def test_cancel_of_what_has_not_started(database: Database) -> None:
    make_lane(database)
    scheduled = put(database, "app.note", {"n": 1}, run_at="2100-01-01")
    queued = put(database, "app.note", {"n": 2})
    statement = put_sql(database, "insert into app.ledger (n) values (3)")
    child = put_sql(database, "call app.two_commits(4)")
    jobs = (scheduled, queued, statement, child)
    assert [database.value("select jobs.cancel(%s)", [job]) for job in jobs] == ["cancelled"] * 4
    assert [database.value("select jobs.cancel(%s)", [job]) for job in jobs] == ["cancelled"] * 4
    database.drain()
    assert {state(database, job) for job in jobs} == {"cancelled"}
    assert ledger(database) == []
    assert [database.value("select jobs.retry(%s)", [job]) for job in jobs] == ["retrying"] * 4
    database.drain()
    assert {state(database, job) for job in jobs} == {"succeeded"}
    assert ledger(database) == [1, 2, 3, 4, 5]
    assert sqlstate_of(lambda: database.run("select jobs.retry(%s)", [queued])) == "PW031"
    assert database.value("select jobs.cancel(%s)", [queued]) == "succeeded"


RUNNING = {
    "alone": "app.gate",
    "in a chunk": "app.gate",
    "statement": "insert into app.ledger (n) select 1 from pg_advisory_xact_lock(1)",
    "child": "call app.watched(1, 'x')",
    "procedure": "app.watched",
}


def _enqueue_running(database: Database, kind: str, **options: Any) -> int:
    if kind in ("alone", "in a chunk"):
        if kind == "in a chunk":
            put(database, "app.gate", {"n": 0})
            database.drain()
            know_as_short(database)
            database.run("truncate app.ledger")
        return put(database, RUNNING[kind], {"n": 1}, **options)
    if kind == "procedure":
        return put(database, RUNNING[kind], {"n": 1, "secret": "x"}, **options)
    return put_sql(database, RUNNING[kind], **options)


@pytest.mark.parametrize("kind", RUNNING)
def test_cancel_of_what_runs(database: Database, kind: str) -> None:
    job = _enqueue_running(database, kind)
    after = put(database, "app.note", {"n": 100})
    with gate_shut(database):
        database.run("select jobs.start()")
        (pid,) = wait_at_gate(database)
        wait_running(database, job)
        line = database.connect("app")
        with line.transaction(force_rollback=True):
            # A rollback of the caller does not undo it.
            assert line.execute("select jobs.cancel(%s)", [job]).fetchall() == [("cancelling",)]
        # Nothing else ends it: its gate stays shut, no supervisor is there, and it has no timeout.
        found = wait_for(database, job, timeout=20)
        assert found["state"] == "cancelled"
        assert found["error"]["sqlstate"] == "PWC01"
        # It is really stopped.
        if kind in ("child", "procedure"):
            wait_until(
                lambda: not database.admin("select 1 from pg_stat_activity where pid = %s", [pid]),
                5,
            )
        here = "database = (select oid from pg_database where datname = current_database())"
        waiting = (
            "select 1 from pg_locks where locktype = 'advisory' and objid = 1 and not granted"
            f" and {here}"
        )
        wait_until(lambda: not database.admin(waiting), 5)
    assert attempts(database, job) == [(1, "cancelled")]
    wait_for(database, after)
    wait_until(lambda: not database.background(), 10)
    assert state(database, after) == "succeeded"
    assert ledger(database) == ([1, 100] if kind in ("child", "procedure") else [100])
    assert database.value("select jobs.retry(%s)", [job]) == "retrying"
    database.drain()
    assert state(database, job) == "succeeded"


def test_an_operator_cancels_anybodys_job(database: Database) -> None:
    job = put(database, "app.gate")
    with gate_shut(database):
        database.run("select jobs.start()")
        wait_at_gate(database)
        assert (
            sqlstate_of(lambda: database.run("select jobs.cancel(%s)", [job], role="other"))
            == "PW030"
        )
        assert database.value("select jobs.cancel(%s)", [job], role="operator") == "cancelling"
        assert wait_for(database, job)["state"] == "cancelled"


def test_cancels_between_short_jobs_hit_no_innocent(database: Database) -> None:
    quick_retries(database)
    put(database, "app.nap", {"seconds": 0.0, "n": 0}, max_attempts=1)
    database.drain()
    know_as_short(database)
    database.run("truncate app.ledger")
    jobs = put_many(
        database, "app.nap", [{"seconds": 0.002, "n": n} for n in range(500)], max_attempts=1
    )
    database.run("select jobs.start(2)")
    asked = set()
    answers = set()
    for job in jobs[20::7]:
        answers.add(database.value("select jobs.cancel(%s)", [job]))
        asked.add(job)
    database.drain()
    states: dict[int, str] = dict(
        database.run("select id, state from jobs.job where id = any (%s)", [jobs])
    )
    assert {job for job, what in states.items() if what == "cancelled"} <= asked
    assert {what for job, what in states.items() if job not in asked} == {"succeeded"}
    assert {states[job] for job in asked} <= {"cancelled", "succeeded"}
    done = [row[0] for row in database.run("select job from app.ledger order by 1")]
    assert done == sorted(job for job, what in states.items() if what == "succeeded")
    assert answers & {"cancelled", "cancelling"}


def test_a_cancelled_job_is_not_retried_when_it_fails_by_itself(database: Database) -> None:
    """The reason is there, and the attempt ends with an error of its own before the
    signal comes.
    """
    job = put(
        database,
        "app.run",
        {"what": "select pg_advisory_xact_lock(1); select 1 / 0"},
        max_attempts=5,
    )
    database.admin("select jobs.set_retry_rule('22012', true)")
    with gate_shut(database):
        database.run("select jobs.start()")
        wait_at_gate(database)
        database.admin(
            "insert into jobs_internal.stop_request values (%s, 1, 'cancelled', 'app')", [job]
        )
    assert wait_for(database, job)["state"] == "cancelled"
    wait_until(lambda: not database.background(), 10)
    assert attempts(database, job) == [(1, "failed")]


def test_a_cancel_whose_reason_comes_after_the_attempt_holds(database: Database) -> None:
    """Between the look at a running job and the reason, the attempt failed and waits for
    its retry.
    """
    job = put(database, "app.stumble", {"n": 1, "times": 9}, max_attempts=5)
    drain_once(database)
    assert state(database, job) == "scheduled"
    database.admin(f"call jobs_internal.stop_job({job}, 1, 'app')")
    assert state(database, job) == "cancelled"
    assert database.admin("select count(*) from jobs_internal.stop_request") == [(0,)]


STUBBORN = """
create function app.stubborn() returns void language plpgsql as $$
begin
  for i in 1 .. 20 loop
    begin perform pg_sleep(0.5); exception when query_canceled then null; end;
  end loop;
end $$
"""


PRESSING = "select count(*) from pg_stat_activity where query like 'call jobs_internal.stop_job(%'"


@pytest.mark.parametrize("at_once", [False, True])
def test_who_cancels_many_jobs_leaves_worker_slots_to_others(
    database: Database, at_once: bool
) -> None:
    """It has a few sessions for that at most, and with no supervisor all of its jobs are signalled
    all the same.
    """
    database.run(STUBBORN)
    jobs = [put(database, "app.stubborn", max_attempts=1) for _ in range(7)]
    database.run("select jobs.start(7)")
    wait_until(lambda: {state(database, job) for job in jobs} == {"running"})
    most = 0
    for some in [jobs] if at_once else [[job] for job in jobs]:
        told = database.run("select jobs.cancel(i) from unnest(%s) as i", [some])
        assert {state for (state,) in told} == {"cancelling"}
        most = max(most, database.admin(PRESSING)[0][0])
    signalled = "select count(*) from jobs_internal.stop_request where signals_sent > 0"
    wait_until(lambda: database.admin(signalled)[0][0] == 7)
    assert max(most, database.admin(PRESSING)[0][0]) <= 4
    for job in jobs:
        wait_for(database, job)


def test_who_cancels_again_and_again_takes_no_further_worker_slot(database: Database) -> None:
    """One session presses a job that does not listen; the calls that come meanwhile leave it to
    that one.
    """
    database.run(STUBBORN)
    job = put(database, "app.stubborn", max_attempts=1)
    database.run("select jobs.start()")
    wait_until(lambda: state(database, job) == "running")
    assert database.value("select jobs.cancel(%s)", [job]) == "cancelling"
    wait_until(lambda: database.admin("select 1 from jobs_internal.stop_request"))
    told = {database.value("select jobs.cancel(%s)", [job]) for _ in range(20)}
    assert database.admin(PRESSING)[0][0] <= 1
    assert told == {"cancelling"}
    wait_for(database, job)

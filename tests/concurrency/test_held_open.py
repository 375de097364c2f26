"""Locks that anybody may hold, and transactions that stay open: they cost those who hold them,
and nobody else.
"""

from stage import (
    attempts,
    gate_shut,
    know_as_short,
    make_lane,
    put,
    put_many,
    state,
    wait_at_gate,
    wait_for,
)
from support import Database, sqlstate_of, wait_until

from .waiting import Ask, begin, waits


def tick(database: Database) -> None:
    database.admin("select jobs_internal.supervisor_tick(0)")


def test_who_holds_the_advisory_lock_of_a_queue_holds_up_nobody(database: Database) -> None:
    """Any role may take pgmq's lock of the lane that comes next: other lanes go on,
    and that one is made meanwhile.
    """
    make_lane(database)
    known = put(database, "app.note", {"n": 1}, run_at="2200-01-01")
    with database.server.connect("nobody", database.name) as squatter:
        squatter.execute(
            "select pg_advisory_lock(hashtext('pgmq.queue_pyworker_' || g))"
            " from generate_series(2, 5) as g"
        )
        new = put(database, "pg_catalog.now", role="other")
        database.run("select jobs.run_now(%s)", [known])
        database.admin("set statement_timeout = '20 s'")
        for _ in range(8):
            tick(database)
        database.admin("reset statement_timeout")
        assert state(database, new) == "queued"
        database.drain()
        assert state(database, known) == "succeeded"
        database.drain(role="other")
        assert state(database, new) == "succeeded"
        database.admin("select jobs.reconcile()")


def test_an_open_change_of_a_queue_holds_up_no_rescue(database: Database) -> None:
    """An operator's transaction has changed the slots; sessions that hold them die:
    they are rescued all the same.
    """
    database.admin("select jobs.create_queue('narrow', 2)")
    put(database, "app.note", {"n": 0}, queue="narrow")
    database.drain()
    with gate_shut(database):
        jobs = [
            put(database, "app.gate", {"n": n}, queue="narrow", settings={"work_mem": "1MB"})
            for n in (1, 2)
        ]
        for count in (1, 2):
            database.run("select jobs.start()")
            wait_at_gate(database, count)
        operator = database.connect("operator")
        begin(operator, "select jobs.alter_queue('narrow', concurrency => 5)")
        holder = database.connect("postgres")
        begin(holder, "select count(*) from (select from jobs_internal.slot for update) as s")
        for (pid,) in database.admin("select pid from jobs.sessions"):
            database.admin("select pg_terminate_backend(%s)", [pid])
        wait_until(lambda: not database.background(), 10)
        database.admin("set statement_timeout = '20 s'")
        tick(database)
        database.admin("reset statement_timeout")
        assert database.admin("select count(*) from jobs_internal.session") == [(0,)]
        holder.execute("rollback")
        operator.execute("rollback")
        tick(database)
        assert database.admin(
            "select count(*) from jobs_internal.slot where session_id is not null"
        ) == [(0,)]
    database.drain(sessions=2)
    for job in jobs:
        assert wait_for(database, job)["state"] == "succeeded"


def test_an_open_run_now_holds_up_no_chunk(database: Database) -> None:
    make_lane(database)
    jobs = put_many(database, "app.note", [{"n": n} for n in range(5)])
    know_as_short(database)
    steering = database.connect()
    assert begin(steering, f"select jobs.run_now({jobs[2]})") == "queued"
    database.drain()
    assert {state(database, job) for job in jobs} == {"succeeded"}
    steering.execute("rollback")


def test_a_retry_that_meets_a_new_job_with_its_key(database: Database, ask: Ask) -> None:
    job = put(database, "app.fail", unique_key="k", max_attempts=1)
    database.drain()
    assert state(database, job) == "failed"
    first, second = database.connect(), database.connect()
    begin(first, "select jobs.enqueue('app.note', '{\"n\": 1}', unique_key => 'k')")
    asked = ask(second, f"select jobs.retry({job})")
    waits(database, second)
    first.execute("commit")
    assert asked.result(10) == "PW032"
    assert state(database, job) == "failed"
    assert sqlstate_of(lambda: database.run("select jobs.retry(%s)", [job])) == "PW032"


def test_a_reason_of_an_attempt_that_is_over_goes(database: Database) -> None:
    """Noted a moment too late, it neither stays nor meets the next attempt."""
    database.admin("select jobs.alter_queue('default', backoff => '1 hour')")
    job = put(database, "app.fail", {"state": "40001"})
    database.drain()
    assert attempts(database, job) == [(1, "failed")]
    assert state(database, job) == "scheduled"
    database.admin(
        "insert into jobs_internal.stop_request (job_id, attempt, reason, requested_by,"
        " requested_at)"
        " values (%s, 1, 'timed_out', 'nobody', now() - interval '1 min')",
        [job],
    )
    database.admin("select jobs_internal.supervisor_send_stop_signals(0)")
    assert database.admin("select count(*) from jobs_internal.stop_request") == [(0,)]

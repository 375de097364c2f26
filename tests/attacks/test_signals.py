"""A15: whom a job may signal, and whom a supervisor does."""

from typing import Any

import pytest
from stage import gate_shut, put, put_sql, state, wait_at_gate, wait_for
from support import Database, Server, sqlstate_of, wait_until


def test_a_job_signals_nobody_but_its_own_role(database: Database) -> None:
    """A15: pg_cancel_backend and pg_terminate_backend on the supervisor, on other owners,
    on the administrator.
    """
    database.run(
        """create function app.signal(pid integer) returns text language plpgsql as $$
        begin
          perform pg_cancel_backend(pid), pg_terminate_backend(pid);
          return 'done';
        exception when insufficient_privilege then
          return sqlstate;
        end $$"""
    )
    with gate_shut(database):
        theirs = put(database, "other.gate", role="other")
        child = put_sql(database, "do $$ begin perform other.gate(2); commit; end $$", role="other")
        database.run("select jobs.start(2)", role="other")
        wait_at_gate(database, 2)
        supervisor = database.connect("supervisor")
        assert supervisor.execute(
            "select jobs_internal.supervisor_open('x', 'x', 1, 'x')"
        ).fetchone()
        targets = [
            row[0]
            for row in database.admin(
                "select pid from pg_stat_activity where usename in ('other', 'supervisor',"
                " 'postgres')"
                " and datname = current_database()"
            )
        ]
        assert len(targets) >= 5
        jobs = [put(database, "app.signal", {"pid": pid}) for pid in targets]
        children = [
            put_sql(database, f"do $$ begin perform pg_terminate_backend({pid}); commit; end $$")
            for pid in targets
        ]
        for job in (*jobs, *children):
            database.run("select jobs.start()")
            wait_for(database, job)
        assert {database.result(job) for job in jobs} == {"42501"}
        assert {database.job(job)["error"]["sqlstate"] for job in children} == {"42501"}
        assert {state(database, job) for job in (theirs, child)} == {"running"}
        assert supervisor.execute("select 1").fetchone() == (1,)
    database.drain(role="other")
    assert {state(database, job) for job in (theirs, child)} == {"succeeded"}


@pytest.mark.parametrize("how", ["pg_cancel_backend", "pg_terminate_backend"])
def test_a_job_that_signals_a_sibling_costs_it_no_attempt(database: Database, how: str) -> None:
    """A15: PostgreSQL lets a role signal its own sessions: the sibling is undone, and runs again,
    uncharged.
    """
    with gate_shut(database):
        sibling = put(database, "app.gate", {"n": 1}, max_attempts=1)
        database.run("select jobs.start()")
        (pid,) = wait_at_gate(database)
        killer = put(database, "app.run", {"what": f"select {how}({pid})"})
        database.run("select jobs.start()")
        wait_for(database, killer, "succeeded")
        wait_until(lambda: state(database, sibling) in ("queued", "scheduled"))
    database.drain()
    assert state(database, sibling) == "succeeded"
    assert database.run(
        "select attempt, outcome from jobs.attempts where job_id = %s", [sibling]
    ) == [(1, "succeeded")]
    assert database.run("select count(*) from app.ledger") == [(1,)]


@pytest.mark.parametrize("noted", ["child_pid", "pid"])
def test_a_supervisor_signals_only_the_session_that_ran_it(
    database: Database, server: Server, noted: str
) -> None:
    """A15: an owner cannot have the supervisor signal somebody else: by a noted child,
    by a name.
    """
    put(database, "app.note", {"n": 0})
    database.drain()
    victim = database.connect("other")
    pid = victim.info.backend_pid
    job = put(database, "app.gate", {"n": 1})
    session = database.value("select jobs_internal.open_session(jobs_internal.schema_version())")
    lane, message, lease = database.run(
        "select c.lane_id, c.msg_ids[1], c.lease from jobs_internal.claim(%s, 0, null, false,"
        " 1) as c",
        [session],
    )[0]
    item = database.value(
        "select i::text from unnest(jobs_internal.open_chunk(%s, array[%s::bigint], %s, -1,"
        " false)) as i",
        [lane, message, lease],
    )
    database.run(
        "select jobs_internal.begin_alone(%s, %s, %s::jobs_internal.work_item)",
        [session, lane, item],
    )
    if noted == "child_pid":
        assert (
            database.value("select jobs_internal.note_child(%s, %s, 1, %s)", [session, job, pid])
            is None
        )
    else:
        # The name of a session counts for sessions of its own role alone.
        victim.execute("select set_config('application_name', %s, false)", [f"pw {job}/1 1"])
    supervisor = database.value(
        "select jobs_internal.supervisor_open('x', 'x', 1, 'x')", role="supervisor"
    )
    database.admin(
        "insert into jobs_internal.stop_request (job_id, attempt, reason, requested_by) values"
        " (%s, 1, 'cancelled', 'x')",
        [job],
    )
    signalled: list[Any] = []

    def pressed() -> bool:
        signalled.extend(
            database.run(
                "select * from jobs_internal.supervisor_send_stop_signals(%s)",
                [supervisor],
                role="supervisor",
            )
        )
        return bool(signalled)

    # The signal is for the line of app, which says so the next time that it is used.
    own = database.line().info.backend_pid
    wait_until(pressed)
    assert {one[0]["pid"] for one in signalled} == {own}
    assert victim.execute("select 1").fetchone() == (1,)
    assert sqlstate_of(lambda: database.run("select pg_sleep(0.1)")) in (None, "57014")
    database.run("select jobs_internal.requeue_uncharged(%s, %s, 1)", [session, job])
    database.run("select jobs_internal.close_session(%s, null)", [session])

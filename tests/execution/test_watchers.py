"""Watchers and children that die, and children that find no worker slot."""

import psycopg
import pytest
from stage import (
    attempts,
    gate_shut,
    ledger,
    make_lane,
    put,
    put_sql,
    state,
    wait_at_gate,
    wait_for,
    wait_running,
)
from support import Database, sqlstate_of, wait_until

from .session_ends import HEALTH, no_process


@pytest.mark.parametrize("how", ["pg_cancel_backend", "pg_terminate_backend"])
def test_a_child_that_is_signalled_charges_nothing(database: Database, how: str) -> None:
    job = put_sql(database, "call app.watched(1, 'x')", max_attempts=1)
    with gate_shut(database):
        database.run("select jobs.start()")
        (pid,) = wait_at_gate(database)
        row = wait_running(database, job)
        assert row["child_pid"] == pid
        database.admin(f"select {how}(%s)", [pid])
        no_process(database)
        assert state(database, job) == "scheduled"
    database.drain()
    assert state(database, job) == "succeeded"
    assert attempts(database, job) == [(1, "succeeded")]
    assert ledger(database) == [1, 1]  # at least once: it had committed in the middle


@pytest.mark.parametrize("done", [None, "true", "exists (select from app.ledger where n = 1)"])
@pytest.mark.parametrize("how", ["pg_cancel_backend", "pg_terminate_backend"])
def test_a_watcher_that_dies_leaves_its_child(
    database: Database, how: str, done: str | None
) -> None:
    database.admin("select jobs.create_queue('single', 1)")
    job = put_sql(database, "call app.watched(1, 'x')", done_when=done, queue="single")
    other = put(database, "app.note", {"n": 50}, queue="single")
    with gate_shut(database):
        database.run("select jobs.start()")
        (child,) = wait_at_gate(database)
        row = wait_running(database, job)
        assert row["child_pid"] == child
        assert row["pid"] != child
        database.admin(f"select {how}(%s)", [row["pid"]])
        wait_until(lambda: [one[0] for one in database.background()] == [child], 5)
        # The child works on; nobody runs a second copy beside it, and its place in the queue
        # is taken.
        for _ in range(2):
            database.run("select jobs.start()")
            wait_until(lambda: [one[0] for one in database.background()] == [child], 5)
        assert state(database, job) == "running"
        assert state(database, other) == "queued"
        assert ledger(database) == [1]
        # It is seen to run, by everybody who looks.
        row = wait_running(database, job)
        assert (row["pid"], row["child_pid"], row["wait_event"]) == (None, child, "Lock:advisory")
        assert attempts(database, job) == [(1, None)]
        assert database.run("select running, queued from jobs.queues where queue = 'single'") == [
            (1, 1)
        ]
        # those just started have left
        wait_until(lambda: database.run("select id from jobs.sessions") == [], 5)
        ((status, detail),) = database.admin(HEALTH, ["dead sessions"])
        assert status == "ok"
        assert "1 more has a child session that goes on alone" in detail
        with pytest.raises(psycopg.errors.Error) as refused:
            database.run(f"call jobs.await({job}, '0')")
        assert "child session goes on alone" in str(refused.value.diag.message_hint)
    no_process(database)
    database.drain()
    assert ledger(database) == [1, 50]
    found = database.job(job)
    if done is None:
        assert found["state"] == "in_doubt"
        assert found["error"]["sqlstate"] == "PWD01"
        assert attempts(database, job) == [(1, "in_doubt")]
        assert database.run("select state from jobs.failed where id = %s", [job]) == [("in_doubt",)]
        assert database.value("select jobs.retry(%s)", [job]) == "retrying"
        database.drain()
        assert ledger(database) == [1, 1, 50]
    else:
        assert found["state"] == "succeeded"
        assert found["result"] == {"verified": True}
        assert attempts(database, job)[0] == (1, "lost")


def test_a_child_that_nobody_has_noted_yet_is_found(database: Database) -> None:
    """The watcher dies after it launched a child and before it noted which:
    no second copy runs beside the first.
    """
    database.admin(
        "create function app.hold() returns trigger language plpgsql as"
        " $$ begin perform pg_advisory_xact_lock_shared(2); return new; end $$"
    )
    database.admin(
        "create trigger hold before update of child_pid on jobs_internal.job"
        " for each row when (new.child_pid is not null) execute function app.hold()"
    )
    job = put_sql(
        database, "call app.watched(1, 'x')", done_when="(select count(*) from app.ledger) = 2"
    )
    with gate_shut(database):
        with database.server.connect("postgres", database.name) as holder:
            holder.execute("select pg_advisory_lock(2)")
            database.run("select jobs.start()")
            (child,) = wait_at_gate(database)
            watcher = database.value("select pid from jobs.sessions")
            wait_until(
                lambda: database.admin(
                    "select 1 from pg_locks where pid = %s and not granted", [watcher]
                )
            )
            database.admin("select pg_terminate_backend(%s)", [watcher])
            wait_until(lambda: [one[0] for one in database.background()] == [child], 5)
        noted = "select child_pid from jobs_internal.job where id = %s"
        assert database.admin(noted, [job]) == [(None,)]
        database.admin("select jobs_internal.rescue()")
        assert database.admin(noted, [job]) == [(child,)]
        assert state(database, job) == "running"
        assert ledger(database) == [1]
    no_process(database)
    database.drain()
    # its post-condition was not true, so it ran again, when the first had ended
    assert ledger(database) == [1, 1]
    assert state(database, job) == "succeeded"


def test_a_watcher_that_dies_and_a_child_that_did_not_do_it(database: Database) -> None:
    job = put_sql(
        database, "call app.watched(1, 'x')", done_when="(select count(*) from app.ledger) = 2"
    )
    with gate_shut(database):
        database.run("select jobs.start()")
        (child,) = wait_at_gate(database)
        row = wait_running(database, job)
        database.admin("select pg_terminate_backend(%s)", [row["pid"]])
        wait_until(lambda: [one[0] for one in database.background()] == [child], 5)
        database.admin("select pg_terminate_backend(%s)", [child])
        no_process(database)
    database.drain()
    # It is asked, it is not done, so it is done again.
    assert state(database, job) == "succeeded"
    assert ledger(database) == [1, 1]


def test_worker_slots_used_up_are_back_pressure(database: Database) -> None:
    make_lane(database)
    job = put_sql(database, "vacuum app.ledger", max_attempts=1)
    late = put(database, "app.note", {"n": 1})
    with database.server.connect("app", database.name) as hog:
        handles = 0
        while (
            sqlstate_of(
                lambda: hog.execute("select pg_background_submit('select pg_sleep(60)', 65536)")
            )
            is None
        ):
            handles += 1
        assert handles > 4
        with pytest.raises(psycopg.Error) as caught:
            hog.execute("select jobs.start()")
        assert caught.value.sqlstate in ("53000", "53400")
        assert caught.value.diag.message_primary == "no worker slot is free: no session was started"
        assert "max_worker_processes" in str(caught.value.diag.message_detail)
        assert "pyworker check" in str(caught.value.diag.message_hint)
        assert [state(database, one) for one in (job, late)] == ["queued", "queued"]
        end_the_sleepers(database)
    no_process(database)
    database.drain()
    assert [attempts(database, one) for one in (job, late)] == [[(1, "succeeded")]] * 2


def end_the_sleepers(database: Database) -> None:
    database.admin(
        "select pg_terminate_backend(pid) from pg_stat_activity where query ~ 'pg_sleep.60'"
        " and datname = current_database() and pid <> pg_backend_pid()"
    )


def test_a_child_without_a_slot_waits(database: Database) -> None:
    """A job leaves its session without a handle to spare: the next one's child waits for another
    session.
    """
    database.run(
        "create function app.hog() returns integer language plpgsql as $$"
        " declare v_count integer := 0; begin"
        "  loop perform pg_background_submit('select pg_sleep(60)', 65536); v_count := v_count + 1;"
        "   exit when v_count >= current_setting('pg_background.max_workers')::integer; end loop;"
        "  return v_count; end $$"
    )
    hog = put(database, "app.hog")
    job = put_sql(database, "vacuum app.ledger", max_attempts=1)
    database.run("select jobs.start()")
    wait_for(database, hog)
    # Put back, a second later than it was due, and not charged. One look at all of it:
    # it is started again and again.
    put_back = (
        "select j.state, j.attempt, (select count(*) from jobs.attempts as a where a.job_id = j.id)"
        " from jobs_internal.job as j where j.id = %s and j.due_at > j.created_at + interval"
        " '1 second'"
    )
    wait_until(lambda: database.admin(put_back, [job]) == [("scheduled", 0, 0)], 20)
    end_the_sleepers(database)
    no_process(database)
    database.drain()
    assert attempts(database, job) == [(1, "succeeded")]

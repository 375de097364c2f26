"""What ends in the middle: sessions signalled from inside and outside, watchers and children that
die, time limits.
"""

import psycopg
import pytest
from stage import (
    attempts,
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

HEALTH = 'select status, detail from jobs.health where "check" = %s'


def session_pid(database: Database) -> int:
    """Give the pid of the one worker session."""
    rows = wait_until(lambda: database.admin("select pid from jobs.sessions"), 5)
    assert len(rows) == 1
    return int(rows[0][0])


def no_process(database: Database) -> None:
    wait_until(lambda: not database.background(), 60)


@pytest.mark.parametrize(
    ("how", "knows"), [("pg_cancel_backend", True), ("pg_terminate_backend", False)]
)
def test_a_job_that_signals_itself_ends_as_failed_in_the_end(
    database: Database, how: str, *, knows: bool
) -> None:
    if knows:
        put(database, "app.end_oneself", {"how": "pg_blocking_pids"})
        database.run(
            "create or replace function app.end_oneself(how text) returns void"
            " language sql as 'select null'"
        )
        database.drain()
    if knows:
        database.run(
            "create or replace function app.end_oneself(how text) returns void language plpgsql as"
            " $$ begin"
            " insert into app.ledger (n) values (0);"
            " execute format('select %I(pg_backend_pid())', how);"
            " perform pg_sleep(20); end $$"
        )
    job = put(database, "app.end_oneself", {"how": how}, max_attempts=5)
    if knows:
        know_as_short(database)
    after = put(database, "app.note", {"n": 1})
    database.drain()
    found = database.job(job)
    assert (found["state"], found["error"]["sqlstate"]) == ("failed", "PWC02")
    assert attempts(database, job) == [(1, "cancelled")]
    assert database.admin("select outcome from jobs.finished where id = %s", [job]) == [
        ("cancelled",)
    ]
    assert state(database, after) == "succeeded"
    assert ledger(database) == [1]


@pytest.mark.parametrize("how", ["pg_cancel_backend", "pg_terminate_backend"])
def test_a_session_signalled_from_outside_charges_nothing(database: Database, how: str) -> None:
    job = put(database, "app.gate", {"n": 1}, max_attempts=1)
    with gate_shut(database):
        database.run("select jobs.start()")
        (pid,) = wait_at_gate(database)
        database.admin(f"select {how}(%s)", [pid])
        no_process(database)
        assert state(database, job) == "scheduled"
        assert attempts(database, job) == []
    database.drain()
    assert database.result(job) == 1
    assert attempts(database, job) == [(1, "succeeded")]
    assert ledger(database) == [1]


@pytest.mark.parametrize("how", ["pg_cancel_backend", "pg_terminate_backend"])
def test_a_chunk_that_is_interrupted_loses_nothing(database: Database, how: str) -> None:
    put(database, "app.note", {"n": 0})
    put(database, "app.gate", {"n": 0})
    database.drain()
    know_as_short(database)
    database.run("truncate app.ledger")
    jobs = put_many(database, "app.note", [{"n": n} for n in range(10)])
    jobs.append(put(database, "app.gate", {"n": 10}))
    jobs += put_many(database, "app.note", [{"n": n} for n in range(11, 20)])
    with gate_shut(database):
        database.run("select jobs.start()")
        (pid,) = wait_at_gate(database)
        database.admin(f"select {how}(%s)", [pid])
        no_process(database)
    database.drain()
    assert ledger(database) == list(range(20))
    assert {(one, state(database, one)) for one in jobs} == {(one, "succeeded") for one in jobs}
    assert {len(attempts(database, one)) for one in jobs} == {1}


@pytest.mark.parametrize("knows", [True, False], ids=["in a chunk", "alone"])
def test_a_session_that_dies_at_once_is_rescued(database: Database, *, knows: bool) -> None:
    """transaction_timeout is FATAL: no handler runs, as when the process is lost."""
    quick_retries(database)
    what = "select set_config('transaction_timeout', '1', false); select pg_sleep(1)"
    put(database, "app.note", {"n": 0})
    put(database, "app.run", {"what": "select 1"})
    database.drain()
    if knows:
        know_as_short(database)
    database.run("truncate app.ledger")
    before = put_many(database, "app.note", [{"n": n} for n in range(10)])
    job = put(database, "app.run", {"what": what}, max_attempts=2)
    after = put_many(database, "app.note", [{"n": n} for n in range(10, 20)])
    database.drain()
    # Only the one that is to blame is charged: in a chunk nobody knows, and each runs alone then.
    assert attempts(database, job) == [(1, "lost"), (2, "lost")]
    assert state(database, job) == "failed"
    assert database.job(job)["error"]["sqlstate"] == "PWL01"
    assert {state(database, one) for one in before + after} == {"succeeded"}
    assert {len(attempts(database, one)) for one in before + after} == {1}
    assert ledger(database) == list(range(20))


def test_a_lost_job_runs_again_exactly_once(database: Database) -> None:
    quick_retries(database)
    database.run(
        "create function app.die_first(n integer) returns void language plpgsql as $$ begin"
        " insert into app.ledger (n) values (n);"
        " if app.attempt() = 1 then perform set_config('transaction_timeout', '1', false),"
        " pg_sleep(1); end if; end $$"
    )
    job = put(database, "app.die_first", {"n": 1})
    database.drain()
    assert attempts(database, job) == [(1, "lost"), (2, "succeeded")]
    assert ledger(database) == [1]


def test_rescue_of_a_dead_session_gives_its_claim_back_at_once(database: Database) -> None:
    put(database, "app.note", {"n": 0})
    put(database, "app.run", {"what": "select 1"})
    database.drain()
    know_as_short(database)
    jobs = put_many(database, "app.note", [{"n": n} for n in range(1, 50)])
    what = "select set_config('transaction_timeout', '1', false); select pg_sleep(1)"
    killer = put(database, "app.run", {"what": what}, max_attempts=1)
    jobs += put_many(database, "app.note", [{"n": n} for n in range(50, 100)])
    database.admin("select jobs.configure('lease_seconds', '3600')")
    database.drain(timeout=60)  # it gives up waiting long before the lease ends
    assert ledger(database) == list(range(100))
    assert attempts(database, killer) == [(1, "lost")]
    assert {state(database, one) for one in jobs[::10]} == {"succeeded"}


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


@pytest.mark.parametrize("kind", ["function", "child"])
def test_an_end_that_cannot_be_written_down_charges_nothing(database: Database, kind: str) -> None:
    """The disk is full when the outcome is to be written: the session waits until there is room."""
    database.admin(
        "create function app.is_full() returns trigger language plpgsql as"
        " $$ begin perform nextval('app.hits'); raise disk_full using message = 'no space left';"
        " end $$"
    )
    database.admin("grant all on sequence app.hits to public")
    database.admin("grant usage on schema app to public")
    database.admin(
        "create trigger is_full before insert on jobs_internal.finished for each row execute"
        " function app.is_full()"
    )
    if kind == "function":
        job = put(database, "app.note", {"n": 1}, max_attempts=1)
    else:
        job = put_sql(
            database,
            "do $$ begin insert into app.ledger (n) values (1); commit; end $$",
            max_attempts=1,
        )
    database.run("select jobs.start()")
    wait_until(lambda: database.value("select is_called from app.hits"), 10)
    assert (
        database.admin(
            "select 1 from jobs.attempts where job_id = %s and outcome is not null", [job]
        )
        == []
    )
    database.admin("drop trigger is_full on jobs_internal.finished")
    database.drain()
    assert attempts(database, job) == [(1, "succeeded")]
    assert ledger(database) == [1]


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


KINDS = {
    "alone": ("app.nap", {"seconds": 600}),
    "in a chunk": ("app.nap", {"seconds": 600}),
    "statement": ("select pg_sleep(600)", None),
    "child": (
        "do $$ begin insert into app.ledger (n) values (1); commit; perform pg_sleep(600); end $$",
        None,
    ),
}


def enqueue_slow(database: Database, kind: str, timeout: str) -> int:
    """Enqueue something that takes ten minutes."""
    if kind == "in a chunk":
        put(database, "app.nap", {"seconds": 0})
        database.drain()
        know_as_short(database)
    task, args = KINDS[kind]
    if args is None:
        return put_sql(database, task, timeout=timeout, max_attempts=1)
    return put(database, task, args, timeout=timeout, max_attempts=1)


@pytest.mark.parametrize("kind", KINDS)
def test_a_timeout_holds_without_a_supervisor(database: Database, kind: str) -> None:
    make_lane(database)
    job = enqueue_slow(database, kind, "500 ms")
    after = put(database, "app.note", {"n": 7})
    database.run("select jobs.start()")
    wait_running(database, job)
    no_process(database)  # it gives up waiting long before the job ends by itself
    database.drain()
    found = database.job(job)
    # Of a chunk nobody was there to say which one: it ran alone then, and was timed out there.
    assert (found["state"], found["error"]["sqlstate"]) == ("failed", "PWT01")
    assert attempts(database, job) == [(1, "timed_out")]
    assert state(database, after) == "succeeded"


def test_timeouts_are_retried_by_their_rule(database: Database) -> None:
    quick_retries(database)
    database.admin("select jobs.configure('timeout_margin_ms', '0')")
    job = put(database, "app.nap", {"seconds": 30}, timeout="100 ms", max_attempts=2)
    database.drain()
    assert attempts(database, job) == [(1, "timed_out"), (2, "timed_out")]


def test_a_timed_out_reason_of_a_chunk_that_died_stops_no_later_run(database: Database) -> None:
    job = put(database, "app.note", {"n": 1})
    database.admin(
        "insert into jobs_internal.stop_request values (%s, 1, 'timed_out', 'supervisor')", [job]
    )
    database.drain()
    assert database.result(job) == 1


def test_an_old_reason_stops_no_other_attempt(database: Database) -> None:
    quick_retries(database)
    job = put(database, "app.stumble", {"n": 1, "times": 2}, max_attempts=5)
    database.admin(
        "insert into jobs_internal.stop_request values (%s, 7, 'cancelled', 'app')", [job]
    )
    database.drain()
    assert database.result(job) == 1
    assert len(attempts(database, job)) == 3


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


def test_a_job_that_raises_the_error_of_a_cancel_is_told_what_it_said(database: Database) -> None:
    job = put(database, "app.fail", {"state": "57014"})

    def over() -> bool:
        database.run("select jobs.start()")
        return state(database, job) == "failed"

    wait_until(over, 20, step=0.2)
    error = database.job(job)["error"]
    assert error["sqlstate"] == "PWC02"
    assert "The last time it said: it failed." in error["detail"]


def test_a_child_that_traps_its_time_limit_is_ended_by_its_watcher(database: Database) -> None:
    """No supervisor lives, and the server's own limit fires only once."""
    database.run(
        "create procedure app.trap_once() language plpgsql as $$ begin"
        " begin perform pg_sleep(60); exception when query_canceled then null; end;"
        " commit; perform pg_sleep(60); end $$"
    )
    job = put_sql(database, "call app.trap_once()", timeout="300 ms", max_attempts=1)
    database.run("select jobs.start()")
    assert wait_for(database, job, timeout=15)["error"]["sqlstate"] == "PWT01"
    assert attempts(database, job) == [(1, "timed_out")]
    no_process(database)

"""Each job that waits says why: one fixture for each code of jobs.explain,
in which no other one holds.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import psycopg
import pytest
from psycopg.types.json import Jsonb
from stage import (
    gate_shut,
    own_name,
    put,
    put_sql,
    running,
    state,
    wait_at_gate,
    wait_for,
    wait_running,
)
from support import Database, wait_until

from .byhand import Worker

Told = dict[str, Any]


def explain(database: Database, job: int, role: str = "app") -> Told:
    """Give what jobs.explain says of a job."""
    return database.record("select * from jobs.explain(%s)", [job], role=role)


def supervised(database: Database) -> int:
    """Connect a supervisor, which does nothing but be there."""
    return int(
        database.value(
            "select jobs_internal.supervisor_open('idle', 'here', 1, '0')", role="supervisor"
        )
    )


def queued(database: Database, **options: Any) -> int:
    """Have a job in its lane, with a supervisor there and nothing in the way."""
    put(database, "app.note", {"n": 0})
    database.drain()
    supervised(database)
    return put(database, "app.note", {"n": 1}, options=Jsonb(options))


@contextmanager
def tenant(database: Database) -> Iterator[tuple[str, int]]:
    """Have an owner of the test's own, with a job that is due and a supervisor there;
    it is gone afterwards.
    """
    name = own_name("tenant")
    database.admin(f"create role {name} login")
    try:
        database.admin(f"grant jobs_producer, jobs_runner to {name}")
        job = int(database.value("select jobs.enqueue('pg_catalog.now')", role=name))
        database.line(name).close()
        supervised(database)
        yield name, job
    finally:
        database.admin("delete from jobs_internal.job")
        database.admin(f"drop role if exists {name}")


def make_window(database: Database) -> None:
    """Make a window that opens once a year, and is closed."""
    database.run(
        "select jobs.create_window('night', '0 0 1 1 *', '1 hour'), jobs.close_window('night')",
        role="operator",
    )


def run_the_remedy(database: Database, remedy: str, role: str) -> None:
    """Run it as it is printed."""
    assert remedy.startswith("select jobs."), remedy
    database.run(remedy, role=role)


Case = Callable[[Database], Iterator[tuple[int, str, Told]]]
CASES: dict[str, Case] = {}


def case(code: str) -> Callable[[Case], Case]:
    """Name the code that a case is about."""

    def keep(made: Case) -> Case:
        CASES[code] = made
        return made

    return keep


@case("not_there")
def _(_database: Database) -> Iterator[tuple[int, str, Told]]:
    yield 99, "app", {"state": None}


@case("finished")
def _(database: Database) -> Iterator[tuple[int, str, Told]]:
    job = put(database, "app.note", {"n": 1})
    database.drain()
    yield job, "app", {"state": "succeeded"}


@case("time")
def _(database: Database) -> Iterator[tuple[int, str, Told]]:
    supervised(database)
    job = put(database, "app.note", {"n": 1}, run_at="2100-01-01T00:00:00Z")
    yield job, "app", {"state": "scheduled", "waits_for": "its time"}


@case("dependency")
def _(database: Database) -> Iterator[tuple[int, str, Told]]:
    parent = queued(database)
    job = put(database, "app.note", {"n": 2}, options=Jsonb({"after": [parent]}))
    yield (
        job,
        "app",
        {
            "state": "scheduled",
            "waits_for": f"the end of job {parent}",
            "reason": f"it waits for the success of 1 job: {parent} (queued)",
            "blocked_by_jobs": [parent],
        },
    )


@case("key")
def _(database: Database) -> Iterator[tuple[int, str, Told]]:
    first = queued(database, concurrency_key="k")
    database.admin("select jobs_internal.admit_waiting()")
    job = put(database, "app.note", {"n": 2}, options=Jsonb({"concurrency_key": "k"}))
    yield (
        job,
        "app",
        {
            "state": "scheduled",
            "waits_for": "a place of its key",
            "reason": f"its key has 1 place, held by job {first}",
            "blocked_by_jobs": [first],
        },
    )
    run_the_remedy(database, explain(database, job)["remedy"], "app")
    database.drain()
    assert [state(database, one) for one in (first, job)] == ["succeeded"] * 2


@case("parent_in_doubt")
def _(database: Database) -> Iterator[tuple[int, str, Told]]:
    parent = queued(database)
    job = put(database, "app.note", {"n": 2}, options=Jsonb({"after": [parent]}))
    database.drain()
    database.admin("update jobs_internal.finished set state = 'in_doubt' where id = %s", [parent])
    other = put(database, "app.note", {"n": 3}, options=Jsonb({"after": [parent]}))
    assert explain(database, other)["code"] == "parent_in_doubt"
    yield other, "app", {"state": "scheduled", "waits_for": f"the end of job {parent}"}
    run_the_remedy(database, explain(database, other)["remedy"], "app")
    assert state(database, parent) in ("scheduled", "queued")
    assert state(database, job) == "succeeded"


@case("snoozed")
def _(database: Database) -> Iterator[tuple[int, str, Told]]:
    database.run(
        "create function app.nap() returns void language plpgsql as"
        " $$ begin perform jobs.snooze('1 hour'); end $$"
    )
    job = put(database, "app.nap")
    database.drain()
    supervised(database)
    yield job, "app", {"state": "scheduled", "waits_for": "the end of its snooze"}


@case("deadline")
def _(database: Database) -> Iterator[tuple[int, str, Told]]:
    job = queued(database, deadline="2100-01-01T00:00:00Z")
    database.admin("update jobs_internal.job_deadline set at = now() - interval '1 second'")
    yield job, "app", {"state": "queued"}


@case("retry")
def _(database: Database) -> Iterator[tuple[int, str, Told]]:
    database.run(
        "select jobs.alter_queue('default', backoff => '1 hour', backoff_cap => '1 hour')",
        role="operator",
    )
    job = put(database, "app.fail", {"state": "40001"})
    database.run("select jobs.start()")
    wait_until(
        lambda: database.job(job)["state"] == "scheduled" and database.job(job)["attempt"] == 1
    )
    wait_until(lambda: not database.background())
    supervised(database)
    yield job, "app", {"state": "scheduled", "waits_for": "its next attempt"}


@case("lock_attempt")
def _(database: Database) -> Iterator[tuple[int, str, Told]]:
    with database.connect() as holder, holder.transaction():
        holder.execute(b"select from app.ledger")
        job = put_sql(
            database,
            "alter table app.ledger add later integer",
            options={"lock_timeout": "20 ms"},
        )
        database.run("select jobs.start()")
        wait_until(lambda: database.job(job)["error"])
        wait_until(lambda: not database.background())
        # as after many of them, whose pauses are longer
        database.admin("update jobs_internal.job set due_at = now() + '1 hour'")
        supervised(database)
        yield job, "app", {"state": "scheduled", "waits_for": "its next attempt"}


@case("gave_way")
def _(database: Database) -> Iterator[tuple[int, str, Told]]:
    job = put_sql(database, "vacuum app.ledger", run_at="2100-01-01T00:00:00Z")
    database.admin(
        "update jobs_internal.operation set held = jsonb_build_object('why', 'yield', 'at', now(),"
        " 'times', 1, 'pids', array[1], 'message', 'it gave way to pid 1')"
    )
    supervised(database)
    yield job, "app", {"state": "scheduled"}


@case("operation")
def _(database: Database) -> Iterator[tuple[int, str, Told]]:
    with database.connect() as holder, holder.transaction():
        holder.execute(b"insert into app.ledger (n) values (1)")
        build = put_sql(database, "create index concurrently on app.ledger (n)")
        database.run("select jobs.start()")
        wait_until(lambda: (running(database, build) or {}).get("child_pid"))
        job = put_sql(database, "vacuum app.ledger")
        database.run("select jobs.start()")
        supervised(database)
        wait_until(lambda: explain(database, job)["code"] == "operation")
        yield job, "app", {"blocked_by_jobs": [build]}


@case("copy")
def _(database: Database) -> Iterator[tuple[int, str, Told]]:
    job = queued(database)
    database.admin("update jobs_internal.installation set table_oid = 0")
    yield job, "reader", {"state": "queued"}
    database.admin(
        "update jobs_internal.installation set table_oid = 'jobs_internal.installation'::regclass"
    )


@case("paused_all")
def _(database: Database) -> Iterator[tuple[int, str, Told]]:
    job = queued(database)
    database.run("select jobs.pause()", role="operator")
    yield job, "app", {"waits_for": "everything is paused"}


@case("paused_queue")
def _(database: Database) -> Iterator[tuple[int, str, Told]]:
    job = queued(database)
    database.run("select jobs.pause('default')", role="operator")
    since = database.admin("select max(at) from jobs.audit where action = 'pause'")[0][0]
    remedy = "select jobs.resume('default');  -- as a member of jobs_operator"
    yield job, "app", {"waits_for": "its queue is paused", "since": since, "remedy": remedy}


@case("window_closed")
def _(database: Database) -> Iterator[tuple[int, str, Told]]:
    queued(database)
    make_window(database)
    job = put(database, "app.note", {"n": 2}, options=Jsonb({"window": "night"}))
    opens = database.value("select next_opens_at from jobs.windows")
    yield job, "app", {"state": "scheduled", "waits_for": "its window night", "until": opens}
    run_the_remedy(database, explain(database, job)["remedy"], "operator")
    database.drain()
    assert state(database, job) == "succeeded"


@case("window_too_short")
def _(database: Database) -> Iterator[tuple[int, str, Told]]:
    queued(database)
    make_window(database)
    database.run("select jobs.open_window('night', '1 hour')", role="operator")
    database.admin("select jobs_internal.keep_runs('app'::regrole, '{app.note}', '{7200000}')")
    job = put(database, "app.note", {"n": 2}, options=Jsonb({"window": "night"}))
    opens = database.value("select next_opens_at from jobs.windows")
    yield job, "app", {"state": "scheduled", "waits_for": "its window night", "until": opens}
    run_the_remedy(database, explain(database, job)["remedy"], "operator")
    database.drain()
    assert state(database, job) == "succeeded"


@case("queue_window")
def _(database: Database) -> Iterator[tuple[int, str, Told]]:
    job = queued(database)
    make_window(database)
    database.run("select jobs.alter_queue('default', window_name => 'night')", role="operator")
    opens = database.value("select next_opens_at from jobs.windows")
    reason = explain(database, job)["reason"]
    assert "window night of its queue default is closed" in reason
    yield job, "app", {"waits_for": reason, "until": opens}
    run_the_remedy(database, explain(database, job)["remedy"], "operator")
    database.drain()
    assert state(database, job) == "succeeded"


@case("rate")
def _(database: Database) -> Iterator[tuple[int, str, Told]]:
    first = queued(database)
    database.run(
        "select jobs.alter_queue('default', rate_limit => 2, rate_period => '1 day')",
        role="operator",
    )
    database.run("select jobs.start()")
    wait_until(lambda: state(database, first) == "succeeded")
    job = put(database, "app.note", {"n": 2})
    half = database.value("select until - now() from jobs.explain(%s)", [job])
    assert 11 < half.total_seconds() / 3600 <= 12
    reason = "its queue default has had the starts that it is allowed, 2 in 1 day"
    yield job, "app", {"waits_for": reason, "reason": reason}
    run_the_remedy(database, explain(database, job)["remedy"], "operator")
    database.drain()
    assert state(database, job) == "succeeded"


@case("rate_by")
def _(database: Database) -> Iterator[tuple[int, str, Told]]:
    queued(database)
    database.run(
        "select jobs.alter_queue('default', rate_limit => 2, rate_period => '1 day',"
        " rate_by => 'n')",
        role="operator",
    )
    job = put(database, "app.note", {"n": 1})
    database.run("select jobs.start()")
    wait_until(lambda: state(database, job) == "scheduled")
    told = explain(database, job)
    yield job, "app", {"state": "scheduled", "waits_for": "its time"}
    assert "starts 2 in 1 day of each n: its turn is at" in told["reason"]
    run_the_remedy(database, told["remedy"], "operator")
    database.drain()
    assert state(database, job) == "succeeded"


@case("quota")
def _(database: Database) -> Iterator[tuple[int, str, Told]]:
    job = queued(database)
    database.run(
        "select jobs.set_quota('app', running => 0, per_minute => 99, over_rate => 'wait')",
        role="operator",
    )
    yield job, "app", {"waits_for": "the quota of its owner app allows no worker session"}
    run_the_remedy(database, explain(database, job)["remedy"], "operator")
    assert database.admin("select running, per_minute, over_rate from jobs.quotas") == [
        (1, 99, "wait")
    ]


@case("concurrency")
def _(database: Database) -> Iterator[tuple[int, str, Told]]:
    database.run("select jobs.create_queue('narrow', concurrency => 1)", role="operator")
    with gate_shut(database):
        first = put(database, "app.gate", queue="narrow")
        database.run("select jobs.start()")
        pids = wait_at_gate(database)
        job = put(database, "app.note", {"n": 1}, queue="narrow")
        yield job, "app", {"blocked_by_jobs": [first], "blocked_by_pids": pids}
        run_the_remedy(database, explain(database, job)["remedy"], "operator")
        assert explain(database, job)["code"] != "concurrency"
        database.run("select jobs.alter_queue('narrow', concurrency => 1)", role="operator")
        with_other = put(database, "pg_catalog.now", queue="narrow", role="other")
        told = explain(database, with_other, "other")
        assert (told["code"], told["blocked_by_jobs"], told["blocked_by_pids"]) == (
            "concurrency",
            None,
            None,
        )
        assert explain(database, job, "other")["code"] == "not_there"
    wait_for(database, job)
    database.admin("delete from jobs_internal.job")


@case("owner_sessions")
def _(database: Database) -> Iterator[tuple[int, str, Told]]:
    database.run("select jobs.configure('sessions_per_owner', '1')", role="operator")
    with gate_shut(database):
        first = put(database, "app.gate")
        database.run("select jobs.start()")
        pids = wait_at_gate(database)
        job = put(database, "app.note", {"n": 1})
        yield job, "app", {"blocked_by_jobs": [first], "blocked_by_pids": pids}
        run_the_remedy(database, explain(database, job)["remedy"], "operator")
        assert explain(database, job)["code"] != "owner_sessions"
    wait_for(database, job)


@case("owner_gone")
def _(database: Database) -> Iterator[tuple[int, str, Told]]:
    with tenant(database) as (name, job):
        database.admin(f"drop role {name}")
        yield job, "operator", {}


@case("owner_no_login")
def _(database: Database) -> Iterator[tuple[int, str, Told]]:
    with tenant(database) as (name, job):
        database.admin(f"alter role {name} nologin")
        yield (
            job,
            "operator",
            {"remedy": f"alter role {name} login;  -- as a superuser, or who administers the role"},
        )


@case("owner_no_runner")
def _(database: Database) -> Iterator[tuple[int, str, Told]]:
    supervised(database)
    job = put(database, "pg_catalog.now", role="producer")
    yield (
        job,
        "producer",
        {
            "remedy": (
                "grant jobs_runner to producer;  -- as a superuser, or who may grant jobs_runner"
            )
        },
    )


@case("owner_refused")
def _(database: Database) -> Iterator[tuple[int, str, Told]]:
    with tenant(database) as (name, job):
        database.admin(f"alter role {name} createrole")
        yield job, "operator", {}


@case("owner_unreached")
def _(database: Database) -> Iterator[tuple[int, str, Told]]:
    job = queued(database)
    number = database.admin("select id from jobs_internal.supervisor")[0][0]
    reasons = '{"app": "no pg_hba.conf entry"}'
    database.run(
        "select jobs_internal.note_unreached(%s, %s)", [number, reasons], role="supervisor"
    )
    yield (
        job,
        "app",
        {"waits_for": "supervisor idle cannot connect as its owner app: no pg_hba.conf entry"},
    )


@case("no_supervisor")
def _(database: Database) -> Iterator[tuple[int, str, Told]]:
    yield put(database, "app.note", {"n": 1}), "app", {"waits_for": "no supervisor is connected"}


@case("not_served")
def _(database: Database) -> Iterator[tuple[int, str, Told]]:
    job = queued(database)
    number = database.admin("select id from jobs_internal.supervisor")[0][0]
    database.run(
        "select jobs_internal.supervisor_serves(%s, '{other}')", [number], role="supervisor"
    )
    yield job, "app", {}
    database.run(
        "select jobs_internal.supervisor_serves(%s, '{other,app}')", [number], role="supervisor"
    )
    assert explain(database, job)["code"] == "turn"


@case("no_worker_slot")
def _(database: Database) -> Iterator[tuple[int, str, Told]]:
    job = queued(database)
    lines = [database.connect("postgres")]

    def full() -> bool:
        """Launch one more; a process that was launched a moment ago is not in
        pg_stat_activity yet.
        """
        try:
            lines[-1].execute("select pg_background_launch('select pg_sleep(600)')")
        except psycopg.errors.ConfigurationLimitExceeded:  # as many as one session may hold
            lines.append(database.connect("postgres"))
        except psycopg.errors.InsufficientResources:
            return bool(database.admin("select jobs_internal.free_worker_slots() <= 0")[0][0])
        return False

    try:
        wait_until(full, 60, step=0)
        yield job, "app", {}
    finally:
        database.admin(
            "select pg_terminate_backend(pid) from pg_stat_activity"
            " where datname = current_database() and backend_type like 'pg_background%'"
        )


@case("lane_failed")
def _(database: Database) -> Iterator[tuple[int, str, Told]]:
    job = queued(database)
    database.admin(
        "select jobs_internal.note_failure('lanes', '1', jobs_internal.error_object('P0001',"
        " 'no DDL today'),"
        " j.queue_id, j.owner) from jobs_internal.job as j"
    )
    yield job, "app", {"waits_for": "its lane cannot be made or filled: no DDL today (P0001)"}


@case("quarantined")
def _(database: Database) -> Iterator[tuple[int, str, Told]]:
    job = queued(database)
    database.admin(
        'update jobs_internal.lane set quarantine = \'{"job_id": 1, "attempt": 1, "pid": 7,'
        ' "since": "now"}\''
    )
    yield job, "app", {"blocked_by_pids": [7]}


@case("function_gone")
def _(database: Database) -> Iterator[tuple[int, str, Told]]:
    database.admin(
        "create function app.short_lived() returns void language sql as '';"
        " grant create on schema app to app"
    )
    job = put(database, "app.short_lived")
    database.line("app").close()
    supervised(database)
    wait_until(lambda: explain(database, job)["code"] == "turn")
    database.admin("drop function app.short_lived()")
    yield job, "app", {"waits_for": "its turn, to fail: its function is not what it was"}
    database.admin("create function app.short_lived() returns void language sql as ''")
    assert explain(database, job)["code"] == "turn"
    database.admin("drop function app.short_lived()")
    run_the_remedy(database, explain(database, job)["remedy"], "app")
    assert state(database, job) == "cancelled"


@case("suspect")
def _(database: Database) -> Iterator[tuple[int, str, Told]]:
    job = queued(database)
    database.admin("update jobs_internal.job set crashes = 1")
    yield job, "app", {"waits_for": "a run by itself, because it ran when the server crashed"}


@case("turn")
def _(database: Database) -> Iterator[tuple[int, str, Told]]:
    queued(database)
    job = put(database, "app.note", {"n": 2})
    yield job, "app", {"waits_for": "its turn", "reason": "its turn comes after 1 job of its lane"}


@case("lock")
def _(database: Database) -> Iterator[tuple[int, str, Told]]:
    with gate_shut(database) as holder:
        job = put(database, "app.gate")
        database.run("select jobs.start()")
        wait_at_gate(database)
        wait_running(database, job)
        yield (
            job,
            "app",
            {"state": "running", "blocked_by_pids": [holder.info.backend_pid], "waits_for": None},
        )
    wait_for(database, job)


@case("snapshot")
def _(database: Database) -> Iterator[tuple[int, str, Told]]:
    old = database.connect()
    old.execute("begin isolation level repeatable read")
    old.execute("select 1 from app.ledger")
    job = put_sql(database, "create index concurrently on app.ledger (n)")
    database.run("select jobs.start()")
    wait_until(lambda: explain(database, job)["code"] == "snapshot")
    yield job, "app", {"state": "running", "blocked_by_pids": [old.info.backend_pid]}
    old.execute("rollback")
    wait_for(database, job)


@case("sleep")
def _(database: Database) -> Iterator[tuple[int, str, Told]]:
    job = put(database, "app.nap", {"seconds": 60})
    database.run("select jobs.start()")
    wait_until(lambda: (wait_running(database, job) or {}).get("wait_event") == "Timeout:PgSleep")
    yield job, "app", {"state": "running"}
    database.run("select jobs.cancel(%s)", [job])
    wait_for(database, job)


@case("running")
def _(database: Database) -> Iterator[tuple[int, str, Told]]:
    put(database, "app.note", {"n": 1})
    database.drain()
    hand = Worker(database=database)
    put(database, "app.note", {"n": 2})
    job = hand.start_first()
    yield job, "app", {"state": "running"}
    hand.finish(job)
    hand.leave()


@case("session_lost")
def _(database: Database) -> Iterator[tuple[int, str, Told]]:
    put(database, "app.note", {"n": 1})
    database.drain()
    hand = Worker(database=database)
    put(database, "app.note", {"n": 2})
    job = hand.start_first()
    hand.die()
    yield job, "app", {"state": "running"}
    database.drain()


@case("child_alone")
def _(database: Database) -> Iterator[tuple[int, str, Told]]:
    put(database, "app.note", {"n": 1})
    database.drain()
    hand = Worker(database=database)
    job = put_sql(database, "vacuum app.ledger")
    hand.begin()
    hand.claim(1)
    hand.start(hand.open(short_ms=-1)[0])
    hand.commit()
    child = database.connect("app")
    database.admin(
        "update jobs_internal.job as j set child_pid = a.pid, child_start = a.backend_start"
        " from pg_stat_get_activity(%s) as a where j.state = 'running'",
        [child.info.backend_pid],
    )
    hand.die()
    yield job, "app", {"state": "running", "blocked_by_pids": [child.info.backend_pid]}
    child.close()
    database.drain()


#: A commit that waits for a standby would hold up the whole test server:
#: tests/acceptance/test_standby_gone.py.
WITHOUT_A_STANDBY = {"standby", "standby_session"}
#: tests/execution/test_batch_reasons.py
OF_A_BATCH = {"batch_open", "batch_jobs", "batch_calls"}


@pytest.mark.parametrize("code", CASES)
def test_a_code_that_is_the_only_one(database: Database, code: str) -> None:
    """The job says this code and nothing else, a remedy, and the same in short in the views."""
    for job, role, facts in CASES[code](database):
        told = explain(database, job, role)
        others = [
            reason for reason in told["also"] or [] if not reason.startswith("its search_path is ")
        ]
        assert (told["code"], others) == (code, []), told
        assert told["reason"]
        for column in told.keys() & facts.keys():
            assert told[column] == facts[column], (column, told)
        if code != "not_there":
            row = database.job(job, role=role)
            if "waits_for" in facts:
                assert row["waits_for"] == facts["waits_for"]
            if row["state"] in ("queued", "scheduled"):
                assert (
                    database.run(
                        "select waits_for from jobs.queued where id = %s", [job], role=role
                    )
                    == [(row["waits_for"],)]
                    or role != "app"
                )


def test_every_code_has_a_case(shared: Database) -> None:
    """The documented list has no code that nothing is known to lead to."""
    assert {
        row[0] for row in shared.run("select code from jobs.wait_reasons")
    } == CASES.keys() | WITHOUT_A_STANDBY | OF_A_BATCH


def test_the_first_that_holds_is_the_reason(database: Database) -> None:
    """Of many the first of the list is told, and the others beside it, in their order."""
    job = put(database, "app.note", {"n": 1}, run_at="2100-01-01T00:00:00Z")
    database.run("select jobs.pause('default'), jobs.pause()", role="operator")
    told = explain(database, job)
    assert told["code"] == "time"
    assert told["also"] == [
        "everything is paused",
        "its queue is paused",
        "no supervisor is connected",
    ]
    database.run("select jobs.run_now(%s)", [job])
    assert explain(database, job)["code"] == "paused_all"
    database.run("select jobs.resume(), jobs.resume('default')", role="operator")
    assert explain(database, job)["code"] == "no_supervisor"
    assert state(database, job) == "scheduled"


def test_who_enqueued_a_published_job_sees_why_it_waits(database: Database) -> None:
    """By a publication: the reason, and no job of the owner that is in the way."""
    database.run("select jobs.publish('app.note', 'other')")
    job = int(
        database.value("select jobs.enqueue_published('app.note', '{\"n\": 1}')", role="other")
    )
    assert explain(database, job, "other")["code"] == "no_supervisor"
    assert database.job(job, role="other")["waits_for"] == "no supervisor is connected"


def test_a_time_without_end_is_one_that_a_client_can_read(database: Database) -> None:
    job = put(database, "pg_catalog.now", run_at="infinity")
    told = explain(database, job)
    assert (told["code"], told["until"]) == ("time", None)
    assert "jobs.run_now" in told["reason"]


@pytest.mark.parametrize("share_commits", [True, False])
def test_a_session_that_a_row_lock_keeps_names_who_holds_it(
    database: Database, share_commits: bool
) -> None:
    """Its holder is named, also where the job runs alone: then the claim of the session that waits
    is not committed.
    """
    database.admin("select jobs.alter_queue('default', share_commits => %s)", [share_commits])
    job = queued(database)
    holder = database.connect("postgres")
    holder.execute("begin")
    holder.execute("select from jobs_internal.job for update")
    database.run("select jobs.start()")
    try:
        wait_until(lambda: explain(database, job)["blocked_by_pids"] == [holder.info.backend_pid])
        assert (
            f"waits for a lock of process {holder.info.backend_pid}"
            in explain(database, job)["reason"]
        )
    finally:
        holder.execute("rollback")
    wait_for(database, job)
    database.drain()


def test_a_million_lookups_are_one(database: Database) -> None:
    """The reasons of the lanes are found once a query, however many jobs wait."""
    put(database, "app.note", {"n": 1})
    database.run(
        "select jobs.enqueue_many('app.note', array(select '{\"n\": 1}'::jsonb"
        " from generate_series(1, 500)))"
    )
    for view in ("jobs.queued", "jobs.job"):
        plan = str(
            database.value(
                "explain (analyze, timing off, format json) select waits_for, count(*)"
                f" from {view} group by 1",
            )
        )
        assert plan.count("lane_waits") <= 1, plan
    assert database.run("select waits_for, count(*) from jobs.queued group by 1") == [
        ("no supervisor is connected", 501)
    ]


def test_a_statement_says_with_which_path_it_runs(database: Database) -> None:
    """The enqueuer's, or that of its settings; to its owner, and to no reader."""
    database.run("set search_path = app, public")
    enqueued = int(database.value("select jobs.enqueue_sql('select 1')"))
    given = int(
        database.value(
            "select jobs.enqueue_sql('select 1', settings => '{\"search_path\": \"other\"}')"
        )
    )
    assert explain(database, enqueued)["also"][-1] == "its search_path is app, public"
    assert explain(database, given)["also"][-1] == "its search_path is other"
    assert "search_path" not in str(explain(database, enqueued, "reader"))


def test_a_title_names_the_object(database: Database) -> None:
    """While it waits, while it runs, and afterwards; a title that was given wins,
    and readers do not see it.
    """
    built = put_sql(database, "create index concurrently note_at on app.ledger (n)")
    named = put_sql(database, "vacuum app.ledger", options={"title": "tidy up"})
    titles = "select title from jobs.{} where id = any (%s) order by id"
    both = [built, named]
    for view in ("queued", "job"):
        found = database.run(titles.format(view), [both])
        assert found[0][0].startswith("create index concurrently ")
        assert "ledger" in found[0][0] or "note_at" in found[0][0]
        assert found[1] == ("tidy up",)
        assert database.run(titles.format(view), [both], role="reader")[1] == ("vacuum app.ledger",)
    database.drain()
    assert database.run(titles.format("job"), [both])[1] == ("tidy up",)

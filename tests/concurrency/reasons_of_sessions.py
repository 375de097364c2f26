"""Cases of reasons that lie in owners, sessions, supervisors and the server; jobs that run."""

from collections.abc import Iterator

import psycopg
from stage import (
    gate_shut,
    put,
    put_sql,
    state,
    wait_at_gate,
    wait_for,
    wait_running,
)
from support import Database, wait_until

from .byhand import Worker
from .reasons import Told, case, explain, queued, run_the_remedy, supervised, tenant


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

"""Cases of reasons that lie in the job itself, in its window, its queue, or all of them."""

from collections.abc import Iterator

from psycopg.types.json import Jsonb
from stage import (
    put,
    put_sql,
    running,
    state,
)
from support import Database, wait_until

from .reasons import (
    Told,
    case,
    explain,
    make_window,
    queued,
    run_the_remedy,
    supervised,
)


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

"""What a tenant notes, locks or holds of its long operations stops nothing of others."""

import threading
from contextlib import suppress

import psycopg
from concurrency.byhand import Worker
from psycopg.types.json import Jsonb
from stage import make_lane, put, put_sql, quick_retries, running, state, wait_for
from support import Database, sqlstate_of, wait_until

STOP = 4713
STORE = "select jobs_internal.store_identity(%(me)s, %(job)s, %(identity)s)"
PROGRESS = "select 1 from pg_stat_progress_create_index where pid = %s"


def tick(database: Database) -> None:
    database.value("select jobs_internal.supervisor_tick(0)", role="supervisor")


def build(line: psycopg.Connection[tuple[object, ...]]) -> None:
    """Build an index, which stops at the gate."""
    with suppress(psycopg.Error):
        line.execute("create index on app.points (app.stop(n))")


def test_an_identity_that_is_made_up_breaks_no_view_round_or_end(database: Database) -> None:
    """A session by hand notes nonsense of its own job, and shows progress for it; those who look at
    all jobs see theirs, and its job ends.
    """
    database.run(
        "create table app.points (n integer); insert into app.points values (1);"
        " create function app.stop(n integer) returns integer language plpgsql immutable as"
        f" $$ begin perform pg_advisory_xact_lock_shared({STOP}); return n; end $$"
    )
    theirs = put(database, "other.work", role="other", run_at="2100-01-01")
    make_lane(database)
    quick_retries(database)
    job = put_sql(database, "create index on app.points (n)")
    with database.connect("postgres") as gate:
        gate.execute(f"select pg_advisory_lock({STOP})".encode())
        worker = Worker(database=database)
        assert worker.start_first() == job
        for identity in ({"leaves": [{"oid": "none"}]}, {"leaves": [3], "before": {"x": 1}}):
            worker.ask(STORE, {"me": worker.number, "job": job, "identity": Jsonb(identity)})
            builder = threading.Thread(target=build, args=[worker.line])
            builder.start()
            wait_until(lambda: database.admin(PROGRESS, [worker.pid]))
            assert database.run("select id from jobs.operations", role="operator") == [(job,)]
            assert (theirs,) in database.run("select id from jobs.job", role="other")
            assert database.run("select id from jobs.running", role="operator") == [(job,)]
            database.admin("update jobs_internal.operation set looked_at = '2000-01-01'")
            tick(database)
            tick(database)
            database.admin("select pg_cancel_backend(%s)", [worker.pid])
            builder.join()
    worker.die()
    wait_until(lambda: tick(database) or state(database, job) != "running")
    wait_until(lambda: database.run("select jobs.start()") and state(database, job) == "succeeded")


def test_what_another_has_locked_keeps_no_old_operation_from_going(database: Database) -> None:
    """Of three that are to go, the one with a locked row stays."""
    database.run("create table app.points (n integer)")
    jobs = [put_sql(database, "analyze app.points") for _ in range(3)]
    database.drain()
    for job in jobs:
        database.admin(
            "insert into jobs_internal.measurement (job_id, n, label, statement, kind)"
            " values (%s, 1, 'x', 'select 1', 'query')",
            [job],
        )
    database.admin("update jobs_internal.operation set bucket = -1")
    with database.connect("postgres") as line, line.transaction():
        line.execute(
            "select from jobs_internal.measurement where job_id = %s for update", [jobs[1]]
        )
        assert database.admin("select jobs_internal.drop_operations()") == [(2,)]
        assert database.admin("select job_id from jobs_internal.operation") == [(jobs[1],)]
    assert database.admin("select jobs_internal.drop_operations()") == [(1,)]
    assert database.admin("select count(*) from jobs_internal.measurement") == [(0,)]


def test_a_job_of_another_that_is_locked_is_not_waited_for(database: Database) -> None:
    """jobs.note says at once that it is not the caller's."""
    job = put(database, "app.note", {"n": 1})
    with database.connect("postgres") as line, line.transaction():
        line.execute("select from jobs_internal.job where id = %s for update", [job])
        with database.connect("other", lock_timeout="5s") as other:
            code = sqlstate_of(lambda: other.execute("""select jobs.note(%s, '{"x": 1}')""", [job]))
            assert code == "PW030"


def test_a_build_of_another_that_has_not_begun_keeps_none_waiting(database: Database) -> None:
    """It waits for a transaction, by option; only a build that is there is one whose snapshot ours
    would wait for.
    """
    for owner in ("app", "other"):
        database.run(f"create table {owner}.points (n integer)", role=owner)
    database.admin(  # each transaction is an old one
        "create or replace function jobs_internal.old_age() returns interval language sql"
        " immutable set search_path = pg_catalog, pg_temp begin atomic select interval '0'; end"
    )
    with database.connect("other") as old, old.transaction():
        old.execute("set transaction isolation level repeatable read; select 1")
        theirs = put_sql(
            database,
            "create index concurrently on other.points ((n + 1))",
            role="other",
            options={"wait_for_snapshots": True},
        )
        database.run("select jobs.start()", role="other")
        wait_until(
            lambda: "old transactions" in str((running(database, theirs) or {}).get("message"))
        )
        ours = put_sql(database, "create index concurrently on app.points ((n + 1))")
        database.run("select jobs.start()")
        wait_until(
            lambda: database.admin(
                "select 1 from pg_stat_progress_create_index where relid = 'app.points'::regclass"
            )
        )
    assert wait_for(database, ours)["state"] == "succeeded"
    assert wait_for(database, theirs)["state"] == "succeeded"


def test_a_taken_unique_key_changes_nothing_of_the_job_that_has_it(database: Database) -> None:
    """The names of a text that was not taken mean nothing for it; and its row is not waited for."""
    database.run("create table app.points (n integer)")
    database.admin("create schema elsewhere authorization app")
    database.run("create table elsewhere.points (n integer)")
    noted = "select object::bigint, relations from jobs_internal.operation where job_id = %s"
    with database.connect("app", search_path="app") as line:
        first = line.execute("select jobs.enqueue_sql('analyze points', unique_key => 'k')")
        (job,) = first.fetchone() or (0,)
    before = database.admin(noted, [job])
    with database.connect("postgres") as holder, holder.transaction():
        holder.execute("select from jobs_internal.operation where job_id = %s for update", [job])
        with database.connect("app", search_path="elsewhere", lock_timeout="5s") as line:
            second = line.execute("select jobs.enqueue_sql('analyze points', unique_key => 'k')")
            assert second.fetchone() == (job,)
    assert database.admin(noted, [job]) == before

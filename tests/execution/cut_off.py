"""Operations that are cut off at a moment of the test's choice, and how they go on."""

from typing import Any

from psycopg.types.json import Jsonb
from stage import running, wait_for
from support import Database, wait_until


def stop_child(database: Database, job: int, statement: str | None = None) -> None:
    """Wait until the child of a job waits for a lock, then cancel it."""
    waiting = (
        "select a.pid from pg_stat_activity a join jobs_internal.job j on j.child_pid = a.pid"
        " where j.id = %s and a.wait_event_type = 'Lock'"
        + (f" and a.query ~ '{statement}'" if statement else "")
    )
    ((pid,),) = wait_until(lambda: database.admin(waiting, [job]), 20)
    database.admin("select pg_cancel_backend(%s)", [pid])


def kill_both(database: Database, job: int) -> None:
    """Wait until the child of a job waits for a lock, then end it and the session that
    watches it.
    """
    waiting = (
        "select a.pid from pg_stat_activity a join jobs_internal.job j on j.child_pid = a.pid"
        " where j.id = %s and a.wait_event_type = 'Lock'"
    )
    ((child,),) = wait_until(lambda: database.admin(waiting, [job]), 20)
    watcher = (running(database, job) or {})["pid"]
    database.admin("select pg_terminate_backend(%s)", [watcher])
    wait_until(
        lambda: not database.admin("select 1 from pg_stat_activity where pid = %s", [watcher])
    )
    database.admin("select pg_terminate_backend(%s)", [child])
    wait_until(lambda: not database.background())


def finish(database: Database, job: int) -> dict[str, Any]:
    """Let a job go on that waits for its next attempt, to its end."""
    wait_until(lambda: not database.background(), 20)
    database.run("select jobs.run_now(%s)", (job,))
    database.drain()
    return database.job(job)


def enqueue_in(database: Database, path: str, statement: str, **options: Any) -> int:
    """Enqueue a statement where this search_path is set."""
    with database.connect() as line:
        line.execute("select set_config('search_path', %s, false)", [path])
        names = "".join(f", {name} => %({name})s" for name in options)
        given = {
            name: Jsonb(value) if isinstance(value, dict) else value
            for name, value in options.items()
        }
        row = line.execute(
            f"select jobs.enqueue_sql(%(statement)s{names})".encode(),
            {"statement": statement, **given},
        ).fetchone()
    assert row is not None
    return int(row[0])


def indexes(database: Database, table: str) -> list[tuple[str, bool]]:
    """List the indexes of a table, and whether they are valid."""
    return [
        (str(name), bool(valid))
        for name, valid in database.run(
            "select c.relname, i.indisvalid from pg_index i join pg_class c on c.oid = i.indexrelid"
            " where i.indrelid = %s::regclass order by 1",
            [table],
        )
    ]


def two_schemas(database: Database) -> None:
    """Make a table t of one column in each of two schemas."""
    database.admin("create schema sa authorization app; create schema sb authorization app")
    database.run("create table sa.t (n integer); create table sb.t (n integer)")


def wait_for_end(database: Database, job: int) -> dict[str, Any]:
    """Run a job to its end; what it does takes a while."""
    database.run("select jobs.start()")
    return wait_for(database, job, timeout=60)


def never_seen(database: Database) -> None:
    """Let every watcher miss what its child builds."""
    database.admin(
        "create or replace function jobs_internal.index_of_child(p_pid integer) returns oid"
        " language sql volatile"
        " set search_path = pg_catalog, pg_temp begin atomic select null::oid; end"
    )

"""What the tests of jobs.undo share: tables, looks at them, and short ways to say things."""

from typing import Any

import psycopg
import pytest
from stage import put_sql, state
from support import Database

TABLES = """
create table app.events (id integer primary key, at timestamptz, n integer, kind text);
insert into app.events select i, now(), i % 10, 'k' || i % 3 from generate_series(1, 500) as i;
create table app.parts (a integer not null) partition by range (a);
create table app.parts_1 partition of app.parts for values from (0) to (10);
create table app.parts_2 partition of app.parts for values from (10) to (20);
create table app.spare (a integer not null);
"""
REFERS = "create table app.r (n int, id int, foreign key (n, id) references app.events (n, id))"
#: What makes an index what it is, without its OID.
INDEXES = (
    "select n.nspname || '.' || c.relname, pg_get_indexdef(i.indexrelid), i.indisvalid,"
    " obj_description(i.indexrelid), i.indisclustered, (select array_agg(a.attstattarget order by"
    " a.attnum) from pg_attribute as a where a.attrelid = i.indexrelid)"
    " from pg_index as i join pg_class as c on c.oid = i.indexrelid"
    " join pg_namespace as n on n.oid = c.relnamespace where n.nspname = 'app' order by 1"
)
CONSTRAINTS = (
    "select conrelid::regclass::text, conname, pg_get_constraintdef(oid), convalidated"
    " from pg_constraint where connamespace = 'app'::regnamespace order by 1, 2"
)
PARENTS = "select inhrelid::regclass::text, inhparent::regclass::text from pg_inherits order by 1"
NOT_NULL = (
    "select attrelid::regclass::text, attname, attnotnull from pg_attribute"
    " where attrelid in ('app.events'::regclass, 'app.parts'::regclass) order by 1, 2"
)
STATISTICS = (
    "select to_jsonb(s) from pg_stats as s where s.schemaname = 'app'"
    " order by s.tablename, s.attname, s.inherited"
)
SIZES = (
    "select oid::bigint, relpages, reltuples from pg_class where relnamespace = 'app'::regnamespace"
    " and relkind in ('r', 'i', 'p', 'I') order by 1"
)


def ran(database: Database, statement: str, **options: Any) -> int:
    """Run a statement as a job, which succeeds."""
    job = put_sql(database, statement, **options)
    database.drain()
    assert state(database, job) == "succeeded", database.job(job, role="postgres")
    return job


def undone(database: Database, job: int) -> int:
    """Take a job back; gives the job that did."""
    by = int(database.value("select jobs.undo(%s)", [job]))
    database.drain()
    assert state(database, by) == "succeeded", database.job(by, role="postgres")
    return by


def refused(
    database: Database, code: str, job: int, *, role: str = "app", call: str = "undo"
) -> str:
    """See that a job cannot be taken back, and that nothing was enqueued; gives the reason."""
    jobs = "select count(*) from jobs_internal.job"
    before = database.admin(jobs)
    with pytest.raises(psycopg.Error) as caught:
        database.value(f"select jobs.{call}(%s)", [job], role=role)
    said = caught.value.diag
    assert caught.value.sqlstate == code, caught.value
    assert said.message_detail
    assert said.message_hint
    assert database.admin(jobs) == before
    return f"{said.message_primary}. {said.message_detail}"


def failed(database: Database, job: int) -> None:
    """Run a job that fails."""
    database.drain()
    assert state(database, job) == "failed", database.job(job, role="postgres")

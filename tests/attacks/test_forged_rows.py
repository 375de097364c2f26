"""A4, A5: no table, sequence or view of ours and of pgmq is written, read or given code."""

import pytest
from support import LOGINS, Database, sqlstate_of

ROLES = [role for role in LOGINS if role != "nobody"]


#: Each against every table of ours and of pgmq. A4: rows; A5: code that the worker or a supervisor
#: would run.
TABLE_ATTACKS = (
    "insert into {t} default values",
    "update {t} set {c} = default",
    "delete from {t}",
    "truncate {t}",
    "select * from {t}",
    "do $$ begin lock table {t} in access share mode; end $$",
    "copy {t} to '/dev/null'",
    "merge into {t} as t using (select 1) as s on false when not matched then do nothing",
    "create trigger planted before insert on {t} for each row execute function {r}.planted()",
    (
        "create constraint trigger planted after insert on {t} deferrable for each row execute"
        " function {r}.planted()"
    ),
    "create rule planted as on insert to {t} do also select {r}.strike()",
    "create policy planted on {t} using ({r}.strike() is null)",
    "alter table {t} enable row level security",
    "create index on {t} (({r}.strike()))",
    "create statistics {r}.planted on {c}, ctid from {t}",
    "alter table {t} add column planted text default {r}.strike()",
    "alter table {t} alter column {c} set default {r}.strike()",
    "alter table {t} add constraint planted check ({r}.strike() is null)",
    "alter table {t} owner to {r}",
    "alter table {t} set schema {r}",
    "alter table {t} set (autovacuum_enabled = off)",
    "create table {r}.heir () inherits ({t})",
    "create table {r}.child (x {t}) ; drop table {r}.child; select * from {t}",
    "create table {r}.pointer (x text references {t})",
    "create or replace view {r}.peephole as select * from {t}; select * from {r}.peephole",
    "comment on table {t} is 'planted'",
    "grant all on {t} to {r}",
    "drop table {t}",
)


SEQUENCE_ATTACKS = (
    "select nextval('{t}')",
    "select setval('{t}', 1)",
    "alter sequence {t} restart",
    "select * from {t}",
)


PGMQ_ATTACKS = (
    "select pgmq.send('pyworker_1', '{{\"job\": 1}}')",
    "select pgmq.send_batch('pyworker_1', array['{{\"job\": 1}}'::jsonb])",
    "select * from pgmq.read('pyworker_1', 1, 1)",
    "select pgmq.delete('pyworker_1', 1::bigint)",
    "select pgmq.archive('pyworker_1', 1::bigint)",
    "select pgmq.purge_queue('pyworker_1')",
    "select pgmq.drop_queue('pyworker_1')",
    "select pgmq.create('planted')",
    "select * from pgmq.metrics_all()",
)


SCHEMA_ATTACKS = (
    "create function {s}.planted() returns void language sql return null",
    "create table {s}.planted (n integer)",
    "create operator {s}.=== (leftarg = bigint, rightarg = bigint, function = int8eq)",
    "create domain {s}.text as pg_catalog.text",
    "alter schema {s} rename to planted",
    "alter schema {s} owner to {r}",
    "drop schema {s} cascade",
    (
        "alter default privileges in schema {s} for role jobs_owner"
        " grant execute on functions to public"
    ),
)


FUNCTION_ATTACKS = (
    "create or replace function {f} returns {t} language sql return null",
    "alter function {f} owner to {r}",
    "alter function {f} set search_path = {r}",
    "alter function {f} security invoker",
    "alter function {f} rename to planted",
    "alter function {f} depends on extension plpgsql",
    "drop function {f}",
)


def _refusals(database: Database, role: str, attacks: list[str]) -> dict[str, str | None]:
    """Try each as that role; gives what was not refused for want of a right."""
    line = database.connect(role)
    found = {
        attack: sqlstate_of(lambda attack=attack: line.execute(attack.encode()))
        for attack in attacks
    }
    # A partitioned table has no heirs, and a table without a key nobody who points to it,
    # whoever asks.
    impossible = {("42809", "inherits"), ("42704", "references")}
    return {
        attack: code
        for attack, code in found.items()
        if code != "42501"
        and not any(code == known and word in attack for known, word in impossible)
    }


@pytest.mark.parametrize("role", ROLES)
def test_no_table_is_written_read_or_mined(shared: Database, role: str) -> None:
    """A4, A5: no role can write, read, lock, change or put code on a table, sequence,
    schema or function of ours.
    """
    shared.run(
        f"create or replace function {role}.strike() returns text"
        " language sql immutable return 'x';"
        f"create or replace function {role}.planted() returns trigger"
        " language plpgsql as 'begin return new; end'",
        role=role,
    )
    tables = shared.admin(
        """select format('%I.%I', n.nspname, c.relname), c.relkind,
        (select attname from pg_attribute where attrelid = c.oid and attnum = 1)
        from pg_class c join pg_namespace n on n.oid = c.relnamespace
        where c.relkind in ('r', 'p', 'S')
          and (n.nspname = 'jobs_internal' or n.nspname = 'pgmq')"""
    )
    attacks = [
        attack.format(t=table, c=column, r=role)
        for table, kind, column in tables
        for attack in (SEQUENCE_ATTACKS if kind == "S" else TABLE_ATTACKS)
    ]
    attacks += [attack.format() for attack in PGMQ_ATTACKS]
    attacks += [
        attack.format(s=schema, r=role)
        for schema in ("jobs", "jobs_internal", "pgmq")
        for attack in SCHEMA_ATTACKS
    ]
    functions = shared.admin(
        "select oid::regprocedure::text, prorettype::regtype::text from pg_proc"
        " where pronamespace in ('jobs'::regnamespace, 'jobs_internal'::regnamespace)"
        " and proname in ('enqueue', 'me', 'may', 'claim', 'setting', 'cancel')"
    )
    attacks += [
        attack.format(f=name, t=kind, r=role)
        for name, kind in functions
        for attack in FUNCTION_ATTACKS
    ]

    left = _refusals(shared, role, attacks)
    assert left == {}
    assert len(attacks) > 900


@pytest.mark.parametrize("role", ROLES)
def test_no_row_comes_in_by_copy(shared: Database, role: str) -> None:
    """A4: COPY FROM STDIN, into tables and views."""
    line = shared.connect(role)
    for target in (
        "jobs_internal.job",
        "jobs_internal.finished",
        "jobs_internal.outbox",
        "pgmq.q_pyworker_1",
        "jobs.job",
    ):

        def copy(target: str = target) -> None:
            with line.cursor().copy(f"copy {target} from stdin".encode()) as copied:
                copied.write(b"1\n")

        assert sqlstate_of(copy) == "42501", target


@pytest.mark.parametrize("role", ROLES)
def test_no_view_is_written(shared: Database, role: str) -> None:
    """A4: a view of schema jobs takes no row, and no rule or trigger."""
    for view in (
        "job",
        "queued",
        "queues",
        "settings",
        "retry_rules",
        "sessions",
        "quotas",
        "publications",
    ):
        for attack in (
            f"insert into jobs.{view} default values",
            f"delete from jobs.{view}",
            f"create rule planted as on insert to jobs.{view} do instead nothing",
            f"create or replace view jobs.{view} as select 1",
            f"alter view jobs.{view} set (security_barrier = off)",
            f"alter view jobs.{view} set (security_invoker = on)",
        ):
            code = sqlstate_of(lambda attack=attack: shared.run(attack, role=role))
            assert code == "42501" or (
                code == "55000" and attack.startswith(("insert", "delete"))
            ), attack

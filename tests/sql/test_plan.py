"""jobs.plan says what a statement would do, as the server then does it, and changes nothing."""

import re
from typing import Any

import psycopg
import pytest
from psycopg import Connection
from psycopg.rows import dict_row
from psycopg.types.json import Jsonb
from support import Database, Row, sqlstate_of

TABLES = """
create table app.events (id integer primary key, at timestamptz not null, kind varchar(20), n integer,
  price numeric(10, 2), note text);
create index events_at on app.events (at);
create table app.places (id integer primary key);
insert into app.events select i, now(), 'k', i, i, '' from generate_series(1, 2000) as i;
alter table app.events add constraint positive check (n > 0) not valid;
create table app.parts (a integer, b text) partition by range (a);
create table app.parts_1 partition of app.parts for values from (0) to (10);
create table app.parts_2 partition of app.parts for values from (10) to (20);
create materialized view app.totals as select id, at from app.events;
"""  # noqa: E501


@pytest.fixture
def tables(database: Database) -> Database:
    """A database with some tables."""
    database.run(TABLES)
    return database


def _plan(database: Database, statement: str, **options: Any) -> dict[str, Any]:
    return database.record("select * from jobs.plan(%s::text)", [statement], **options)


def _locks(connection: Connection[Row]) -> dict[str, str]:
    """Give the strongest lock on each table that this transaction holds, as SQL names it."""
    found: dict[str, str] = {}
    order = [
        "ACCESS SHARE", "ROW SHARE", "ROW EXCLUSIVE", "SHARE UPDATE EXCLUSIVE", "SHARE",
        "SHARE ROW EXCLUSIVE", "EXCLUSIVE", "ACCESS EXCLUSIVE",
    ]  # fmt: skip
    for name, lock in connection.execute(
        "select coalesce(n.nspname || '.' || c.relname, 'gone'), l.mode from pg_locks as l"
        " left join pg_class as c on c.oid = l.relation"
        " left join pg_namespace as n on n.oid = c.relnamespace"
        " where l.pid = pg_backend_pid() and l.locktype = 'relation' and l.relation >= 16384"
    ):
        mode = re.sub("(?<=[a-z])(?=[A-Z])", " ", str(lock).removesuffix("Lock")).upper()
        if order.index(mode) >= order.index(found.get(str(name), "ACCESS SHARE")):
            found[str(name)] = mode
    return found


IN_A_TRANSACTION = (
    "create index on app.events (n)",
    "drop index app.events_at",
    "reindex index app.events_at",
    "cluster app.events using events_at",
    "refresh materialized view app.totals",
    "truncate app.events",
    "alter table app.events alter n set not null",
    "alter table app.events add check (n > 0)",
    "alter table app.events add foreign key (n) references app.places not valid",
    "alter table app.events add constraint one foreign key (n) references app.places not valid",
    "alter table app.events add unique (n)",
    "alter table app.events validate constraint positive",
    "alter table app.events alter n type bigint",
    "alter table app.events alter column kind type varchar(30)",
    "alter table app.events alter kind set data type varchar(10)",
    "alter table app.events alter kind type text",
    "alter table app.events alter price type numeric(12, 2)",
    "alter table app.events alter price type numeric(12, 3)",
    "alter table app.events alter price type text using price::text",
    "alter table app.events add column more integer",
    "alter table app.events add more text default 'x' not null",
    "alter table app.events add more timestamptz default now(), add even_more integer",
    "alter table app.events add more float8 not null default random()",
    "alter table app.events add more bigserial",
    "alter table app.events add more integer generated always as (n + 1) stored",
    "alter table app.events drop column kind",
    "alter table app.events set unlogged",
    "alter table app.events set logged",
    "alter table app.events set access method heap",
    "alter table app.events set (fillfactor = 90)",
    "alter table app.events set (fillfactor = 90), alter n set statistics 10",
    "alter table app.events set (fillfactor = 90), alter n set default 1",
    "alter table app.events set (user_catalog_table = true)",
    "alter table app.events reset (fillfactor)",
    "alter table app.events alter n set (n_distinct = 5)",
    "alter table app.events cluster on events_at",
    "alter table app.events set without cluster",
    "alter table app.events disable trigger all",
    "alter table app.events enable row level security",
    "alter table app.events rename column n to m",
    "alter table app.events replica identity full",
    "alter index app.events_at rename to other_name",
    "alter index app.events_at set (fillfactor = 80)",
    "alter table app.parts detach partition app.parts_1",
    "insert into app.events (id, at) values (-1, now())",
    "update app.events set n = 1 where id = 1",
    "delete from app.events where id = 1",
)


@pytest.mark.parametrize("statement", IN_A_TRANSACTION)
def test_lock_and_rewrite_are_those_of_the_server(tables: Database, statement: str) -> None:
    """What is said of a lock and of a rewrite is what the statement then does; of a rewrite it
    may say that it does not know.
    """
    said = _plan(tables, statement)
    table = said["object"]
    with tables.connect() as connection, connection.transaction(force_rollback=True):
        file = connection.execute("select pg_relation_filenode('app.events'::regclass)").fetchone()
        connection.execute(statement.encode())
        locks = _locks(connection)
        after = connection.execute("select pg_relation_filenode('app.events'::regclass)").fetchone()
        oid = connection.execute("select to_regclass(%s)::text", [table]).fetchone()

    assert said["lock_mode"] in (locks.get(table), *(locks.values() if oid == (None,) else ()))
    if said["rewrites"] is not None and table == "app.events" and said["kind"] != "truncate":
        assert said["rewrites"] == (file != after)
    assert said["blocks"] == {
        "ACCESS EXCLUSIVE": "reads and writes",
        "SHARE ROW EXCLUSIVE": "writes",
        "SHARE": "writes",
        "SHARE UPDATE EXCLUSIVE": "DDL",
        "ROW EXCLUSIVE": "nothing",
    }.get(said["lock_mode"])


@pytest.mark.parametrize(
    ("statement", "found"),
    [
        ("copy app.events from '/a/file'", ("app.events", "ROW EXCLUSIVE")),
        ("copy app.events (id, at) to '/a/file'", ("app.events", "ACCESS SHARE")),
        ("copy binary app.events to '/a/file'", ("app.events", "ACCESS SHARE")),
        ("copy (select 1) to '/a/file'", (None, "ACCESS SHARE")),
    ],
)
def test_what_copy_works_on(
    tables: Database, statement: str, found: tuple[str | None, str]
) -> None:
    said = _plan(tables, statement)
    assert (said["object"], said["lock_mode"]) == found


def test_what_is_not_known_is_null(tables: Database) -> None:
    """An expression may keep every row or write it anew; a statement of another kind may do
    anything.
    """
    assert _plan(tables, "alter table app.events alter n type int using n + 1")["rewrites"] is None
    said = _plan(tables, "do 'begin end'")
    assert (said["lock_mode"], said["blocks"], said["rewrites"]) == (None, None, None)


@pytest.mark.parametrize(
    ("statement", "words"),
    [
        ("create index on app.events (at)", ["app.events_at has the same columns"]),
        ("create index concurrently on app.events (at, n)", ["app.events_at (at)", "beginning"]),
        ("create unique index on app.events (at)", ["same columns, and may not be needed"]),
        ("create index x on app.events (id)", ["app.events_pkey has the same columns"]),
        ("create index concurrently x on app.parts (a)", ["0A000", "on only app.parts"]),
        ("create index events_at on app.events (n)", ["42P07"]),
        ("create index if not exists events_at on app.events (n)", ["makes nothing"]),
        ("create index if not exists totals on app.events (n)", ["materialized view", "fails"]),
        ("create index if not exists broken on app.events (n)", ["invalid", "fails"]),
        ("create index on app.events (price)", ["HOT", "price"]),
        ("alter table app.events alter n set not null", ["not_null_steps('app.events', 'n')"]),
        ("alter table app.events alter at set not null", ["NOT NULL already"]),
        ("alter table app.events add unique (n)", ["unique_steps('app.events'"]),
        ("alter table app.events add check (n > 0)", ["constraint_steps('app.events'"]),
        ("alter table app.events alter n type bigint", ["anew", "on top of lock_timeout"]),
        ("refresh materialized view concurrently app.totals", ["no unique index", "55000"]),
        ("reindex table concurrently app.events", ["TOAST", "one job each", "events_pkey"]),
        ("truncate app.events", ["triggers fire: on_truncate"]),
        ("insert into app.events (id, at) values (1, now())", ["triggers fire: on_insert"]),
        ("vacuum app.parts", ["2 partitions"]),
        ("drop index concurrently if exists app.no_such", ["does nothing"]),
    ],
)
def test_warnings(tables: Database, statement: str, words: list[str]) -> None:
    """Each trap is named before it is stepped into."""
    tables.run(
        "create function app.look() returns trigger language plpgsql as"
        " $$ begin return new; end $$;"
        "create trigger on_insert before insert on app.events for each row"
        " execute function app.look();"
        "create trigger on_truncate before truncate on app.events execute function app.look();"
        "create index broken on app.places (id)"
    )
    tables.admin(
        "update pg_index set indisvalid = false where indexrelid = 'app.broken'::regclass"
        " returning 1"
    )
    tables.run("alter table app.events set (fillfactor = 50)")
    tables.run("insert into app.events select -i, now(), 'k', 1, 1 from generate_series(1, 50) i")
    tables.run("update app.events set price = price + 1 where id < 0")
    tables.run("select pg_stat_force_next_flush()")

    said = _plan(tables, statement)["warning"] or ""

    assert [word for word in words if word not in said] == [], said


@pytest.mark.parametrize(
    "statement",
    [
        "create index concurrently on app.events (price)",
        "create unique index on app.events (n)",
        "alter table app.events set (fillfactor = 90)",
    ],
)
def test_no_warning_where_there_is_nothing_to_say(tables: Database, statement: str) -> None:
    """A plain case is not talked over."""
    assert not _plan(tables, statement)["warning"]


def test_a_check_that_was_validated_is_enough(tables: Database) -> None:
    """SET NOT NULL has nothing to read where a CHECK shows it; one that is not validated does not
    count.
    """
    statement = "alter table app.events alter n set not null"
    tables.run("alter table app.events add constraint there check (n is not null) not valid")
    assert "not_null_steps" in _plan(tables, statement)["warning"]

    tables.run("alter table app.events validate constraint there")

    assert _plan(tables, statement)["warning"] is None


@pytest.mark.parametrize(
    ("statement", "undo"),
    [
        ("create index concurrently x on app.events (n)", "drop index concurrently app.x"),
        ("drop index app.events_at",
            "CREATE INDEX CONCURRENTLY events_at ON app.events USING btree (at)"),
        ("alter table app.events add constraint c check (n > 0)",
            "alter table app.events drop constraint c"),
        ("alter table app.parts detach partition app.parts_1 concurrently",
            "alter table app.parts attach partition app.parts_1 FOR VALUES FROM (0) TO (10)"),
        ("alter table app.events alter n set not null",
            "alter table app.events alter column n drop not null"),
        ("alter table app.events alter at set not null", "none: the column is NOT NULL already"),
        ("vacuum app.events", "none: it removes only rows that no transaction can see"),
        ("alter table app.events drop column n",
            "none: what undoes this statement is not known; give rollback"),
    ],
)  # fmt: skip
def test_the_way_back_is_said_before(tables: Database, statement: str, undo: str) -> None:
    """The statement that would take it back, or why there is none."""
    assert _plan(tables, statement)["undo"] == undo


def test_sizes_and_history(tables: Database) -> None:
    """Disk is near what the index then takes; a second build is expected to take what the first
    one took.
    """
    statement = "create index concurrently {} on app.events (n)"
    tables.run("analyze app.events")
    before = _plan(tables, statement.format("one"))
    job = tables.value("select jobs.enqueue_sql(%s)", [statement.format("one")])
    tables.drain()
    size = tables.value("select pg_relation_size('app.one')")
    took = tables.value("select finished_at - started_at from jobs.job where id = %s", [job])

    after = _plan(tables, statement.format("two"))

    assert 0.5 < before["disk_bytes"] / size < 2
    assert before["expected"] != took
    assert after["expected"] == took


def test_sessions_in_the_way_are_named(tables: Database) -> None:
    """A session that holds a lock which excludes that of the statement; not one whose lock does
    not.
    """
    with tables.connect() as reader, reader.transaction():
        reader.execute("select from app.events limit 1")
        pid = reader.info.backend_pid

        assert _plan(tables, "alter table app.events add more int")["blocked_by"] == [pid]
        assert _plan(tables, "create index on app.events (n)")["blocked_by"] == []


def test_it_waits_for_no_lock(tables: Database) -> None:
    """A table that another session has locked altogether is planned without its sizes."""
    with tables.connect() as other, other.transaction():
        other.execute("lock table app.events in access exclusive mode")

        said = _plan(tables, "create index concurrently on app.events (n)")

        assert said["blocked_by"] == [other.info.backend_pid]
        assert said["disk_bytes"] is None
        assert "keeps the table from being read" in said["warning"]


def test_it_keeps_no_lock_on_partitions(tables: Database) -> None:
    """In a transaction that stays open."""
    with tables.connect() as line, line.transaction():
        for statement in ("vacuum app.parts", "create index on app.parts (a)", "analyze app.parts"):
            line.execute("select * from jobs.plan(%s::text)", [statement])
        assert [name for name in _locks(line) if "parts" in name] == []


def test_it_changes_nothing(tables: Database) -> None:
    """In a read-only transaction, with no lock on a table beyond ACCESS SHARE, and with the
    catalogs as they were.
    """
    catalogs = (
        "select md5(array_agg((c.oid, c.xmin, c.relfilenode) order by c.oid)::text),"
        " (select md5(array_agg((i.indexrelid, i.xmin) order by 1)::text) from pg_index as i),"
        " (select md5(array_agg((d.oid, d.xmin) order by 1)::text) from pg_constraint as d),"
        " (select count(*) from jobs.job) from pg_class as c"
    )
    before = tables.admin(catalogs)
    with tables.connect() as connection:
        connection.execute("set default_transaction_read_only = on")
        for statement in (*IN_A_TRANSACTION, "vacuum full app.events", "select app.nothing()"):
            with connection.transaction():
                connection.execute("select * from jobs.plan(%s::text)", [statement])
                assert set(_locks(connection).values()) <= {"ACCESS SHARE"}

    assert tables.admin(catalogs) == before


def test_steps(tables: Database) -> None:
    """A row for each; a later one may name what an earlier one makes; the way back that was given
    counts.
    """
    steps = [
        {"statement": "create index concurrently fresh on app.events (n)"},
        {"statement": "drop index concurrently app.events_at", "rollback": "select 1"},
        "alter index app.fresh rename to events_at",
    ]
    with tables.connect() as connection, connection.cursor(row_factory=dict_row) as cursor:
        said = cursor.execute("select * from jobs.plan(%s::jsonb)", [Jsonb(steps)]).fetchall()

    assert [row["step"] for row in said] == [1, 2, 3]
    assert said[1]["undo"] == "select 1"
    assert "an earlier step may make it" in said[2]["warning"]
    assert said[2]["lock_mode"] == "SHARE UPDATE EXCLUSIVE"


def test_a_table_of_another_role_is_refused(tables: Database) -> None:
    """What the caller may not do is not planned; what it was granted is."""
    tables.run("grant usage on schema app to other; grant truncate on app.events to other")
    with pytest.raises(psycopg.Error) as caught:
        _plan(tables, "create index on app.events (n)", role="other")

    assert caught.value.sqlstate == "PW062"
    assert _plan(tables, "truncate app.events", role="other")["kind"] == "truncate"


#: What a role may be given that owns no table, and what PostgreSQL then lets it do, or not.
RIGHTS = {
    "none": "grant usage on schema app to other",
    "the schema": "alter schema app owner to other",
    "the database": "grant usage on schema app to other; alter database {database} owner to other",
    "TRIGGER": "grant usage on schema app to other; grant trigger on app.events to other",
    "MAINTAIN": "grant usage on schema app to other; grant maintain on app.events to other",
}
TRIGGER = (
    "create trigger early before insert on app.events for each row"
    " execute function suppress_redundant_updates_trigger()"
)
BY_OTHERS = (
    "drop table app.places",
    "drop index app.events_at",
    "drop index concurrently app.events_at",
    "vacuum app.events",
    "vacuum full app.events",
    "analyze app.events",
    "reindex table app.events",
    "cluster app.events using events_at",
    "truncate app.events",
    "alter table app.events add column more integer",
    TRIGGER,
)


@pytest.mark.parametrize("right", RIGHTS)
def test_what_the_server_lets_others_do_is_planned(tables: Database, right: str) -> None:
    """Refused is what PostgreSQL refuses, or passes over with a warning; nothing else is."""
    tables.admin(RIGHTS[right].format(database=tables.name))
    planned, done = {}, {}
    for statement in BY_OTHERS:
        refused = sqlstate_of(lambda text=statement: _plan(tables, text, role="other"))
        assert refused in (None, "PW062")
        planned[statement] = refused is None
        done[statement] = _done_by_other(tables, statement)
    # the table of a trigger is not read from the text, so that is not refused before
    assert planned.pop(TRIGGER)
    assert done.pop(TRIGGER) == (right == "TRIGGER")
    assert planned == done


def _done_by_other(tables: Database, statement: str) -> bool:
    """Run a statement as other; undone where it can be, and so that the next one can be run."""
    warnings: list[str] = []
    with tables.server.connect("other", tables.name) as line:
        line.add_notice_handler(lambda notice: warnings.append(notice.message_primary or ""))
        undone = not re.match("vacuum|drop index concurrently", statement)
        if undone:
            line.execute("begin")
        error = sqlstate_of(lambda: line.execute(statement.encode()))
        assert error in (None, "42501")
        if undone:
            line.execute("rollback")
        if statement.startswith("drop index concurrently") and error is None:
            tables.admin("create index events_at on app.events (at)")
    return error is None and not any("permission denied" in text for text in warnings)

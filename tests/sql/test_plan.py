"""jobs.plan says what a statement would do, as the server then does it, and changes nothing."""

import pytest
from psycopg.rows import dict_row
from psycopg.types.json import Jsonb
from support import Database

from .plans import locks, plan

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
def test_lock_and_rewrite_are_those_of_the_server(planned: Database, statement: str) -> None:
    """What is said of a lock and of a rewrite is what the statement then does; of a rewrite it
    may say that it does not know.
    """
    said = plan(planned, statement)
    table = said["object"]
    with planned.connect() as connection, connection.transaction(force_rollback=True):
        file = connection.execute("select pg_relation_filenode('app.events'::regclass)").fetchone()
        connection.execute(statement.encode())
        held = locks(connection)
        after = connection.execute("select pg_relation_filenode('app.events'::regclass)").fetchone()
        oid = connection.execute("select to_regclass(%s)::text", [table]).fetchone()

    assert said["lock_mode"] in (held.get(table), *(held.values() if oid == (None,) else ()))
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
    planned: Database, statement: str, found: tuple[str | None, str]
) -> None:
    said = plan(planned, statement)
    assert (said["object"], said["lock_mode"]) == found


def test_what_is_not_known_is_null(planned: Database) -> None:
    """An expression may keep every row or write it anew; a statement of another kind may do
    anything.
    """
    assert plan(planned, "alter table app.events alter n type int using n + 1")["rewrites"] is None
    said = plan(planned, "do 'begin end'")
    assert (said["lock_mode"], said["blocks"], said["rewrites"]) == (None, None, None)


def test_sizes_and_history(planned: Database) -> None:
    """Disk is near what the index then takes; a second build is expected to take what the first
    one took.
    """
    statement = "create index concurrently {} on app.events (n)"
    planned.run("analyze app.events")
    before = plan(planned, statement.format("one"))
    job = planned.value("select jobs.enqueue_sql(%s)", [statement.format("one")])
    planned.drain()
    size = planned.value("select pg_relation_size('app.one')")
    took = planned.value("select finished_at - started_at from jobs.job where id = %s", [job])

    after = plan(planned, statement.format("two"))

    assert 0.5 < before["disk_bytes"] / size < 2
    assert before["expected"] != took
    assert after["expected"] == took


def test_sessions_in_the_way_are_named(planned: Database) -> None:
    """A session that holds a lock which excludes that of the statement; not one whose lock does
    not.
    """
    with planned.connect() as reader, reader.transaction():
        reader.execute("select from app.events limit 1")
        pid = reader.info.backend_pid

        assert plan(planned, "alter table app.events add more int")["blocked_by"] == [pid]
        assert plan(planned, "create index on app.events (n)")["blocked_by"] == []


def test_it_waits_for_no_lock(planned: Database) -> None:
    """A table that another session has locked altogether is planned without its sizes."""
    with planned.connect() as other, other.transaction():
        other.execute("lock table app.events in access exclusive mode")

        said = plan(planned, "create index concurrently on app.events (n)")

        assert said["blocked_by"] == [other.info.backend_pid]
        assert said["disk_bytes"] is None
        assert "keeps the table from being read" in said["warning"]


def test_it_keeps_no_lock_on_partitions(planned: Database) -> None:
    """In a transaction that stays open."""
    with planned.connect() as line, line.transaction():
        for statement in ("vacuum app.parts", "create index on app.parts (a)", "analyze app.parts"):
            line.execute("select * from jobs.plan(%s::text)", [statement])
        assert [name for name in locks(line) if "parts" in name] == []


def test_it_changes_nothing(planned: Database) -> None:
    """In a read-only transaction, with no lock on a table beyond ACCESS SHARE, and with the
    catalogs as they were.
    """
    catalogs = (
        "select md5(array_agg((c.oid, c.xmin, c.relfilenode) order by c.oid)::text),"
        " (select md5(array_agg((i.indexrelid, i.xmin) order by 1)::text) from pg_index as i),"
        " (select md5(array_agg((d.oid, d.xmin) order by 1)::text) from pg_constraint as d),"
        " (select count(*) from jobs.job) from pg_class as c"
    )
    before = planned.admin(catalogs)
    with planned.connect() as connection:
        connection.execute("set default_transaction_read_only = on")
        for statement in (*IN_A_TRANSACTION, "vacuum full app.events", "select app.nothing()"):
            with connection.transaction():
                connection.execute("select * from jobs.plan(%s::text)", [statement])
                assert set(locks(connection).values()) <= {"ACCESS SHARE"}

    assert planned.admin(catalogs) == before


def test_steps(planned: Database) -> None:
    """A row for each; a later one may name what an earlier one makes; the way back that was given
    counts.
    """
    steps = [
        {"statement": "create index concurrently fresh on app.events (n)"},
        {"statement": "drop index concurrently app.events_at", "rollback": "select 1"},
        "alter index app.fresh rename to events_at",
    ]
    with planned.connect() as connection, connection.cursor(row_factory=dict_row) as cursor:
        said = cursor.execute("select * from jobs.plan(%s::jsonb)", [Jsonb(steps)]).fetchall()

    assert [row["step"] for row in said] == [1, 2, 3]
    assert said[1]["undo"] == "select 1"
    assert "an earlier step may make it" in said[2]["warning"]
    assert said[2]["lock_mode"] == "SHARE UPDATE EXCLUSIVE"

"""jobs.rehearse runs a statement, its condition and its way back on a copy, and touches nothing
real.
"""

from typing import Any

import psycopg
import pytest
from psycopg.rows import dict_row
from support import Database

TABLES = """
create table app.events (id bigserial primary key, at timestamptz, n integer check (n > 0),
  kind text, twice integer generated always as (n * 2) stored);
insert into app.events (at, n, kind) select now(), i, 'k' from generate_series(1, 3000) as i;
create index events_at on app.events (at);
create index by_kind on app.events (kind, lower(kind)) where n > 5;
create table app.other (id integer primary key);
create table app.seen (n integer);
create function app.look() returns trigger language plpgsql as
  $$ begin insert into app.seen values (1); return new; end $$;
create trigger look before insert or update on app.events for each row execute function app.look();
create table app.parts (a integer) partition by range (a);
"""
#: Everything that a statement could have changed, sequences included.
EVERYTHING = (
    """select md5(array_agg((c.oid, c.xmin, c.relname, c.relfilenode) order by c.oid)::text)
    from pg_class as c where c.relnamespace = 'app'::regnamespace""",
    """select md5(array_agg((a.attrelid, a.attname, a.xmin) order by 1, 2)::text) from pg_attribute
    as a join pg_class as c on c.oid = a.attrelid where c.relnamespace = 'app'::regnamespace""",
    """select md5(array_agg((d.oid, d.xmin) order by 1)::text) from pg_constraint as d
    where d.connamespace = 'app'::regnamespace""",
    "select last_value, is_called from app.events_id_seq",
    "select count(*), sum(n) from app.events",
    "select count(*) from app.seen",
    "select count(*) from pg_class where relpersistence = 't' and relkind = 'r'",
)


@pytest.fixture
def tables(database: Database) -> Database:
    """A database with tables of app, with triggers and a sequence."""
    database.run(TABLES)
    return database


def _look(database: Database) -> list[Any]:
    return [database.admin(query) for query in EVERYTHING]


def _rehearse(database: Database, statement: str, **given: str) -> dict[str, dict[str, Any]]:
    names = "".join(f", {name} => %({name})s" for name in given)
    with database.connect() as connection, connection.cursor(row_factory=dict_row) as cursor:
        cursor.execute(
            f"select * from jobs.rehearse(%(statement)s{names})".encode(),
            {"statement": statement, **given},
        )
        return {row["step"]: row for row in cursor.fetchall()}


@pytest.mark.parametrize(
    "statement",
    [
        "create index concurrently on app.events (n)",
        "create index concurrently fresh on app.events (n) where kind = 'app.events'",
        'create unique index "Fresh" on app.events (n, id)',
        "drop index concurrently app.events_at",
        "drop index app.by_kind",
        "alter table app.events add check (n < 5000)",
        "alter table app.events add constraint one unique (n)",
        "alter table app.events alter kind set not null",
    ],
)
def test_there_and_back_on_a_copy(tables: Database, statement: str) -> None:
    """It is done, taken back, the copy is as it was, and nothing real has changed."""
    before = _look(tables)

    said = _rehearse(tables, statement)

    assert said["copy"]["message"] == "1000 of its rows"
    assert said["statement"]["outcome"] == "done"
    assert "concurrently" not in said["statement"]["statement"]
    assert said["rollback"]["outcome"] == "done", said
    assert said["rollback"]["message"] == "the table is as it was before", said
    assert _look(tables) == before


def test_what_is_given_is_run(tables: Database) -> None:
    """The condition and the way back, on the copy; a way back that leaves something is seen."""
    before = _look(tables)
    statement = "alter table app.events add column more integer default 5, alter n type bigint"
    good = _rehearse(
        tables,
        statement,
        done_when="exists (select from app.events where more = 5)",
        rollback="alter table app.events drop column more, alter n type integer",
    )
    bad = _rehearse(
        tables,
        "alter table app.events add column more integer",
        done_when="exists (select from app.events where more = 5)",
        rollback="alter table app.events add column still_more integer",
    )
    none = _rehearse(tables, "alter table app.events drop column kind")

    # the type of a generated column's source cannot be changed
    assert good["statement"]["outcome"] == "failed"
    assert "0A000" in good["statement"]["message"]
    assert "done_when" not in good
    assert bad["done_when"]["outcome"] == "false"
    assert bad["rollback"]["message"] == "the table is not as it was before"
    assert none["rollback"]["outcome"] == "none"
    assert "not known" in none["rollback"]["message"]
    assert _look(tables) == before


def test_a_failure_is_shown(tables: Database) -> None:
    """What would fail on the real table fails on the copy, with the server's words."""
    said = _rehearse(tables, "create unique index on app.events (kind)")

    assert said["statement"]["outcome"] == "failed"
    assert said["statement"]["message"].startswith("23505")
    assert "rollback" not in said


@pytest.mark.parametrize(
    ("statement", "given"),
    [
        ("create index on app.events (n)", {"rollback": "drop index app.other_index"}),
        ("create index on app.events (n)", {"rollback": "drop table app.other"}),
        ("create index on app.events (n)", {"rollback": "insert into app.seen values (1)"}),
        ("create index on app.events (n)", {"rollback": "alter table app.other add more integer"}),
        ("create index on app.events (n)", {"done_when": "app.write()"}),
        ("alter table app.events add check (app.write_and_lie(n) > 0)", {}),
    ],
)
def test_what_touches_more_than_the_copy_is_refused(
    tables: Database, statement: str, given: dict[str, str]
) -> None:
    """A stray drop, and a function that writes: undone, and refused."""
    tables.run(
        "create index other_index on app.other (id);"
        "create function app.write() returns boolean language sql as"
        " $$ insert into app.seen values (1); select true $$;"
        "create function app.write_and_lie(n integer) returns integer language plpgsql immutable"
        " as $$ begin perform app.write(); return n; end $$"
    )
    before = _look(tables)
    with pytest.raises(psycopg.Error) as caught:
        _rehearse(tables, statement, **given)

    assert caught.value.sqlstate == "PW069", caught.value
    assert "app." in str(caught.value.diag.message_detail)
    assert caught.value.diag.message_hint
    assert _look(tables) == before


@pytest.mark.parametrize(
    ("code", "statement", "why"),
    [
        ("PW068", "vacuum app.events", "VACUUM is none of"),
        ("PW068", "select 1", "SELECT is none of"),
        ("PW068", "create index on app.parts (a)", "no plain table"),
        ("PW068", "alter table app.events add foreign key (n) references app.other",
            "another table"),
        ("PW068", "alter table app.events add m int references app.other", "another table"),
        ("PW068", "alter table app.events rename to happenings", "more than columns"),
        ("PW068", "alter table app.events set unlogged", "more than columns"),
        ("PW068", "alter table app.events add m bigint default nextval('app.events_id_seq')",
            "sequence"),
        ("PW061", "create index on app.no_such (a)", "app.no_such"),
        ("PW014", "", "nothing in it"),
        ("PW017", "create index on", "syntax error"),
    ],
)  # fmt: skip
def test_what_cannot_be_rehearsed_is_refused(
    tables: Database, code: str, statement: str, why: str
) -> None:
    """With its reason; nothing is copied."""
    with pytest.raises(psycopg.Error) as caught:
        _rehearse(tables, statement)

    said = caught.value.diag
    assert caught.value.sqlstate == code
    assert why in f"{said.message_primary} {said.message_detail}"
    assert said.message_hint


def test_it_waits_for_no_lock(tables: Database) -> None:
    """A table that another session changes is not waited for."""
    with tables.connect() as other, other.transaction():
        other.execute("lock table app.events in access exclusive mode")

        said = _rehearse(tables, "create index on app.events (n)")

    assert said["copy"]["outcome"] == "failed"
    assert said["copy"]["message"].startswith("55P03")


def test_a_table_of_another_role_is_refused(tables: Database) -> None:
    """What the caller does not own is not copied."""
    tables.run("grant usage on schema app to other; grant select on app.events to other")
    with pytest.raises(psycopg.Error) as caught:
        tables.run("select * from jobs.rehearse('create index on app.events (n)')", role="other")

    assert caught.value.sqlstate == "PW062"


def test_within_a_transaction_of_the_caller(tables: Database) -> None:
    """Its locks are no reason to refuse, and its path and lock_timeout are as before."""
    with tables.connect() as connection, connection.transaction():
        connection.execute("set local search_path = app; set local lock_timeout = '7s'")
        connection.execute("lock table other in access exclusive mode")
        rows = connection.execute("select step from jobs.rehearse('drop index by_kind')").fetchall()
        path = connection.execute("show search_path").fetchone()
        timeout = connection.execute("show lock_timeout").fetchone()

    assert [row[0] for row in rows] == ["copy", "statement", "rollback"]
    assert (path, timeout) == (("app",), ("7s",))

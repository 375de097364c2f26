"""Upgrading: migrations change tables, functions and views are made anew,
nothing of others is lost.
"""

import re
import threading
import time
from collections.abc import Callable
from pathlib import Path

import psycopg
import pytest

from pyworker.errors import SchemaError
from pyworker.schema import apply_schema, install_script, read_source
from tests.schema.conftest import A_JOB, SQL, Database, add

#: The version that the files in sql/ make; migrations of tests come after it.
PRESENT = read_source(SQL).version
ONE, TWO = PRESENT + 1, PRESENT + 2


def migrate(tree: Path, number: int, name: str, text: str) -> None:
    add(tree / "migrations" / f"{number:04}_{name}.sql", "")
    (tree / "migrations" / f"{number:04}_{name}.sql").write_text(f"-- Changes something.\n{text}\n")


def with_two_migrations(tree: Path) -> None:
    column = "alter table jobs_internal.queue add column colour text;"
    table = "create table jobs_internal.colour (name text primary key);"
    migrate(tree, ONE, "colour", column)
    migrate(tree, TWO, "colours", table)
    add(tree / "tables" / "queues.sql", f"{column}\n{table}")


def test_migrations_keep_rows_and_are_applied_once(database: Database, tree: Path) -> None:
    apply_schema(database.dsn(), "install")
    database.run(A_JOB)
    with_two_migrations(tree)
    done = apply_schema(database.dsn(), "upgrade", tree)
    assert (done.before, done.after) == (PRESENT, TWO)
    assert len(done.migrations) == 2
    assert apply_schema(database.dsn(), "upgrade", tree).migrations == ()
    assert database.value("select count(*) from jobs_internal.job") == 1
    recorded = database.run("select version, name from jobs_internal.schema_migration order by 1")
    assert [number for number, _name in recorded] == list(range(TWO + 1))
    assert recorded[-2:] == [(ONE, "colour"), (TWO, "colours")]


def test_fresh_and_upgraded_are_the_same(new_database: Callable[[], Database], tree: Path) -> None:
    fresh, upgraded = new_database(), new_database()
    apply_schema(upgraded.dsn(), "install")
    with_two_migrations(tree)
    apply_schema(upgraded.dsn(), "upgrade", tree)
    apply_schema(fresh.dsn(), "install", tree)
    assert fresh.dump() == upgraded.dump()
    versions = "select version, name from jobs_internal.schema_migration order by 1"
    assert fresh.run(versions) == upgraded.run(versions)


def test_a_migration_that_fails_changes_nothing(database: Database, tree: Path) -> None:
    apply_schema(database.dsn(), "install")
    before = database.dump()
    migrate(tree, ONE, "good", "alter table jobs_internal.queue add column colour text;")
    migrate(tree, TWO, "bad", "alter table jobs_internal.nowhere add column colour text;")
    with pytest.raises(SchemaError) as caught:
        apply_schema(database.dsn(), "upgrade", tree)
    assert f"sql/migrations/{TWO:04}_bad.sql" in (caught.value.detail or "")
    assert database.dump() == before
    assert database.value("select not paused from jobs_internal.switch")


def test_migrations_need_numbers_without_a_gap_and_a_sentence(tree: Path) -> None:
    migrate(tree, TWO, "late", "")
    with pytest.raises(SchemaError, match="not numbered"):
        read_source(tree)
    late = (tree / "migrations" / f"{TWO:04}_late.sql").rename(
        tree / "migrations" / f"{ONE:04}_late.sql"
    )
    late.write_text("select 1;")
    with pytest.raises(SchemaError, match="does not say"):
        read_source(tree)


OLD = """
create or replace function jobs_internal.call_template_of() returns int language sql set
  search_path = pg_catalog, pg_temp
as $$ select 1 $$;
create or replace function jobs_internal.obsolete() returns int language sql
  set search_path = pg_catalog, pg_temp
as $$ select 1 $$;
create or replace function jobs_internal.touch() returns trigger language plpgsql
  set search_path = pg_catalog, pg_temp
as $$ begin return new; end $$;
create or replace trigger touch before update on jobs_internal.switch
for each row execute function jobs_internal.touch();
create or replace view jobs.seen as select 1 as a, 2 as b;
"""
NEW = """
create or replace function jobs_internal.call_template_of() returns text language sql set
  search_path = pg_catalog, pg_temp
as $$ select 'x' $$;
create or replace function jobs_internal.touch() returns trigger language plpgsql
  set search_path = pg_catalog, pg_temp
as $$ begin new.changed_by := 'touched'; return new; end $$;
create or replace view jobs.seen as select {columns};
"""


@pytest.fixture
def old_and_new(database: Database, tree: Path) -> tuple[Database, Path]:
    file = tree / "engine" / "sample.sql"
    add(file, OLD)
    apply_schema(database.dsn(), "install", tree)
    file.write_text(NEW.format(columns="2 as b"))
    return database, tree


def test_what_changed_is_made_anew_and_what_is_gone_is_dropped(
    old_and_new: tuple[Database, Path],
) -> None:
    database, tree = old_and_new
    apply_schema(database.dsn(), "install", tree)
    assert database.value("select jobs_internal.call_template_of()") == "x"
    assert database.value("select to_regproc('jobs_internal.obsolete') is null")
    assert database.run("select * from jobs.seen") == [(2,)]
    database.run("update jobs_internal.switch set paused = paused")
    assert database.value("select changed_by from jobs_internal.switch") == "touched"


def test_a_view_of_somebody_else_survives(old_and_new: tuple[Database, Path]) -> None:
    database, tree = old_and_new
    database.run("create view public.mine as select * from jobs.seen")
    (tree / "engine" / "sample.sql").write_text(NEW.format(columns="1 as a, 2 as b, 3 as c"))
    apply_schema(database.dsn(), "install", tree)
    assert database.run("select * from public.mine") == [(1, 2)]
    (tree / "engine" / "sample.sql").write_text(NEW.format(columns="2 as b"))
    with pytest.raises(SchemaError) as caught:
        apply_schema(database.dsn(), "install", tree)
    assert caught.value.hint
    assert database.run("select * from public.mine") == [(1, 2)]


AT_WORK = """
create or replace function jobs_internal.helper(p_n int) returns text language plpgsql
set search_path = pg_catalog, pg_temp as $$ begin return 'old'; end $$;
create or replace procedure jobs_internal.at_work() language plpgsql as $$
declare v_said text; v_n int := 0; v_until timestamptz := clock_timestamp() + interval '60 s';
begin
  loop
    v_n := v_n + 1;
    select jobs_internal.helper(v_n) into v_said;
    v_said := jobs_internal.helper(v_n);
    perform set_config('application_name', 'round ' || v_n || ' ' || v_said, false);
    exit when v_said = 'newer' or clock_timestamp() > v_until;
    commit;
  end loop;
end $$;
"""


def test_a_session_at_work_goes_on_with_the_new_functions(database: Database, tree: Path) -> None:
    file = tree / "engine" / "sample.sql"
    add(file, AT_WORK)
    apply_schema(database.dsn(), "install", tree)
    with psycopg.connect(database.dsn(), autocommit=True) as connection:
        pid = connection.info.backend_pid
        failed: list[BaseException] = []

        def work() -> None:
            try:
                connection.execute("call jobs_internal.at_work()")
            except BaseException as error:  # noqa: BLE001  looked at below
                failed.append(error)

        thread = threading.Thread(target=work)
        thread.start()
        for said in ("old", "new", "newer"):
            if said != "old":
                file.write_text(AT_WORK.replace("return 'old'", f"return '{said}'"))
                apply_schema(database.dsn(), "install", tree)
            name, waited = "", time.monotonic()
            while (
                thread.is_alive()
                and not name.endswith(f" {said}")
                and time.monotonic() < waited + 20
            ):
                name = database.value(
                    "select application_name from pg_stat_activity where pid = %s", pid
                )
        thread.join(20)
        assert not failed, failed
        assert database.value(
            "select application_name like '%% newer' from pg_stat_activity where pid = %s", pid
        )


def test_psql_alone_upgrades(database: Database, tree: Path) -> None:
    apply_schema(database.dsn(), "install")
    with_two_migrations(tree)
    script = install_script(read_source(tree), "upgrade")
    for _ in range(2):
        done = database.psql("-f", "-", text=script)
        assert done.returncode == 0, done.stderr
    assert database.value("select max(version) from jobs_internal.schema_migration") == TWO


def test_tables_and_functions_are_made_where_the_rules_say() -> None:
    for file in read_source(SQL).schema:
        made = set(re.findall(r"(?m)^create (?:or replace )?\w+", file.text.lower()))
        if file.fresh_only:
            repeatable = {"create function", "create procedure", "create view", "create trigger"}
            assert (
                not {one for one in made if one.startswith("create or replace")} | made & repeatable
            ), file.path
        elif file.path.startswith(("engine/", "api/", "views/")):
            assert all(one.startswith("create or replace") for one in made), file.path

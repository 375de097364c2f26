"""Installing: once, again, twice at once, and every refusal."""

import threading
from collections.abc import Callable
from pathlib import Path

import psycopg
import pytest

from pyworker.errors import ConnectionFailed, SchemaError
from pyworker.schema import Applied, apply_schema, read_source
from tests.schema.conftest import A_JOB, Database, add

RIGHTS = [
    "CREATEROLE",
    "CREATE on database",
    "pg_read_all_stats",
    "pg_signal_backend",
    "extension pg_background",
]


def refused(database: Database, role: str = "postgres", root: Path | None = None) -> SchemaError:
    with pytest.raises(SchemaError) as caught:
        apply_schema(database.dsn(role), "install", root)
    assert caught.value.detail
    assert caught.value.hint
    return caught.value


def test_install_again_keeps_jobs_and_changes_nothing(database: Database) -> None:
    first = database.cli("install")
    assert first.exit_code == 0, first.output
    assert f'installed in database "{database.name}"' in first.output
    database.run(A_JOB)
    before = database.dump()
    again = database.cli("install")
    assert again.exit_code == 0, again.output
    assert "already installed" in again.output
    assert "functions and views re-applied" in again.output
    assert database.dump() == before
    assert database.value("select count(*) from jobs_internal.job where id = 42") == 1


def at_once(work: list[Callable[[], Applied]]) -> list[Applied]:
    done: list[Applied] = []
    failed: list[BaseException] = []
    gate = threading.Barrier(len(work))

    def run(one: Callable[[], Applied]) -> None:
        gate.wait(10)
        try:
            done.append(one())
        except BaseException as error:  # noqa: BLE001  raised in the test below
            failed.append(error)

    threads = [threading.Thread(target=run, args=[one]) for one in work]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert not failed, failed
    return done


def test_several_installs_at_once_are_one_install(database: Database) -> None:
    done = at_once([lambda: apply_schema(database.dsn(), "install")] * 4)
    assert sorted(one.fresh for one in done) == [False, False, False, True]


def test_installs_into_several_databases_at_once(new_database: Callable[[], Database]) -> None:
    databases = [new_database() for _ in range(3)]
    done = at_once([lambda one=one: apply_schema(one.dsn(), "install") for one in databases])  # type: ignore[misc]
    assert [one.fresh for one in done] == [True] * 3


def test_a_newer_schema_is_refused_and_untouched(database: Database) -> None:
    apply_schema(database.dsn(), "install")
    database.run(
        "insert into jobs_internal.schema_migration (version, name) values (9999, 'of_tomorrow')"
    )
    before = database.dump()
    error = refused(database)
    assert error.sqlstate == "PW094"
    assert "9999" in (error.detail or "")
    result = database.cli("upgrade")
    assert result.exit_code == 1
    assert "newer pyworker schema" in result.output
    assert database.dump() == before


def test_an_older_schema_is_left_to_upgrade(database: Database, tree: Path) -> None:
    apply_schema(database.dsn(), "install")
    name = f"migrations/{read_source().version + 1:04}_shade.sql"
    add(tree / name, "")
    (tree / name).write_text("-- Adds nothing.\nselect 1;\n")
    error = refused(database, root=tree)
    assert error.sqlstate == "PW095"
    assert "pyworker upgrade" in (error.hint or "")
    assert apply_schema(database.dsn(), "upgrade", tree).migrations == (name,)


def test_upgrade_needs_an_installation(database: Database) -> None:
    result = database.cli("upgrade")
    assert result.exit_code == 1
    assert "Run `pyworker install`" in result.output


def test_an_ordinary_role_is_told_every_right_it_lacks(database: Database) -> None:
    result = database.cli("install", role="app")
    assert result.exit_code == 1
    for right in RIGHTS:
        assert right in result.output
    assert (
        "HINT: Connect as a superuser, or have one run: alter role app createrole;" in result.output
    )
    assert database.value("select to_regnamespace('jobs') is null")


def test_a_role_with_just_those_rights_installs(
    new_role: Callable[[str], str], new_database: Callable[[], Database]
) -> None:
    database = new_database()
    role = new_role("login createrole")
    database.run("create extension pg_background")
    given = "pg_read_all_stats, pg_signal_backend, pgbackground_role"
    for name in [
        "jobs_owner",
        "jobs_producer",
        "jobs_runner",
        "jobs_operator",
        "jobs_reader",
        "jobs_supervisor",
    ]:
        # made by other databases' installs
        if database.run("select 1 from pg_roles where rolname = %s", name):
            given += f", {name}"
    database.run(f"grant {given} to {role} with admin option")
    database.run(f"grant create on database {database.name} to {role}")
    try:
        assert apply_schema(database.dsn(role), "install").fresh
        assert apply_schema(database.dsn(role), "install").before == read_source().version
    finally:
        database.run(f"drop owned by {role} cascade")


PLANTED = {
    "a schema of somebody else": "create schema jobs authorization app",
    "a private schema of somebody else": "create schema jobs_internal authorization app",
}


@pytest.mark.parametrize("what", PLANTED)
def test_what_was_planted_is_refused(database: Database, what: str) -> None:
    database.run(PLANTED[what])
    error = refused(database)
    assert error.sqlstate == "PW093"
    assert "app" in (error.detail or "")


def test_a_function_planted_in_our_schema_is_refused(database: Database) -> None:
    apply_schema(database.dsn(), "install")
    database.run("create function jobs.enqueue(text) returns text language sql as 'select $1'")
    database.run("alter function jobs.enqueue(text) owner to app")
    error = refused(database)
    assert error.sqlstate == "PW093"
    assert "function jobs.enqueue(text) belongs to role app" in (error.detail or "")


def test_a_planted_pgmq_is_refused(database: Database) -> None:
    database.run("create schema pgmq authorization app")
    error = refused(database)
    assert error.sqlstate == "PW097"
    assert database.value("select to_regnamespace('jobs') is null")


def test_functions_planted_in_public_are_never_found(database: Database) -> None:
    database.run(
        "create function public.format(text, text) returns text"
        " language plpgsql as 'begin raise; end'"
    )
    database.run(
        "create function public.hashtext(text) returns int language plpgsql as 'begin raise; end'"
    )
    database.run(f"alter database {database.name} set search_path = public, pg_catalog")
    assert apply_schema(database.dsn(), "install").fresh


def test_defaults_of_the_role_do_not_matter(database: Database) -> None:
    settings = [
        "default_transaction_isolation = 'serializable'",
        "statement_timeout = '1ms'",
        "client_min_messages = error",
        "default_transaction_read_only = on",
    ]
    with psycopg.connect(database.dsn(), autocommit=True) as connection:
        connection.execute("set statement_timeout = 0")
        for setting in settings:
            connection.execute(f"alter role postgres in database {database.name} set {setting}")
    assert apply_schema(database.dsn(), "install").fresh
    assert apply_schema(database.dsn(), "install").before == read_source().version


def test_an_error_undoes_everything_and_names_its_place(database: Database, tree: Path) -> None:
    add(tree / "engine" / "broken.sql", "select 1;\nselect nothing_there;")
    error = refused(database, root=tree)
    assert "sql/engine/broken.sql, line 3" in (error.detail or "")
    left = "select count(*) from pg_namespace where nspname in ('jobs', 'jobs_internal', 'pgmq')"
    assert database.value(left) == 0


def test_a_lock_that_is_held_ends_it_with_a_hint(database: Database, tree: Path) -> None:
    lock = tree / "setup" / "install_lock.sql"
    lock.write_text(lock.read_text().replace("lock_timeout = '30s'", "lock_timeout = '50ms'"))
    add(tree / "views" / "some.sql", "create or replace view jobs.some as select 1 as n;")
    apply_schema(database.dsn(), "install", tree)
    with psycopg.connect(database.dsn()) as holder:
        holder.execute("select * from jobs.some")
        error = refused(database, root=tree)
    assert error.sqlstate == "55P03"
    assert "Pause the queues" in (error.hint or "")


def test_an_unreachable_database_is_said_so(database: Database) -> None:
    with pytest.raises(ConnectionFailed):
        apply_schema(database.server.dsn("postgres", "not_there"), "install")

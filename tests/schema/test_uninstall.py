"""Uninstalling: says what goes, asks, leaves nothing, and never takes along what is not its own."""

from collections.abc import Callable

import pytest
from click.testing import CliRunner

from pyworker.cli import main
from pyworker.errors import SchemaError
from pyworker.schema import apply_schema, drop_schema, look
from tests.schema.conftest import A_JOB, Database

OURS = """
select count(*) from pg_shdepend s join pg_roles r on r.oid = s.refobjid
where s.refclassid = 'pg_authid'::regclass
  and r.rolname ~ '^jobs_(owner|producer|runner|operator|reader|supervisor)$'
and s.dbid = (select oid from pg_database where datname = current_database())
"""


@pytest.fixture
def installed(database: Database) -> Database:
    apply_schema(database.dsn(), "install")
    database.run(A_JOB)
    database.run("select pgmq.create('pyworker_1'), pgmq.create('mine')")
    return database


def test_it_says_what_goes_and_leaves_nothing(installed: Database) -> None:
    result = installed.cli("uninstall", "--yes")
    assert result.exit_code == 0, result.output
    assert "schemas: jobs, jobs_internal" in result.output
    assert "1 unfinished, 0 finished" in result.output
    assert "pgmq queues: 1" in result.output
    assert "pg_background and pgmq stay" in result.output
    assert (
        installed.value(
            "select count(*) from pg_namespace where nspname in ('jobs', 'jobs_internal')"
        )
        == 0
    )
    assert installed.value(OURS) == 0
    assert installed.run("select queue_name from pgmq.meta") == [("mine",)]
    again = installed.cli("uninstall", "--yes")
    assert again.exit_code == 0
    assert "holds no pyworker schema" in again.output
    assert apply_schema(installed.dsn(), "install").fresh


def test_without_a_terminal_it_needs_yes(installed: Database) -> None:
    result = installed.cli("uninstall")
    assert result.exit_code == 1
    assert "--yes" in result.output
    assert look(installed.dsn()).unfinished == 1


def test_roles_with_members_stay(installed: Database, new_role: Callable[[str], str]) -> None:
    role = new_role("login")
    installed.run(f"grant jobs_producer to {role}")
    assert role in str(look(installed.dsn()))
    done = drop_schema(installed.dsn())
    assert any("jobs_producer stays" in line for line in done.kept)
    assert installed.value("select count(*) from pg_roles where rolname = 'jobs_producer'") == 1
    assert installed.value(OURS) == 0


def test_other_databases_keep_their_roles(
    installed: Database, new_database: Callable[[], Database]
) -> None:
    other = new_database()
    apply_schema(other.dsn(), "install")
    before = other.dump()
    done = drop_schema(installed.dsn())
    assert any("jobs_owner stays" in line and other.name in line for line in done.kept)
    assert other.dump() == before


def test_running_jobs_are_not_cut_off(installed: Database) -> None:
    installed.run(
        "update jobs_internal.job set state = 'running', due_at = null, session_id = 1,"
        " started_at = now()"
    )
    with pytest.raises(SchemaError) as caught:
        drop_schema(installed.dsn())
    assert caught.value.sqlstate == "PW099"
    assert "jobs.cancel" in (caught.value.hint or "")


def test_views_of_others_go_only_when_asked(installed: Database) -> None:
    installed.run("create view public.mine as select * from jobs_internal.queue")
    with pytest.raises(SchemaError) as caught:
        drop_schema(installed.dsn())
    assert caught.value.sqlstate == "PW098"
    assert "view public.mine" in (caught.value.detail or "")
    assert installed.value("select count(*) from public.mine") > 0
    drop_schema(installed.dsn(), cascade=True)
    assert installed.value("select to_regclass('public.mine') is null")


def test_a_schema_that_is_not_ours_stays(database: Database) -> None:
    database.run("create schema jobs")
    with pytest.raises(SchemaError) as caught:
        drop_schema(database.dsn())
    assert caught.value.sqlstate == "PW093"


def test_an_ordinary_role_may_not(installed: Database) -> None:
    with pytest.raises(SchemaError) as caught:
        drop_schema(installed.dsn("app"))
    assert caught.value.sqlstate == "PW092"
    assert look(installed.dsn()).unfinished == 1


def test_what_sql_prints_uninstalls(installed: Database) -> None:
    printed = CliRunner().invoke(main, ["uninstall", "--sql"])
    assert printed.exit_code == 0
    done = installed.psql("-f", "-", text=printed.output)
    assert done.returncode == 0, done.stderr
    assert look(installed.dsn()).nothing

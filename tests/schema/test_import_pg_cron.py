"""`pyworker import pg_cron`, from the real extension: its jobs, printed and made."""

from collections.abc import Iterator

import psycopg
import pytest
from click.testing import CliRunner
from kit.package import add_package
from kit.server import private_server
from psycopg import Connection

from pyworker.cli.main import main
from pyworker.schema import apply_schema
from pyworker.server import PrivateServer

Line = Connection[tuple[object, ...]]


def _with_pg_cron(server: PrivateServer) -> None:
    add_package(server, "cron")
    with (server.dir / "data" / "postgresql.conf").open("a", encoding="utf-8") as file:
        file.write("shared_preload_libraries = 'pg_stat_statements, pg_cron'\n")
        file.write("cron.database_name = 'pyworker'\ncron.timezone = 'Europe/Brussels'\n")


@pytest.fixture(scope="module")
def server() -> Iterator[PrivateServer]:
    """A server with pg_cron, in whose database the schema is too."""
    with private_server("pgcron", prepare=_with_pg_cron) as made:
        apply_schema(made.dsn(), "install")
        with psycopg.connect(made.dsn("postgres"), autocommit=True) as line:
            line.execute("create extension pg_cron")
            line.execute("grant usage on schema cron to app")
            line.execute("grant execute on function cron.alter_job to app")
            line.execute("grant jobs_producer, jobs_runner to app")
            line.execute("select cron.schedule('of a superuser', '0 1 * * *', 'select 1')")
        yield made


@pytest.fixture
def app(server: PrivateServer) -> Iterator[Line]:
    """The owner of the jobs; what it has is gone at the end."""
    with psycopg.connect(server.dsn("app"), autocommit=True) as line:
        yield line
        line.execute("select cron.unschedule(jobid) from cron.job")
        line.execute("select jobs.unschedule(name) from jobs.schedules")


def _import(server: PrivateServer, *options: str, role: str = "app") -> str:
    done = CliRunner().invoke(
        main, ["import", "pg_cron", "--dsn", server.dsn(role), *options], catch_exceptions=False
    )
    assert done.exit_code == 0, done.output
    return done.stdout


def test_the_script_does_what_apply_does(server: PrivateServer, app: Line) -> None:
    """Both make the same schedules; apply makes them paused, and again makes nothing."""
    app.execute("select cron.schedule('nightly', '30 2 * * mon-fri', 'vacuum')")
    app.execute("select cron.schedule('month''s end', '0 10 $ * *', 'select 1; select 2')")
    app.execute("select cron.schedule('often', '30 seconds', 'select $$x$$')")
    shown = (
        "select name, schedule, timezone, overlap, missed, task from jobs.schedules order by name"
    )
    script = _import(server)
    assert "-- differs: several statements: one transaction, as there\n" in script
    assert app.execute(shown).fetchall() == []
    app.execute(script.encode())
    made = app.execute(shown).fetchall()
    assert [(row[0], row[1], row[3], row[4]) for row in made] == [
        ("month's end", "0 10 $ * *", "queue", "none"),
        ("nightly", "30 2 * * mon-fri", "queue", "none"),
        ("often", "every 30 seconds", "skip", "none"),
    ]
    app.execute("select jobs.unschedule(name) from jobs.schedules")
    assert _import(server, "--apply").count("imported, paused") == 3
    assert app.execute(shown).fetchall() == made
    assert app.execute("select bool_and(paused) from jobs.schedules").fetchone() == (True,)
    assert "which the call would replace" in _import(server, "--apply")
    assert app.execute(shown).fetchall() == made


def test_whose_zone_it_is(server: PrivateServer, app: Line) -> None:
    """pg_cron's own zone, where the login may see it; else that is told."""
    app.execute("select cron.schedule('nightly', '30 2 * * *', 'select 1')")
    assert "-- differs: the zone of pg_cron (cron.timezone) may not be read" in _import(server)
    with psycopg.connect(server.dsn("postgres"), autocommit=True) as line:
        line.execute("grant pg_read_all_settings to app")
        script = _import(server)
        line.execute("revoke pg_read_all_settings from app")
    assert "timezone => 'Europe/Brussels'" in script
    assert "-- differs: a fixed time that a change of clock leaves out" in script


def test_each_role_has_its_own(server: PrivateServer, app: Line) -> None:
    """An administrator sees all, and makes none: each job is for its role, a superuser's for none.
    What others wrote is a comment, without control characters.
    """
    app.execute("select cron.schedule('of app', '0 4 * * *', E'select ''\\033[31m\\nx''')")
    script = _import(server, "--apply", role="postgres")
    assert '-- of app: refused: it is for its role "app": connect as that\n' in script
    assert '-- of a superuser: refused: it belongs to the superuser "postgres"' in script
    assert "\x1b" not in script
    assert all(line.startswith("-- ") or not line for line in script.split("\n"))
    assert app.execute("select count(*) from jobs.schedules").fetchone() == (0,)


def test_a_job_that_is_not_active_says_so(server: PrivateServer, app: Line) -> None:
    """It is made all the same, as all are, paused."""
    app.execute("select cron.schedule('off', '0 4 * * *', 'select 1')")
    app.execute("select cron.alter_job(jobid, active => false) from cron.job")
    assert "-- differs: it is not active there\n" in _import(server)

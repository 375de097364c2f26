"""The last uninstall on a server: what was granted to our roles is granted no more,
whoever is still their member.

A server of the test's own: on another, some database may still use pyworker.
"""

from collections.abc import Iterator

import psycopg
import pytest
from click.testing import CliRunner, Result
from kit.server import private_server
from support import sqlstate_of

from pyworker.cli import main
from pyworker.schema import apply_schema
from pyworker.server import PrivateServer

DATABASES = ("one", "two")
#: What is granted to the roles of ours that app and supervisor are members of,
#: and what they can do with it.
LAUNCH = "select (h).pid from (select public.pg_background_launch('select 1', 65536) as h) as l"


@pytest.fixture(scope="module")
def own_server() -> Iterator[PrivateServer]:
    with private_server("uninstall") as server:
        yield server


@pytest.fixture(name="host")
def _host(own_server: PrivateServer) -> Iterator[PrivateServer]:
    """Two databases with pyworker; app runs jobs, supervisor supervises."""
    for name in DATABASES:
        _run(own_server, f"create database {name}")
        apply_schema(own_server.dsn(dbname=name), "install")
    _run(
        own_server, "grant jobs_producer, jobs_runner to app", "grant jobs_supervisor to supervisor"
    )
    yield own_server
    for name in DATABASES:
        _run(own_server, f"drop database {name} with (force)")
    for role in ("owner", "producer", "runner", "operator", "reader", "supervisor"):
        _run(own_server, f"drop role if exists jobs_{role}")


def _run(
    server: PrivateServer, *statements: str, database: str = "postgres", role: str = "postgres"
) -> list[tuple]:  # type: ignore[type-arg]
    with psycopg.connect(server.dsn(role, database), autocommit=True) as connection:
        rows: list[tuple] = []  # type: ignore[type-arg]
        for statement in statements:
            cursor = connection.execute(statement.encode())
            rows = cursor.fetchall() if cursor.description else []
        return rows


def _uninstall(server: PrivateServer, database: str) -> Result:
    return CliRunner().invoke(main, ["uninstall", "--yes", "--dsn", server.dsn(dbname=database)])


def _launches(server: PrivateServer, database: str) -> str | None:
    return sqlstate_of(lambda: _run(server, LAUNCH, database=database, role="app"))


def _holds(server: PrivateServer) -> set[tuple[str, str]]:
    """Which of the server's own powers the two logins hold."""
    powers = "array['pg_signal_backend', 'pg_read_all_stats', 'pgbackground_role']"
    query = (
        f"select m, p from unnest(array['app', 'supervisor']) m, unnest({powers}) p"
        " where pg_has_role(m, p, 'member')"
    )
    return set(_run(server, query))


ALL = {
    ("app", "pgbackground_role"),
    ("supervisor", "pg_signal_backend"),
    ("supervisor", "pg_read_all_stats"),
}


def test_rights_go_with_the_last_database(host: PrivateServer) -> None:
    assert _holds(host) == ALL
    assert _launches(host, "one") is None

    first = _uninstall(host, "one")
    assert first.exit_code == 0, first.output
    assert "these databases use pyworker too: two" in first.output
    assert _holds(host) == ALL  # the other one needs them
    assert _launches(host, "two") is None

    last = _uninstall(host, "two")
    assert last.exit_code == 0, last.output
    assert _holds(host) == set()
    assert [_launches(host, name) for name in DATABASES] == ["42501", "42501"]
    for role, member in (("jobs_runner", "app"), ("jobs_supervisor", "supervisor")):
        kept = next(line for line in last.output.splitlines() if f"role {role} stays" in line)
        assert member in kept
        assert "It grants nothing any more" in kept
        assert f"drop role {role};" in kept
    assert (
        _run(
            host,
            "select rolname from pg_roles where rolname in ('jobs_owner', 'jobs_operator',"
            " 'jobs_reader')",
        )
        == []
    )

    _run(host, "drop role jobs_producer, jobs_runner, jobs_supervisor")  # as it says


def test_what_others_granted_stays(host: PrivateServer) -> None:
    _run(host, "grant pgbackground_role to app", "grant pg_monitor to jobs_supervisor")
    for name in DATABASES:
        assert _uninstall(host, name).exit_code == 0

    assert _launches(host, "one") is None
    kept = _run(
        host,
        "select roleid::regrole::text from pg_auth_members"
        " where member = 'jobs_supervisor'::regrole",
    )
    assert kept == [("pg_monitor",)]
    _run(host, "revoke pgbackground_role from app")


def test_who_may_not_revoke_gets_the_lines(host: PrivateServer) -> None:
    """Installed by a superuser, uninstalled by a role that only owns the schemas."""
    _run(host, "create role keeper login", "grant jobs_owner to keeper")
    for name in DATABASES:
        done = CliRunner().invoke(main, ["uninstall", "--yes", "--dsn", host.dsn("keeper", name)])
        assert done.exit_code == 0, done.output

    lines = [line.partition(": ")[2] for line in done.output.splitlines() if "revoke" in line]
    assert "as a superuser" in done.output
    statements = [
        statement for line in lines for statement in line.split(";") if "revoke" in statement
    ]
    assert len(statements) == 6
    _run(host, *(statement[statement.index("revoke") :] for statement in statements))
    assert _holds(host) == set()
    for line in done.output.splitlines():
        if "stays: this role may not drop it" in line:
            statements = line.rpartition("as a superuser: ")[2].split(";")
            for database in DATABASES:
                _run(host, statements[0], database=database)
            _run(host, statements[1])
    assert _run(host, "select rolname from pg_roles where rolname ~ '^jobs_'") == []
    _run(host, "drop role keeper")


def test_installing_again_grants_again(host: PrivateServer) -> None:
    for name in DATABASES:
        assert _uninstall(host, name).exit_code == 0
    apply_schema(host.dsn(dbname="one"), "install")

    assert _holds(host) == ALL

"""Dumps, and databases that they are restored into, on this server and on another one."""

import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from databases import clone, drop, new_name
from kit import warm
from kit.server import private_server
from support import LOGINS, Database, Server

from pyworker.schema import apply_schema

#: Owners of the jobs that are dumped. In the other cluster each has the number that another one
#: has here.
OWNERS = ("ann", "bob")


GROUPS = LOGINS["app"]


def _role_numbers(server: Server) -> dict[str, int]:
    with server.connect() as line:
        return {
            row[0]: row[1]
            for row in line.execute("select rolname::text, oid::bigint::integer from pg_roles")
        }


def _make_role(server: Server, name: str, number: int) -> None:
    """Make a login with that number: roles are made and dropped until it is the next one."""
    with server.connect() as line:
        line.execute(f"create role {name} login".encode())
        row = line.execute(
            "select oid::bigint::integer from pg_roles where rolname = %s", [name]
        ).fetchone()
        assert row is not None
        line.execute(f"drop role {name}".encode())
        # Large objects take numbers from the same counter, many thousands a second;
        # they are undone.
        line.execute("begin")
        line.execute(
            "select count(lo_create(0)) from generate_series(1, %s)", [number - row[0] - 100]
        )
        line.execute("rollback")
        while True:
            line.execute(f"create role {name} login".encode())
            row = line.execute(
                "select oid::bigint::integer from pg_roles where rolname = %s", [name]
            ).fetchone()
            assert row is not None
            if row[0] == number:
                return
            assert row[0] < number, f"the other cluster is ahead: {row[0]} > {number}"
            line.execute(f"drop role {name}".encode())


@pytest.fixture(scope="session")
def owners(server: Server) -> dict[str, int]:
    """Two owners in the first cluster, whose numbers lie well ahead of those of a fresh one."""
    with server.connect() as line:
        for _ in range(300):
            line.execute("create role pw_ahead")
            line.execute("drop role pw_ahead")
        for name in OWNERS:
            line.execute(f"create role {name} login".encode())
            line.execute(f"grant {', '.join(GROUPS)} to {name}".encode())
    return {name: _role_numbers(server)[name] for name in OWNERS}


@pytest.fixture(scope="session")
def elsewhere(owners: dict[str, int], template: str) -> Iterator[Server]:
    """Another cluster: the roles of ours were made by hand, ann has the number of bob and the other
    way round.
    """
    with private_server("elsewhere", data=False) as private:
        other = Server(conninfo=private.dsn("postgres", "postgres"), private=private)
        _fill(other, owners)
        yield other


def _fill(other: Server, owners: dict[str, int]) -> None:
    with other.connect(database="postgres") as line:
        for login in LOGINS:
            line.execute(
                (
                    f"do $$ begin create role {login} login; exception when duplicate_object"
                    " then null; end $$"
                ).encode()
            )
    # The roles of ours, and what they may do, as pg_dumpall --roles-only gives them:
    # by an installation beside.
    with other.connect() as line:
        line.execute("create database beside")
    apply_schema(other.dsn(database="beside"), "install")
    _make_role(other, "bob", owners["ann"])
    _make_role(other, "ann", owners["bob"])
    with other.connect() as line:
        for name in (*OWNERS, "app"):
            line.execute(f"grant {', '.join(GROUPS)} to {name}".encode())
        line.execute("grant jobs_operator to operator")
        line.execute("grant jobs_supervisor to supervisor")


@pytest.fixture
def original(server: Server, template: str, owners: dict[str, int]) -> Iterator[Database]:
    """A database in which ann and bob have jobs."""
    database = clone(server, template, "original")
    for name in OWNERS:
        database.admin(f"grant usage on schema app to {name}")
        database.admin(f"grant execute on all routines in schema app to {name}")
        database.admin(f"grant select, insert on app.ledger to {name}")
    database.admin("alter table app.ledger add owner text default session_user")
    database.admin("create procedure app.gated() language sql as 'select app.gate(7)'")
    yield database
    database.admin(
        "select pg_terminate_backend(pid) from pg_stat_activity where application_name ~ '^pw '"
    )
    drop(database)


def _tool(server: Server, name: str) -> str:
    assert server.private is not None
    return str(server.private.bin(name))


def dump(source: Database, form: str, path: Path) -> None:
    """Dump a database, as it is at this moment."""
    dumped = subprocess.run(
        [
            _tool(source.server, "pg_dump"),
            "--format",
            form,
            "--file",
            str(path),
            source.dsn("postgres"),
        ],
        capture_output=True,
        text=True,
        check=False,
    )
    assert dumped.returncode == 0, dumped.stderr


def restore(path: Path, form: str, server: Server) -> Database:
    """Restore a dump into a new database; one error is one too many."""
    copy = Database(server=server, name=new_name("copy"))
    with server.connect() as line:
        line.execute(f"create database {copy.name}".encode())
    into = copy.dsn("postgres")
    command = (
        [_tool(server, "pg_restore"), "--exit-on-error", "--dbname", into, str(path)]
        if form == "custom"
        else [
            _tool(server, "psql"),
            "-X",
            "-q",
            "-v",
            "ON_ERROR_STOP=1",
            "--file",
            str(path),
            "--dbname",
            into,
        ]
    )
    restored = subprocess.run(command, capture_output=True, text=True, check=False)
    assert restored.returncode == 0, restored.stderr
    assert "ERROR" not in restored.stderr
    return copy


@pytest.fixture
def copies(tmp_path: Path) -> Iterator[Callable[[Database, str, Server], Database]]:
    """Copy a database by pg_dump and restore; the copies are dropped at the end."""
    made: list[Database] = []

    def copy(source: Database, form: str, server: Server) -> Database:
        path = tmp_path / f"dump_{len(made)}"
        dump(source, form, path)
        made.append(restore(path, form, server))
        return made[-1]

    yield copy
    for database in made:
        database.admin(
            "select pg_terminate_backend(pid) from pg_stat_activity"
            " where application_name = 'pw idle'"
        )
        drop(database)


def states_of(database: Database) -> dict[int, tuple[Any, ...]]:
    rows = database.admin("select id, state, owner, attempt, task from jobs.job order by id")
    return {row[0]: row[1:] for row in rows}


def run_cli(dsn: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    return warm.run(
        [sys.executable, "-m", "pyworker", *arguments, "--dsn", dsn],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )

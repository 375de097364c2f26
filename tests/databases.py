"""Databases that tests make: a template with pyworker, copies of it, and their end."""

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress

import psycopg
import pytest
from kit.functions import counting, note_calls
from support import LOGINS, Database, Server, wait_until

from pyworker.schema import apply_schema

#: Makes a copy an installation of its own. Where the template has no jobs, all that
#: jobs.reconcile() has to do is its last step, which takes a tenth of the time.
MAKE_ORIGINAL = (
    "select case when exists (select from jobs_internal.job)"
    " or exists (select from jobs_internal.session) then jobs.reconcile()::text"
    " else jobs_internal.adopt_installation()::text end"
)


_numbers = iter(range(1_000_000))


def new_name(kind: str) -> str:
    """Make a name for a database that no other run and no other test has."""
    return f"pw_{kind}_{os.getpid()}_{next(_numbers)}"


@contextmanager
def installed(server: Server) -> Iterator[str]:
    """Make a database with pyworker, and a schema of its own for each login;
    nobody is connected to it.
    """
    name = new_name("template")
    with server.administrate() as connection:
        for login in LOGINS:
            password = f"password '{server.password}'" if server.password else ""
            with suppress(psycopg.errors.DuplicateObject):
                connection.execute(f"create role {login} login {password}".encode())
        connection.execute(f"create database {name} strategy {server.copying}".encode())
        apply_schema(server.dsn(database=name), "install")
        for login, groups in LOGINS.items():
            for group in groups:
                connection.execute(f"grant {group} to {login}".encode())
    with server.connect(database=name) as connection:
        for login in LOGINS:
            connection.execute(f"create schema {login} authorization {login}".encode())
    yield name
    with server.connect() as connection:
        connection.execute(f"drop database {name} with (force)".encode())


def clone(server: Server, template: str, kind: str) -> Database:
    """Make a database from a template to which nobody is connected, and a home of its own for
    its jobs.
    """
    database = Database(server=server, name=new_name(kind))
    server.maintain(
        f"create database {database.name} template {template} strategy {server.copying}"
    )
    database.admin(MAKE_ORIGINAL)
    return database


def drop(database: Database) -> None:
    """Drop a database; a worker session that is still there is a failure of the test,
    and a job without a reason.
    """
    try:
        database.assert_reasons()
    except BaseException:
        database.close()
        database.server.maintain(f"drop database if exists {database.name} with (force)")
        raise
    try:
        wait_until(lambda: not database.background())
    except AssertionError:
        pytest.fail(f"worker sessions leaked: {database.background()}")
    finally:
        database.close()
        if counting():
            with database.server.connect(
                database=database.name, search_path="pg_catalog"
            ) as connection:
                note_calls(connection)
        database.server.maintain(f"drop database if exists {database.name} with (force)")

"""The databases of this tier hold functions of every kind (functions.sql), owned by app."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest
from psycopg import Connection
from psycopg.types.json import Jsonb
from support import Database, Row, Server

from .plans import TABLES

FUNCTIONS = Path(__file__).with_name("functions.sql")

Enqueue = Callable[..., int]


@pytest.fixture(scope="session")
def template(server: Server, template: str) -> Iterator[str]:
    """The template of this tier: the common one, and functions to call."""
    name = f"{template}_sql"
    with server.administrate() as connection:
        connection.execute(
            f"create database {name} template {template} strategy {server.copying}".encode()
        )
    with server.connect(database=name) as connection:
        connection.execute(f"grant create on database {name} to app".encode())
    with server.connect("app", name) as connection:
        connection.execute(FUNCTIONS.read_bytes())
    with server.connect("other", name) as connection:
        connection.execute(
            "grant usage on schema other to app;"
            "create function other.secret(a integer) returns integer language sql return a;"
            "create function other.public(a integer) returns integer language sql return a;"
            "revoke execute on function other.secret from public"
        )
    yield name
    with server.connect() as connection:
        connection.execute(f"drop database {name} with (force)".encode())


def enqueue_on(
    connection: Connection[Row], task: str | None, args: Any = None, **options: Any
) -> int:
    """Call jobs.enqueue with named options."""
    names = "".join(f", {name} => %({name})s" for name in options)
    given = {
        name: Jsonb(value) if isinstance(value, dict | list) else value
        for name, value in options.items()
    }
    query = f"select jobs.enqueue(%(task)s::text, %(args)s::jsonb{names})"
    row = connection.execute(
        query.encode(), {"task": task, "args": Jsonb(args or {}), **given}
    ).fetchone()
    assert row is not None
    return int(row[0])


@pytest.fixture
def enqueue(sql: Connection[Row]) -> Enqueue:
    """Enqueue on the connection that is rolled back."""
    return lambda task, args=None, **options: enqueue_on(sql, task, args, **options)


@pytest.fixture
def put(database: Database) -> Enqueue:
    """Enqueue in the test's own database, committed."""
    return lambda task, args=None, **options: enqueue_on(database.line(), task, args, **options)


@pytest.fixture
def refused(sql: Connection[Row]) -> Callable[..., psycopg.errors.Diagnostic]:
    """Run something that must be refused; gives what the server says of it.
    The transaction goes on.
    """

    def run(code: str, query: str, arguments: Any = None) -> psycopg.errors.Diagnostic:
        with pytest.raises(psycopg.Error) as caught, sql.transaction():
            sql.execute(query.encode(), arguments)
        assert caught.value.sqlstate == code, caught.value
        return caught.value.diag

    return run


@pytest.fixture
def planned(database: Database) -> Database:
    """A database with the tables of plans.py."""
    database.run(TABLES)
    return database

"""A database that does as a test tells it: the functions that a supervisor calls, made up."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest
from databases import new_name
from support import Row, Server

SCRIPT = Path(__file__).with_name("scripted.sql")
#: Whether the supervisor's process in the server does nothing just now.
RESTS = (
    "exists (select from pg_stat_activity where application_name = 'pyworker supervisor'"
    " and datname = current_database() and state = 'idle')"
)


class Scripted:
    """The database that does as it is told."""

    def __init__(self, server: Server, database: str) -> None:
        assert server.private is not None
        self.dsn = server.private.dsn("supervisor", database)
        self._admin = server.private.dsn("postgres", database)

    def sql(self, statement: str, *arguments: object) -> list[Row]:
        with psycopg.connect(self._admin, autocommit=True) as connection:
            cursor = connection.execute(statement, arguments)
            return cursor.fetchall() if cursor.description else []

    def set(self, **values: object) -> None:
        for name, value in values.items():
            given = json.dumps(value) if isinstance(value, dict | list) else value
            self.sql(f"update jobs_internal.script set {name} = %s", given)

    def feed(self, *rows: dict[str, Any]) -> None:
        with psycopg.connect(self._admin) as connection:
            connection.cursor().executemany(
                "insert into jobs_internal.outbox (row) values (%s)",
                [(json.dumps(row),) for row in rows],
            )


@pytest.fixture
def empty(server: Server) -> Iterator[str]:
    """An empty database's name."""
    assert server.private is not None
    name = new_name("empty")
    with server.administrate() as line:
        line.execute(f"create database {name} strategy {server.copying}".encode())
    yield name
    server.private.start()  # a test may have stopped it
    with server.administrate() as line:
        line.execute(f"drop database {name} with (force)".encode())


@pytest.fixture
def scripted(server: Server, empty: str) -> Scripted:
    told = Scripted(server, empty)
    told.sql(SCRIPT.read_text(encoding="utf-8"))
    return told

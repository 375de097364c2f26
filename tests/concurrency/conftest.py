"""The databases of this tier hold what stage.sql makes."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import psycopg
import pytest
from psycopg import Connection
from stage import know_as_short, make_lane, put, staged
from support import Database, Row, Server

from .rounds import rounds  # noqa: F401  a fixture
from .waiting import Ask


@pytest.fixture(scope="session")
def template(server: Server, template: str) -> Iterator[str]:
    """The template of this tier."""
    with staged(server, template, "concurrency") as name:
        yield name


@pytest.fixture
def prepared(database: Database) -> Database:
    """A database with a lane in which app.note is known to be short."""
    make_lane(database)
    put(database, "app.note", {"n": -1})
    database.drain()
    know_as_short(database)
    database.run("truncate app.ledger")
    return database


@pytest.fixture
def ask() -> Iterator[Ask]:
    """Send a statement without waiting for its answer: the value, or the SQLSTATE of its error."""
    with ThreadPoolExecutor(8) as pool:

        def answer(line: Connection[Row], statement: str) -> Any:
            try:
                cursor = line.execute(statement.encode())
                rows = cursor.fetchall() if cursor.description else []
            except psycopg.Error as error:
                return error.sqlstate
            return rows[0][0] if rows and rows[0] else None

        yield lambda line, statement: pool.submit(answer, line, statement)

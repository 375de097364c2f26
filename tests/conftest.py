"""Fixtures of all tests that need a server with pyworker in it.

The template database is made once for a run; a test that commits gets a clone of its own.
Names carry the process, so that several runs on one server do not meet.
"""

import os
from collections.abc import Callable, Iterator

import pytest
from databases import clone, drop, installed
from kit.server import furnish, run_directory
from psycopg import Connection
from support import Database, Row, Server

from pyworker.server import PrivateServer

Connect = Callable[..., Connection[Row]]


def pytest_configure(config: pytest.Config) -> None:
    """Give each worker of xdist a server of its own: roles, slots and connections belong to a
    server.
    """
    worker = os.environ.get("PYTEST_XDIST_WORKER")
    if worker:
        directory = run_directory() / worker
        os.environ["PYWORKER_SERVER_DIR"] = str(directory)
        # a worker that takes the place of a crashed one has another name
        if not directory.exists():
            furnish(directory)
    elif getattr(config.option, "numprocesses", None):
        run_directory()  # the workers share it


@pytest.fixture(scope="session")
def server() -> Iterator[Server]:
    """PYWORKER_DSN, else the default private server; started when it does not run,
    and then stopped at the end.
    """
    given = os.environ.get("PYWORKER_DSN")
    if given:
        made = Server(conninfo=given, keeps=True)
        yield made
        made.close()
        return
    private = PrivateServer()
    runs = private.status().state == "running"
    if not runs:
        private.start()
    made = Server(conninfo=private.dsn(), private=private, keeps=True)
    yield made
    made.close()
    if not runs:
        private.stop()


@pytest.fixture(scope="session")
def template(server: Server) -> Iterator[str]:
    """A database with pyworker, and a schema of its own for each login;
    nobody is connected to it.
    """
    with installed(server) as name:
        yield name


@pytest.fixture
def database(server: Server, template: str) -> Iterator[Database]:
    """A database of the test's own, with pyworker in it."""
    made = clone(server, template, "test")
    yield made
    drop(made)


@pytest.fixture(scope="module")
def shared(server: Server, template: str) -> Iterator[Database]:
    """A database that the tests of a module share: each leaves it as it was, or does not mind what
    is there.
    """
    made = clone(server, template, "shared")
    made.run("select jobs.enqueue('pg_catalog.now')")  # the lane of app is there
    made.drain()
    yield made
    drop(made)


@pytest.fixture
def sql(shared: Database) -> Iterator[Connection[Row]]:
    """A connection as app whose transaction is rolled back: nothing that is enqueued on it
    ever runs.
    """
    with shared.server.connect("app", shared.name) as connection:
        connection.autocommit = False
        yield connection
        connection.rollback()


@pytest.fixture
def connect(server: Server) -> Iterator[Connect]:
    """Connect as a role to a database; closed at the end of the test."""
    opened: list[Connection[Row]] = []

    def opener(role: str, database: Database, **options: object) -> Connection[Row]:
        opened.append(server.connect(role, database.name, **options))
        return opened[-1]

    yield opener
    for connection in opened:
        connection.close()

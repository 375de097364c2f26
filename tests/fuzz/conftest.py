"""Fuzzing of every function of schema jobs.

`pytest tests/fuzz` runs the same examples every time, some 60 s of them; a failing one is printed,
shortened. `PYWORKER_FUZZ=20 pytest tests/fuzz --timeout 3600` runs twenty times as many,
chosen at random in each run; the failure then also prints a @reproduce_failure line.
"""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from databases import clone, drop
from support import Database, Server

from .calls import Caller
from .catalog import FUZZED

Callers = Callable[[str], Caller]

FUNCTIONS = Path(__file__).with_name("functions.sql")


@pytest.fixture(scope="session")
def template(server: Server, template: str) -> Iterator[str]:
    """The template of this tier: the common one, and functions to call."""
    name = f"{template}_fuzz"
    with server.administrate() as connection:
        connection.execute(
            f"create database {name} template {template} strategy {server.copying}".encode()
        )
    with server.connect("app", name) as connection:
        connection.execute(FUNCTIONS.read_bytes())
    yield name
    with server.connect() as connection:
        connection.execute(f"drop database {name} with (force)".encode())


@pytest.fixture
def database(server: Server, template: str) -> Iterator[Database]:
    """A database of the test's own, where a job that failed is not tried again before the test
    is over.
    """
    made = clone(server, template, "fuzz")
    # what is fuzzed is not the disk
    made.admin(f"alter database {made.name} set synchronous_commit = off")
    for queue in ("fuzz", "fuzz.2"):
        made.run(
            "select jobs.create_queue(%s, share_commits => %s)",
            [queue, queue == "fuzz"],
            role="operator",
        )
    for queue in ("default", "fuzz", "fuzz.2"):
        made.run("select jobs.alter_queue(%s, backoff => '1 hour')", [queue], role="operator")
    yield made
    drop(made)


@pytest.fixture
def caller(database: Database) -> Callers:
    """Give what calls a function, as the role that it is for."""

    def of(function: str) -> Caller:
        fuzzed = FUZZED[function]
        return Caller(
            lambda: database.connect(fuzzed.role, statement_timeout="20s"), function, fuzzed
        )

    return of

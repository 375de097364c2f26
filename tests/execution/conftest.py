"""The databases of this tier hold what stage.sql makes."""

from collections.abc import Iterator

import pytest
from stage import staged
from support import Database, Server

from .taken_back import TABLES


@pytest.fixture(scope="session")
def template(server: Server, template: str) -> Iterator[str]:
    """The template of this tier."""
    with staged(server, template, "execution") as name:
        yield name


@pytest.fixture
def tablespace(database: Database) -> Iterator[str]:
    """A tablespace inside the data directory, in which app may make things."""
    name = f"{database.name}_space"
    with database.server.connect(allow_in_place_tablespaces="on") as connection:
        connection.execute(f"create tablespace {name} location ''".encode())
    database.admin(f"grant create on tablespace {name} to app")
    yield name
    database.admin("drop schema app cascade")
    with database.server.connect() as connection:
        connection.execute(f"drop tablespace {name}".encode())


@pytest.fixture
def tables(database: Database) -> Database:
    """A database with the tables of taken_back.py."""
    database.run(TABLES)
    return database

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
def tables(database: Database) -> Database:
    """A database with the tables of taken_back.py."""
    database.run(TABLES)
    return database

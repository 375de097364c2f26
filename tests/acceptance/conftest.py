"""Real supervisors as processes of their own, real signals, and a server of this tier's own to be
restarted.
"""

from collections.abc import Iterator

import pytest
from databases import installed
from kit.daemon import supervise  # noqa: F401  a fixture
from kit.server import private_server
from stage import staged
from support import Database, Server

from .copying import copies, elsewhere, original, owners  # noqa: F401  fixtures
from .scripted import empty, scripted  # noqa: F401  fixtures
from .ways_in import doors  # noqa: F401  a fixture


@pytest.fixture(scope="session")
def server() -> Iterator[Server]:
    """A private server of this tier's own: its tests stop it the hard way."""
    with private_server("acceptance", durable=True) as private:
        yield Server(conninfo=private.dsn("postgres", "postgres"), private=private)


@pytest.fixture(scope="session")
def template(server: Server) -> Iterator[str]:
    """The template of this tier, on the server of this tier."""
    with installed(server) as bare, staged(server, bare, "acceptance") as name:
        yield name


@pytest.fixture
def database(database: Database) -> Iterator[Database]:
    """A database of the test's own; sessions that linger for more work are sent home at the end."""
    yield database
    idle = (
        "select pg_terminate_backend(pid) from pg_stat_activity where application_name = 'pw idle'"
        " and datname = %s"
    )
    database.admin(idle, [database.name])

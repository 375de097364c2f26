"""What the private server's tests share: packages fetched once, and places that clean up after
themselves.
"""

import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import psycopg
import pytest
from kit import warm
from kit.server import open_directory, private_server, run_directory

from pyworker.config import Settings
from pyworker.server import PrivateServer
from pyworker.server.download import fetch_packages
from pyworker.server.lock import exclusive
from pyworker.server.progress import Quiet

Cli = Callable[..., "subprocess.CompletedProcess[str]"]
IS_ROOT = os.geteuid() == 0
CLOSED = "http://127.0.0.1:9/debian"  # the discard port: nobody listens there


@pytest.fixture(scope="session")
def packages() -> Path:
    """A directory of packages that the whole run shares: the first start downloads,
    the others do not.
    """
    given = os.environ.get("PYWORKER_SERVER_PACKAGES")
    return Path(given) if given else run_directory() / "packages"


@pytest.fixture(scope="session")
def settings(packages: Path) -> Settings:
    return Settings(server_packages=packages)


@pytest.fixture
def place(settings: Settings) -> Iterator[Path]:
    """An empty directory for servers; whatever was started below it is destroyed."""
    top = open_directory("pw-")
    yield top
    for marker in list(top.rglob("pyworker-server.json")):
        PrivateServer(marker.parent, settings=settings).destroy()
    shutil.rmtree(top)


@pytest.fixture(scope="module")
def shared() -> Iterator[PrivateServer]:
    """One server for a module's tests; each of them leaves it as it likes."""
    with private_server("lifecycle", durable=True) as server:
        yield server
        server.destroy()
        assert list(server.dir.parent.iterdir()) == []


@pytest.fixture
def running(shared: PrivateServer) -> PrivateServer:
    shared.start()
    return shared


@pytest.fixture
def cli(packages: Path) -> Cli:
    """Run `pyworker server ...` in a process of its own."""

    def call(
        *arguments: object, umask: int = -1, **environment: str
    ) -> "subprocess.CompletedProcess[str]":
        return warm.run(
            [sys.executable, "-m", "pyworker", "server", *map(str, arguments)],
            env={**os.environ, "PYWORKER_SERVER_PACKAGES": str(packages), **environment},
            capture_output=True,
            text=True,
            check=False,
            stdin=subprocess.DEVNULL,
            umask=umask,
        )

    return call


def works(server: PrivateServer) -> bool:
    with psycopg.connect(server.dsn("app")) as connection:
        return connection.execute("select 1").fetchone() == (1,)


@pytest.fixture
def fetched(place: Path, settings: Settings, packages: Path) -> Path:
    """The directory of packages with all in it: the first test that asks fetches them."""
    packages.mkdir(exist_ok=True)
    with exclusive(packages / "lock"):
        fetch_packages(settings, packages, place / "apt", Quiet())
    return packages

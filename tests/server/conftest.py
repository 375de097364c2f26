"""What the private server's tests share: packages fetched once, and places that clean up after themselves."""

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from pyworker.config import Settings
from pyworker.server import PrivateServer

Cli = Callable[..., "subprocess.CompletedProcess[str]"]


def _open_directory(prefix: str) -> Path:
    """Make a directory that the server's OS user may pass; pytest's own are closed to everyone else."""
    place = Path(tempfile.mkdtemp(prefix=prefix))
    place.chmod(0o755)
    return place


@pytest.fixture(scope="session")
def packages() -> Iterator[Path]:
    """A directory of packages that the whole session shares: the first start downloads, the others do not."""
    given = os.environ.get("PYWORKER_SERVER_PACKAGES")
    if given:
        yield Path(given)
        return
    place = _open_directory("pw-debs-")
    yield place
    shutil.rmtree(place)


@pytest.fixture(scope="session")
def settings(packages: Path) -> Settings:
    return Settings(server_packages=packages)


@pytest.fixture
def place(settings: Settings) -> Iterator[Path]:
    """An empty directory for servers; whatever was started below it is destroyed."""
    top = _open_directory("pw-")
    yield top
    for marker in list(top.rglob("pyworker-server.json")):
        PrivateServer(marker.parent, settings=settings).destroy()
    shutil.rmtree(top)


@pytest.fixture(scope="module")
def shared(settings: Settings) -> Iterator[PrivateServer]:
    """One server for a module's tests; each of them leaves it as it likes."""
    top = _open_directory("pw-")
    server = PrivateServer(top / "s", settings=settings)
    server.start()
    yield server
    server.destroy()
    assert list(top.iterdir()) == []
    top.rmdir()


@pytest.fixture
def running(shared: PrivateServer) -> PrivateServer:
    shared.start()
    return shared


@pytest.fixture
def cli(packages: Path) -> Cli:
    """Run `pyworker server ...` in a process of its own."""

    def call(*arguments: object, **environment: str) -> "subprocess.CompletedProcess[str]":
        return subprocess.run(
            [sys.executable, "-m", "pyworker", "server", *map(str, arguments)],
            env={**os.environ, "PYWORKER_SERVER_PACKAGES": str(packages), **environment},
            capture_output=True,
            text=True,
            check=False,
            stdin=subprocess.DEVNULL,
        )

    return call

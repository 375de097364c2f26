"""From nothing to a server, on a disk that is full, or closed to its user."""

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from kit.server import furnish

from pyworker.config import Settings
from pyworker.errors import ServerError
from pyworker.server import PrivateServer
from pyworker.server.progress import Quiet
from tests.server.conftest import IS_ROOT, Cli

pytestmark = pytest.mark.timeout(300)  # whoever is first fetches 60 MB


@pytest.fixture
def small_disk(place: Path, request: pytest.FixtureRequest) -> Iterator[Path]:
    if not IS_ROOT:
        pytest.skip("mounting a small file system needs root")
    disk = place / "disk"
    disk.mkdir()
    argv = ["mount", "-t", "tmpfs", "-o", f"size={request.param}m,mode=755", "tmpfs", str(disk)]
    if subprocess.run(argv, check=False, capture_output=True).returncode:
        pytest.skip("this machine does not let us mount a file system")
    yield disk
    subprocess.run(["umount", "--lazy", str(disk)], check=True)


@pytest.mark.parametrize("small_disk", [40], indirect=True)
def test_a_small_disk_is_refused_before_anything_is_fetched(small_disk: Path, cli: Cli) -> None:
    done = cli("start", "--dir", small_disk / "s", PYWORKER_SERVER_PACKAGES="")

    assert done.returncode == 1
    assert "not enough space" in done.stderr
    assert "--dir" in done.stderr


class Filling(Quiet):
    """Fills the disk when a step begins."""

    def __init__(self, disk: Path, moment: str) -> None:
        self.disk, self.moment = disk, moment

    def phase(self, text: str) -> None:
        if text.startswith(self.moment) and not (self.disk / "other").exists():
            found = os.statvfs(self.disk)
            with (self.disk / "other").open("wb") as file:
                os.posix_fallocate(file.fileno(), 0, found.f_bavail * found.f_frsize - LEFT)


LEFT = 4 << 20  # bytes: less than any of the steps writes


@pytest.mark.parametrize("small_disk", [400], indirect=True)
@pytest.mark.parametrize("moment", ["reading", "downloading", "unpacking", "creating"])
def test_a_disk_that_fills_up_is_one_clear_error(
    small_disk: Path, moment: str, fetched: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whichever step meets the end of the disk: the download, the unpacking or the cluster."""
    for name in ("download", "prefix", "cluster"):
        monkeypatch.setattr(f"pyworker.server.{name}.require_space", lambda *_args, **_kwargs: None)
    server = (
        furnish(small_disk / "s", data=False)
        if moment == "creating"
        else PrivateServer(small_disk / "s")
    )
    server.settings = Settings(server_packages=fetched if moment == "unpacking" else None)

    with pytest.raises(ServerError, match="no space left") as failure:
        server.start(Filling(small_disk, moment))

    assert "--dir" in str(failure.value)
    server.destroy()
    assert [path.name for path in small_disk.iterdir()] == ["other"]


def test_a_directory_closed_to_the_servers_user_is_one_clear_error(
    place: Path, settings: Settings
) -> None:
    if not IS_ROOT:
        pytest.skip("an ordinary user's server runs as that user")
    closed = place / "closed"
    closed.mkdir(mode=0o700)

    with pytest.raises(ServerError, match="cannot reach"):
        PrivateServer(closed / "s", settings=settings).start()

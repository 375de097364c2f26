"""From nothing to a server: mirrors, keys and tools that are not there."""

import shutil
from pathlib import Path

import pytest

from pyworker.config import Settings
from pyworker.errors import ServerError
from pyworker.server import PrivateServer
from tests.server.conftest import CLOSED, Cli

pytestmark = pytest.mark.timeout(300)  # whoever is first fetches 60 MB


def test_an_unreachable_mirror_is_one_clear_error(place: Path, cli: Cli) -> None:
    done = cli(
        "start",
        "--dir",
        place / "s",
        PYWORKER_SERVER_MIRROR=CLOSED,
        PYWORKER_SERVER_PACKAGES=str(place / "p"),
    )

    assert done.returncode == 1
    assert "failed" in done.stderr
    assert "PYWORKER_DSN" in done.stderr
    assert "docker" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_missing_apt_is_one_clear_error(place: Path, cli: Cli) -> None:
    (place / "bin").mkdir()
    done = cli(
        "start",
        "--dir",
        place / "s",
        PATH=str(place / "bin"),
        PYWORKER_SERVER_PACKAGES=str(place / "p"),
    )

    assert done.returncode == 1
    assert 'program "apt-get" was not found' in done.stderr
    assert "PYWORKER_DSN" in done.stderr


def test_a_missing_keyring_is_one_clear_error(place: Path, packages: Path) -> None:
    server = PrivateServer(
        place / "s", settings=Settings(server_keyring=place / "none", server_packages=place / "p")
    )

    with pytest.raises(ServerError, match="keyring"):
        server.start()


def test_a_keyring_without_the_suites_key_is_one_clear_error(place: Path) -> None:
    shutil.copy("/usr/share/keyrings/debian-archive-removed-keys.gpg", place / "old.gpg")
    (place / "old.gpg").chmod(0o644)
    settings = Settings(server_keyring=place / "old.gpg", server_packages=place / "p")

    with pytest.raises(ServerError, match="signature of Debian suite") as failure:
        PrivateServer(place / "s", settings=settings).start()
    assert "debian-archive-keyring" in str(failure.value)

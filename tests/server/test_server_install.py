"""From nothing to a server, with everything that can come between."""

import json
import os
import shutil
import signal
import stat
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
from kit.server import furnish
from support import wait_until

from pyworker.config import Settings
from pyworker.errors import ServerError
from pyworker.server import PrivateServer
from pyworker.server import private as private_module
from tests.server.conftest import CLOSED, IS_ROOT, Cli, works

pytestmark = pytest.mark.timeout(300)  # whoever is first fetches 60 MB


def test_two_servers_live_side_by_side_and_destroy_leaves_nothing(
    place: Path, settings: Settings
) -> None:
    left, right = (
        PrivateServer(place / "deep" / name, settings=settings) for name in ("left", "right")
    )
    for server in (left, right):
        furnish(server.dir)
        server.start()
    assert works(left)
    assert works(right)

    left.destroy()

    assert works(right)
    right.destroy()
    left.destroy()  # nothing to do is no error
    assert list(place.iterdir()) == []


@pytest.mark.parametrize("content", ["a file", "a directory"])
def test_foreign_content_is_left_alone(place: Path, settings: Settings, content: str) -> None:
    (place / "data").mkdir() if content == "a directory" else (place / "precious").write_text(
        "mine"
    )
    server = PrivateServer(place, settings=settings)
    for action in (server.start, server.stop, server.destroy):
        with pytest.raises(ServerError, match="is not a private server's"):
            action()
    assert len(list(place.iterdir())) == 1


def assert_private(directory: Path) -> None:
    """Assert that what is secret only its owner reads, and what was made there no other user
    writes.
    """
    modes = {path: path.lstat() for path in directory.rglob("*") if not path.is_symlink()}
    writable = [
        str(path)
        for path, found in modes.items()
        if not stat.S_ISSOCK(found.st_mode) and found.st_mode & 0o022
    ]
    assert writable == []
    assert stat.S_IMODE((directory / "passwords.json").stat().st_mode) == 0o600
    assert set(json.loads((directory / "passwords.json").read_text())) == {
        "postgres",
        "app",
        "supervisor",
    }
    for name in ("data", "run"):  # the socket itself is open: its directory is what is closed
        assert stat.S_IMODE((directory / name).stat().st_mode) == 0o700
    for path in (directory / "data").glob("*.conf"):
        assert stat.S_IMODE(path.stat().st_mode) == 0o600, path
    logs = list((directory / "log").iterdir())
    assert logs
    assert [path for path in logs if path.stat().st_mode & 0o077] == []


def test_three_starts_at_the_same_moment_make_one_server_that_is_private(
    place: Path, cli: Cli, fetched: Path
) -> None:
    """They need no network: the set of packages is complete. It is private under any umask."""
    results: list[subprocess.CompletedProcess[str]] = []

    def start() -> None:
        results.append(cli("start", "--dir", place / "s", umask=0, PYWORKER_SERVER_MIRROR=CLOSED))

    threads = [threading.Thread(target=start) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert [(done.returncode, done.stderr) for done in results if done.returncode] == []
    assert len({done.stdout for done in results}) == 1
    server = PrivateServer(
        place / "s", settings=Settings(server_packages=fetched, server_mirror=CLOSED)
    )
    assert works(server)
    assert_private(server.dir)
    server.destroy()
    assert list(place.iterdir()) == []


MOMENTS = ("reading", "downloading", "unpacking", "preparing", "creating")


def end_midway(directory: Path, settings: Settings, moment: str) -> int:
    """Start a server in a process that ends itself the hard way when the given step begins;
    gives its exit code.
    """
    code = f"""
import os, threading
from pyworker.server import PrivateServer
class Fatal:
    def phase(self, text):
        if text.startswith({moment!r}):
            threading.Timer(0.3, os._exit, [9]).start()
    def advance(self, fraction): pass
PrivateServer({str(directory)!r}).start(Fatal())
os._exit(0)
"""
    environment = {**os.environ}
    if moment in ("reading", "downloading"):
        environment.pop("PYWORKER_SERVER_PACKAGES", None)
    else:
        environment["PYWORKER_SERVER_PACKAGES"] = str(settings.server_packages)
    return subprocess.run(
        [sys.executable, "-c", code], env=environment, stderr=subprocess.DEVNULL, check=False
    ).returncode


def truncate_a_package(fetched: Path, packages: Path) -> tuple[Path, bytes]:
    """Copy packages, but for the end of one; gives its path and what it should be."""
    shutil.copytree(fetched, packages, ignore=shutil.ignore_patterns("lock"))
    victim = max(packages.glob("postgresql-*.deb"), key=lambda path: path.stat().st_size)
    whole = victim.read_bytes()
    victim.write_bytes(whole[: len(whole) // 2])
    return victim, whole


def test_a_start_that_was_ended_midway_is_taken_up(place: Path, fetched: Path) -> None:
    """Each start takes up what the one before it left, as far as its own end; the last one finishes
    the work.

    The first of them finds a package that is truncated, and fetches it again.
    """
    victim, whole = truncate_a_package(fetched, place / "p")
    settings = Settings(server_packages=place / "p")
    for moment in MOMENTS:
        # What a dead process had started may hold apt's lock for a moment; then the next one fails
        # with 1.
        wait_until(lambda moment=moment: end_midway(place / "s", settings, moment) in (0, 9), 60)  # type: ignore[misc]
    server = PrivateServer(place / "s", settings=settings)

    def started() -> bool:
        try:
            server.start()
        except ServerError:  # its initdb may go on writing for a moment
            return False
        return True

    wait_until(started, 100, step=0.5)
    assert victim.read_bytes() == whole
    assert works(server)
    server.destroy()
    assert [path.name for path in place.iterdir()] == ["p"]


def test_leftovers_of_every_step_do_no_harm(place: Path, settings: Settings) -> None:
    server = furnish(place / "s", data=False)
    server.settings = settings
    (server.dir / "prefix").unlink()  # to those that all tests share
    for leftover in ("data.tmp", "prefix", "prefix.tmp", "prefix.gone-1", "apt"):
        (server.dir / leftover).mkdir()
        (server.dir / leftover / "half").write_text("x")

    server.start()

    assert works(server)


def test_a_long_directory_gets_a_short_private_socket(place: Path) -> None:
    server = furnish(place / ("d" * 60) / ("e" * 60))
    server.start()
    directory = server.status().socket
    assert directory is not None
    assert not directory.is_relative_to(place)
    assert directory.stat().st_mode & 0o777 == 0o700
    assert works(server)

    server.destroy()

    assert not directory.exists()
    assert list(place.iterdir()) == []


@pytest.mark.skipif(not IS_ROOT, reason="an ordinary user runs all of these tests anyway")
def test_an_ordinary_user_needs_no_rights(place: Path, packages: Path) -> None:
    home = place / "home"
    home.mkdir()
    shutil.chown(home, "nobody")
    source = Path(private_module.__file__).parents[2]
    argv = [
        "setpriv",
        "--reuid=nobody",
        "--regid=nogroup",
        "--clear-groups",
        sys.executable,
        "-m",
        "pyworker",
        "server",
    ]
    environment = {"PATH": os.environ["PATH"], "HOME": str(home), "PYTHONPATH": str(source)}

    def call(*arguments: str) -> "subprocess.CompletedProcess[str]":
        return subprocess.run(
            [*argv, *arguments],
            env=environment,
            cwd="/",
            capture_output=True,
            text=True,
            check=False,
        )

    started = call("start")
    assert started.returncode == 0, started.stderr
    assert (home / ".local/share/pyworker/server/data").is_dir()
    assert call("psql", "--", "-XAtc", "select current_user").stdout == "app\n"
    assert call("destroy", "--yes").returncode == 0
    assert list(home.iterdir()) == []


def test_an_interrupted_start_says_so(place: Path) -> None:
    # A shell's background job ignores the interrupt, and so would all that it starts.
    interruptible = ["env", "--default-signal=INT", sys.executable]
    argv = [*interruptible, "-m", "pyworker", "server", "start", "--dir", str(place / "s")]
    environment = {**os.environ, "PYWORKER_SERVER_PACKAGES": ""}
    with subprocess.Popen(
        argv, env=environment, stderr=subprocess.PIPE, text=True, start_new_session=True
    ) as process:
        while not (place / "s" / "apt").exists() and process.poll() is None:
            time.sleep(0.01)
        os.killpg(process.pid, signal.SIGINT)
        _, said = process.communicate()

    assert process.returncode == 130
    assert "interrupted" in said
    assert "Traceback" not in said

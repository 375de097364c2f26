"""Whatever the umask is: what is secret only its owner reads, and what we make nobody else writes."""

import json
import os
import shutil
import stat
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from kit import warm
from kit.server import open_directory, run_directory

from pyworker.demo.daemon import Daemon
from pyworker.server import PrivateServer
from pyworker.server.files import open_private

WIDE_OPEN = 0o000


@pytest.fixture
def top() -> Iterator[Path]:
    place = open_directory("pw-")
    yield place
    for marker in list(place.rglob("pyworker-server.json")):
        PrivateServer(marker.parent).destroy()
    shutil.rmtree(place)


def pyworker(*arguments: str) -> "subprocess.CompletedProcess[str]":
    return warm.run(
        [sys.executable, "-m", "pyworker", *arguments],
        env={"PYWORKER_SERVER_PACKAGES": str(run_directory() / "packages"), **os.environ},
        capture_output=True, text=True, check=False, timeout=250, umask=WIDE_OPEN,
    )  # fmt: skip


@pytest.mark.timeout(300)
def test_the_private_server_is_private_under_any_umask(top: Path) -> None:
    directory = top / "s"
    done = pyworker("server", "start", "--dir", str(directory))
    assert done.returncode == 0, done.stderr
    figures = top / "figures.json"
    done = pyworker("bench", "--tiny", "--only", "warm", "--dir", str(directory), "--json", str(figures))
    assert figures.is_file(), done.stderr
    assert stat.S_IMODE(figures.stat().st_mode) == 0o644

    modes = {path: path.lstat() for path in directory.rglob("*") if not path.is_symlink()}
    writable = [
        str(path) for path, found in modes.items() if not stat.S_ISSOCK(found.st_mode) and found.st_mode & 0o022
    ]
    assert writable == []
    assert stat.S_IMODE((directory / "passwords.json").stat().st_mode) == 0o600
    assert set(json.loads((directory / "passwords.json").read_text())) == {"postgres", "app", "supervisor"}
    for name in ("data", "run"):  # the socket itself is open: its directory is what is closed
        assert stat.S_IMODE((directory / name).stat().st_mode) == 0o700
    for path in (directory / "data").glob("*.conf"):
        assert stat.S_IMODE(path.stat().st_mode) == 0o600, path
    logs = list((directory / "log").iterdir())
    assert logs
    assert [path for path in logs if path.stat().st_mode & 0o077] == []


def test_whatever_a_command_makes_nobody_else_writes(tmp_path: Path) -> None:
    (tmp_path / "sitecustomize.py").write_text(
        "import atexit, pathlib\natexit.register(lambda: pathlib.Path('made').write_text('at the end'))\n"
    )
    subprocess.run(
        [sys.executable, "-m", "pyworker", "bench", "--list"],
        env={**os.environ, "PYTHONPATH": str(tmp_path)}, cwd=tmp_path, check=True, capture_output=True, umask=WIDE_OPEN,
    )  # fmt: skip
    assert stat.S_IMODE((tmp_path / "made").stat().st_mode) == 0o644


def test_a_private_file_is_private_even_where_it_was_open(tmp_path: Path) -> None:
    path = tmp_path / "log"
    path.write_text("old")
    path.chmod(0o666)
    with open_private(path) as file:
        file.write(b"new")
    assert (path.read_text(), stat.S_IMODE(path.stat().st_mode)) == ("new", 0o600)
    (tmp_path / "link").symlink_to(path)
    with pytest.raises(OSError, match="symbolic links"):
        open_private(tmp_path / "link")


def test_the_demo_keeps_its_daemons_log_to_itself(tmp_path: Path) -> None:
    log = tmp_path / "log"
    before = os.umask(WIDE_OPEN)
    try:
        with pytest.raises(Exception, match="the supervisor left"), Daemon("host=/nowhere", "app", log, {}):
            pass
    finally:
        os.umask(before)
    assert stat.S_IMODE(log.stat().st_mode) == 0o600

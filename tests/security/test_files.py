"""Whatever the umask is: what is secret only its owner reads, and what we make nobody else
writes.
"""

import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from pyworker.demo.daemon import Daemon
from pyworker.server.files import open_private

WIDE_OPEN = 0o000


def test_whatever_a_command_makes_nobody_else_writes(tmp_path: Path) -> None:
    (tmp_path / "sitecustomize.py").write_text(
        "import atexit, pathlib\natexit.register(lambda: pathlib.Path('made').write_text('at the"
        " end'))\n"
    )
    subprocess.run(
        [sys.executable, "-m", "pyworker", "bench", "--list"],
        env={**os.environ, "PYTHONPATH": str(tmp_path)}, cwd=tmp_path, check=True,
        capture_output=True, umask=WIDE_OPEN,
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
        with (
            pytest.raises(Exception, match="the supervisor left"),
            Daemon("host=/nowhere", "app", log, {}),
        ):
            pass
    finally:
        os.umask(before)
    assert stat.S_IMODE(log.stat().st_mode) == 0o600

"""promtool, of Debian's package prometheus: the machine's own, or unpacked into a cache of the
tests, so that no server is installed.
"""

import os
import shutil
import subprocess
import tempfile
from pathlib import Path

import pytest
from filelock import FileLock

_INSIDE = "./usr/bin/promtool"


def _call(*argv: str | Path, cwd: Path) -> bool:
    done = subprocess.run(argv, cwd=cwd, capture_output=True, check=False, timeout=240)
    return done.returncode == 0


def _fetch(cache: Path) -> bool:
    with tempfile.TemporaryDirectory(dir=cache) as name:
        place = Path(name)
        got = _call("apt-get", "download", "prometheus", cwd=place)
        if not got and os.geteuid() == 0:
            _call("apt-get", "-q", "update", cwd=place)
            got = _call("apt-get", "download", "prometheus", cwd=place)
        if not got:
            return False
        tree, package = place / "tree", next(place.glob("prometheus_*.deb"))
        if not _call("dpkg-deb", "--extract", package, tree, cwd=place):
            return False
        (tree / _INSIDE).rename(cache / "promtool")
    return True


def find() -> Path:
    """Give the program; skips the test where it cannot be had."""
    own = shutil.which("promtool")
    if own:
        return Path(own)
    base = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    cache = base / "pyworker-tests"
    cache.mkdir(mode=0o700, parents=True, exist_ok=True)
    with FileLock(cache / "lock"):
        if not (cache / "promtool").exists():
            if not shutil.which("apt-get"):
                pytest.skip("promtool is not installed, and there is no apt to fetch it")
            if not _fetch(cache):
                pytest.skip("promtool is not installed, and apt does not get Debian's prometheus")
    return cache / "promtool"


def promtool(*arguments: str | Path, text: str = "") -> tuple[int, str]:
    """Run it; gives its exit code and what it says."""
    done = subprocess.run(
        [find(), *arguments], input=text, capture_output=True, text=True, check=False, timeout=120
    )
    return done.returncode, done.stdout + done.stderr

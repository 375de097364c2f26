"""Programs of the machine: which are missing, how they are installed, and how they are run."""

import os
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from subprocess import DEVNULL, PIPE, STDOUT, run

#: Program -> the Debian package that brings it.
PROGRAMS = {"dockerd": "docker.io", "docker-compose": "docker-compose", "mmdebstrap": "mmdebstrap"}
#: The system's own programs first: another `docker` may want a builder that Debian's does not need.
PATH = "/usr/sbin:/usr/bin:/sbin:/bin"


def why_not() -> str | None:
    """Say why no engine can be started here; None: one can."""
    if os.geteuid() != 0:
        return "an engine of one's own needs root"
    if not Path("/etc/debian_version").exists() or not shutil.which("apt-get", path=PATH):
        return "the base images are made of Debian's packages, by a Debian machine"
    return None


def call(
    *argv: str | Path,
    env: Mapping[str, str] | None = None,
    cwd: Path | None = None,
    timeout: float = 240,
) -> str:
    """Run a program to its end and give what it printed; an error that shows it when it failed."""
    words = [str(word) for word in argv]
    done = run(
        words,
        env={**os.environ, "PATH": PATH, "LC_ALL": "C.UTF-8", **(env or {})},
        cwd=cwd,
        stdin=DEVNULL,
        stdout=PIPE,
        stderr=STDOUT,
        encoding="utf-8",
        errors="replace",
        timeout=timeout,
        check=False,
    )
    if done.returncode != 0:
        raise AssertionError(f"{' '.join(words)}: exit {done.returncode}\n{done.stdout[-6000:]}")
    return done.stdout


def install_missing() -> None:
    """Install what is missing; it stays, as a user of this machine would have it."""
    missing = sorted(
        {package for program, package in PROGRAMS.items() if not shutil.which(program, path=PATH)}
    )
    if missing:
        quiet = {"DEBIAN_FRONTEND": "noninteractive"}
        call("apt-get", "-q", "update", env=quiet)
        call("apt-get", "-q", "install", "--yes", "--no-install-recommends", *missing, env=quiet)


def settings_of(program: Sequence[str], marks: Sequence[str]) -> list[str]:
    """Give the lines of a program's answer that begin with one of the marks."""
    return [line for line in call(*program).splitlines() if line.startswith(tuple(marks))]

"""Which process is the server: told from the pid file, and believed only when the process works in
our cluster.
"""

import os
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from subprocess import run

__all__ = ["Postmaster", "processes_in", "read_postmaster", "remove_stale_pid_file", "wait_gone"]

_PID_FILE = "postmaster.pid"


@dataclass(frozen=True, kw_only=True)
class Postmaster:
    """A running server, as its pid file describes it."""

    pid: int
    started_at: int
    port: int
    socket_directory: str
    listens: bool
    ready: bool

    @property
    def uptime(self) -> float:
        """Seconds since it started."""
        return max(0.0, time.time() - self.started_at)


def _works_in(pid: int, data: Path) -> bool:
    link = Path(f"/proc/{pid}/cwd")
    try:
        return link.samefile(data)
    except PermissionError:
        return _works_in_as_owner(link, data)
    except OSError:
        return False


def _works_in_as_owner(link: Path, data: Path) -> bool:
    """Ask as the cluster's owner: root in a container may lack the right to look at another user's
    process.
    """
    try:
        owner = data.stat()
        if os.geteuid() != 0 or link.lstat().st_uid != owner.st_uid:
            return False
    except OSError:
        return False
    argv = ["/usr/bin/readlink", str(link)]
    asked = run(
        argv,
        user=owner.st_uid,
        group=owner.st_gid,
        extra_groups=[],
        capture_output=True,
        text=True,
        check=False,
    )
    return asked.stdout.strip() == str(data)


def processes_in(data: Path) -> Iterator[int]:
    """List the processes that work in the cluster: the server, or what is left of one."""
    for entry in Path("/proc").iterdir():
        if entry.name.isdecimal() and _works_in(int(entry.name), data):
            yield int(entry.name)


def read_postmaster(data: Path) -> Postmaster | None:
    """Read the pid file; None: no server of ours runs (the file is missing, half-written or names a
    stranger).
    """
    try:
        lines = (data / _PID_FILE).read_text(encoding="utf-8").splitlines()
        pid = abs(int(lines[0]))
    except (OSError, ValueError, IndexError):
        return None
    if not _works_in(pid, data):
        return None
    padded = [line.strip() for line in lines] + [""] * 8
    return Postmaster(
        pid=pid,
        started_at=int(padded[2] or 0),
        port=int(padded[3] or 0),
        socket_directory=padded[4],
        listens=bool(padded[5]),
        ready=padded[7] == "ready",
    )


def wait_gone(data: Path, *, timeout: float = 5.0) -> list[int]:
    """Wait for the processes of an earlier server to end; returns those that stay longer than
    `timeout` seconds.
    """
    until = time.monotonic() + timeout
    while left := list(processes_in(data)):
        if time.monotonic() > until:
            break
        time.sleep(0.05)
    return left


def remove_stale_pid_file(data: Path) -> list[int]:
    """Remove a pid file that no process backs. PostgreSQL would respect a stranger that got the
    same pid.

    Returns the processes of an earlier server that are still there; then the file stays.
    """
    left = wait_gone(data)
    if not left:
        (data / _PID_FILE).unlink(missing_ok=True)
    return left

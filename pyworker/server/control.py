"""Starting and stopping the server process with its own pg_ctl."""

import time
from collections.abc import Mapping
from pathlib import Path
from typing import Literal

from pyworker.errors import ServerError
from pyworker.server.layout import Layout
from pyworker.server.osuser import OsUser
from pyworker.server.prefix import Prefix
from pyworker.server.process import read_postmaster, remove_stale_pid_file
from pyworker.server.tools import OTHER_WAYS, disk_full, says_disk_full

__all__ = ["StopMode", "start_server", "stop_server", "wait_ready"]

StopMode = Literal["smart", "fast", "immediate"]

_START_SECONDS = 120  # recovery after a crash takes its time
_LOG_LINES = 5
_TELLING = ("FATAL:", "PANIC:", "ERROR:", "WARNING:", "could not bind", "HINT:")


def _log_since(log: Path, offset: int) -> str:
    try:
        with log.open("rb") as file:
            file.seek(offset)
            return file.read().decode(errors="replace")
    except OSError:
        return ""


def _reason(text: str) -> str:
    lines = text.splitlines()
    telling = [line for line in lines if any(sign in line for sign in _TELLING)]
    return " ".join(line.strip() for line in (telling or lines)[-_LOG_LINES:])


def start_server(
    layout: Layout, prefix: Prefix, user: OsUser, environment: Mapping[str, str]
) -> None:
    """Start the server and wait until it takes connections; otherwise the reason comes from its
    log.
    """
    left = remove_stale_pid_file(layout.data)
    if left:
        raise ServerError(
            "processes of an earlier server are still at work in the cluster",
            detail=f"Process {', '.join(str(pid) for pid in left[:5])}; their server is gone.",
            hint="Wait until they end, or end them with SIGTERM, then start again.",
        )
    offset = layout.log_file.stat().st_size if layout.log_file.exists() else 0
    argv: list[str | Path] = [
        prefix.program("pg_ctl"),
        "start",
        "--silent",
        "--wait",
        f"--timeout={_START_SECONDS}",
    ]
    done = user.run(
        [*argv, "--pgdata", layout.data, "--log", layout.log_file],
        cwd=layout.root,
        extra=environment,
    )
    if done.returncode == 0:
        return
    log = _log_since(layout.log_file, offset)
    if says_disk_full(log + done.stdout):
        raise disk_full(layout.root, what="starting the server")
    raise ServerError(
        "the private server did not start",
        detail=_reason(log) or done.stdout.strip(),
        hint=f"The full log is {layout.log_file}. {OTHER_WAYS}",
    )


def wait_ready(layout: Layout) -> None:
    """Wait until a server that another process started takes connections."""
    until = time.monotonic() + _START_SECONDS
    while time.monotonic() < until:
        postmaster = read_postmaster(layout.data)
        if postmaster is None:
            break
        if postmaster.ready:
            return
        time.sleep(0.05)
    raise ServerError(
        "the private server does not become ready",
        detail=_reason(_log_since(layout.log_file, 0)[-4000:]),
        hint=f"Look into {layout.log_file}, then `pyworker server stop` and start again.",
    )


def stop_server(
    layout: Layout, prefix: Prefix, user: OsUser, *, mode: StopMode, timeout: float
) -> None:
    """Ask the server to end and wait for it. It is never killed: that would cost every session its
    work.
    """
    argv: list[str | Path] = [
        prefix.program("pg_ctl"),
        "stop",
        "--silent",
        "--wait",
        f"--mode={mode}",
    ]
    argv += [f"--timeout={max(1, round(timeout))}", "--pgdata", layout.data]
    done = user.run(argv, cwd=layout.root)
    postmaster = read_postmaster(layout.data)
    if postmaster is None:
        return
    raise ServerError(
        f"the private server did not stop within {timeout:g} s",
        detail=f"Process {postmaster.pid} is still at work. {done.stdout.strip()}",
        hint=(
            "A session may be busy. Try again, or use --mode immediate (the next start then "
            "recovers from the log)."
        ),
    )

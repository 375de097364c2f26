"""Running apt, dpkg and patchelf: one way to find them, to run them, and to name what
went wrong.
"""

import errno
import os
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from subprocess import DEVNULL, CompletedProcess, run

from pyworker.errors import ServerError

__all__ = [
    "OTHER_WAYS",
    "disk_full",
    "find_tool",
    "is_disk_full",
    "require_space",
    "run_tool",
    "says_disk_full",
]

#: What people can do where no private server can be had.
OTHER_WAYS = "Or set PYWORKER_DSN to a server that has pg_background, or use docker/compose.yaml."

_FULL = ("no space left on device", "disk quota exceeded", "you don't have enough free space")


def find_tool(name: str, package: str) -> str:
    """Find a program of the machine, or say which package brings it."""
    found = shutil.which(name)
    if found is None:
        raise ServerError(
            f'program "{name}" was not found',
            detail="The private server is fetched and unpacked with Debian's own tools.",
            hint=f"Use a Debian-like system with the package {package}. {OTHER_WAYS}",
        )
    return found


def run_tool(
    argv: Sequence[str | Path], *, env: Mapping[str, str] | None = None
) -> CompletedProcess[str]:
    """Run a tool to its end, in English; stdout and stderr apart."""
    return run(
        [str(part) for part in argv],
        env={**os.environ, "LC_ALL": "C", "DEBIAN_FRONTEND": "noninteractive", **(env or {})},
        stdin=DEVNULL,
        capture_output=True,
        encoding="utf-8",
        errors="replace",
        check=False,
    )


def says_disk_full(text: str) -> bool:
    """Tell whether a program's output complains about space."""
    lowered = text.lower()
    return any(sign in lowered for sign in _FULL)


def free_bytes(path: Path) -> int:
    """Measure the space left on the file system of `path`, or of its nearest parent that exists."""
    while not path.exists():
        path = path.parent
    return shutil.disk_usage(path).free


def disk_full(path: Path, *, what: str) -> ServerError:
    """Make the one error for a full disk."""
    free = free_bytes(path) // 1_000_000
    return ServerError(
        f'no space left while {what} in "{path}"',
        detail=f"{free} MB are free there.",
        hint=(
            "Free some space and start again, or choose another place with --dir or "
            "PYWORKER_SERVER_DIR. What is complete is kept."
        ),
    )


def require_space(path: Path, megabytes: int, *, what: str) -> None:
    """Refuse a step early when the disk cannot hold its result."""
    free = free_bytes(path)
    if free < megabytes * 1_000_000:
        raise ServerError(
            f'not enough space for {what} in "{path}"',
            detail=f"It takes about {megabytes} MB, and {free // 1_000_000} MB are free.",
            hint=(
                "Free some space and start again, or choose another place with --dir or "
                "PYWORKER_SERVER_DIR. What is complete is kept."
            ),
        )


def is_disk_full(error: OSError) -> bool:
    """Tell whether an OSError means a full disk or quota."""
    return error.errno in (errno.ENOSPC, errno.EDQUOT)

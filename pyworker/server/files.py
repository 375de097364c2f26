"""Small file operations that are whole or not done at all."""

import os
import shutil
import uuid
from pathlib import Path
from typing import BinaryIO

__all__ = ["discard", "disk_use", "make_directory", "open_private", "write_atomically"]


def make_directory(path: Path, mode: int) -> None:
    """Make one directory with exactly this mode, whatever the umask; an existing one
    keeps its own.
    """
    try:
        path.mkdir(mode=mode)
    except FileExistsError:
        if not path.is_dir():
            raise
    else:
        path.chmod(mode)


def open_private(path: Path) -> BinaryIO:
    """Open a file for writing, empty, that only its owner may read, whatever the umask and whatever
    was there.
    """
    file = open(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW, 0o600), "wb")  # noqa: PTH123, SIM115
    os.fchmod(file.fileno(), 0o600)
    return file


def write_atomically(path: Path, text: str, mode: int = 0o644) -> None:
    """Write a file so that a reader, or a crash, sees the old text or the new."""
    temporary = path.with_name(f".{path.name}.{uuid.uuid4().hex}.tmp")
    try:
        new = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
        with open(new, "w", encoding="utf-8") as file:  # noqa: PTH123  a descriptor, not a path
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        temporary.chmod(mode)
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def discard(path: Path) -> None:
    """Remove a tree: rename it first, so that a half-removed one is never taken for whole."""
    if path.is_symlink() or not path.is_dir():
        path.unlink(missing_ok=True)
        return
    gone = path.with_name(f"{path.name}.gone-{uuid.uuid4().hex[:8]}")
    path.rename(gone)
    shutil.rmtree(gone)


def disk_use(path: Path) -> int:
    """Sum up the bytes on disk below a directory; what vanishes meanwhile counts nothing."""
    total = 0
    for folder, _folders, files in os.walk(path, onerror=None):
        for name in files:
            try:
                # strings are fast here
                total += os.lstat(os.path.join(folder, name)).st_blocks * 512  # noqa: PTH118
            except OSError:
                continue
    return total

"""One process at a time starts, stops or destroys a private server; the others wait, then find the
work done.
"""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock, Timeout

from pyworker.errors import ServerBusy, ServerError

__all__ = ["exclusive"]

_TIMEOUT = 300.0


def _same_file(lock: FileLock, path: Path) -> bool:
    descriptor = lock._context.lock_file_fd  # noqa: SLF001  filelock keeps the descriptor to itself
    try:
        return descriptor is not None and os.path.samestat(os.fstat(descriptor), path.stat())
    except FileNotFoundError:
        return False


@contextmanager
def exclusive(path: Path, *, timeout: float = _TIMEOUT) -> Iterator[None]:
    """Hold the lock file; a lock on a file that `destroy` removed meanwhile does not count."""
    lock = FileLock(path, mode=0o600)
    try:
        lock.acquire(timeout=timeout)
    except Timeout as error:
        raise ServerBusy(hint="Wait for it to end, then try again.") from error
    except PermissionError as error:
        raise ServerError(
            f'the server directory "{path.parent}" belongs to another OS user',
            detail=str(error),
            hint="Work as that user, or choose another one with --dir or PYWORKER_SERVER_DIR.",
        ) from error
    try:
        if not _same_file(lock, path):
            raise ServerBusy("the private server was destroyed meanwhile", hint="Start it again.")
        yield
    finally:
        lock.release()

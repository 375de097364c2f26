"""The last resort against a hang: the interpreter ends a process whose loop does not
turn any more.
"""

import faulthandler
from collections.abc import Callable
from time import monotonic

__all__ = ["Watchdog"]

_STDERR = 2


class Watchdog:
    """Prints every thread's stack and leaves with a failure, unless it is fed in time."""

    def __init__(self, seconds: float, fed: Callable[[], None]) -> None:
        """Act after that many seconds without a call of `feed`; `fed` is told of calls, once a
        second at most.
        """
        self._seconds = seconds
        self._tell = fed
        self._fed = float("-inf")

    def feed(self) -> None:
        """Say that the loop turns."""
        now = monotonic()
        if now - self._fed >= 1.0:
            self._fed = now
            faulthandler.dump_traceback_later(self._seconds, exit=True, file=_STDERR)
            self._tell()

    def stop(self) -> None:
        """Watch no longer."""
        faulthandler.cancel_dump_traceback_later()

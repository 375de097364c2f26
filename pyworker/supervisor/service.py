"""What systemd is told: that the supervisor is at work, what it waits for, and that its loop turns
(`Type=notify` and `WatchdogSec=` of the unit). Without systemd nothing is said.
"""

import os
import socket
from collections.abc import Callable
from contextlib import suppress

from systemd_watchdog.systemd_watchdog import WatchDog

from pyworker.log import clean

__all__ = ["ServiceManager"]

_LONGEST = 200  # characters of a status


class ServiceManager:
    """Speaks to the service manager that started this process, found by NOTIFY_SOCKET. It is never
    waited for: a message that it does not take is lost.
    """

    def __init__(self) -> None:
        """Nothing is said yet."""
        self._line: socket.socket | None = None
        if os.environ.get("NOTIFY_SOCKET"):
            self._line = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
            self._line.settimeout(0)

    def turns(self) -> None:
        """Say that the loop turns (WATCHDOG=1)."""
        # not its ping, which goes by a clock that can be set back
        self._say(WatchDog.notify)

    def works(self) -> None:
        """Say that it is at work (READY=1)."""
        self._say(WatchDog.ready)
        self.says("at work")

    def says(self, status: str) -> None:
        """Say what it does, for `systemctl status`."""
        self._say(lambda manager: manager.status(clean(status, _LONGEST)))

    def close(self) -> None:
        """Say no more."""
        if self._line is not None:
            self._line.close()
            self._line = None

    def _say(self, what: Callable[[WatchDog], None]) -> None:
        if self._line is not None:
            with suppress(OSError):
                what(WatchDog(sock=self._line))

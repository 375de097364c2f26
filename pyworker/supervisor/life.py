"""What others may know of the loop: threads of this process when it turned last, systemd whether
it is at work.
"""

from collections.abc import Callable
from time import monotonic

from pyworker.supervisor.service import ServiceManager

__all__ = ["Life"]

_ASK_EVERY = 5.0  # seconds between two rounds that were asked for


class Life:
    """Written by the loop, read by other threads. Each field is replaced as a whole, so there is no
    lock that the loop could wait for.
    """

    def __init__(self, poke: Callable[[], None]) -> None:
        """`poke` ends the pause of the loop; any thread may call it."""
        self._poke = poke
        self._service = ServiceManager()
        self._works = False
        self._ticked_at: float | None = None
        self._asked_at = float("-inf")

    def ticked(self) -> None:
        """Note a tick that has succeeded."""
        self._ticked_at = monotonic()
        if not self._works:
            self._works = True
            self._service.works()

    def waits(self, reason: str) -> None:
        """Note what it waits for before it is at work, or at work again."""
        self._works = False
        self._service.says(f"waiting for the server: {reason}")

    def turns(self) -> None:
        """Note that the loop turns, whether or not the server answers."""
        self._service.turns()

    def close(self) -> None:
        """Say no more to the service manager."""
        self._service.close()

    def since_tick(self) -> float | None:
        """Give the seconds since the last tick; None: there was none."""
        at = self._ticked_at
        return None if at is None else monotonic() - at

    def ask_for_tick(self) -> None:
        """Have an idle loop turn now, instead of when it would next: so that what is asked is
        answered by what it does. Not more often than every few seconds.
        """
        now = monotonic()
        if now - self._asked_at >= _ASK_EVERY:
            self._asked_at = now
            self._poke()

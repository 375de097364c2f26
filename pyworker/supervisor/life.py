"""What other threads may know of the loop: when it turned last."""

from collections.abc import Callable
from time import monotonic

__all__ = ["Life"]

_ASK_EVERY = 5.0  # seconds between two rounds that were asked for


class Life:
    """Written by the loop, read by other threads. Each field is replaced as a whole, so there is no
    lock that the loop could wait for.
    """

    def __init__(self, poke: Callable[[], None]) -> None:
        """`poke` ends the pause of the loop; any thread may call it."""
        self._poke = poke
        self._ticked_at: float | None = None
        self._asked_at = float("-inf")

    def ticked(self) -> None:
        """Note a tick that has succeeded."""
        self._ticked_at = monotonic()

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

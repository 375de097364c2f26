"""Waiting for jobs at the end: those that ran when the stop was asked for."""

from time import monotonic

from pyworker.database.gateway import Gateway
from pyworker.database.records import Tick

__all__ = ["Drain"]

_LOOK_AGAIN = 0.5  # seconds between two looks at what runs


class Drain:
    """Knows which jobs are waited for. Sessions may take others meanwhile; no drain waits
    for those.
    """

    def __init__(self) -> None:
        """Nothing was looked at yet."""
        self._waited_for: set[int] | None = None
        self._looked = float("-inf")

    def over(self, gateway: Gateway, tick: Tick) -> bool:
        """Tell whether all of them have ended."""
        if not tick.running:
            return True
        now = monotonic()
        if now - self._looked < _LOOK_AGAIN:
            return False
        self._looked = now
        running = {int(row["id"]) for row in gateway.view("running")}
        if self._waited_for is None:
            self._waited_for = running
            return False
        self._waited_for &= running
        return not self._waited_for

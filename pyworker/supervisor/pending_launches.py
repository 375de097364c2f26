"""Which launched sessions have not shown up yet."""

from collections.abc import Iterable

from pyworker.database.records import Demand

__all__ = ["SEEN_WITHIN", "PendingLaunches"]

SEEN_WITHIN = 5.0  # seconds after which a launched session is no longer waited for


class PendingLaunches:
    """Sessions that were launched and that no tick has shown yet, so that they are not launched
    twice.
    """

    def __init__(self) -> None:
        """Start with none."""
        self._batches: dict[str, list[tuple[float, int]]] = {}
        self._active: dict[str, int] = {}
        self._opened: int | None = None

    def add(self, owner: str, count: int, now: float) -> None:
        """Note that sessions are being launched."""
        if count:
            self._batches.setdefault(owner, []).append((now + SEEN_WITHIN, count))

    def drop(self, owner: str, count: int) -> None:
        """Note that so many of them will not come after all."""
        left = []
        for until, batch in reversed(self._batches.pop(owner, [])):
            gone = min(count, batch)
            count -= gone
            if batch > gone:
                left.append((until, batch - gone))
        if left:
            self._batches[owner] = left[::-1]

    def forget(self, count: int) -> None:
        """Note that so many sessions were found dead: one of them may have come and gone between
        two ticks.
        """
        for owner in list(self._batches):
            self.drop(owner, count)

    def observe(self, demands: Iterable[Demand], now: float, opened: int | None = None) -> None:
        """Take off what has shown up since the last tick, and what is overdue.

        `opened`: sessions that ever opened. Those of them that are not there any more came and went
        between two ticks; whose they were is not known, so that one of them may be launched once
        too often.
        """
        active = {demand.owner: demand.active_sessions for demand in demands}
        if opened is not None:
            came = sum(
                max(0, count - self._active.get(owner, 0)) for owner, count in active.items()
            )
            gone = 0 if self._opened is None else opened - self._opened - came
            self._opened = opened
            if gone > 0:
                self.forget(gone)
        for owner, batches in list(self._batches.items()):
            appeared = max(0, active.get(owner, 0) - self._active.get(owner, 0))
            left = []
            for until, count in batches:
                seen = min(appeared, count)
                appeared -= seen
                if count > seen and until > now:
                    left.append((until, count - seen))
            if left:
                self._batches[owner] = left
            else:
                del self._batches[owner]
        self._active = active

    def count(self, owner: str) -> int:
        """How many of this owner's sessions are on their way."""
        return sum(count for _until, count in self._batches.get(owner, ()))

    def total(self) -> int:
        """How many are on their way."""
        return sum(map(self.count, self._batches))

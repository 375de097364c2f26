"""Which owners have had due work for long without a session that takes it."""

from collections.abc import Iterable
from dataclasses import dataclass

from pyworker.database.records import Demand

__all__ = ["StuckWatch"]


@dataclass
class _Waiting:
    since: float
    queued: int
    logged: float | None = None


class StuckWatch:
    """Notices owners whose due work nothing picks up."""

    def __init__(self, after: float) -> None:
        """Log an owner after that many seconds, and again each time as many have passed."""
        self._after = after
        self._waiting: dict[str, _Waiting] = {}
        self.freed: list[
            tuple[str, float]
        ] = []  # owners that the last look found moving again, and after how long

    def observe(
        self, demands: Iterable[Demand], *, queued: int, progress: bool, now: float
    ) -> list[tuple[Demand, float]]:
        """Return the owners to log now, with the seconds. `progress`: something runs, or ended
        since the last look.
        """
        current: dict[str, _Waiting] = {}
        logged = []
        for demand in demands:
            if not demand.session_demand:
                continue
            known = self._waiting.get(demand.owner)
            if known is None or (demand.active_sessions and (progress or known.queued != queued)):
                current[demand.owner] = _Waiting(since=now, queued=queued)
                continue
            current[demand.owner] = known
            if now - (known.since if known.logged is None else known.logged) >= self._after:
                known.logged = now
                logged.append((demand, now - known.since))
        self.freed = [
            (owner, now - old.since)
            for owner, old in self._waiting.items()
            if old.logged is not None and current.get(owner) is not old
        ]
        self._waiting = current
        return logged

    @property
    def stuck(self) -> bool:
        """Tell whether an owner is stuck now."""
        return any(waiting.logged is not None for waiting in self._waiting.values())

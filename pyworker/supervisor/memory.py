"""The little that a supervisor remembers between rounds. All of it is bounded, and none of it is needed to be right."""

from collections import OrderedDict
from collections.abc import Iterable
from dataclasses import dataclass

from pyworker.records import Demand

__all__ = ["Backoff", "Budget", "StuckWatch", "Throttle", "Unseen"]

SEEN_WITHIN = 5.0  # seconds after which a launched session is no longer waited for


class Throttle:
    """Lets one line per key through every so often, and counts the rest."""

    def __init__(self, every: float, keys: int = 256) -> None:
        """One line every `every` seconds for each of at most `keys` keys."""
        self._every = every
        self._keys = keys
        self._last: OrderedDict[str, tuple[float, int]] = OrderedDict()

    def allow(self, key: str, now: float) -> int | None:
        """How many lines were left out since the last, or None: leave this one out too."""
        last, suppressed = self._last.get(key, (float("-inf"), 0))
        if now - last < self._every:
            self._last[key] = (last, suppressed + 1)
            return None
        self._last[key] = (now, 0)
        self._last.move_to_end(key)
        while len(self._last) > self._keys:
            self._last.popitem(last=False)
        return suppressed


class Backoff:
    """Growing pauses after failures, per key."""

    def __init__(self, first: float, most: float) -> None:
        """Pause `first` seconds, then twice as long each time, up to `most`."""
        self._first = first
        self._most = most
        self._until: dict[str, tuple[float, float]] = {}

    def fail(self, key: str, now: float, jitter: float = 1.0) -> float:
        """Note a failure; returns the pause."""
        _until, last = self._until.get(key, (0.0, 0.0))
        pause = min(self._most, last * 2 if last else self._first)
        self._until[key] = (now + pause * jitter, pause)
        return pause * jitter

    def clear(self, key: str) -> None:
        """Note a success."""
        self._until.pop(key, None)

    def blocked(self, key: str, now: float) -> bool:
        """Tell whether the pause still lasts."""
        return self._until.get(key, (0.0, 0.0))[0] > now

    def keep_only(self, keys: Iterable[str]) -> None:
        """Forget the others."""
        kept = set(keys)
        self._until = {key: value for key, value in self._until.items() if key in kept}


class Unseen:
    """Sessions that were launched and that no tick has shown yet, so that they are not launched twice."""

    def __init__(self) -> None:
        """Start with none."""
        self._batches: dict[str, list[tuple[float, int]]] = {}
        self._live: dict[str, int] = {}
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
        """Note that so many sessions were found dead: one of them may have come and gone between two ticks."""
        for owner in list(self._batches):
            self.drop(owner, count)

    def observe(self, demands: Iterable[Demand], now: float, opened: int | None = None) -> None:
        """Take off what has shown up since the last tick, and what is overdue.

        `opened`: sessions that ever opened. Those of them that are not there any more came and went between two ticks;
        whose they were is not known, so that one of them may be launched once too often.
        """
        live = {demand.owner: demand.live for demand in demands}
        if opened is not None:
            came = sum(max(0, count - self._live.get(owner, 0)) for owner, count in live.items())
            gone = 0 if self._opened is None else opened - self._opened - came
            self._opened = opened
            if gone > 0:
                self.forget(gone)
        for owner, batches in list(self._batches.items()):
            appeared = max(0, live.get(owner, 0) - self._live.get(owner, 0))
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
        self._live = live

    def count(self, owner: str) -> int:
        """How many of this owner's sessions are on their way."""
        return sum(count for _until, count in self._batches.get(owner, ()))

    def total(self) -> int:
        """How many are on their way."""
        return sum(map(self.count, self._batches))


class Budget:
    """How many successes may have a line of their own: so many a second, and as many at once."""

    def __init__(self, per_second: float) -> None:
        """Start with a full second's worth."""
        self._rate = per_second
        self._left = per_second
        self._at: float | None = None

    def take(self, count: int, now: float) -> bool:
        """Take `count` from the budget; false: too many, and nothing is taken."""
        if self._at is not None:
            self._left = min(self._rate, self._left + (now - self._at) * self._rate)
        self._at = now
        if count > self._left:
            return False
        self._left -= count
        return True


@dataclass
class _Waiting:
    since: float
    queued: int
    told: float | None = None


class StuckWatch:
    """Notices owners whose due work nothing picks up."""

    def __init__(self, after: float) -> None:
        """Speak up after that many seconds, and again each time as many have passed."""
        self._after = after
        self._waiting: dict[str, _Waiting] = {}
        self.freed: list[tuple[str, float]] = []  # whom the last look found moving again, and after how long

    def observe(
        self, demands: Iterable[Demand], *, queued: int, progress: bool, now: float
    ) -> list[tuple[Demand, float]]:
        """Whom to speak up for now, with the seconds. `progress`: something runs, or ended since the last look."""
        current: dict[str, _Waiting] = {}
        told = []
        for demand in demands:
            if not demand.wanted:
                continue
            known = self._waiting.get(demand.owner)
            if known is None or (demand.live and (progress or known.queued != queued)):
                current[demand.owner] = _Waiting(since=now, queued=queued)
                continue
            current[demand.owner] = known
            if now - (known.since if known.told is None else known.told) >= self._after:
                known.told = now
                told.append((demand, now - known.since))
        self.freed = [
            (owner, now - old.since)
            for owner, old in self._waiting.items()
            if old.told is not None and current.get(owner) is not old
        ]
        self._waiting = current
        return told

    @property
    def stuck(self) -> bool:
        """Tell whether somebody is stuck now."""
        return any(waiting.told is not None for waiting in self._waiting.values())

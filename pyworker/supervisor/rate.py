"""How often: limits for lines of the log, growing pauses after failures, a budget per second."""

from collections import OrderedDict
from collections.abc import Iterable

__all__ = ["Backoff", "Throttle", "TokenBucket"]


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

    def failing(self, key: str) -> bool:
        """Tell whether the last try failed, be its pause over or not."""
        return key in self._until

    def keep_only(self, keys: Iterable[str]) -> None:
        """Forget the others."""
        kept = set(keys)
        self._until = {key: value for key, value in self._until.items() if key in kept}


class TokenBucket:
    """How many successes may have a line of their own: so many a second, and as many at once."""

    def __init__(self, per_second: float) -> None:
        """Start with a full second's worth."""
        self._rate = per_second
        self._left = per_second
        self._at: float | None = None

    def take(self, count: int, now: float) -> bool:
        """Take `count` tokens; false: there are too few, and none is taken."""
        if self._at is not None:
            self._left = min(self._rate, self._left + (now - self._at) * self._rate)
        self._at = now
        if count > self._left:
            return False
        self._left -= count
        return True

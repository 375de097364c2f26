"""The database as the screen sees it: one connection, opened anew when it was lost."""

import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, TypeVar

from pyworker.database.connection import connect_caller
from pyworker.database.watching import SCREEN, Watching
from pyworker.errors import ConnectionFailed, PyworkerError, convert_database_errors

__all__ = ["Picture", "Watch"]

T = TypeVar("T")
_REMEMBERED = 40  # rates of a queue, one a picture
_HEALTH_SECONDS = 5.0  # between two looks at the checks


@dataclass(frozen=True, kw_only=True)
class Picture:
    """What was read at one moment; `away` says why it is old."""

    lists: dict[str, list[dict[str, Any]]] = field(default_factory=dict)
    not_ok: list[dict[str, Any]] = field(default_factory=list)
    rates: dict[str, list[float]] = field(default_factory=dict)
    rights: frozenset[str] = frozenset()
    away: str | None = None


class Watch:
    """Reads and acts, one call at a time; made to be called in one thread."""

    def __init__(self, dsn: str) -> None:
        """Nothing is connected yet."""
        self._dsn = dsn
        self._caller: Watching | None = None
        self._line: Any = None
        self._last = Picture()
        self._rates: dict[str, deque[float]] = {}
        self._checked_at = float("-inf")

    def look(self) -> Picture:
        """Read all lists; where the database is away, the last picture with the reason."""
        try:
            self._last = self.call(self._read)
        except PyworkerError as error:
            self._last = Picture(
                lists=self._last.lists,
                not_ok=self._last.not_ok,
                rates=self._last.rates,
                rights=self._last.rights,
                away=error.message,
            )
        return self._last

    def call(self, work: Callable[[Watching], T]) -> T:
        """Do something with the connection; a lost one is given up, the next call opens another."""
        try:
            with convert_database_errors():
                if self._caller is None:
                    self._line = connect_caller(self._dsn, "top")
                    self._caller = Watching(self._line)
                return work(self._caller)
        except PyworkerError as error:
            if isinstance(error, ConnectionFailed) or self._line is None or self._line.closed:
                self.close()
            raise
        except Exception:
            self.close()
            raise

    def close(self) -> None:
        """Give the connection up."""
        line, self._line, self._caller = self._line, None, None
        if line is not None:
            line.close()

    def _read(self, caller: Watching) -> Picture:
        lists = {name: caller.listed(name) for name in SCREEN}
        for row in lists["queues"]:
            kept = self._rates.setdefault(row["queue"], deque(maxlen=_REMEMBERED))
            kept.append(float(row["rate"] or 0))
        not_ok, now = self._last.not_ok, time.monotonic()
        if now - self._checked_at >= _HEALTH_SECONDS or self._last.away:
            not_ok, self._checked_at = caller.not_ok(), now
        return Picture(
            lists=lists,
            not_ok=not_ok,
            rates={name: list(kept) for name, kept in self._rates.items()},
            rights=frozenset(caller.rights()),
        )

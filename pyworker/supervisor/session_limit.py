"""How many worker sessions gain something, by what those that are there do.

A session that computes needs a processor; one that waits (for a lock, a disk, a clock) needs none.
Of an owner's sessions that do jobs, `s` is the share of looks at which they waited for nothing; so
`processors / s` of them keep the processors busy, and more take turns without doing more. The share
is looked up by the server, not told by a job. Nothing here is needed to be right.
"""

import math
import os
from collections.abc import Iterable
from dataclasses import dataclass, replace

from pyworker.database.records import Demand

__all__ = ["SessionLimit", "processors_of"]

_MEMORY = 1.0  # seconds after which a look counts for a third of a new one
_DOUBLES_EVERY = 0.2  # seconds: at each tick while a backlog is worked off
_MOST_LANES = 8  # for so many lanes there is a session each, whatever they gain
_KNOWN = 1.0  # looks at a session that are needed to know something
_LEAST = 0.01  # sessions that move, for those that never do


def processors_of(host: str, given: int | None) -> int | None:
    """Count the server's processors: over a local socket they are this machine's."""
    here = not host or host.startswith(("/", "@"))
    return given or (os.cpu_count() if here else None)


@dataclass
class _Looks:
    limit: int
    grown_at: float
    seen_at: float
    working: float = 0.0  # looks at sessions that worked, older ones counting less
    moving: float = 0.0  # those of them that waited for nothing


class SessionLimit:
    """Bounds what is demanded for each owner. `processors`: of the server; None: not known, and
    nothing is bounded.
    """

    def __init__(self, processors: int | None) -> None:
        """Know nothing yet: as many sessions as processors."""
        self._processors = processors
        self._owners: dict[str, _Looks] = {}

    def apply(self, demands: Iterable[Demand], now: float) -> tuple[Demand, ...]:
        """Take a look into account, and give the demands as they are to be met.

        Sessions that have run one job for long take no other: they count besides. Each lane where
        something is due has one session, up to eight, so that none waits for another's claims.
        """
        demands = tuple(demands)
        if self._processors is None:
            return demands
        self._owners = {
            demand.owner: self._look(demand, now, self._processors) for demand in demands
        }
        return tuple(map(self._bounded, demands))

    def _bounded(self, demand: Demand) -> Demand:
        limit = max(self._owners[demand.owner].limit, min(demand.lanes, _MOST_LANES))
        return replace(demand, session_demand=min(demand.session_demand, demand.occupied + limit))

    def _look(self, demand: Demand, now: float, processors: int) -> _Looks:
        looks = self._owners.get(demand.owner) or _Looks(processors, now, now)
        fades = math.exp(-max(0.0, now - looks.seen_at) / _MEMORY)
        looks.seen_at = now
        looks.working = looks.working * fades + demand.working
        looks.moving = looks.moving * fades + demand.moving
        gains = processors
        if looks.working >= _KNOWN:
            gains = math.ceil(processors * looks.working / max(looks.moving, _LEAST))
        if gains <= looks.limit:
            looks.limit = gains
            looks.grown_at = now
        elif now - looks.grown_at >= _DOUBLES_EVERY:
            looks.limit = min(gains, 2 * looks.limit)
            looks.grown_at = now
        return looks

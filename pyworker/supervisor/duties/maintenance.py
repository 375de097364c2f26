"""Keep the history, and vacuum the hot tables."""

from time import monotonic

from pyworker.database.gateway import Gateway
from pyworker.log import EventLog
from pyworker.supervisor.state import State

__all__ = ["maintain"]

#: Seconds between two rounds of maintenance.
_BUSY = 30.0
_IDLE = 600.0
_SOONEST = 1.0


def maintain(gateway: Gateway, state: State, log: EventLog, now: float) -> int:
    """Keep the history and vacuum the hot tables, now and then and after so many jobs; returns what
    went of history.
    """
    pause = _BUSY if state.upkeep.worked else _IDLE
    if state.upkeep.ended >= state.upkeep.vacuum_jobs or state.upkeep.more:
        pause = _SOONEST
    if now - state.upkeep.last_at < pause:
        return 0
    state.upkeep.last_at = now
    state.upkeep.worked = False
    state.upkeep.ended = 0
    state.upkeep.more = False
    done = gateway.maintain()
    state.upkeep.more = done.more
    if done.removed or done.vacuumed:
        log.emit(
            "maintenance_done",
            removed=done.removed,
            vacuumed=list(done.vacuumed),
            ms=(monotonic() - now) * 1000,
        )
    return done.removed

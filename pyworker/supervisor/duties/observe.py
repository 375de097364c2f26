"""Log what a tick did and found."""

import json

from pyworker.database.records import Tick
from pyworker.log import EventLog
from pyworker.supervisor.state import State

__all__ = ["observe"]

_FAILURE = ("duty", "item", "owner", "queue", "sqlstate", "message", "hint", "failures", "retry_at")
_RISK = ("job_id", "owner", "pid", "reason", "action", "hint")


def observe(tick: Tick, state: State, log: EventLog, now: float) -> None:
    """Log what a tick did and found."""
    if tick.paused != state.paused:
        state.paused = tick.paused
        log.emit("everything_paused" if tick.paused else "everything_resumed", queued=tick.queued)
    if tick.rescued:
        log.emit("rescued", count=tick.rescued)
        state.launches.pending.forget(tick.rescued)
    if tick.dispatched:
        log.emit("dispatched", count=tick.dispatched)
    for failure in tick.failures:
        log.emit("item_failed", **{name: failure.get(name) for name in _FAILURE})
    for risk in tick.risks:
        log.emit("deadlock_risk", **{name: risk.get(name) for name in _RISK})
    for problem in tick.problems:
        facts = dict(problem)
        name = str(facts.pop("problem", None) or facts.pop("event", None) or "unknown")
        suppressed = state.throttle.allow(
            f"{name} {json.dumps(facts, sort_keys=True, default=str)}", now
        )
        if suppressed is not None:
            log.emit("problem", problem=name, detail=facts, suppressed=suppressed)
    state.upkeep.worked |= bool(tick.running or tick.dispatched or tick.rescued or tick.outbox)
    state.progress |= bool(tick.running or tick.outbox)
    state.launches.pending.observe(tick.owners, now, tick.opened)

"""Log the owners whose due work no session takes."""

from collections.abc import Sequence

from pyworker.database.records import Tick
from pyworker.log import EventLog
from pyworker.supervisor.duties.sessions import SLOTS
from pyworker.supervisor.state import State

__all__ = ["watch_stuck"]


def watch_stuck(
    tick: Tick, state: State, log: EventLog, now: float, *, given: Sequence[str]
) -> int:
    """Log the owners whose due work no session takes; returns how many."""
    mine = [
        demand
        for demand in tick.owners
        if demand.session_demand and (not given or demand.owner in given)
    ]
    demands = [] if tick.paused else mine
    logged = state.stuck.observe(demands, queued=tick.queued, progress=state.progress, now=now)
    state.progress = False
    for demand, seconds in logged:
        log.emit(
            "jobs_stuck",
            owner=demand.owner,
            session_demand=demand.session_demand,
            active_sessions=demand.active_sessions,
            seconds=seconds,
            reason=_why_stuck(demand.owner, demand.active_sessions, state, now),
        )
    for owner, seconds in state.stuck.freed:
        log.emit("jobs_moving", owner=owner, seconds=seconds)
    return len(logged)


def _why_stuck(owner: str, active_sessions: int, state: State, now: float) -> str:
    if owner not in state.owners.served:
        return "the owner is not a login member of jobs_runner, and no --owner names it"
    if state.owners.backoff.blocked(owner, now):
        return "no session can be launched as this owner; see owner_unreachable and launch_failed"
    if state.launches.slots_backoff.blocked(SLOTS, now):
        return "the server has no free worker slot"
    return (
        "its sessions take nothing"
        if active_sessions
        else "launched sessions do not show up; see the server's log"
    )

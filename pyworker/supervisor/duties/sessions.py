"""Launch the worker sessions that are missing, and take in what came of it."""

import random
from collections.abc import Sequence

from pyworker.database.gateway import Gateway
from pyworker.database.records import Tick
from pyworker.log import EventLog
from pyworker.supervisor.decisions import sessions_to_launch
from pyworker.supervisor.duties.owners import refresh_owners
from pyworker.supervisor.launcher import Launched, Launcher
from pyworker.supervisor.state import State

__all__ = ["SLOTS", "apply_launch_results", "launch", "note_owners"]

_OWNERS_EVERY = 10.0
SLOTS = ""  # the back-off key of the server's worker slots, which all owners share


def launch(
    gateway: Gateway,
    launcher: Launcher,
    tick: Tick,
    state: State,
    now: float,
    *,
    given: Sequence[str],
    own_user: str,
) -> int:
    """Ask for the sessions that are missing; returns how many. Results come in later, to
    `apply_launch_results`.
    """
    demanded = {demand.owner for demand in tick.owners if demand.session_demand}
    if not given and demanded - state.owners.served and now - state.owners.read_at > _OWNERS_EVERY:
        refresh_owners(gateway, given, own_user, state, now)
    state.owners.backoff.keep_only(demanded)
    if state.launches.slots_backoff.blocked(SLOTS, now):
        return 0
    blocked = {owner for owner in demanded if state.owners.backoff.blocked(owner, now)}
    plan = sessions_to_launch(
        tick.owners,
        pending=state.launches.pending.count,
        served=state.owners.served,
        blocked=blocked | set(launcher.busy()),
        scarce=state.launches.slots_backoff.failing(SLOTS),
    )
    asked = 0
    for owner, count in plan.items():
        if launcher.request(owner, count):
            state.launches.pending.add(owner, count, now)
            asked += count
    return asked


def apply_launch_results(
    results: Sequence[Launched], tick: Tick, state: State, log: EventLog, now: float
) -> int:
    """Take in what came of the launches; returns how many sessions were started."""
    demands = {demand.owner: demand for demand in tick.owners}
    for result in results:
        owner = result.owner
        state.launches.pending.drop(owner, result.asked - result.launched)
        if result.launched:
            demand = demands.get(owner)
            log.emit(
                "sessions_launched",
                owner=owner,
                count=result.launched,
                active_sessions=demand.active_sessions if demand else None,
                session_demand=demand.session_demand if demand else None,
            )
        if result.trouble is None:
            state.owners.backoff.clear(owner)
            state.launches.slots_backoff.clear(SLOTS)
        else:
            _log_trouble(result, state, log, now)
    return sum(result.launched for result in results)


def note_owners(
    gateway: Gateway, supervisor: int, results: Sequence[Launched], tick: Tick, state: State
) -> None:
    """Record in the database the owners that cannot be reached. One without due jobs is not tried,
    so not recorded.
    """
    demanded = {demand.owner for demand in tick.owners if demand.session_demand}
    unreached = {
        owner: reason for owner, reason in state.owners.unreached.items() if owner in demanded
    }
    for result in results:
        if result.trouble == "unreachable":
            unreached[result.owner] = result.message or "unknown"
        elif result.trouble == "refused" and result.message:
            unreached[result.owner] = f"launch refused: {result.message}"
        elif result.trouble != "lost":
            unreached.pop(result.owner, None)
    if unreached != state.owners.unreached:
        gateway.note_unreached(supervisor, unreached)
        state.owners.unreached = unreached


def _log_trouble(result: Launched, state: State, log: EventLog, now: float) -> None:
    owner, jitter = result.owner, random.uniform(0.8, 1.2)  # noqa: S311  no secret
    if result.trouble == "no_slot":
        state.launches.slots_backoff.fail(SLOTS, now, jitter)
        suppressed = state.throttle.allow("no_slot", now)
        if suppressed is not None:
            log.emit(
                "no_worker_slot",
                owner=owner,
                asked=result.asked,
                launched=result.launched,
                suppressed=suppressed,
            )
        return
    retry_in = state.owners.backoff.fail(owner, now, jitter)
    if result.trouble == "lost":
        # an idle connection that went away; the next try opens a new one, and speaks if it cannot
        return
    suppressed = state.throttle.allow(f"owner {owner}", now)
    if suppressed is None:
        return
    if result.trouble == "unreachable":
        log.emit(
            "owner_unreachable",
            owner=owner,
            reason=result.message,
            retry_in=retry_in,
            suppressed=suppressed,
        )
    else:
        log.emit(
            "launch_failed",
            owner=owner,
            sqlstate=result.sqlstate,
            message=result.message,
            hint=result.hint,
            retry_in=retry_in,
            suppressed=suppressed,
        )

"""Decisions, as pure functions: facts in, verdict out. No clock, no database, no log."""

from collections.abc import Callable, Collection
from dataclasses import dataclass

from pyworker.database.records import Demand, Outcome, Tick

__all__ = ["Pace", "deadline_after", "event_for", "is_empty", "pace_after", "sessions_to_launch"]

#: Seconds from one tick to the next.
RUNNING = 0.05  # a job runs, and others with a short timeout may start; or one is being stopped
# short jobs are worked off by sessions that come to all lanes by themselves
DRAINING = 0.25
_NEAR = 1000  # ms: with a deadline so near, other jobs may have as short a timeout
_MANY = 1000  # jobs: with so many dispatched by one tick, more are due
ACTIVE = 0.1  # sessions are there, or on their way
BLOCKED = 0.5  # work is due that cannot be launched for just now
# jobs wait for what no notification tells of: a lease that ends, a lane, an owner
QUEUED = 1.0
# only long operations run, each watched by a session, whose end and whose risks notify
WATCHED = 3.0
IDLE = 10.0  # nothing is there at all, and each enqueue notifies
# the first look after falling asleep: an enqueuer may have seen the supervisor awake
FIRST_POLL = 0.05
_SOONEST = 0.01


@dataclass(frozen=True, kw_only=True)
class Pace:
    """How long to wait, and whether enqueuers must notify to end that wait early."""

    seconds: float
    idle: bool


def sessions_to_launch(
    demands: Collection[Demand],
    *,
    pending: Callable[[str], int],
    served: Collection[str],
    blocked: Collection[str],
    scarce: bool = False,
) -> dict[str, int]:
    """How many sessions to launch per owner: what is wanted, less what lives and what was launched
    but not seen yet.

    `scarce`: the server had no worker slot left when it was asked last. What becomes free then is
    for those of several owners that have the fewest sessions, one each: so they take turns, and a
    flood of one keeps no other from its first session.
    """
    there = {
        demand.owner: demand.active_sessions + pending(demand.owner)
        for demand in demands
        if demand.owner in served
        and demand.owner not in blocked
        and demand.session_demand > demand.active_sessions + pending(demand.owner)
    }
    if scarce and len(there) > 1:
        fewest = min(there.values())
        return {owner: 1 for owner, count in there.items() if count == fewest}
    return {
        demand.owner: demand.session_demand - there[demand.owner]
        for demand in demands
        if demand.owner in there
    }


def pace_after(tick: Tick, *, on_their_way: int, blocked: bool, jitter: float, looks: int) -> Pace:
    """How long to wait after a tick.

    `jitter`, around 1, keeps idle supervisors apart from one another; `looks`: ticks since it fell
    asleep.
    """
    if _draining(tick):
        return Pace(seconds=_until_due(tick, DRAINING), idle=False)
    if _only_watches(tick) and not on_their_way and not blocked:
        quiet = tick.watched == tick.running and not (tick.queued or tick.must_poll)
        steps = FIRST_POLL * (4.0 if quiet else 2.0) ** min(looks, 10) * jitter
        return Pace(seconds=_until_due(tick, min(steps, WATCHED if quiet else QUEUED)), idle=True)
    if tick.running or tick.stopping:
        # a session that watches a child begins no other job meanwhile
        calm = tick.sessions == tick.watched and not (tick.stopping or _deadline_is_near(tick))
        return Pace(seconds=_until_due(tick, ACTIVE if calm else RUNNING), idle=False)
    if tick.sessions or tick.dispatched or tick.rescued or tick.outbox or on_their_way:
        return Pace(seconds=_until_due(tick, ACTIVE), idle=False)
    if blocked:
        return Pace(seconds=_until_due(tick, BLOCKED), idle=False)
    if not looks or tick.must_poll:
        return Pace(
            seconds=_until_due(tick, min(FIRST_POLL * 2.0 ** min(looks, 10), QUEUED) * jitter),
            idle=True,
        )
    waiting = tick.queued or (tick.next_due_ms is not None and tick.next_due_ms <= 0)
    return Pace(seconds=_until_due(tick, (QUEUED if waiting else IDLE) * jitter), idle=True)


def _draining(tick: Tick) -> bool:
    """Tell whether a tick finds nothing that another one soon could be late for."""
    hurries = tick.stopping or tick.dispatched >= _MANY
    hurries = hurries or any(
        demand.new_lanes or demand.alone > demand.occupied for demand in tick.owners
    )
    return not (hurries or _deadline_is_near(tick)) and any(
        demand.in_chunks for demand in tick.owners
    )


def _only_watches(tick: Tick) -> bool:
    """Tell whether all sessions run jobs that have run for some time, and nothing else is to be
    done: long operations, mostly. Each enqueue notifies then, as when nothing is there, and so does
    the end of an attempt after which something is to come soon.

    What is queued does not count: where it demands no session more, it stands behind those that are
    there, or behind the slots of its queue.
    """
    at_work = tick.running and tick.sessions == sum(demand.occupied for demand in tick.owners)
    moves = tick.stopping or tick.dispatched or tick.rescued or tick.outbox
    return bool(at_work) and not (_deadline_is_near(tick) or moves)


def _deadline_is_near(tick: Tick) -> bool:
    return tick.next_deadline_ms is not None and tick.next_deadline_ms < _NEAR


def _until_due(tick: Tick, most: float) -> float:
    # What is due already and was not dispatched by this very tick waits for something else: no
    # reason to hurry.
    if tick.next_due_ms is None or tick.next_due_ms <= 0:
        return most
    return min(most, max(_SOONEST, tick.next_due_ms / 1000))


def deadline_after(tick: Tick) -> float:
    """How many seconds after a tick the next running attempt is overdue; infinite where none has a
    timeout.
    """
    if tick.next_deadline_ms is None:
        return float("inf")
    return max(_SOONEST / 2, tick.next_deadline_ms / 1000)


def is_empty(tick: Tick, *, served: Collection[str], on_their_way: int) -> bool:
    """Tell whether nothing is due for the owners served, nothing runs and everything is logged.

    What is due later does not count, nor what is paused.
    """
    demanded = any(demand.session_demand for demand in tick.owners if demand.owner in served)
    return not (
        tick.running or tick.sessions or tick.outbox or tick.dispatched or demanded or on_their_way
    )


_FINAL = {
    "failed": "job_failed",
    "timed_out": "job_timed_out",
    "cancelled": "job_cancelled",
    "lost": "job_lost",
    "in_doubt": "job_in_doubt",
}
_NOT_OVER = {"scheduled", "queued", "running"}


def event_for(outcome: Outcome) -> str:
    """Name the event of one attempt's end."""
    if outcome.outcome == "succeeded":
        return "job_succeeded"
    if outcome.outcome == "step":
        return "step_done"
    if outcome.outcome == "snoozed":
        return "job_snoozed"
    if outcome.outcome == "interrupted":
        return "attempt_interrupted"
    if outcome.outcome == "measured":
        return "operation_measured"
    if outcome.outcome == "held":
        return "attempt_held"
    if outcome.state in _NOT_OVER:
        return "attempt_failed"
    if outcome.state == "in_doubt":
        return "job_in_doubt"
    if outcome.outcome == "cancelled" and outcome.state == "failed":
        return "job_failed"  # interrupted three times, without a request of ours
    return _FINAL.get(outcome.outcome, "job_failed")

"""Move outcomes from the database to the log."""

from pyworker.database.gateway import Gateway
from pyworker.log import EventLog
from pyworker.supervisor.failpoint import reach
from pyworker.supervisor.outcome_log import Batch
from pyworker.supervisor.state import State

__all__ = ["take_outcomes"]

_OUTCOMES_AT_ONCE = 1000
_OUTCOMES_PER_BATCH = 5000


def take_outcomes(
    gateway: Gateway, state: State, log: EventLog, now: float, *, at_once: bool = False
) -> int:
    """Write the outcomes' lines, in the transaction that takes them from the outbox; returns how
    many there were.

    While successes are many, the outbox is emptied once a second, so that a second's sum is one
    line.
    """
    if now < state.outcomes_at and not at_once:
        return 0
    batch = Batch(log)
    rows = 0
    with gateway.transaction():
        while rows < _OUTCOMES_PER_BATCH:
            commits = gateway.take_outcomes(_OUTCOMES_AT_ONCE)
            for commit in commits:
                batch.add(commit)
            rows += len(commits)
            if (
                not commits
            ):  # fewer than were asked for are no sign of the end: they are read by size
                break
        summed = not state.line_budget.take(batch.successes, now)
        batch.finish(summed=summed)
        reach("before_commit_of_outcomes")
    state.outcomes_at = now + 1.0 if summed and rows < _OUTCOMES_PER_BATCH else now
    state.progress |= rows > 0
    state.upkeep.worked |= rows > 0
    state.upkeep.ended += batch.successes + batch.failures
    return batch.successes + batch.failures

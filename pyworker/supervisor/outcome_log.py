"""From rows of the outbox to lines of the log: every failure its own line, successes summed when
there are many.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from statistics import median
from typing import Any

from pyworker.database.records import Commit, Outcome
from pyworker.log import EventLog, clean
from pyworker.supervisor.decisions import event_for

__all__ = ["SINGLES_PER_SECOND", "Batch"]

SINGLES_PER_SECOND = 20
_TASK_LIMIT = 200  # characters: a task may be a statement

_Key = tuple[datetime, str | None, str | None, str]


@dataclass
class _Sum:
    count: int = 0
    ms: list[float] = field(default_factory=list)


class Batch:
    """What one round took from the outbox."""

    def __init__(self, log: EventLog) -> None:
        """Write to this log."""
        self._log = log
        self._singles: list[dict[str, Any]] = []
        self._sums: dict[_Key, _Sum] = {}
        self.failures = 0
        self.successes = 0

    def add(self, commit: Commit) -> None:
        """Write the lines of this commit's failures, and keep its successes for `finish`."""
        if not commit.readable:
            self._log.emit(
                "problem",
                problem="outcome_unreadable",
                detail={"see": "jobs.attempts"},
                suppressed=0,
            )
        for outcome in commit.others:
            if outcome.outcome == "succeeded":
                self._successes(commit, outcome.task, [outcome.job_id], [outcome.ms or 0.0])
            elif outcome.outcome == "step":
                self._log.emit(event_for(outcome), **_step_fields(commit, outcome))
            elif outcome.outcome == "snoozed":
                self._log.emit(event_for(outcome), **_snoozed_fields(commit, outcome))
            elif outcome.outcome == "measured":
                self._log.emit(event_for(outcome), **_measured_fields(commit, outcome))
            else:
                self._log.emit(event_for(outcome), **_fields(commit, outcome))
                self.failures += 1
        for entry in commit.succeeded:
            self._successes(commit, entry.task, entry.job_ids, entry.ms)

    def _successes(
        self, commit: Commit, task: str, job_ids: Sequence[int], ms: Sequence[float]
    ) -> None:
        """Keep the successes of a task in one commit: what is kept of each is its time, and of the
        first ones their lines, should they be few.
        """
        if not job_ids:
            return
        self.successes += len(job_ids)
        room = SINGLES_PER_SECOND + 1 - len(self._singles)
        for one, took in zip(job_ids[:room] if room > 0 else (), ms, strict=False):
            own = {"job_id": one, "task": clean(task, _TASK_LIMIT), "ms": took}
            self._singles.append({**own, **_of_commit(commit)})
        total = self._sums.setdefault(
            (commit.at.replace(microsecond=0), commit.queue, commit.owner, task), _Sum()
        )
        total.count += len(job_ids)
        total.ms.extend(ms)

    def finish(self, *, summed: bool) -> None:
        """Write the successes: one by one, or one line for each task, queue, owner and second."""
        if not summed:
            for single in self._singles:
                self._log.emit("job_succeeded", **single)
            return
        for (second, queue, owner, task), total in _whole_seconds(self._sums).items():
            self._log.emit(
                "jobs_succeeded",
                task=clean(task, _TASK_LIMIT),
                queue=queue,
                owner=owner,
                second=second,
                count=total.count,
                ms_total=sum(total.ms),
                ms_p50=median(total.ms),
                ms_max=max(total.ms),
            )


def _whole_seconds(sums: Mapping[_Key, _Sum]) -> dict[_Key, _Sum]:
    """Count the newest second with the one before: a batch seldom ends on the second, and half
    lines are of no help.
    """
    newest = max((key[0] for key in sums), default=None)
    before = newest - timedelta(seconds=1) if newest else None
    if not any(key[0] == before for key in sums):
        return dict(sums)
    whole: dict[_Key, _Sum] = {}
    for (second, *rest), total in sums.items():
        key = (before if second == newest else second, *rest)
        into = whole.setdefault(key, _Sum())  # type: ignore[arg-type]
        into.count += total.count
        into.ms += total.ms
    return whole


def _of_commit(commit: Commit) -> dict[str, Any]:
    return {name: getattr(commit, name) for name in ("queue", "owner", "session", "pid", "at")}


def _step_fields(commit: Commit, outcome: Outcome) -> dict[str, Any]:
    return {
        **_of_commit(commit),
        "job_id": outcome.job_id,
        "task": clean(outcome.task, _TASK_LIMIT),
        "step": outcome.step,
        "steps": outcome.steps,
        "ms": outcome.ms,
    }


def _snoozed_fields(commit: Commit, outcome: Outcome) -> dict[str, Any]:
    return {
        **_of_commit(commit),
        "job_id": outcome.job_id,
        "task": clean(outcome.task, _TASK_LIMIT),
        "retry_at": outcome.retry_at,
        "ms": outcome.ms,
    }


def _measured_fields(commit: Commit, outcome: Outcome) -> dict[str, Any]:
    return {
        **_of_commit(commit),
        "job_id": outcome.job_id,
        "task": clean(outcome.task, _TASK_LIMIT),
        "queries": outcome.queries,
        "gain": outcome.gain,
    }


def _fields(commit: Commit, outcome: Outcome) -> dict[str, Any]:
    fields = {
        **_of_commit(commit),
        "job_id": outcome.job_id,
        "task": clean(outcome.task, _TASK_LIMIT),
        "attempt": outcome.attempt,
        "max_attempts": outcome.max_attempts,
        "outcome": outcome.outcome,
        "state": outcome.state,
        "ms": outcome.ms,
        "sqlstate": outcome.error.sqlstate,
        "message": outcome.error.message,
        "hint": outcome.error.hint,
        "note": outcome.note,
    }
    if event_for(outcome) in ("attempt_failed", "attempt_held"):
        fields["retry_at"] = outcome.retry_at
    return fields

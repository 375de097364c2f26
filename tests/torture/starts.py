"""Invariants on when jobs start: not before their time, in their order,
and one of a key at a time.
"""

from collections import defaultdict
from collections.abc import Iterator
from datetime import UTC, datetime
from itertools import pairwise

from tests.torture.history import History

__all__ = ["high_before_low", "not_before_its_time", "one_of_a_key"]


def not_before_its_time(history: History) -> Iterator[tuple[str, object]]:
    """I14: no attempt starts before run_at."""
    for number, attempts in history.attempts.items() if not history.scenario.clock_steps else ():
        job = history.jobs.get(number)
        for attempt in attempts:
            if (
                job is not None
                and attempt.started_at is not None
                and attempt.started_at < job.run_at
            ):
                yield (
                    "it started before its time",
                    f"job {number} by {job.run_at - attempt.started_at}",
                )


def high_before_low(history: History) -> Iterator[tuple[str, object]]:
    """I14: the queue "ordered" is held until all its jobs are there, of an owner that has no
    others; then one at a time runs, and the few high ones come first.
    """
    starts: dict[str, list[datetime]] = {"high": [], "low": []}
    for job in history.jobs.values():
        if job.queue == "ordered" and job.started_at is not None:
            starts[job.priority].append(job.started_at)
    if all(starts.values()) and max(starts["high"]) > min(starts["low"]):
        late = sum(at > min(starts["low"]) for at in starts["high"])
        yield (
            "jobs of high priority started after one of low priority",
            f"{late} of {len(starts['high'])}",
        )


def one_of_a_key(history: History) -> Iterator[tuple[str, object]]:
    """I14: of an owner's jobs in a queue with one unique_key, no two are unfinished at the
    same time.

    A job is there at the latest when its enqueue was confirmed, and not before:
    created_at is the start of a transaction, which may have waited for the end of the job before.
    """
    if history.scenario.clock_steps:
        return
    known: dict[int, datetime] = {}
    for entry in history.entries:
        for number in entry.ids if entry.outcome == "ok" and entry.kind != "cancel" else ():
            at = datetime.fromtimestamp(entry.at, UTC)
            known[number] = min(at, known.get(number, at))
    lives: dict[tuple[str, str, str], list[tuple[datetime, datetime, int]]] = defaultdict(list)
    for job in history.jobs.values():
        begun = min(
            (at for at in (known.get(job.id), job.started_at) if at is not None), default=None
        )
        if job.unique_key is not None and begun is not None and job.finished_at is not None:
            lives[job.owner, job.queue, job.unique_key].append((begun, job.finished_at, job.id))
    for key, found in lives.items():
        found.sort()
        for (_begun, end, first), (begun, _end, second) in pairwise(found):
            if begun < end:
                yield (
                    "two unfinished jobs with one unique_key",
                    f"jobs {first} and {second} ({' '.join(key)})",
                )

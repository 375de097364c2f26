"""Invariants of jobs that wait for one another, of batches, and of keys of concurrency."""

from collections import defaultdict
from collections.abc import Iterator
from datetime import datetime
from itertools import pairwise

from tests.torture.history import TERMINAL, History, Job

__all__ = [
    "alone_with_its_key",
    "calls_back_once",
    "is_cancelled_for_its_parents",
    "waits_for_its_parents",
]


def _pairs(history: History) -> Iterator[tuple[Job, Job, str]]:
    """List the jobs that wait: each with its parent, and the state that it waits for."""
    for _entry, kind, jobs in history.calls():
        family = sorted(jobs, key=lambda job: job.id)
        if len(family) == kind.count:
            for child, parent, wanted in kind.after:
                yield family[child], family[parent], wanted


def _ends_as(parent: Job, wanted: str) -> bool:
    if wanted == "finished":
        return parent.state in TERMINAL
    return parent.state in (("failed", "cancelled") if wanted == "failed" else (wanted,))


def _began(history: History, job: Job) -> bool:
    return bool(history.attempts.get(job.id)) or job.state == "succeeded"


def waits_for_its_parents(history: History) -> Iterator[tuple[str, object]]:
    """I16: a job that waits for another begins after that has ended as it wants."""
    for child, parent, wanted in _pairs(history):
        if not _began(history, child) or parent.state not in TERMINAL:
            continue
        told = f"job {child.id} of job {parent.id} ({parent.state})"
        if not _ends_as(parent, wanted):
            yield f"it ran, and waits for one that has {wanted}", told
        first = min(
            (
                attempt.started_at
                for attempt in history.attempts.get(child.id, ())
                if attempt.started_at is not None
            ),
            default=None,
        )
        if (
            first is not None
            and parent.finished_at is not None
            and first < parent.finished_at
            and not history.scenario.clock_steps
        ):
            yield "it began before the one that it waits for had ended", told


def is_cancelled_for_its_parents(history: History) -> Iterator[tuple[str, object]]:
    """I16: it is cancelled for a parent where that has ended otherwise, and only there."""
    for child, parent, wanted in _pairs(history):
        if child.state not in TERMINAL or parent.state not in TERMINAL:
            continue
        if (child.state == "cancelled" and child.sqlstate == "PW105") == _ends_as(parent, wanted):
            yield (
                f"it waits for one that has {wanted}, and is {child.state}",
                f"job {child.id} of job {parent.id} ({parent.state})",
            )


def calls_back_once(history: History) -> Iterator[tuple[str, object]]:
    """I16: a batch calls back once, after all its jobs have ended."""
    callbacks: dict[object, list[Job]] = {}
    for job in history.jobs.values():
        callbacks.setdefault(job.args.get("tag"), []).append(job)
    for entry, kind, jobs in history.calls():
        if not kind.calls_back or any(job.state not in TERMINAL for job in jobs):
            continue
        called = callbacks.get(f"{entry.tag} called", [])
        if len(called) != bool(jobs):
            there = "there" if jobs else "not there"
            yield f"a batch that is {there} called back so often", f"{entry.tag}: {len(called)}"
        for callback in called:
            if (
                callback.started_at is not None
                and not history.scenario.clock_steps
                and any(job.finished_at and callback.started_at < job.finished_at for job in jobs)
            ):
                yield "it was called before all its jobs had ended", f"job {callback.id}"


def alone_with_its_key(history: History) -> Iterator[tuple[str, object]]:
    """I16: of the jobs of an owner with one key of concurrency, one runs at a time.

    An attempt ends in the commit that frees its place, or, where its session died, in the rescue
    that does.
    """
    runs: dict[tuple[str, object], list[tuple[datetime, datetime, int]]] = defaultdict(list)
    for job, kind in history.loaded() if not history.scenario.clock_steps else ():
        for attempt in history.attempts.get(job.id, ()) if kind.keyed else ():
            if attempt.started_at is not None and attempt.finished_at is not None:
                of_key = runs[job.owner, job.args.get("secret")]
                of_key.append((attempt.started_at, attempt.finished_at, job.id))
    for (owner, key), times in runs.items():
        for before, after in pairwise(sorted(times)):
            if after[0] < before[1]:
                yield f"two jobs of {owner} with {key} at once", f"{before[2]} and {after[2]}"

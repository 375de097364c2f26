"""Invariants of jobs and their effects: none is lost, done twice, done by itself,
or only said to be done.
"""

from collections import Counter, defaultdict
from collections.abc import Iterator

from tests.torture.history import TERMINAL, History

__all__ = [
    "no_double_effect",
    "no_false_success",
    "no_lost_job",
    "no_phantom",
    "no_second_copy",
    "not_after_its_end",
]


def no_lost_job(history: History) -> Iterator[tuple[str, object]]:
    """I1: what was confirmed has come to an end, and so has what may have been committed."""
    for entry, kind, jobs in history.calls():
        if entry.outcome == "ok":
            for number in entry.ids:
                if number not in history.jobs:
                    yield (
                        "enqueued and confirmed, and nobody knows it any more",
                        f"job {number} ({entry.kind})",
                    )
            if len(set(entry.ids)) != entry.count:
                yield (
                    "another number of jobs was enqueued than asked for",
                    f"{entry.tag}: {len(set(entry.ids))}",
                )
            if not kind.shared and {job.id for job in jobs} != set(entry.ids):
                yield (
                    "other jobs are there than were confirmed",
                    f"{entry.tag}: {len(jobs)} of {entry.count}",
                )
        elif entry.outcome == "unknown" and len(jobs) not in (0, entry.count):
            yield (
                "one transaction enqueued several jobs, and some of them are there",
                f"{entry.tag}: {len(jobs)}",
            )
        if kind.ordered and (entry.tag in history.orders) != bool(jobs):
            yield (
                "its transaction did something else, too: one is there without the other",
                f"{entry.tag}",
            )
    for job in history.jobs.values():
        if job.state not in TERMINAL:
            yield "it has not come to an end", f"job {job.id} is {job.state}"


def no_double_effect(history: History) -> Iterator[tuple[str, object]]:
    """I2: a function job has its effect once when it succeeded, and not at all otherwise."""
    effects = Counter(effect.job_id for effect in history.effects)
    for job, kind in history.loaded():
        expected = 1 if job.state == "succeeded" else 0
        if kind.effects == "once" and job.state in TERMINAL and effects[job.id] != expected:
            yield (
                f"a job that {job.state} should have {expected} effect(s)",
                f"job {job.id} has {effects[job.id]}",
            )


def no_second_copy(history: History) -> Iterator[tuple[str, object]]:
    """I2: a statement at top level may run again, but never beside an earlier run of itself."""
    processes: dict[int, list[int]] = defaultdict(list)
    for effect in history.effects:
        seen = processes[effect.job_id or 0]
        if effect.pid not in seen[-1:]:
            seen.append(effect.pid)
    for job, kind in history.loaded():
        seen = processes[job.id]
        if kind.effects == "top_level" and len(set(seen)) < len(seen):
            yield (
                "two runs of one job were at work at once",
                f"job {job.id} ({kind.name}): effects of {seen}",
            )


def no_phantom(history: History) -> Iterator[tuple[str, object]]:
    """I3: what was rolled back or refused never ran, and an effect belongs to a job."""
    undone = set()
    for entry, _kind, jobs in history.calls():
        if entry.outcome in ("failed", "rolled_back"):
            undone.add(entry.tag)
            for job in jobs:
                yield (
                    f"its enqueue was {entry.outcome}, and it is there",
                    f"job {job.id} ({job.state})",
                )
    for effect in history.effects:
        if effect.tag in undone:
            yield "its enqueue never happened, and it ran", f"job {effect.job_id} ({effect.tag})"
        elif effect.job_id not in history.jobs:
            yield "an effect without a job", f"job {effect.job_id} ({effect.tag})"


def not_after_its_end(history: History) -> Iterator[tuple[str, object]]:
    """I2: a statement whose post-condition is true does not run again: it is asked before each run
    but the first.
    """
    effects: dict[int, list[int]] = defaultdict(list)
    for effect in history.effects:
        effects[effect.job_id or 0].append(effect.pid)
    for job, kind in history.loaded():
        runs = effects[job.id]
        before = [pid for pid in runs if pid != runs[-1]]
        if kind.verified and len(before) >= kind.rows:
            yield "what was done was done again", f"job {job.id} ({kind.name}): effects of {runs}"


def no_false_success(history: History) -> Iterator[tuple[str, object]]:
    """I4: success means that it was done."""
    effects = Counter(effect.job_id for effect in history.effects)
    for job, kind in history.loaded():
        if job.state != "succeeded":
            continue
        if kind.effects == "top_level" and effects[job.id] < kind.rows:
            yield (
                f"it succeeded with fewer than {kind.rows} effects",
                f"job {job.id} ({kind.name}) has {effects[job.id]}",
            )
        if kind.relation is not None:
            index = kind.relation.format(tag=job.tag)
            if history.indexes.get(index) is not True:
                yield (
                    "it succeeded, and its index is not there or not valid",
                    f"job {job.id} ({index})",
                )

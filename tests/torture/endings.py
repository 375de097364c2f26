"""Invariants on how jobs end: in which state, after how many tries, with what result,
how soon when told to.
"""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

from tests.torture.history import TERMINAL, History, Job
from tests.torture.kinds import RESULTS, Kind

__all__ = [
    "cancels_take_effect",
    "ended_as_declared",
    "lines_are_kept",
    "not_tried_too_little",
    "results_are_theirs",
    "timeouts_are_prompt",
]

# from the answer of a cancel on: a busy machine, a frozen supervisor
_CANCELLED = timedelta(seconds=10)
_NO_RETRY = ("PWC02", "PWL02")  # pyworker itself has given up


def ended_as_declared(history: History) -> Iterator[tuple[str, object]]:
    """I10: a job ends in a state and with an error that its kind declares,
    or that the faults explain.
    """
    for job, kind in history.loaded():
        if job.state in TERMINAL and not _may_end_so(history, job, kind):
            with_code = f" with {job.sqlstate}" if job.sqlstate else ""
            yield f"a job that is {kind.name} may not be {job.state}{with_code}", f"job {job.id}"


def _may_end_so(history: History, job: Job, kind: Kind) -> bool:
    scenario, code = history.scenario, job.sqlstate or ""
    hit = scenario.crashes or scenario.terminations
    match job.state:
        case "failed":
            return (
                ("failed" in kind.states and code in kind.errors)
                or (code == "PWC02" and scenario.terminations)
                or (code in ("PWL01", "PWL02") and hit)
                or (code[:2] in ("53", "58") and scenario.starves)
            )
        case "cancelled" if code == "PW105":
            return bool(kind.after)  # which of them, and when: order.py
        case "in_doubt":
            return kind.effects != "once" and (hit or scenario.restarts)
        case _:
            return job.state in kind.states


def not_tried_too_little(history: History) -> Iterator[tuple[str, object]]:
    """I10: who failed with an error that is worth a retry has used up its attempts;
    another one is not tried again.
    """
    for job, _kind in history.loaded():
        code = job.sqlstate or ""
        if job.state != "failed" or code in _NO_RETRY:
            continue
        attempts = history.attempts.get(job.id, ())
        same = sum(attempt.outcome == "failed" and attempt.sqlstate == code for attempt in attempts)
        if code[:2] == "23" and same > 1:
            yield f"it was tried again after {code}", f"job {job.id}: {same} times"
        if code[:2] != "23" and len(attempts) < job.max_attempts:
            told = f"job {job.id}: {len(attempts)} of {job.max_attempts}"
            yield f"it failed with {code}, and had attempts left", told


def results_are_theirs(history: History) -> Iterator[tuple[str, object]]:
    """I4: the result of a success is that of its own call, with its own arguments."""
    for job, _kind in history.loaded():
        result = RESULTS.get(job.task)
        if result is None or job.state != "succeeded":
            continue
        if job.args.get("tag") != job.tag:
            yield (
                "its arguments are those of another job",
                f"job {job.id}: {job.args.get('tag')} of {job.tag}",
            )
        expected = result(job.tag or "", job.args, job.id)
        if job.result != expected:
            yield (
                "its result is not that of its call",
                f"job {job.id}: {job.result!r} instead of {expected!r}",
            )


def lines_are_kept(history: History) -> Iterator[tuple[str, object]]:
    """I4: what a job says with jobs.log stays with the attempt, though it fails.

    An attempt that was interrupted is made again, under the same number: what it had said until
    then stays as well.
    """
    scenario = history.scenario
    again = scenario.terminations or scenario.restarts or scenario.crashes
    for job, kind in history.loaded():
        said = [f"{job.tag} {number}" for number in range(1, kind.lines + 1)]
        for attempt in history.attempts.get(job.id, ()) if said else ():
            if scenario.starves and (attempt.sqlstate or "")[:2] in ("53", "58"):
                continue  # it ended before it had said anything, or in between
            kept = list(history.lines.get((job.id, attempt.attempt), ()))
            if attempt.outcome == "failed" and (kept[-len(said) :] if again else kept) != said:
                yield (
                    "its lines are not those that it wrote",
                    f"job {job.id} attempt {attempt.attempt}: {kept}",
                )


def timeouts_are_prompt(history: History) -> Iterator[tuple[str, object]]:
    """I15: where nothing keeps a supervisor from its work, who runs too long is stopped soon."""
    late = history.scenario.timeouts_late
    if late is None:
        return
    for number, attempts in history.attempts.items():
        job = history.jobs.get(number)
        for attempt in attempts:
            if (
                job is None
                or job.timeout is None
                or attempt.started_at is None
                or attempt.finished_at is None
            ):
                continue
            over = (attempt.finished_at - attempt.started_at - job.timeout).total_seconds()
            if over > late:
                yield (
                    f"it ran more than {late:g} s beyond its timeout",
                    f"job {number}: {over:.1f} s",
                )


def cancels_take_effect(history: History) -> Iterator[tuple[str, object]]:
    """I15: a cancel that says "cancelled" has done it; one that says "cancelling" does it soon.

    The wish to stop what runs is committed by a session of its own: it may be lost with the server,
    or be ended.
    """
    scenario = history.scenario
    lost = (
        scenario.crashes
        or scenario.restarts
        or scenario.terminations
        or scenario.starves
        or scenario.clock_steps
    )
    for entry in history.entries:
        job = (
            history.jobs.get(entry.ids[0])
            if entry.kind == "cancel" and entry.outcome == "ok"
            else None
        )
        if job is None:
            continue
        if entry.message == "cancelled" and job.state != "cancelled":
            yield "it was cancelled, said the answer", f"job {job.id} is {job.state}"
        if (
            entry.message == "cancelling"
            and not lost
            and job.state == "succeeded"
            and job.finished_at is not None
        ):
            went_on = job.finished_at - datetime.fromtimestamp(entry.at, UTC)
            if went_on > _CANCELLED:
                yield "it was to stop, and went on", f"job {job.id} for {went_on}"

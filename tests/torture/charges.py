"""Invariants of attempts: they add up, each ends for a reason, and a crash charges no job that it
need not.
"""

from collections.abc import Iterator

from tests.torture.history import TERMINAL, Attempt, History, Job
from tests.torture.kinds import Kind

__all__ = ["attempts_add_up"]

_SHOWN = 4  # examples of one complaint


def attempts_add_up(history: History) -> Iterator[tuple[str, object]]:
    """I10: attempts are 1, 2, 3 and so on, no more than allowed, each closed with an outcome that
    has a reason.
    """
    for number, attempts in history.attempts.items():
        job = history.jobs.get(number)
        if job is None:
            yield "attempts of a job that is not there", f"job {number}"
            continue
        made = [attempt.attempt for attempt in attempts]
        if made != list(range(1, len(made) + 1)):
            yield "its attempts are not 1, 2, 3 ...", f"job {number}: {made}"
        if len(made) > job.max_attempts:
            yield "more attempts than it has", f"job {number}: {len(made)} of {job.max_attempts}"
        if any(attempt.outcome is None or attempt.finished_at is None for attempt in attempts):
            yield "an attempt that was not closed", f"job {number}"
    for job, kind in history.loaded():
        yield from _unexplained(history, job, kind)
    yield from _charged(history)


def _unexplained(history: History, job: Job, kind: Kind) -> Iterator[tuple[str, object]]:
    for attempt in history.attempts.get(job.id, ()):
        if not _explained(history, job, kind, attempt):
            yield (
                f"an attempt {attempt.outcome} with {attempt.sqlstate}, and nothing was done to it",
                f"job {job.id} ({kind.name}) attempt {attempt.attempt}",
            )
    if job.state in TERMINAL and job.state != "cancelled" and not history.attempts.get(job.id):
        yield f"it is {job.state} without an attempt", f"job {job.id} ({kind.name})"


def _explained(history: History, job: Job, kind: Kind, attempt: Attempt) -> bool:
    scenario, state = history.scenario, attempt.sqlstate or ""
    match attempt.outcome:
        case "succeeded":
            return True
        case "failed":
            starved = scenario.starves and state[:2] in ("53", "58")
            # The deadlock of two builds on one table is their own.
            return state in kind.errors or starved
        case "timed_out":
            return job.timeout is not None
        case "cancelled":
            return job.id in history.cancels or (state == "PWC02" and scenario.terminations)
        case "lost":
            hit = scenario.crashes or scenario.terminations
            # A child session that finds no room as it starts ends by FATAL, before its statement
            # begins.
            starved = scenario.starves and kind.effects != "once"
            return state in kind.errors or (state in ("PWL01", "PWL02") and (hit or starved))
        case "in_doubt":
            hit = scenario.crashes or scenario.terminations or scenario.restarts
            return kind.effects != "once" and hit
        case _:
            return False


def _charged(history: History) -> Iterator[tuple[str, object]]:
    """A crash charges at most the job on trial, an ended session at most its own;
    a stopped server nobody.
    """
    once = {job.id for job, kind in history.loaded() if kind.effects == "once"}
    lost = [
        a
        for attempts in history.attempts.values()
        for a in attempts
        if a.outcome == "lost" and a.job_id in once
    ]
    most = history.counts.get("crash", 0) + history.counts.get("terminate", 0)
    if len(lost) > most:
        examples = ", ".join(
            f"job {attempt.job_id} attempt {attempt.attempt}" for attempt in lost[:_SHOWN]
        )
        yield (
            f"{len(lost)} attempts were charged as lost for {most} crashes and ended sessions",
            examples,
        )

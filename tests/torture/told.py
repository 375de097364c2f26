"""Invariants on what the supervisors tell: every outcome has its line, and their duties go well."""

from collections.abc import Iterator

from tests.torture.history import TERMINAL, History

__all__ = ["duties_go_well", "every_outcome_is_told"]

_AWAY = ("57P01", "57P02", "57P03")  # the server goes away, or is not there yet


def every_outcome_is_told(history: History) -> Iterator[tuple[str, object]]:
    """I1: each outcome is in the log of a supervisor; more than once only where one could not
    commit what it wrote.
    """
    told, scenario = history.told, history.scenario
    if told is None:
        return
    succeeded = 0
    for number, attempts in history.attempts.items():
        for attempt in attempts:
            succeeded += attempt.outcome == "succeeded"
            if attempt.outcome in (None, "succeeded"):
                continue
            if (number, attempt.attempt, attempt.outcome) not in told.ends:
                yield (
                    "an outcome without a line",
                    f"job {number} attempt {attempt.attempt} ({attempt.outcome})",
                )
    for job in history.jobs.values():
        if (
            job.state in TERMINAL
            and job.state != "succeeded"
            and (job.id, job.state) not in told.last
        ):
            yield f"it is {job.state}, and no line says so", f"job {job.id}"
    if told.succeeded < succeeded:
        yield (
            "successes without a line",
            f"{succeeded} attempts succeeded, the lines tell of {told.succeeded}",
        )
    broken = scenario.outages or scenario.crashes or scenario.restarts or scenario.starves
    if not (broken or told.interrupted) and (told.twice or told.succeeded > succeeded):
        yield (
            "outcomes told twice",
            f"{told.twice} that did not succeed, {told.succeeded - succeeded} that did",
        )


def duties_go_well(history: History) -> Iterator[tuple[str, object]]:
    """I12: no duty of a supervisor fails with an error that the faults do not explain."""
    scenario = history.scenario
    for duty, code in history.told.duty_errors if history.told is not None else ():
        gone = code[:2] in ("", "08") and (
            scenario.outages or scenario.crashes or scenario.restarts
        )
        short = code[:2] == "53" or (code[:2] == "58" and scenario.starves)
        # its time limits are by the clock that jumped
        late = code == "57014" and scenario.clock_steps
        if not (gone or short or late or code in _AWAY):
            yield f"a supervisor's {duty} failed", code or "without a code"

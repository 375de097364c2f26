"""What must be true after each scenario. One function for each invariant: a history in,
what is wrong with it out.
"""

import re
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator

from tests.torture.charges import attempts_add_up
from tests.torture.effects import (
    no_double_effect,
    no_false_success,
    no_lost_job,
    no_phantom,
    no_second_copy,
    not_after_its_end,
)
from tests.torture.endings import (
    cancels_take_effect,
    ended_as_declared,
    lines_are_kept,
    not_tried_too_little,
    results_are_theirs,
    timeouts_are_prompt,
)
from tests.torture.history import History
from tests.torture.order import (
    alone_with_its_key,
    calls_back_once,
    is_cancelled_for_its_parents,
    waits_for_its_parents,
)
from tests.torture.scenario import Violation
from tests.torture.starts import high_before_low, not_before_its_time, one_of_a_key
from tests.torture.told import duties_go_well, every_outcome_is_told

__all__ = ["INVARIANTS", "check", "is_hot"]

_MANY = 3  # supervisors that want some 16 sessions each, of the 40 slots of the server
_SHOWN = 4  # examples of one complaint


def _told(complaints: Iterable[tuple[str, object]]) -> Iterator[str]:
    """Join complaints of one sort into one line, with some examples."""
    sorts: dict[str, list[str]] = defaultdict(list)
    for sort, example in complaints:
        sorts[sort].append(str(example))
    for sort, examples in sorts.items():
        more = f" and {len(examples) - _SHOWN} more" if len(examples) > _SHOWN else ""
        yield f"{sort}: {', '.join(examples[:_SHOWN])}{more}"


def nothing_left(history: History) -> Iterator[tuple[str, object]]:
    """I7: segments, locks, prepared transactions, slots and messages are what they were before."""
    before, after = history.before, history.after
    for what in ("advisory_locks", "prepared", "held_slots", "segments", "messages"):
        there, now = getattr(before, what), getattr(after, what)
        if now > there:
            yield f"{what.replace('_', ' ')} left after the drain", f"{now}, and {there} before"
    refused = history.supervisor_events.get("no_worker_slot", 0)
    # Three supervisors that do not know of each other's launches yet, one of them long asleep,
    # may ask for all slots.
    many = (
        history.scenario.supervisors >= _MANY
        and history.told is not None
        and history.told.interrupted
    )
    if refused and not (history.scenario.slots_taken or history.scenario.starves or many):
        yield (
            "a supervisor was refused a worker slot, and nobody else used them up",
            f"{refused} times",
        )
    if after.connections:
        yield "connections left after the supervisors had gone", ", ".join(after.connections)


def no_orphan_at_rest(history: History) -> Iterator[tuple[str, object]]:
    """I6, at rest: no background session is left."""
    if history.after.background:
        yield "background sessions left after the drain", history.after.background


def no_broken_index(history: History) -> Iterator[tuple[str, object]]:
    """I8: no invalid index, except one that a job which did not succeed speaks of;
    no leftover of a rebuild.
    """
    told = {
        f"i_{job.tag}"
        for job, kind in history.loaded()
        if kind.relation is not None and job.state != "succeeded"
    }
    said = " ".join(job.detail or "" for job in history.jobs.values())
    for index, valid in history.indexes.items():
        rebuilt = re.search(r"_cc(new|old)\d*$", index)
        if rebuilt and index not in said:
            yield "a leftover of a rebuild that no error speaks of", index
        elif not (valid or rebuilt or index in told):
            yield "an invalid index is left", index


#: Relations whose rows come and go; the others are history, which retention bounds.
_HOT = re.compile(
    r"^(jobs_internal[.](job|attempt|log_line|statement|session|slot|lane|call_stats|stop_request"
    r"|outbox|progress_message)|pgmq[.]q_.*)$"
)


def is_hot(relation: str) -> bool:
    """Tell whether a relation of ours, by its qualified name, is one whose rows come and go."""
    return bool(_HOT.match(relation))


def sizes_are_bounded(history: History) -> Iterator[tuple[str, object]]:
    """I9: what comes and goes leaves no more behind than all jobs of the run together could have
    filled.
    """
    bound = 2**20 + 2048 * len(history.jobs)
    for relation, size in history.sizes.items():
        if is_hot(relation) and size > bound:
            yield f"a relation larger than {bound} bytes", f"{relation}: {size}"


def runs_as_owner(history: History) -> Iterator[tuple[str, object]]:
    """I11: a job runs as its owner, by login and by right."""
    for effect in history.effects:
        job = history.jobs.get(effect.job_id or 0)
        if job is not None and not job.owner == effect.by_current == effect.by_session:
            yield (
                f"a job of {job.owner} ran as {effect.by_session}/{effect.by_current}",
                f"job {job.id}",
            )


_CRASH = re.compile(r"\(PID (\d+)\) was terminated by signal (\d+)|\bPANIC: .*|\bTRAP: .*")
#: Errors that are ours, or nobody's: internal ones, and sessions that found themselves fenced off
#: (PW050, PW041).
_INTERNAL = re.compile(r"^.*\] (?:XX\d{3}|PW050|PW041) .*(?:ERROR|FATAL|PANIC): .*$", re.MULTILINE)
_RESCUE = re.compile(r"WARNING: .*cannot be rescued now.*")


def server_is_well(history: History) -> Iterator[tuple[str, object]]:
    """I12: the server crashed only when we made it, reported no error of its own,
    and stopped in time.
    """
    crashes = [
        found for found in _CRASH.finditer(history.log) if int(found[1] or 0) not in history.killed
    ]
    if len(crashes) > history.counts.get("crash", 0) - len(history.killed):
        for found in crashes:
            yield "the server crashed, and it was not our doing", found[0]
    for found in _INTERNAL.finditer(history.log):
        yield "an internal error in the server's log", found[0].strip()[:200]
    for found in _RESCUE.finditer(history.log):
        # it is tried again
        if not (history.scenario.starves and "No space left on device" in found[0]):
            yield "a rescue failed", found[0][:200]
    for stop in history.slow_stops:
        yield "expected 10 s at most", stop
    for end in history.supervisor_ends:
        yield "a supervisor did not leave as asked", end
    for entry in history.entries:
        if entry.outcome == "failed" and (entry.sqlstate or "")[:2] in (
            "XX",
            "42",
            "P0",
            "21",
            "22",
        ):
            yield (
                f"an enqueue or cancel was refused with {entry.sqlstate}",
                f"{entry.tag}: {entry.message}",
            )


def stops_hit_their_own(history: History) -> Iterator[tuple[str, object]]:
    """I15: who is cancelled was to be cancelled, and who timed out had run for so long."""
    for job in history.jobs.values():
        for attempt in history.attempts.get(job.id, ()):
            if (
                attempt.outcome != "timed_out"
                or attempt.started_at is None
                or attempt.finished_at is None
            ):
                continue
            ran = attempt.finished_at - attempt.started_at
            if (job.timeout is None or ran < job.timeout) and not history.scenario.clock_steps:
                yield "it timed out before its time", f"job {job.id} after {ran} of {job.timeout}"
    for job, kind in history.loaded():
        if job.state == "cancelled" and not kind.cancel and job.sqlstate != "PW105":
            yield "it is cancelled, and nobody asked for that", f"job {job.id} ({kind.name})"
        if kind.cancel and job.state == "succeeded" and not history.effects:
            yield "it succeeded without an effect", f"job {job.id}"


def within_concurrency(history: History) -> Iterator[tuple[str, object]]:
    """I14: no more jobs of a queue at once than it allows."""
    if history.scenario.clock_steps:
        return
    moments: dict[str, list[tuple[object, int]]] = defaultdict(list)
    for number, attempts in history.attempts.items():
        job = history.jobs.get(number)
        for attempt in attempts:
            if (
                job is not None
                and attempt.started_at is not None
                and attempt.finished_at is not None
            ):
                moments[job.queue] += [(attempt.started_at, 1), (attempt.finished_at, -1)]
    for queue, changes in moments.items():
        limit, at_once, most = history.queues.get(queue), 0, 0
        for _at, change in sorted(changes, key=lambda moment: (moment[0], moment[1])):
            at_once += change
            most = max(most, at_once)
        if limit is not None and most > limit:
            yield f"queue {queue} runs {limit} at once", f"{most} ran"


def secrets_are_kept(history: History) -> Iterator[tuple[str, object]]:
    """I13: an argument is seen by its owner, and nowhere else."""
    for place, seen in history.canaries.items():
        yield f"a secret argument stands in {place}", seen


#: Name, function; several functions may speak for one invariant.
INVARIANTS: list[tuple[str, Callable[[History], Iterator[tuple[str, object]]]]] = [
    ("I1", no_lost_job),
    ("I1", every_outcome_is_told),
    ("I2", no_double_effect),
    ("I2", no_second_copy),
    ("I2", not_after_its_end),
    ("I3", no_phantom),
    ("I4", no_false_success),
    ("I4", results_are_theirs),
    ("I4", lines_are_kept),
    ("I6", no_orphan_at_rest),
    ("I7", nothing_left),
    ("I8", no_broken_index),
    ("I9", sizes_are_bounded),
    ("I10", attempts_add_up),
    ("I10", ended_as_declared),
    ("I10", not_tried_too_little),
    ("I11", runs_as_owner),
    ("I12", server_is_well),
    ("I12", duties_go_well),
    ("I13", secrets_are_kept),
    ("I14", within_concurrency),
    ("I14", not_before_its_time),
    ("I14", high_before_low),
    ("I14", one_of_a_key),
    ("I15", stops_hit_their_own),
    ("I15", timeouts_are_prompt),
    ("I15", cancels_take_effect),
    ("I16", waits_for_its_parents),
    ("I16", is_cancelled_for_its_parents),
    ("I16", calls_back_once),
    ("I16", alone_with_its_key),
]


def check(history: History) -> list[Violation]:
    """Ask all invariants."""
    return [
        history.scenario.violation(name, line)
        for name, invariant in INVARIANTS
        for line in _told(invariant(history))
    ]

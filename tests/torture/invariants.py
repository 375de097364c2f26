"""What must be true after each scenario. One function for each invariant: a history in, what is wrong with it out."""

import re
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator

from tests.torture.endings import (
    cancels_take_effect,
    ended_as_declared,
    lines_are_kept,
    not_tried_too_little,
    results_are_theirs,
    timeouts_are_prompt,
)
from tests.torture.history import TERMINAL, Attempt, History, Job
from tests.torture.kinds import Kind
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


def no_lost_job(history: History) -> Iterator[tuple[str, object]]:
    """I1: what was confirmed has come to an end, and so has what may have been committed."""
    for entry, kind, jobs in history.calls():
        if entry.outcome == "ok":
            for number in entry.ids:
                if number not in history.jobs:
                    yield "enqueued and confirmed, and nobody knows it any more", f"job {number} ({entry.kind})"
            if len(set(entry.ids)) != entry.count:
                yield "another number of jobs was enqueued than asked for", f"{entry.tag}: {len(set(entry.ids))}"
            if not kind.shared and {job.id for job in jobs} != set(entry.ids):
                yield "other jobs are there than were confirmed", f"{entry.tag}: {len(jobs)} of {entry.count}"
        elif entry.outcome == "unknown" and len(jobs) not in (0, entry.count):
            yield "one transaction enqueued several jobs, and some of them are there", f"{entry.tag}: {len(jobs)}"
        if kind.ordered and (entry.tag in history.orders) != bool(jobs):
            yield "its transaction did something else, too: one is there without the other", f"{entry.tag}"
    for job in history.jobs.values():
        if job.state not in TERMINAL:
            yield "it has not come to an end", f"job {job.id} is {job.state}"


def no_double_effect(history: History) -> Iterator[tuple[str, object]]:
    """I2: a function job has its effect once when it succeeded, and not at all otherwise."""
    effects = Counter(effect.job_id for effect in history.effects)
    for job, kind in history.loaded():
        expected = 1 if job.state == "succeeded" else 0
        if kind.effects == "once" and job.state in TERMINAL and effects[job.id] != expected:
            yield f"a job that {job.state} should have {expected} effect(s)", f"job {job.id} has {effects[job.id]}"


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
            yield "two runs of one job were at work at once", f"job {job.id} ({kind.name}): effects of {seen}"


def no_phantom(history: History) -> Iterator[tuple[str, object]]:
    """I3: what was rolled back or refused never ran, and an effect belongs to a job."""
    undone = set()
    for entry, _kind, jobs in history.calls():
        if entry.outcome in ("failed", "rolled_back"):
            undone.add(entry.tag)
            for job in jobs:
                yield f"its enqueue was {entry.outcome}, and it is there", f"job {job.id} ({job.state})"
    for effect in history.effects:
        if effect.tag in undone:
            yield "its enqueue never happened, and it ran", f"job {effect.job_id} ({effect.tag})"
        elif effect.job_id not in history.jobs:
            yield "an effect without a job", f"job {effect.job_id} ({effect.tag})"


def not_after_its_end(history: History) -> Iterator[tuple[str, object]]:
    """I2: a statement whose post-condition is true does not run again: it is asked before each run but the first."""
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
                yield "it succeeded, and its index is not there or not valid", f"job {job.id} ({index})"


def nothing_left(history: History) -> Iterator[tuple[str, object]]:
    """I7: segments, locks, prepared transactions, slots and messages are what they were before."""
    before, after = history.before, history.after
    for what in ("advisory_locks", "prepared", "held_slots", "segments", "messages"):
        there, now = getattr(before, what), getattr(after, what)
        if now > there:
            yield f"{what.replace('_', ' ')} left after the drain", f"{now}, and {there} before"
    refused = history.supervisor_events.get("no_worker_slot", 0)
    # Three supervisors that do not know of each other's launches yet, one of them long asleep, may ask for all slots.
    many = history.scenario.supervisors >= _MANY and history.told is not None and history.told.interrupted
    if refused and not (history.scenario.slots_taken or history.scenario.starves or many):
        yield "a supervisor was refused a worker slot, and nobody else used them up", f"{refused} times"
    if after.connections:
        yield "connections left after the supervisors had gone", ", ".join(after.connections)


def no_orphan_at_rest(history: History) -> Iterator[tuple[str, object]]:
    """I6, at rest: no background session is left."""
    if history.after.background:
        yield "background sessions left after the drain", history.after.background


def no_broken_index(history: History) -> Iterator[tuple[str, object]]:
    """I8: no invalid index, except one that a job which did not succeed speaks of; no leftover of a rebuild."""
    told = {f"i_{job.tag}" for job, kind in history.loaded() if kind.relation is not None and job.state != "succeeded"}
    said = " ".join(job.detail or "" for job in history.jobs.values())
    for index, valid in history.indexes.items():
        rebuilt = re.search(r"_cc(new|old)\d*$", index)
        if rebuilt and index not in said:
            yield "a leftover of a rebuild that no error speaks of", index
        elif not (valid or rebuilt or index in told):
            yield "an invalid index is left", index


#: Relations whose rows come and go; the others are history, which retention bounds.
_HOT = re.compile(
    r"^(jobs_internal[.](job|attempt|log_line|statement|session|slot|lane|duration|stop|feed|progress_message)|pgmq[.]q_.*)$"
)


def is_hot(relation: str) -> bool:
    """Tell whether a relation of ours, by its qualified name, is one whose rows come and go."""
    return bool(_HOT.match(relation))


def sizes_are_bounded(history: History) -> Iterator[tuple[str, object]]:
    """I9: what comes and goes leaves no more behind than all jobs of the run together could have filled."""
    bound = 2**20 + 2048 * len(history.jobs)
    for relation, size in history.sizes.items():
        if is_hot(relation) and size > bound:
            yield f"a relation larger than {bound} bytes", f"{relation}: {size}"


def attempts_add_up(history: History) -> Iterator[tuple[str, object]]:
    """I10: attempts are 1, 2, 3 and so on, no more than allowed, each closed with an outcome that has a reason."""
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
            # A child session that finds no room as it starts ends by FATAL, before its statement begins.
            starved = scenario.starves and kind.effects != "once"
            return state in kind.errors or (state in ("PWL01", "PWL02") and (hit or starved))
        case "in_doubt":
            hit = scenario.crashes or scenario.terminations or scenario.restarts
            return kind.effects != "once" and hit
        case _:
            return False


def _charged(history: History) -> Iterator[tuple[str, object]]:
    """A crash charges at most the job on trial, an ended session at most its own; a stopped server nobody."""
    once = {job.id for job, kind in history.loaded() if kind.effects == "once"}
    lost = [a for attempts in history.attempts.values() for a in attempts if a.outcome == "lost" and a.job_id in once]
    most = history.counts.get("crash", 0) + history.counts.get("terminate", 0)
    if len(lost) > most:
        examples = ", ".join(f"job {attempt.job_id} attempt {attempt.attempt}" for attempt in lost[:_SHOWN])
        yield f"{len(lost)} attempts were charged as lost for {most} crashes and ended sessions", examples


def runs_as_owner(history: History) -> Iterator[tuple[str, object]]:
    """I11: a job runs as its owner, by login and by right."""
    for effect in history.effects:
        job = history.jobs.get(effect.job_id or 0)
        if job is not None and not job.owner == effect.by_current == effect.by_session:
            yield f"a job of {job.owner} ran as {effect.by_session}/{effect.by_current}", f"job {job.id}"


_CRASH = re.compile(r"\(PID (\d+)\) was terminated by signal (\d+)|\bPANIC: .*|\bTRAP: .*")
#: Errors that are ours, or nobody's: internal ones, and sessions that found themselves fenced off (PW050, PW041).
_INTERNAL = re.compile(r"^.*\] (?:XX\d{3}|PW050|PW041) .*(?:ERROR|FATAL|PANIC): .*$", re.MULTILINE)
_RESCUE = re.compile(r"WARNING: .*cannot be rescued now.*")


def server_is_well(history: History) -> Iterator[tuple[str, object]]:
    """I12: the server crashed only when we made it, reported no error of its own, and stopped in time."""
    crashes = [found for found in _CRASH.finditer(history.log) if int(found[1] or 0) not in history.killed]
    if len(crashes) > history.counts.get("crash", 0) - len(history.killed):
        for found in crashes:
            yield "the server crashed, and it was not our doing", found[0]
    for found in _INTERNAL.finditer(history.log):
        yield "an internal error in the server's log", found[0].strip()[:200]
    for found in _RESCUE.finditer(history.log):
        if not (history.scenario.starves and "No space left on device" in found[0]):  # it is tried again
            yield "a rescue failed", found[0][:200]
    for stop in history.slow_stops:
        yield "expected 10 s at most", stop
    for end in history.supervisor_ends:
        yield "a supervisor did not leave as asked", end
    for entry in history.entries:
        if entry.outcome == "failed" and (entry.sqlstate or "")[:2] in ("XX", "42", "P0", "21", "22"):
            yield f"an enqueue or cancel was refused with {entry.sqlstate}", f"{entry.tag}: {entry.message}"


def stops_hit_their_own(history: History) -> Iterator[tuple[str, object]]:
    """I15: who is cancelled was to be cancelled, and who timed out had run for so long."""
    for job in history.jobs.values():
        for attempt in history.attempts.get(job.id, ()):
            if attempt.outcome != "timed_out" or attempt.started_at is None or attempt.finished_at is None:
                continue
            ran = attempt.finished_at - attempt.started_at
            if (job.timeout is None or ran < job.timeout) and not history.scenario.clock_steps:
                yield "it timed out before its time", f"job {job.id} after {ran} of {job.timeout}"
    for job, kind in history.loaded():
        if job.state == "cancelled" and not kind.cancel:
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
            if job is not None and attempt.started_at is not None and attempt.finished_at is not None:
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
]


def check(history: History) -> list[Violation]:
    """Ask all invariants."""
    return [
        history.scenario.violation(name, line) for name, invariant in INVARIANTS for line in _told(invariant(history))
    ]

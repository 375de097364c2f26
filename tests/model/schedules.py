"""A model of how occurrences of a schedule are decided of: fired, skipped, coalesced, missed or
paused, by any number of supervisors, which die at any step, under a clock that is set back.

Time is counted in half periods: occurrences are due at 2, 4, 6 and so on. One in the half period
before now is in time.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

from .search import Rules

#: What became of an occurrence; FIRED ones have a job.
FIRED, SKIPPED, COALESCED, MISSED, PAUSED = "FSCMP"
Step = tuple[str, "State"]


class Job(NamedTuple):
    """A job of an occurrence."""

    occurrence: int
    ended: bool = False


class Draft(NamedTuple):
    """What an open transaction has written."""

    runs: tuple[tuple[int, str], ...]
    next_due: int

    @property
    def fired(self) -> tuple[Job, ...]:
        """The jobs that it has enqueued."""
        return tuple(Job(number) for number, outcome in self.runs if outcome == FIRED)


class Round(NamedTuple):
    """A round of a supervisor, from the moment for which it fires."""

    now: int
    seen: int  #: the next occurrence, as it was then
    draft: Draft | None = None  #: None: it has decided nothing yet


class State(NamedTuple):
    """One state of everything."""

    clock: int
    next_due: int
    runs: tuple[str | None, ...]  #: of each occurrence, what its row says
    jobs: tuple[Job, ...]
    rounds: tuple[Round | None, ...]
    lock: int | None = None  #: the round that has locked the row of the next occurrence
    paused: bool = False
    noticed: bool = True  #: that the clock was set back
    deaths: int = 0
    steps_back: int = 0
    pauses: int = 0


@dataclass(frozen=True)
class World:
    """How many there are of what, and what may happen."""

    occurrences: int = 3
    supervisors: int = 2
    missed: str = "last"
    overlap: str = "parallel"
    deaths: int = 1
    steps_back: int = 0
    pauses: int = 0
    bugs: frozenset[str] = frozenset()

    @property
    def end(self) -> int:
        """The last moment."""
        return 2 * self.occurrences + 1

    def first(self) -> State:
        """Give the state in which everything begins."""
        return State(
            clock=1,
            next_due=2,
            runs=(None,) * self.occurrences,
            jobs=(),
            rounds=(None,) * self.supervisors,
            deaths=self.deaths,
            steps_back=self.steps_back,
            pauses=self.pauses,
        )


def steps(world: World, state: State) -> Iterator[Step]:
    """List what may happen next."""
    yield from _outside(world, state)
    for number, one in enumerate(state.rounds):
        if one is not None and state.deaths:
            after = _leave(state, number)._replace(deaths=state.deaths - 1)
            if state.lock == number and "the lock outlives its session" in world.bugs:
                after = after._replace(lock=-1)  # no living one's
            yield f"supervisor {number} dies", after
        yield from _advance(world, state, number)


def broken_promise(world: World, state: State) -> str | None:
    """Name a promise that is broken in this state."""
    fired = [job.occurrence for job in state.jobs]
    for number, outcome in enumerate(state.runs):
        due = 2 * (number + 1)
        if fired.count(number) > 1:
            return f"occurrence {number} was fired twice"
        if (number in fired) != (outcome == FIRED):
            return f"occurrence {number} has a job without a row, or a row without its job"
        if outcome is None and due < state.next_due and due <= state.clock and state.noticed:
            return f"occurrence {number} is forgotten"
    if world.overlap == "skip" and sum(not job.ended for job in state.jobs) > 1:
        return "two jobs run side by side, against the wish of the owner"
    return None


def is_over(world: World, state: State) -> bool:
    """Say whether everything has come to its end."""
    return (
        state.clock == world.end
        and state.next_due > world.end
        and not any(state.rounds)
        and all(job.ended for job in state.jobs)
    )


def ending(state: State) -> str:
    """Say what became of each occurrence."""
    return "".join(run or "-" for run in state.runs)


#: What a search through its states is told.
SCHEDULES = Rules(steps, broken_promise, is_over, ending)


def _outside(world: World, state: State) -> Iterator[Step]:
    """Time passes, jobs end, the clock is set back, the owner pauses and resumes."""
    if state.clock < world.end:
        yield "time passes", state._replace(clock=state.clock + 1)
    for number, job in enumerate(state.jobs):
        if not job.ended:
            jobs = list(state.jobs)
            jobs[number] = job._replace(ended=True)
            yield f"job of occurrence {job.occurrence} ends", state._replace(jobs=tuple(jobs))
    if state.steps_back and state.clock > 3:
        yield (
            "the clock is set back",
            state._replace(clock=state.clock - 3, steps_back=state.steps_back - 1, noticed=False),
        )
    if not state.noticed and state.lock is None:
        yield "it is noticed that the clock was set back", _follow_clock(world, state)
    if state.lock is None and state.pauses and not state.paused:
        yield "the owner pauses", state._replace(paused=True, pauses=state.pauses - 1)
    if state.lock is None and state.paused:
        runs = state.runs
        if "a pause is forgotten" not in world.bugs:
            runs = _record(runs, state.next_due, state.clock, PAUSED)
        yield (
            "the owner resumes",
            state._replace(paused=False, runs=runs, next_due=_after(state.clock)),
        )


def _advance(world: World, state: State, me: int) -> Iterator[Step]:
    """Do the next step of a supervisor's round."""
    one = state.rounds[me]
    if one is None:
        yield f"supervisor {me} looks", _at(state, me, Round(state.clock, state.next_due))
    elif one.draft is not None:
        yield f"supervisor {me} commits", _commit(world, state, me, one.draft)
    elif state.lock == me or (one.seen <= one.now and "no lock" in world.bugs):
        yield f"supervisor {me} decides", _decide(world, state, me, one)
    else:
        due = one.seen if "no second look" in world.bugs else state.next_due
        if state.lock is None and due <= one.now and not state.paused:
            yield f"supervisor {me} locks what is due", state._replace(lock=me)
        else:
            yield f"supervisor {me} passes by", _leave(state, me)


def _decide(world: World, state: State, me: int, one: Round) -> State:
    """Decide of all occurrences up to the moment of the round, as fire_schedule does."""
    first = one.seen if "no second look" in world.bugs else state.next_due
    due = [n for n in range(world.occurrences) if first <= 2 * (n + 1) <= one.now]
    kept = due if world.missed == "all" else due[-1:]
    if world.missed == "none" and one.now % 2:
        kept = []
    live = any(not job.ended for job in state.jobs)
    if "jobs are not looked for" in world.bugs:
        live = False
    runs: list[tuple[int, str]] = []
    for number in due:
        if state.runs[number] is not None and "no row is asked for" not in world.bugs:
            continue
        if number in kept:
            outcome = SKIPPED if world.overlap == "skip" and live else FIRED
            live = live or outcome == FIRED
            runs.append((number, outcome))
        elif "what is missed is not kept" not in world.bugs:
            runs.append((number, COALESCED if kept and world.missed == "last" else MISSED))
    draft = Draft(tuple(runs), max(first, _after(one.now)))
    after = _at(state, me, one._replace(draft=draft))
    if "next time first" in world.bugs:
        after = after._replace(next_due=draft.next_due)
    if "job first" in world.bugs:
        after = after._replace(jobs=(*state.jobs, *draft.fired))
    return after


def _commit(world: World, state: State, me: int, draft: Draft) -> State:
    """Commit. An occurrence has one row: of two the first one stays. A job has no such key."""
    runs = list(state.runs)
    for number, outcome in draft.runs:
        runs[number] = runs[number] or outcome
    jobs = state.jobs if "job first" in world.bugs else (*state.jobs, *draft.fired)
    return _leave(state, me)._replace(runs=tuple(runs), jobs=jobs, next_due=draft.next_due)


def _follow_clock(world: World, state: State) -> State:
    """Find the next occurrence by the clock of now, as set_back does: what was decided of those to
    come, but for the fired ones, is forgotten.
    """
    runs = tuple(
        None if 2 * (number + 1) > state.clock and run != FIRED else run
        for number, run in enumerate(state.runs)
    )
    if "all is forgotten" in world.bugs:
        runs = tuple(
            None if 2 * (number + 1) > state.clock else run for number, run in enumerate(runs)
        )
    return state._replace(
        runs=runs, next_due=min(state.next_due, _after(state.clock)), noticed=True
    )


def _record(
    runs: tuple[str | None, ...], first: int, until: int, outcome: str
) -> tuple[str | None, ...]:
    return tuple(
        outcome if run is None and first <= 2 * (number + 1) <= until else run
        for number, run in enumerate(runs)
    )


def _after(clock: int) -> int:
    """Give the first occurrence after a moment."""
    return 2 * (clock // 2 + 1)


def _at(state: State, me: int, one: Round | None) -> State:
    rounds = list(state.rounds)
    rounds[me] = one
    return state._replace(rounds=tuple(rounds))


def _leave(state: State, me: int) -> State:
    """End a round: its transaction is over."""
    return _at(state, me, None)._replace(lock=None if state.lock == me else state.lock)

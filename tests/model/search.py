"""Breadth-first search through all states: the shortest way to a broken promise, or none."""

import gc
import re
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from .faults import fail, steer
from .keeper import keep
from .shared import lives
from .states import CANCELLED, FAILED, OVER, QUEUED, SCHEDULED, SUCCEEDED, State, World
from .worker import enqueue, launch, work


def steps(world: World, state: State) -> Iterator[tuple[str, State]]:
    """List what may happen next."""
    yield from enqueue(world, state)
    yield from launch(world, state)
    for number, session in enumerate(state.sessions):
        if session is not None and lives(session):
            yield from work(world, state, number)
    for number in range(len(state.supervisors)):
        yield from keep(world, state, number)
    yield from fail(world, state)
    yield from steer(world, state)


def broken_promise(world: World, state: State) -> str | None:
    """Name a promise that is broken in this state."""
    if state.wrong:
        return state.wrong
    for number, job in enumerate(state.jobs):
        if job.effects > 1:
            return f"job {number} had its effect twice"
        if job.state == SUCCEEDED and job.effects == 0:
            return f"job {number} succeeded without its effect"
        if job.state in (FAILED, CANCELLED) and job.effects:
            return f"job {number} had its effect and did not succeed"
        if job.state == CANCELLED and not job.asked:
            return f"job {number} was cancelled, and nobody had asked for it"
        if job.state == QUEUED and (job.message is None or state.messages[job.message] is None):
            return f"job {number} is lost: it is queued without a message"
        if job.state in (SCHEDULED, QUEUED) and job.attempt != job.charged:
            return f"an attempt of job {number} was charged and never closed"
    return None


def is_over(world: World, state: State) -> bool:
    """Say whether everything has come to its end."""
    return (
        all(job.state in OVER for job in state.jobs)
        and not any(state.sessions)
        and state.client is None
    )


def ending(state: State) -> str:
    """Say in which states the jobs are."""
    return "".join(job.state for job in state.jobs)


class Rules(NamedTuple):
    """What a search is told of a protocol. A world gives the state in which it begins."""

    steps: Callable[[Any, Any], Iterator[tuple[str, Any]]]
    broken_promise: Callable[[Any, Any], str | None]
    is_over: Callable[[Any, Any], bool]
    ending: Callable[[Any], str]


#: How jobs are enqueued, claimed, run, ended, stopped and rescued.
JOBS = Rules(steps, broken_promise, is_over, ending)


@dataclass
class Finding:
    """What a search found."""

    states: int = 0
    steps: int = 0
    broken: str | None = None  #: the promise
    way: list[str] = field(default_factory=list)  #: the shortest way there
    kinds: set[str] = field(default_factory=set)  #: of steps that happened, without numbers
    endings: set[str] = field(default_factory=set)  #: states of the jobs in the end


def explore(world: Any, rules: Rules = JOBS) -> Finding:
    """Visit every state that can be reached; stop at the first broken promise."""
    gc.disable()  # millions of tuples, none of them in a circle
    try:
        return _explore(world, rules)
    finally:
        gc.enable()


def _explore(world: Any, rules: Rules) -> Finding:
    first = world.first()
    numbers = {first: 0}
    came: list[tuple[int, str]] = [(-1, "")]
    sources: list[list[int]] = [[]]
    ends: list[int] = []
    line = deque([first])
    labels: set[str] = set()
    finding = Finding()
    while line:
        state = line.popleft()
        here = numbers[state]
        if rules.is_over(world, state):
            ends.append(here)
            finding.endings.add(rules.ending(state))
        for label, after in rules.steps(world, state):
            finding.steps += 1
            labels.add(label)
            there = numbers.get(after)
            if there is None:
                there = numbers[after] = len(numbers)
                came.append((here, label))
                sources.append([])
                line.append(after)
                promise = rules.broken_promise(world, after)
                if promise:
                    return _found(finding, promise, came, there)
            sources[there].append(here)
    finding.states = len(numbers)
    finding.kinds = {re.sub(r"[\d(].*?(?= [a-z]|$)", "#", label) for label in labels}
    stuck = _stuck(sources, ends)
    return (
        _found(finding, "it never comes to an end", came, stuck) if stuck is not None else finding
    )


def _stuck(sources: list[list[int]], ends: list[int]) -> int | None:
    """Find the first state from which no end can be reached."""
    reached = bytearray(len(sources))
    line = list(ends)
    for end in ends:
        reached[end] = 1
    while line:
        for source in sources[line.pop()]:
            if not reached[source]:
                reached[source] = 1
                line.append(source)
    place = reached.find(0)
    return None if place < 0 else place


def _found(finding: Finding, promise: str, came: list[tuple[int, str]], place: int) -> Finding:
    finding.states = len(came)
    finding.broken = promise
    while place > 0:
        place, label = came[place]
        finding.way.append(label)
    finding.way.reverse()
    return finding

"""The protocol keeps its promises in every state of some small worlds; with a bug planted,
it does not.
"""

from functools import cache

import pytest

from . import search
from .search import Finding
from .states import World

WORLDS = {
    "a session dies": World(kinds=("short", "long"), deaths=1),
    "a session dies in a chunk of two": World(kinds=("short", "short"), deaths=1),
    "a session dies, three sessions, two supervisors": World(
        kinds=("short", "long"), sessions=3, supervisors=2, deaths=1, leases=False
    ),
    "a job fails, a session dies, two supervisors": World(
        kinds=("stumbling",), deaths=1, supervisors=2
    ),
    "a cancel, from its enqueue on": World(kinds=("short",), enqueued=False, cancels=1, deaths=1),
    "a cancel, a signal from nobody, two supervisors": World(
        kinds=("long",), cancels=1, strays=1, supervisors=2
    ),
    "a cancel beside another job": World(kinds=("short", "long"), cancels=1),
    "an attempt is overdue": World(kinds=("short", "long"), overdue=1, leases=False),
    "an attempt is overdue, and cancelled, and its session dies": World(
        kinds=("long",), overdue=1, cancels=1, deaths=1
    ),
    "signals from nobody, again and again": World(kinds=("long",), strays=3),
    "the server crashes by itself": World(kinds=("short", "long"), crashes=1, leases=False),
    "the server is restarted, a session dies": World(
        kinds=("short", "long"), restarts=1, deaths=1, leases=False
    ),
    "a job crashes the server": World(kinds=("poison", "short"), leases=False),
    "a job with one attempt crashes the server": World(
        kinds=("poison", "short"), max_attempts=1, leases=False
    ),
    "a job crashes the server late": World(
        kinds=("poison", "long"), slow_poison=True, leases=False
    ),
    "a new job crashes the server beside a suspect": World(
        kinds=("long", "poison"), crashes=1, leases=False
    ),
    "a job crashes the server, and is cancelled": World(kinds=("poison",), cancels=1),
    "somebody deletes the row of a running job": World(kinds=("long",), tampers=1, deaths=1),
}

#: What the planted bug is, the world in which it shows, and the promise that it breaks.
MUTANTS = {
    "no fence": (World(kinds=("long",), tampers=1), "had its effect and did not succeed"),
    "claim in the effect": (World(kinds=("poison",)), "never comes to an end"),
    "lone start not committed": (World(kinds=("poison",)), "never comes to an end"),
    "rescue by time": (World(kinds=("long",)), "was charged: its session lives"),
    "rescue without a second look": (
        World(kinds=("long",), deaths=1, supervisors=2),
        "was charged: its session lives",
    ),
    "dispatch without a lock": (
        World(kinds=("long",), strays=1, supervisors=2),
        "charged and never closed",
    ),
    "no reason check": (World(kinds=("short",), strays=1), "that nobody asked to cancel"),
    "signal without the session's lock": (
        World(kinds=("short", "long"), cancels=1),
        "was charged: the signal was for another job",
    ),
    "shutdown is charged": (
        World(kinds=("long",), restarts=1),
        "was charged: the server was stopped",
    ),
    "all are charged": (
        World(kinds=("poison", "long"), leases=False),
        "was charged: another job crashed the server",
    ),
    "suspects in parallel": (
        World(kinds=("poison", "long"), leases=False),
        "another job crashed the server",
    ),
    "convicted beside others": (
        World(kinds=("long", "poison"), crashes=1, leases=False),
        "another job crashed the server",
    ),
    "message deleted before the commit": (World(kinds=("short",), deaths=1), "is lost"),
    "unlogged": (World(kinds=("short",), crashes=1), "is lost"),
    "effect before outcome": (World(kinds=("long",), deaths=1), "had its effect twice"),
    "no message lock, no fence in chunks": (World(kinds=("short",)), "had its effect twice"),
}


explore = cache(search.explore)


def planted(world: World, *bugs: str) -> World:
    return World(**{**vars(world), "bugs": frozenset(bugs)})


def told(finding: Finding) -> str:
    return "\n".join([f"{finding.broken}, after {len(finding.way)} steps:", *finding.way])


@pytest.mark.parametrize("name", WORLDS)
def test_every_promise_is_kept(name: str) -> None:
    finding = explore(WORLDS[name])
    assert finding.broken is None, told(finding)
    assert finding.states > 50


@pytest.mark.parametrize("bug", MUTANTS)
def test_a_planted_bug_is_found(bug: str) -> None:
    world, promise = MUTANTS[bug]
    finding = explore(planted(world, *bug.split(", ")))
    assert finding.broken is not None, f"{finding.states} states, and nothing is wrong"
    assert promise in finding.broken, told(finding)


@pytest.mark.parametrize("bug", MUTANTS)
def test_without_the_bug_its_world_is_fine(bug: str) -> None:
    finding = explore(MUTANTS[bug][0])
    assert finding.broken is None, told(finding)


@pytest.mark.parametrize("one", ["no message lock", "no fence in chunks", "no token"])
def test_one_safeguard_of_a_chunk_is_enough(one: str) -> None:
    """The lock keeps a second session from the work; should it fail, the count of the rows at the
    end undoes that.
    """
    finding = explore(planted(World(kinds=("short",), deaths=1), one))
    assert finding.broken is None, told(finding)


def test_what_should_be_possible_is() -> None:
    """A model in which nothing can happen proves nothing: each ending and each kind of step occurs
    somewhere.
    """
    endings = {name: explore(world).endings for name, world in WORLDS.items()}
    assert endings["a session dies"] == {"SS"}
    assert endings["a job fails, a session dies, two supervisors"] == {"S", "F"}
    assert endings["a cancel beside another job"] == {"SS", "CS", "SC"}
    assert endings["signals from nobody, again and again"] == {"S", "F"}
    assert endings["a job with one attempt crashes the server"] == {"FS"}
    assert endings["an attempt is overdue, and cancelled, and its session dies"] == {"S", "F", "C"}
    kinds = set().union(*(explore(world).kinds for world in WORLDS.values()))
    for expected in (
        "the crash is noted: # was on trial",
        "session # holds back job #",
        "session # meets the fence",
        "session # finds nothing of its claim",
        "session # commits job # timed_out",
        "session # commits job # interrupted",
        "message # is taken back from session #",
        "the lease of message # runs out",
        "the cancel of job # is rolled back",
        "supervisor # dies",
    ):
        assert expected in kinds

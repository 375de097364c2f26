"""Occurrences of a schedule are decided of once, and none is forgotten, in every state of some
small worlds; with a bug planted, that is not so.
"""

from functools import cache

import pytest

from .schedules import SCHEDULES, World
from .search import Finding, explore

WORLDS = {
    "supervisors die": World(deaths=2),
    "three supervisors": World(occurrences=2, supervisors=3),
    "jobs overlap": World(overlap="skip"),
    "all that was missed is made up for": World(missed="all", overlap="skip"),
    "nothing is made up for": World(missed="none"),
    "the clock is set back": World(occurrences=2, steps_back=1),
    "the clock is set back twice, and jobs overlap": World(
        occurrences=2, steps_back=2, overlap="skip", deaths=0
    ),
    "the owner pauses": World(pauses=1, missed="all"),
    "the owner pauses, and the clock is set back": World(
        occurrences=2, pauses=1, steps_back=1, deaths=0
    ),
}

#: What the planted bug is, the world in which it shows, and the promise that it breaks.
MUTANTS = {
    "no lock": (World(deaths=0), "was fired twice"),
    "no second look, no row is asked for": (World(deaths=0), "was fired twice"),
    "no row is asked for": (World(occurrences=2, steps_back=1), "was fired twice"),
    "all is forgotten": (World(occurrences=2, steps_back=1), "without its job"),
    "job first": (World(), "has a job without a row"),
    "next time first": (World(), "is forgotten"),
    "what is missed is not kept": (World(missed="none"), "is forgotten"),
    "a pause is forgotten": (World(pauses=1), "is forgotten"),
    "the lock outlives its session": (World(), "never comes to an end"),
    "jobs are not looked for": (World(overlap="skip"), "two jobs run side by side"),
}


@cache
def search(world: World) -> Finding:
    return explore(world, SCHEDULES)


def told(finding: Finding) -> str:
    return "\n".join([f"{finding.broken}, after {len(finding.way)} steps:", *finding.way])


@pytest.mark.parametrize("name", WORLDS)
def test_every_occurrence_is_accounted_for_once(name: str) -> None:
    finding = search(WORLDS[name])
    assert finding.broken is None, told(finding)
    assert finding.states > 50


@pytest.mark.parametrize("bug", MUTANTS)
def test_a_planted_bug_is_found(bug: str) -> None:
    world, promise = MUTANTS[bug]
    finding = search(World(**{**vars(world), "bugs": frozenset(bug.split(", "))}))
    assert finding.broken is not None, f"{finding.states} states, and nothing is wrong"
    assert promise in finding.broken, told(finding)


@pytest.mark.parametrize("bug", MUTANTS)
def test_without_the_bug_its_world_is_fine(bug: str) -> None:
    finding = search(MUTANTS[bug][0])
    assert finding.broken is None, told(finding)


def test_a_row_is_enough_where_the_second_look_fails() -> None:
    """A round that acts upon what it saw before its lock finds the row of what was decided."""
    finding = search(World(bugs=frozenset({"no second look"})))
    assert finding.broken is None, told(finding)


def test_what_should_be_possible_is() -> None:
    """A model in which nothing can happen proves nothing: each outcome occurs somewhere."""
    endings = {name: search(world).endings for name, world in WORLDS.items()}
    assert {"FFF", "CCF", "FCF"} <= endings["supervisors die"]
    assert {"FSF", "CCF"} <= endings["jobs overlap"]
    assert {"FFF", "FSS"} <= endings["all that was missed is made up for"]
    assert {"MMM", "FMF", "MFM"} <= endings["nothing is made up for"]
    assert any("P" in ending and "F" in ending for ending in endings["the owner pauses"])
    assert all("-" not in ending for some in endings.values() for ending in some)
    kinds = set().union(*(search(world).kinds for world in WORLDS.values()))
    for expected in (
        "supervisor # dies",
        "supervisor # passes by",
        "supervisor # commits",
        "it is noticed that the clock was set back",
        "the owner resumes",
    ):
        assert expected in kinds

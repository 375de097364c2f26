"""All systems, turn about in one run: as many turns each as the run has repetitions."""

from collections.abc import Iterator, Sequence

import psycopg

from bench.figures import Curve, Figure
from bench.measurement import Bench, Measurement
from bench.peers.goals import compared
from bench.peers.systems import System, find
from bench.peers.turn import COLUMNS, take
from pyworker.errors import PyworkerError

__all__ = ["comparison"]


def comparison(names: Sequence[str]) -> Measurement:
    """Give the measurement. `names`: the peers wanted, none: all."""
    return Measurement(
        name="peers",
        summary="pyworker as shipped, beside other job systems at their fastest settings",
        measure=lambda bench: _measure(bench, names),
        quick=True,
    )


def _measure(bench: Bench, names: Sequence[str]) -> Iterator[Figure | Curve]:
    systems, absent = find(names)
    for one in absent:
        bench.say(f"{one.title} is left out: not installed; `make bench PEERS=1` installs it")
    taken: dict[str, dict[str, list[float]]] = {one.name: {} for one in systems}
    for run in range(bench.size.runs):
        for system in _turn(systems, run):
            if system.name in taken:
                bench.say(f"{system.title}, run {run + 1} of {bench.size.runs}")
                _take(bench, system, taken)
    yield from compared(taken, {name: unit for name, _, unit in COLUMNS})
    for system in systems:
        for name, heading, unit in COLUMNS:
            if name in taken.get(system.name, {}):
                yield Figure(
                    text=f"{system.title} {system.version}",
                    unit=unit,
                    values=tuple(taken[system.name][name]),
                    column=heading,
                    note=system.settings,
                )


def _turn(systems: Sequence[System], run: int) -> Sequence[System]:
    """Order them: every other run backwards, so that none is always the first."""
    return systems if run % 2 == 0 else systems[::-1]


def _take(bench: Bench, system: System, taken: dict[str, dict[str, list[float]]]) -> None:
    """Measure one; a peer that fails is left out, with what it has had."""
    try:
        found = take(bench.server, system, bench.size)
    except (PyworkerError, psycopg.Error, OSError) as error:
        if system.ours:
            raise
        bench.say(f"{system.title} is left out: {error}")
        del taken[system.name]
        return
    for name, value in found.items():
        taken[system.name].setdefault(name, []).append(value)

"""A run: its measurements, one after another; one that fails costs the others nothing."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from time import monotonic

import psycopg

from bench import measurements  # noqa: F401  it fills the register
from bench.database import drop_leftovers, make_database
from bench.figures import Curve, Figure
from bench.goals import GOALS, Goal
from bench.machine import facts
from bench.measurement import MEASUREMENTS, Bench, Measurement
from bench.size import Size
from pyworker.errors import ConfigError, PyworkerError
from pyworker.server import PrivateServer

__all__ = ["Run", "choose", "measure"]


@dataclass(kw_only=True)
class Run:
    """What came of it."""

    size: str
    goals: Mapping[str, Goal] = field(default_factory=lambda: GOALS)
    facts: dict[str, dict[str, str]] = field(default_factory=dict)
    figures: dict[str, list[Figure]] = field(default_factory=dict)  #: by measurement
    curves: list[Curve] = field(default_factory=list)
    failures: dict[str, str] = field(default_factory=dict)  #: by measurement
    seconds: dict[str, float] = field(default_factory=dict)  #: by measurement

    @property
    def by_goal(self) -> dict[str, Figure]:
        """The figure of each goal that was measured."""
        return {
            goal: figure
            for made in self.figures.values()
            for figure in made
            for goal in figure.goals
        }


def choose(size: Size, names: Sequence[str]) -> list[Measurement]:
    """List the measurements of a size, or those that are named by themselves or by one of their
    goals.
    """
    wanted = {GOALS[name].measurement if name in GOALS else name for name in names}
    unknown = sorted(wanted - set(MEASUREMENTS))
    if unknown:
        raise ConfigError(
            f'there is no measurement "{unknown[0]}"',
            hint="`pyworker bench --list` names them and the goals.",
        )
    return [
        one
        for one in MEASUREMENTS.values()
        if (one.name in wanted if names else one.quick or size.everything)
    ]


def measure(
    server: PrivateServer,
    size: Size,
    chosen: Sequence[Measurement],
    say: Callable[[str], None],
    keep: Callable[[Run], None],
    goals: Mapping[str, Goal] = GOALS,
) -> Run:
    """Run the measurements in a database of the run's own. `keep` is called after each, with what
    there is so far.
    """
    run, begun = Run(size=size.name, goals=goals), monotonic()
    drop_leftovers(server)
    try:
        with make_database(server, "main") as database:
            run.facts = facts(database)
            bench = Bench(server=server, database=database, size=size, say=say)
            for number, one in enumerate(chosen, 1):
                if monotonic() - begun > size.seconds:
                    say(
                        f"{one.name}: no time is left for it at the {size.name} size; --only "
                        f"{one.name} measures it"
                    )
                    continue
                say(f"[{number}/{len(chosen)}] {one.name}: {one.summary}")
                database.empty()
                _measure_one(bench, one, run)
                keep(run)
    finally:
        drop_leftovers(server, ours=True)
    return run


def _measure_one(bench: Bench, one: Measurement, run: Run) -> None:
    begun = monotonic()
    made = run.figures.setdefault(one.name, [])
    try:
        for what in one.measure(bench):
            if isinstance(what, Curve):
                run.curves.append(what)
            else:
                made.append(what)
    except (PyworkerError, psycopg.Error, OSError) as error:
        run.failures[one.name] = str(error).splitlines()[0]
        bench.say(f"{one.name} failed: {run.failures[one.name]}")
    run.seconds[one.name] = monotonic() - begun

"""A run: its parts, one after another; one that fails costs the others nothing."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from time import monotonic

import psycopg

from pyworker.bench import parts  # noqa: F401  it fills the register
from pyworker.bench.figures import Curve, Figure
from pyworker.bench.form import Form
from pyworker.bench.goals import GOALS
from pyworker.bench.machine import facts
from pyworker.bench.part import PARTS, Bench, Part
from pyworker.bench.place import database, drop_leftovers
from pyworker.errors import ConfigError, PyworkerError
from pyworker.server import PrivateServer

__all__ = ["Run", "choose", "measure"]


@dataclass(kw_only=True)
class Run:
    """What came of it."""

    form: str
    facts: dict[str, dict[str, str]] = field(default_factory=dict)
    figures: dict[str, list[Figure]] = field(default_factory=dict)  #: by part
    curves: list[Curve] = field(default_factory=list)
    failures: dict[str, str] = field(default_factory=dict)  #: by part
    seconds: dict[str, float] = field(default_factory=dict)  #: by part

    @property
    def by_goal(self) -> dict[str, Figure]:
        """The figure of each goal that was measured."""
        return {goal: figure for made in self.figures.values() for figure in made for goal in figure.goals}


def choose(form: Form, names: Sequence[str]) -> list[Part]:
    """List the parts of a form, or those that are named by themselves or by one of their goals."""
    wanted = {GOALS[name].part if name in GOALS else name for name in names}
    unknown = sorted(wanted - set(PARTS))
    if unknown:
        raise ConfigError(
            f'there is no measurement "{unknown[0]}"', hint="`pyworker bench --list` names them and the goals."
        )
    return [one for one in PARTS.values() if (one.name in wanted if names else one.quick or form.everything)]


def measure(
    server: PrivateServer, form: Form, chosen: Sequence[Part], say: Callable[[str], None], keep: Callable[[Run], None]
) -> Run:
    """Run the parts in a database of the run's own. `keep` is called after each, with what there is so far."""
    run, begun = Run(form=form.name), monotonic()
    drop_leftovers(server)
    try:
        with database(server, "main") as place:
            run.facts = facts(place)
            bench = Bench(server=server, place=place, form=form, say=say)
            for number, one in enumerate(chosen, 1):
                if monotonic() - begun > form.seconds:
                    say(f"{one.name}: no time is left for it in the {form.name} form; --only {one.name} measures it")
                    continue
                say(f"[{number}/{len(chosen)}] {one.name}: {one.summary}")
                place.empty()
                _measure_one(bench, one, run)
                keep(run)
    finally:
        drop_leftovers(server, ours=True)
    return run


def _measure_one(bench: Bench, one: Part, run: Run) -> None:
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

"""Jobs that crash the server whenever they run: found, charged alone and set aside,
while their neighbours go on.
"""

import random
import re
from collections.abc import Callable
from dataclasses import replace
from typing import Any, TypeVar

import psycopg
from psycopg import Connection
from psycopg.types.json import Jsonb

from tests.torture.recovery import outages
from tests.torture.scenario import Fault, Scenario, Violation, register
from tests.torture.scenarios.hostile import INNOCENT, stage
from tests.torture.watched import Ending, Job, Watched
from tests.torture.world import World

__all__ = ["Poison"]

T = TypeVar("T")
_KINDS = ("alone", "in a chunk", "in a child", "in a child that can be verified")
_APART = (6.0, 9.0)  # seconds between two poison jobs: some crashes and recoveries each
# seconds that a crash costs a neighbour at most, on a machine that does other things too
_DELAY = 15.0
_KILLED = re.compile(r"\(PID \d+\) was terminated by signal 9")

_UNARMED = Job(label="unarmed poison", call="hostile.poison", args={"armed": False})
_AMID = replace(INNOCENT, within=_DELAY)
_BESIDE = Job(
    label="runs beside a poison job",
    call="hostile.innocent_for",
    args={"ms": 1500},
    options={"max_attempts": 1},
    within=_DELAY,
)


def set_aside(most: int) -> tuple[Ending, ...]:
    """Give the ways in which a poison job may end: `lost` for a reason that is told,
    after so many attempts at most.
    """
    return tuple(
        Ending(
            state="failed",
            code="PWL02",
            attempts=("lost",) * count,
            effects=-1,
            says="the server crashed",
        )
        for count in range(1, most + 1)
    )


@register
class Poison(Scenario):
    """A job that sends SIGKILL to its own backend: the server restarts as a whole."""

    name = "poison"
    summary = (
        "jobs that crash the server whenever they run; neighbours are charged nothing"
        " and wait for seconds only"
    )
    minimum = 16.0
    #: The server is crashed on purpose, by these jobs.
    crashes = True

    def plan(self, rng: random.Random, seconds: float) -> list[Fault]:
        """One poison job after another, of all kinds."""
        faults: list[Fault] = []
        kinds: list[str] = []
        at = 1.0
        while at < seconds - 4.0:
            kinds = kinds or rng.sample(_KINDS, len(_KINDS))
            facts = {
                "max_attempts": rng.choice((1, 2, 3)),
                "before": rng.randint(3, 15),
                "after": rng.randint(3, 30),
            }
            faults.append(Fault(at=round(at, 3), kind=kinds.pop(), facts=facts))
            at += rng.uniform(*_APART)
        return faults

    def prepare(self, world: World) -> None:
        """Have all of them known to be short, so that they share transactions."""
        self._watched = Watched(self.name)
        with stage(world) as line:
            self._watched.enqueue(line, [INNOCENT, _UNARMED] * 20)
        self._poison = 0  # jobs, those with an unknown enqueue too
        self._crashes_allowed = 0

    def inject(self, world: World, fault: Fault) -> None:
        """Enqueue it amid a batch of others, while others run beside it."""
        most = fault.facts["max_attempts"]
        before, after = ([_AMID] * fault.facts[side] for side in ("before", "after"))
        self._poison += 1
        # With others beside it nobody can know at once: a suspect is convicted by the second crash
        # of its trials.
        restarts = max(most, 3)
        self._crashes_allowed += restarts
        world.allow_crashes(restarts)
        self._through(world, lambda line: self._watched.enqueue(line, [_BESIDE, _BESIDE]))
        self._through(
            world,
            lambda line: self._watched.enqueue(line, [*before, _poison(fault.kind, most), *after]),
        )

    def _through(self, world: World, work: Callable[[Connection[Any]], T]) -> T | None:
        """Enqueue while the server may be coming up again.
        What was not acknowledged is not watched.
        """
        found: list[T] = []

        def done() -> bool:
            try:
                with world.connect("app") as line:
                    found.append(work(line))
            except psycopg.OperationalError:
                return False
            return True

        world.until(done, 30)
        return found[0] if found else None

    def check(self, world: World) -> list[Violation]:
        """Poison is set aside, after no more restarts than it had attempts; neighbours were charged
        nothing.
        """
        crashes = len(_KILLED.findall(world.log()))
        down = outages(world.log())
        violations = self._watched.check(world.admin(), down)
        waits = [
            fact.waited(down)
            for fact in self._watched.facts(world.admin()).values()
            if fact.state == "succeeded"
        ]
        slowest = max((seconds / max(1, met) for seconds, met in waits), default=0.0)
        world.note_fault(
            "neighbours_waited", most_seconds_per_crash=round(slowest, 1), crashes=crashes
        )
        if not self._poison <= crashes <= self._crashes_allowed:
            violations.append(
                Violation(
                    invariant="poison",
                    scenario=self.name,
                    message=f"{self._poison} poison jobs should crash the server {self._poison} to"
                    f" {self._crashes_allowed} times; it was {crashes} times",
                )
            )
        return violations


def _poison(kind: str, most: int) -> Job:
    options: dict[str, Any] = {"max_attempts": most}
    label = f"poison {kind}, {most} attempts"
    if kind == "in a chunk":
        return Job(
            label=label,
            call="hostile.poison",
            args={"armed": True},
            options=options,
            may=set_aside(most),
        )
    if kind == "alone":
        options["settings"] = {"work_mem": "5MB"}
        return Job(
            label=label, call="hostile.poison", args={"armed": True},
            options={**options, "settings": Jsonb(options["settings"])}, may=set_aside(most),
        )  # fmt: skip
    call = "call hostile.poison_in_child()"
    if kind == "in a child":
        unseen = Ending(state="in_doubt", code="PWD01", effects=-1)
        return Job(
            label=label, call=call, args=None, options=options, may=(unseen, *set_aside(most))
        )
    return Job(
        label=label,
        call=call,
        args=None,
        options={**options, "done_when": "false"},
        may=set_aside(most),
    )

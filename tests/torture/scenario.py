"""What a scenario is: a plan of faults drawn from a seed, and the hands that do them."""

import random
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar, TypeVar

if TYPE_CHECKING:
    from pyworker.server import PrivateServer
    from tests.torture.world import World

__all__ = ["SCENARIOS", "Fault", "Scenario", "Violation", "draw_plan", "register"]


@dataclass(frozen=True)
class Fault:
    """One thing that goes wrong, so many seconds after the load has begun."""

    at: float
    kind: str
    facts: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Violation:
    """A promise that was broken."""

    invariant: str
    scenario: str
    message: str


class Scenario:
    """One kind of trouble. A subclass draws a plan, does its faults, and mends what stays broken.

    The plan is a function of the generator and the seconds, and of nothing else:
    a seed gives the same faults again.
    """

    name: ClassVar[str]
    summary: ClassVar[str]
    minimum: ClassVar[float] = 8.0  #: seconds of load that it needs
    weight: ClassVar[float] = 1.0  #: its part of the time that is left when each has what it needs
    supervisors: ClassVar[int] = 1  #: supervisors at its start
    #: enqueues per second of all enqueuers together; 0: no common load
    rate: ClassVar[float] = 100.0
    #: kinds that have no place in its common load, with a reason
    without: ClassVar[frozenset[str]] = frozenset()
    #: jobs.configure in its database, beside those of the driver
    settings: ClassVar[Mapping[str, str]] = {}

    # What the checker has to expect because of the faults. Each widens what may be seen,
    # none switches a check off.
    #: Server processes die the hard way: each crash may charge the one job on trial.
    crashes: ClassVar[bool] = False
    #: Sessions are ended by hand: each may lose its attempt, or leave it in doubt.
    terminations: ClassVar[bool] = False
    #: The server stops: statements at top level that it met may be in doubt.
    restarts: ClassVar[bool] = False
    #: Connections are cut: supervisors may leave with an error.
    outages: ClassVar[bool] = False
    #: Slots, connections or disk run out: attempts may fail with SQLSTATE class 53 or 58.
    starves: ClassVar[bool] = False
    #: Others hold the worker slots: a supervisor may be refused one.
    slots_taken: ClassVar[bool] = False
    #: A job traps its signals: stop -m fast may take longer than 10 s.
    stubborn: ClassVar[bool] = False
    #: The clock jumps: durations that cross a step mean nothing.
    clock_steps: ClassVar[bool] = False
    #: Seconds beyond its timeout that an attempt takes at most; None: a fault may keep the
    #: supervisors from their work.
    timeouts_late: ClassVar[float | None] = None
    #: Seconds that 99 of 100 ordinary statements beside the jobs take at most,
    #: while the server takes any.
    foreground: ClassVar[float] = 1.0

    def plan(self, rng: random.Random, seconds: float) -> list[Fault]:
        """Draw the faults of a run."""
        return []

    def impossible(self, server: "PrivateServer") -> str | None:
        """Say why it cannot run on this machine, if so: it is then skipped,
        and the report says why.
        """
        return None

    def prepare(self, world: "World") -> None:
        """Make what the faults need, before the load begins."""

    def inject(self, world: "World", fault: Fault) -> None:
        """Do one fault."""

    def mend(self, world: "World") -> None:
        """Undo what is still broken. Always called, before the drain."""

    def check(self, world: "World") -> list[Violation]:
        """Look for what only this scenario promises."""
        return []

    def restore(self, server: "PrivateServer") -> None:
        """Give the server back as it was. Always called, after the database is gone."""

    def violation(self, invariant: str, message: str) -> Violation:
        """Say what is wrong."""
        return Violation(invariant=invariant, scenario=self.name, message=message)


SCENARIOS: dict[str, type[Scenario]] = {}
Kind = TypeVar("Kind", bound=type[Scenario])


def register(kind: Kind) -> Kind:
    """Enter a scenario under its name."""
    if kind.name in SCENARIOS:
        raise ValueError(f'two scenarios are called "{kind.name}"')
    SCENARIOS[kind.name] = kind
    return kind


def draw_plan(seed: int, name: str, seconds: float) -> list[Fault]:
    """Draw the faults of one scenario, in the order in which they come."""
    rng = random.Random(f"{seed}/{name}/plan")
    return sorted(SCENARIOS[name]().plan(rng, seconds), key=lambda fault: fault.at)

"""Deferred constraints: who breaks one fails at the commit, and no other job of the chunk."""

import random

from tests.torture.scenario import Fault, Scenario, Violation, register
from tests.torture.scenarios.hostile import INNOCENT, among, stage, times
from tests.torture.watched import Ending, Job, Watched
from tests.torture.world import World

__all__ = ["CONSTRAINT", "OrphansAtCommit"]

_SUCCEEDED = Ending(state="succeeded")
_ONCE = {"max_attempts": 1}

CONSTRAINT = (
    "alter table hostile.orphan add constraint orphan_has_parent foreign key (parent) references"
    " hostile.parent"
    " deferrable initially deferred not valid"
)


@register
class OrphansAtCommit(Scenario):
    """A constraint that fails at the commit fails the job that broke it, and no other."""

    name = "hostile_commits"
    summary = "deferred constraints that fail at commit, made and dropped while chunks run"
    minimum = 8.0

    def plan(self, rng: random.Random, seconds: float) -> list[Fault]:
        """Make and drop a deferred constraint; in between jobs break it, or one of their own."""
        faults = times(rng, seconds, ["orphan", "orphan", "orphan of its own"], last=1.0)
        made = False
        switches: list[Fault] = []
        at = 0.3
        while at < seconds - 1.0:
            made = not made
            switches.append(Fault(at=round(at, 3), kind="make" if made else "drop", facts={}))
            at += rng.uniform(0.4, 1.5)
        return sorted([*faults, *switches], key=lambda fault: fault.at)

    def prepare(self, world: World) -> None:
        """Have them known to be short, so that they share transactions."""
        self._watched = Watched(self.name)
        self._line = stage(world)
        self._watched.enqueue(self._line, [_orphan(1)] * 20 + [INNOCENT] * 20)

    def inject(self, world: World, fault: Fault) -> None:
        """Change the constraint, or enqueue."""
        if fault.kind == "make":
            world.admin().execute(CONSTRAINT.encode())
        elif fault.kind == "drop":
            world.admin().execute("alter table hostile.orphan drop constraint orphan_has_parent")
        else:
            bad = _orphan(2) if fault.kind == "orphan" else _ORPHAN_OF_ITS_OWN
            self._watched.enqueue(
                self._line, among(bad, fault.facts["innocents"]) + [_orphan(1)] * 3
            )

    def mend(self, world: World) -> None:
        """The constraint goes: while it is there each job runs in a transaction of its own."""
        world.admin().execute(
            "alter table hostile.orphan drop constraint if exists orphan_has_parent"
        )
        self._line.close()

    def check(self, world: World) -> list[Violation]:
        """Who broke it failed, while it was there."""
        return self._watched.check(world.admin())


def _orphan(parent: int) -> Job:
    broken = Ending(state="failed", code="23503", attempts=("failed",))
    # whether the constraint was there is a matter of time
    may = (_SUCCEEDED,) if parent == 1 else (_SUCCEEDED, broken)
    return Job(
        label=f"orphan of {parent}",
        call="hostile.orphan",
        args={"parent": parent},
        options=_ONCE,
        may=may,
    )


_ORPHAN_OF_ITS_OWN = Job(
    label="orphan of its own",
    call="hostile.orphan_of_oneself",
    options=_ONCE,
    may=(Ending(state="failed", code="23503", attempts=("failed",)),),
)

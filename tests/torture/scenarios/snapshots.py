"""An old snapshot that is held: dead rows stay, and the rate does not collapse."""

import random
import time
from statistics import median
from typing import ClassVar

from psycopg import Connection

from tests.torture.scenario import Fault, Scenario, Violation, register
from tests.torture.world import World

__all__ = ["SnapshotHeld"]


@register
class SnapshotHeld(Scenario):
    """Somebody holds an old snapshot all the time: nothing can be vacuumed, and the rate does not
    collapse.
    """

    name = "snapshot_held"
    summary = "a snapshot is held open for the whole scenario"
    without = frozenset(
        {"index"}
    )  # CREATE INDEX CONCURRENTLY waits for every older snapshot: that is the server's rule
    minimum = 12.0
    weight = 5.0  # what it is about comes with the minutes
    _BURST: ClassVar[int] = 40  #: enqueues of 20 jobs each
    _SLOWEST: ClassVar[float] = 0.2  #: of the first burst's rate; the machine itself is not steady

    def __init__(self) -> None:
        """Nothing is held."""
        self._rates: list[float] = []
        self._holder: Connection[tuple[object, ...]] | None = None

    def plan(self, rng: random.Random, seconds: float) -> list[Fault]:
        """A burst at the beginning, and others up to the end."""
        count = max(3, int(seconds / 5))
        step = (seconds - 3.0) / count
        return [
            Fault(round(1.0 + step * (number + rng.uniform(0, 0.4)), 3), "burst")
            for number in range(count)
        ]

    def prepare(self, world: World) -> None:
        """Take the snapshot."""
        self._holder = world.connect("other")
        self._holder.execute("begin isolation level repeatable read")
        self._holder.execute("select count(*) from stage.orders")

    def inject(self, world: World, fault: Fault) -> None:
        """Enqueue many, and measure how fast they are worked off."""
        ids = [job for _ in range(self._BURST) for job in world.enqueue("many")]
        begun = time.monotonic()
        left = "select count(*) from jobs_internal.job where id = any (%s)"
        waiting = world.rows(left, [ids])[0][0]
        if not world.until(
            lambda: world.rows(left, [ids])[0][0] == 0, 60, "the burst is worked off"
        ):
            self._rates.append(0.0)
            return
        rate = waiting / max(0.02, time.monotonic() - begun)
        world.note_fault("burst_done", waiting=waiting, rate=round(rate))
        if waiting > len(ids) / 4:  # fewer say more of the enqueuer than of the workers
            self._rates.append(rate)

    def mend(self, world: World) -> None:
        """Let go of the snapshot."""
        if self._holder is not None:
            self._holder.close()

    def check(self, world: World) -> list[Violation]:
        """The last bursts are as fast as the first, within what a busy machine does by itself."""
        if len(self._rates) > 5 and median(self._rates[-3:]) < self._SLOWEST * median(
            self._rates[:3]
        ):
            return [
                self.violation(
                    "I9",
                    f"the rate collapsed under an old snapshot: {[round(r) for r in self._rates]}",
                )
            ]
        return []

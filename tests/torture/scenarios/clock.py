"""The server's wall clock jumps, an hour forward and an hour back."""

import random
import time
from typing import ClassVar

from pyworker.server import PrivateServer
from tests.torture.clock import Clock
from tests.torture.scenario import Fault, Scenario, Violation, register
from tests.torture.world import World

__all__ = ["ClockStep"]

_HOUR = 3600.0


@register
class ClockStep(Scenario):
    """Steps of an hour. Time alone makes no job run twice, and keeps none waiting for that hour."""

    name = "clock_step"
    summary = "the server's clock steps by an hour, forward and back"
    minimum = 12.0
    clock_steps = True
    # pg_sleep waits by the wall clock: whoever sleeps when the clock is set back sleeps for that
    # hour as well, and time limits are by the same clock.
    without = frozenset(
        {
            "work",
            "narrow",
            "unique",
            "transaction",
            "cancelled",
            "timed_out",
            "procedure",
            "call",
            "call_checked",
            "chain",
            "followed",
            "batch",
            "keyed",
        }
        | {"dies"}
    )
    # The server is started anew, with a clock of ours; that happens before the first job.

    _PROMPT: ClassVar[float] = 15.0  #: seconds in which a new job is done, whatever the clock says

    def __init__(self) -> None:
        """No server runs with another clock."""
        self._clock: Clock | None = None
        self._found: list[Violation] = []

    def impossible(self, server: PrivateServer) -> str | None:
        """It needs a clock that can be set."""
        return Clock.impossible()

    def plan(self, rng: random.Random, seconds: float) -> list[Fault]:
        """Forward and back, or back and forward, as often as there is time for;
        at the end it is right again.
        """
        found: list[Fault] = []
        at = 1.5
        while at < seconds - 4.0:
            found.append(Fault(round(at, 3), "clock_step", {"to": rng.choice((-_HOUR, _HOUR))}))
            at += rng.uniform(2.0, 3.5)
            found.append(Fault(round(at, 3), "clock_step", {"to": 0.0}))
            at += rng.uniform(2.0, 3.5)
        return found

    def prepare(self, world: World) -> None:
        """Start the server with a clock of ours."""
        self._clock = Clock(world.server)
        self._clock.make()
        world.restart()

    def inject(self, world: World, fault: Fault) -> None:
        """Step, see that the server's clock did, and that old and new jobs are done promptly all
        the same.
        """
        to = fault.facts["to"]
        # enough for some to wait at the step
        waiting = [job for _ in range(40) for job in world.enqueue("many")]
        self._step(to)
        off = float(world.rows("select extract(epoch from clock_timestamp())")[0][0]) - time.time()
        if abs(off - to) > 60:
            self._found.append(
                self.violation(
                    "driver", f"the server's clock is {off:.0f} s off: nothing was shown"
                )
            )
        waiting += world.enqueue("short")
        left = "select id, state from jobs_internal.job where id = any (%s)"
        if not world.until(
            lambda: not world.rows(left, [waiting]), self._PROMPT, "what waited at the step"
        ):
            late = world.rows(left, [waiting])
            told = (
                f"{len(late)} jobs wait {self._PROMPT:.0f} s after the clock was"
                f" set to {to:+.0f} s: {late[:3]}"
            )
            self._found.append(self.violation("drain", told))

    def _step(self, seconds: float) -> None:
        assert self._clock is not None
        self._clock.set(seconds)

    def mend(self, world: World) -> None:
        """Set it right. A time that was set by the wrong clock, for a first try or another one,
        is not waited for.
        """
        self._step(0.0)
        world.rows(
            "select jobs.run_now(id) from jobs_internal.job where due_at > now() + interval"
            " '20 minutes'"
        )
        world.note_fault("clock_right")

    def check(self, world: World) -> list[Violation]:
        """What was seen while it happened."""
        return self._found

    def restore(self, server: PrivateServer) -> None:
        """Start the server with its own clock."""
        if self._clock is not None:
            self._clock.remove()

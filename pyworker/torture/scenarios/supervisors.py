"""Supervisors that die, freeze and come back: jobs do not notice."""

import random

from pyworker.torture.scenario import Fault, Scenario, register
from pyworker.torture.world import World

__all__ = ["Calm", "SupervisorKilled"]


def moments(rng: random.Random, seconds: float, apart: tuple[float, float]) -> list[float]:
    """Draw moments that are so far apart, and leave a second at both ends."""
    found, at = [], 1.0
    while at < seconds - 1.0:
        found.append(round(at, 3))
        at += rng.uniform(*apart)
    return found


@register
class Calm(Scenario):
    """Nothing goes wrong: what the checker has to say here is a mistake of the driver, or of everything."""

    name = "calm"
    summary = "no faults at all"


@register
class SupervisorKilled(Scenario):
    """The only supervisor is killed again and again, and started a moment later."""

    name = "supervisor_killed"
    summary = "the supervisor is killed (-9) at random moments and started again"

    def plan(self, rng: random.Random, seconds: float) -> list[Fault]:
        """Kill every one to three seconds."""
        return [
            Fault(at, "supervisor_kill", {"away": round(rng.uniform(0.0, 0.7), 3)})
            for at in moments(rng, seconds, (1.0, 3.0))
        ]

    def inject(self, world: World, fault: Fault) -> None:
        """Kill, leave the world without one for a moment, start another."""
        for number in world.supervisors.alive():
            world.supervisors.kill(number)
        world.pause(fault.facts["away"])
        world.supervisors.start()

"""Supervisors that die, freeze and come back: jobs do not notice."""

import random
from collections.abc import Mapping
from typing import ClassVar

from pyworker.supervisor.failpoint import FAILPOINTS
from tests.torture.scenario import Fault, Scenario, Violation, register
from tests.torture.timing import moments
from tests.torture.world import World

# seconds that a supervisor takes to start, to get to its failpoint, and to be replaced
_APART = 4.5

__all__ = [
    "Calm",
    "Failpoints",
    "SupervisorFrozen",
    "SupervisorKilled",
    "SupervisorRestarted",
    "ThreeSupervisors",
]


@register
class Calm(Scenario):
    """Nothing goes wrong: what the checker has to say here is a mistake of the driver,
    or of everything.
    """

    name = "calm"
    summary = "no faults at all"
    foreground = 0.25
    #: The server's own limit comes much later: what is ended in time, a supervisor has ended.
    settings: ClassVar[Mapping[str, str]] = {"timeout_margin_ms": "20000"}
    timeouts_late = 4.0

    def plan(self, rng: random.Random, seconds: float) -> list[Fault]:
        """No fault, and once a queue that is held until jobs of low and of high priority
        wait in it.
        """
        return [Fault(round(rng.uniform(1.0, max(seconds - 4.0, 1.0)), 3), "held_queue")]

    def inject(self, world: World, fault: Fault) -> None:
        """Enqueue the low ones first, of an owner whose priorities nothing else has used up."""
        world.rows("select jobs.create_queue('ordered', concurrency => 1)")
        world.rows("select jobs.pause('ordered')")
        waiting = [
            job
            for kind in ("low", "high", "low", "high")
            for job in world.enqueue(kind, owner="apart")
        ]
        there = (
            "select 1 from jobs_internal.job where id = any (%s) having count(*) = %s"
            " and bool_and(state = 'queued')"
        )
        try:
            if not world.until(
                lambda: world.rows(there, [waiting, len(waiting)]), 20.0, "all wait in their lanes"
            ):
                raise TimeoutError("the jobs of a held queue do not come into their lanes")
        finally:
            world.rows("select jobs.resume('ordered')")


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


@register
class SupervisorRestarted(Scenario):
    """The supervisor is asked to leave, and another one comes: as at each deployment."""

    name = "supervisor_restarted"
    summary = "the supervisor is stopped with SIGTERM and started again, with and without --drain"

    def plan(self, rng: random.Random, seconds: float) -> list[Fault]:
        """Restart every two to three seconds."""
        return [
            Fault(
                at,
                "supervisor_restart",
                {"drain": rng.random() < 0.5, "first": rng.choice(["new", "old"])},
            )
            for at in moments(rng, seconds, (2.0, 3.0))
        ]

    def inject(self, world: World, fault: Fault) -> None:
        """Stop the old one and start a new one, in either order."""
        old = world.supervisors.alive()
        world.supervisors.wait_started(old)
        arguments = ["--drain"] if fault.facts["drain"] else []
        if fault.facts["first"] == "new":
            world.supervisors.start(*arguments)
        for number in old:
            world.supervisors.terminate(number)
        if fault.facts["first"] == "old":
            world.supervisors.start(*arguments)


@register
class SupervisorFrozen(Scenario):
    """Supervisors stop in whatever they do, past every lease, and then go on as if nothing
    had been.
    """

    name = "supervisor_frozen"
    summary = (
        "supervisors are stopped (SIGSTOP) past every lease, then continued; sometimes all of them"
    )
    minimum = 10.0
    supervisors = 2
    settings: ClassVar[Mapping[str, str]] = {"lease_seconds": "1"}

    def plan(self, rng: random.Random, seconds: float) -> list[Fault]:
        """Freeze for one and a half to three leases."""
        return [
            Fault(
                at,
                "supervisor_freeze",
                {"both": rng.random() < 0.4, "seconds": round(rng.uniform(1.5, 3.0), 3)},
            )
            for at in moments(rng, seconds, (3.2, 4.5))
        ]

    def inject(self, world: World, fault: Fault) -> None:
        """Freeze, wait, continue."""
        numbers = world.supervisors.alive()
        chosen = numbers if fault.facts["both"] else [world.rng.choice(numbers)]
        for number in chosen:
            world.supervisors.stop(number)
        world.pause(fault.facts["seconds"])
        for number in chosen:
            world.supervisors.cont(number)


@register
class Failpoints(Scenario):
    """A supervisor ends, or freezes past every lease, exactly at each of its failpoints."""

    name = "supervisor_failpoints"
    summary = (
        "the supervisor ends or freezes at each failpoint: after claim, after launch, mid job,"
        " after the end, ..."
    )
    minimum = 20.0
    supervisors = 0
    settings: ClassVar[Mapping[str, str]] = {"lease_seconds": "1"}
    rate = 60.0

    def __init__(self) -> None:
        """Nothing was reached yet."""
        self._missed: list[str] = []

    def plan(self, rng: random.Random, seconds: float) -> list[Fault]:
        """Each point once to end there and once to freeze there, in some order: as many as the time
        allows.
        """
        ways = [(point, way) for point in FAILPOINTS for way in ("", ":stop")]
        rng.shuffle(ways)
        ways = ways[: int((seconds - 2) / _APART)]
        apart = (seconds - 2) / len(ways)
        return [
            Fault(
                round(1 + number * apart, 3),
                "failpoint",
                {"armed": f"{point}:{rng.randint(1, 2)}{way}"},
            )
            for number, (point, way) in enumerate(ways)
        ]

    def inject(self, world: World, fault: Fault) -> None:
        """Leave the world to one supervisor with a failpoint; once it is there,
        to another without one.
        """
        armed = fault.facts["armed"]
        for number in world.supervisors.alive():
            world.supervisors.kill(number)
        # What each point needs: a session to launch, a job to time out, a job in its middle.
        for kind in ("timed_out", "urgent", "short"):
            world.enqueue(kind, owner=world.rng.choice(("app", "other")))
        number = world.supervisors.start(failpoint=armed)
        one = world.supervisors[number]
        one.killed = True
        if not world.until(lambda: not one.alive or one.frozen(), 10, f"failpoint {armed}"):
            self._missed.append(armed)
        world.supervisors.start()
        if one.alive:
            world.pause(1.2)  # past the lease
            world.supervisors.cont(number)

    def check(self, world: World) -> list[Violation]:
        """A point that was never reached proves nothing."""
        return [
            self.violation(
                "driver", f"the supervisor never got to failpoint {armed} in {world.seconds} s"
            )
            for armed in self._missed
        ]


@register
class ThreeSupervisors(Scenario):
    """Three supervisors do everything at once, while each of them dies, freezes and is replaced."""

    name = "three_supervisors"
    summary = "three supervisors at once; each is killed, frozen or restarted in turn"
    minimum = 10.0
    supervisors = 3

    def plan(self, rng: random.Random, seconds: float) -> list[Fault]:
        """Something every second."""
        return [
            Fault(at, rng.choice(("kill", "terminate", "freeze")), {"which": rng.randrange(3)})
            for at in moments(rng, seconds, (0.8, 1.6))
        ]

    def inject(self, world: World, fault: Fault) -> None:
        """Do it to one of them; three run again afterwards, frozen ones among them."""
        numbers = world.supervisors.alive()
        frozen = [number for number in numbers if world.supervisors[number].stopped]
        for number in frozen:
            world.supervisors.cont(number)
        chosen = numbers[fault.facts["which"] % len(numbers)]
        match fault.kind:
            case "kill":
                world.supervisors.kill(chosen)
            case "terminate":
                world.supervisors.terminate(chosen)
            case _:
                world.supervisors.stop(chosen)
        while len(world.supervisors.alive()) < 3:
            world.supervisors.start()

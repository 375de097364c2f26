"""Servers that stop and start under load, in every way that pg_ctl knows, and one whose postmaster
is killed.
"""

import os
import random
import signal
from pathlib import Path

from pyworker.errors import ServerError
from tests.torture.scenario import Fault, Scenario, Violation, register
from tests.torture.server import end_leftovers
from tests.torture.timing import moments
from tests.torture.world import World

__all__ = ["PostmasterKilled", "RestartFast", "RestartImmediate", "RestartSmart"]

# seconds after their postmaster's death: longer than any job of this scenario computes
_CHILDREN_LEAVE = 20.0
_SMART = 2  # seconds that clients are given to leave by themselves; ours never do


class _Restarts(Scenario):
    """The server is restarted every few seconds."""

    minimum = 14.0
    restarts = True
    mode: str

    def plan(self, rng: random.Random, seconds: float) -> list[Fault]:
        """Every four to seven seconds: most restarts leave time to see it come back within five."""
        return [Fault(at, f"restart_{self.mode}") for at in moments(rng, seconds, (4.0, 7.0))]

    def inject(self, world: World, fault: Fault) -> None:
        """Have long jobs run and many short ones wait, and restart."""
        for kind in ("urgent", "long_call", "long_call_checked"):
            world.enqueue(kind, owner=world.rng.choice(("app", "other")))
        world.until(world.children, 2.0, "a child session")
        world.enqueue("wave")
        world.restart(self.mode)


@register
class RestartFast(_Restarts):
    """Sessions are told to leave: nobody is charged, and it takes less than ten seconds."""

    name = "restart_fast"
    summary = "pg_ctl restart -m fast under load, every few seconds"
    mode = "fast"


@register
class RestartImmediate(_Restarts):
    """Sessions are gone at once; the server recovers from its log."""

    name = "restart_immediate"
    summary = "pg_ctl restart -m immediate under load, every few seconds"
    mode = "immediate"


@register
class RestartSmart(_Restarts):
    """The server takes no new connections and waits for the old ones, in vain;
    then it is told to be fast.
    """

    name = "restart_smart"
    summary = "pg_ctl restart -m smart under load, and fast when nobody leaves, every few seconds"
    mode = "smart"

    def inject(self, world: World, fault: Fault) -> None:
        """Smart first; sessions come and go meanwhile; then fast."""
        world.enqueue("urgent")
        try:
            world.stop_server("smart", seconds=_SMART)
        except ServerError:
            world.stop_server("fast")
        world.start_server()


@register
class PostmasterKilled(Scenario):
    """The postmaster dies and leaves its children. They go when they notice;
    until then no other server may start.
    """

    name = "postmaster_killed"
    summary = (
        "the postmaster is killed (-9) with children left;"
        " the server is started again as soon as it lets"
    )
    minimum = 14.0
    restarts = True
    rate = 60.0

    def __init__(self) -> None:
        """Nothing was seen yet."""
        self._refused = 0
        self._stayed: list[str] = []

    def plan(self, rng: random.Random, seconds: float) -> list[Fault]:
        """Every five to eight seconds."""
        return [
            Fault(at, "postmaster_kill", {"busy": rng.random() < 0.7})
            for at in moments(rng, seconds, (5.0, 8.0))
        ]

    def inject(self, world: World, fault: Fault) -> None:
        """Kill it while a job computes, and try to start until that job has ended."""
        if fault.facts["busy"]:
            world.enqueue("burn")
            world.until(lambda: world.rows(_BURNS), 3.0, "a job that computes")
        pid = world.postmaster()
        os.kill(pid, signal.SIGKILL)
        world.counts["stop"] += 1
        world.note_fault("postmaster_killed", pid=pid)
        world.until(lambda: not Path(f"/proc/{pid}/stat").exists(), 10.0, "the postmaster gone")
        if not world.until(
            lambda: self._started(world), _CHILDREN_LEAVE, "the server started again"
        ):
            self._stayed.append(f"{_processes(world)}")
            end_leftovers(world.server)
            world.start_server()
        world.wait_ready()

    def _started(self, world: World) -> bool:
        try:
            world.server.start()
        except ServerError as error:
            self._refused += 1
            world.note_fault("start_refused", reason=str(error.detail))
            return False
        return True

    def check(self, world: World) -> list[Violation]:
        """Nobody stays for ever without a postmaster: that would keep the next server from
        starting.
        """
        return [
            self.violation(
                "I12", f"left {_CHILDREN_LEAVE:.0f} s after their postmaster was killed: {stayed}"
            )
            for stayed in self._stayed
        ]


def _processes(world: World) -> list[str]:
    """Name what is left, as the processes call themselves."""
    return [
        Path(f"/proc/{pid}/cmdline").read_text(errors="replace").rstrip("\0 ")
        for pid in world.processes()
    ]


_BURNS = "select 1 from jobs.running where task = 'stage.burn' and pid is not null"

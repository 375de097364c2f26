"""What a server runs out of: worker slots, connections.
It is back-pressure, and over when it is over.
"""

import random
import time
from contextlib import suppress
from typing import Any

import psycopg
from psycopg import Connection

from tests.torture.scenario import Fault, Scenario, Violation, register
from tests.torture.world import World

__all__ = ["ConnectionsExhausted", "SlotsExhausted", "spells"]


def spells(rng: random.Random, seconds: float, kind: str, long: tuple[float, float]) -> list[Fault]:
    """Draw one or several spells of `kind`, each with its end, so long and with some peace
    between them.
    """
    found: list[Fault] = []
    at = 1.0
    while True:
        lasts = rng.uniform(*long)
        if at + lasts > seconds - 0.5 and found:
            return found
        found.append(Fault(round(at, 3), kind))
        found.append(Fault(round(min(at + lasts, seconds - 0.2), 3), "release"))
        at += lasts + rng.uniform(1.5, 3.0)


@register
class SlotsExhausted(Scenario):
    """Others take every worker slot of the server: no session can be launched,
    and no job may fail of that.
    """

    name = "slots_exhausted"
    summary = "others hold all background worker slots of the server"
    minimum = 10.0
    slots_taken = True
    _HOLD = "select pg_sleep(600)"

    def __init__(self) -> None:
        """Nothing is held."""
        self._taken: list[int] = []

    def plan(self, rng: random.Random, seconds: float) -> list[Fault]:
        """Take them, hold them for some seconds, give them back."""
        return spells(rng, seconds, "take_slots", (3.0, 5.0))

    def inject(self, world: World, fault: Fault) -> None:
        """Take them all, again while the sessions that run jobs end, or give them back."""
        if fault.kind == "release":
            self._release(world)
            return
        until = time.monotonic() + 2.0
        taken = 0
        while time.monotonic() < until:
            taken += self._take(world)
        self._taken.append(taken)
        world.note_fault("slots_taken", count=taken)

    def prepare(self, world: World) -> None:
        """The neighbours are in a database of their own."""
        with self._neighbour(world) as line:
            line.execute("create extension if not exists pg_background")

    @staticmethod
    def _neighbour(world: World) -> Connection[tuple[Any, ...]]:
        return psycopg.connect(world.server.dsn(dbname="postgres"), autocommit=True)

    def _take(self, world: World) -> int:
        """Launch sleepers until there is no slot left, or no more for this connection:
        16 is its limit.
        """
        count = 0
        full = (psycopg.errors.InsufficientResources, psycopg.errors.ConfigurationLimitExceeded)
        with self._neighbour(world) as line, suppress(*full):
            while True:
                handle = line.execute(
                    "select pid, cookie from pg_background_submit(%s)", [self._HOLD]
                ).fetchone()
                line.execute("select pg_background_detach(%s, %s)", handle)
                count += 1
        return count

    def _release(self, world: World) -> None:
        gone = "select 1 from pg_stat_activity where query = %s"
        with self._neighbour(world) as line:
            line.execute(
                "select pg_terminate_backend(pid) from pg_stat_activity where query = %s",
                [self._HOLD],
            )
            world.until(
                lambda: not line.execute(gone, [self._HOLD]).fetchall(), 20, "the neighbours leave"
            )
        world.note_fault("slots_given_back")

    def mend(self, world: World) -> None:
        """Give them back."""
        self._release(world)

    def check(self, world: World) -> list[Violation]:
        """A supervisor has to have met it; that no attempt failed with class 53 is among the common
        invariants.
        """
        met = [line for one in world.supervisors.all for line in one.events("no_worker_slot")]
        if not met or not any(self._taken):
            return [
                self.violation(
                    "driver", f"nobody met a server without slots; {self._taken} were taken"
                )
            ]
        return []


@register
class ConnectionsExhausted(Scenario):
    """Others take every connection: what runs goes on and is supervised, and all comes back by
    itself.
    """

    name = "connections_exhausted"
    summary = "others hold all connections of the server (max_connections)"
    minimum = 12.0

    def __init__(self) -> None:
        """Nothing is held."""
        self._held: list[Connection[tuple[object, ...]]] = []
        self._most = 0
        self._found: list[Violation] = []

    def plan(self, rng: random.Random, seconds: float) -> list[Fault]:
        """Take them, hold them for some seconds, give them back."""
        return spells(rng, seconds, "take_connections", (4.0, 6.0))

    def inject(self, world: World, fault: Fault) -> None:
        """Take them all, and see whether a job that runs too long is ended all the same;
        or give them back.
        """
        if fault.kind == "release":
            self._release(world)
            return
        world.enqueue("timed_out")
        while True:
            try:
                self._held.append(world.connect("other"))
            except psycopg.OperationalError:
                break
        self._most = max(self._most, len(self._held))
        world.note_fault("connections_taken", count=len(self._held))
        # It is there since before, and overdue after 0.3 s: the supervisor that we have must
        # end it.
        overdue = (
            "select id from jobs.job where state = 'running'"
            " and started_at + timeout < clock_timestamp() - interval '3 s'"
        )
        world.pause(3.0)
        late = world.rows(overdue)
        if late:
            self._found.append(
                self.violation(
                    "I12", f"jobs {late} run past their timeout while connections are out"
                )
            )

    def _release(self, world: World) -> None:
        for line in self._held:
            line.close()
        self._held.clear()
        world.note_fault("connections_given_back")

    def mend(self, world: World) -> None:
        """Give them back."""
        self._release(world)

    def check(self, world: World) -> list[Violation]:
        """It has to have happened."""
        if not self._most:
            self._found.append(self.violation("driver", "there was no connection to take"))
        return self._found

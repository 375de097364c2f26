"""Other databases of the server are made, copied and dropped while jobs run in ours."""

import random
import time
from collections.abc import Callable
from typing import Any

import psycopg
from psycopg import Connection
from psycopg.conninfo import make_conninfo

from pyworker.schema import apply_schema
from tests.torture.scenario import Fault, Scenario, Violation, register
from tests.torture.scenarios.hostile import INNOCENT, stage
from tests.torture.watched import Job, Watched
from tests.torture.world import World

__all__ = ["Neighbours"]

_BASE = "torture_neighbour_base"
_KINDS = (
    "clone",
    "clone",
    "drop",
    "drop with its jobs",
    "drop with its jobs",
    "clone ours",
    "drop ours",
)
_PATIENCE = 5.0  # seconds that PostgreSQL waits for those who are connected, before it refuses
_PROMPT = 10.0  # seconds: a clone or a drop takes a second or two


@register
class Neighbours(Scenario):
    """Nothing of ours is connected to another database, and what happens to one costs our jobs
    nothing.
    """

    name = "neighbours"
    summary = (
        "DROP DATABASE and CREATE DATABASE ... TEMPLATE of neighbours, with"
        " and without jobs in them"
    )
    minimum = 14.0

    def plan(self, rng: random.Random, seconds: float) -> list[Fault]:
        """One thing after another."""
        faults: list[Fault] = []
        order: list[str] = []
        at = 0.5
        while at < seconds - 1.0:
            order = order or rng.sample(_KINDS, len(_KINDS))
            faults.append(Fault(at=round(at, 3), kind=order.pop(), facts={"number": len(faults)}))
            at += rng.uniform(1.0, 2.0) + (_PATIENCE if faults[-1].kind.endswith("ours") else 0.0)
        return faults

    def prepare(self, world: World) -> None:
        """Make a neighbour that has pyworker, too."""
        self._watched = Watched(self.name)
        self._line = stage(world)
        self._names: list[str] = []
        self._troubles: list[str] = []
        world.admin().execute(f"drop database if exists {_BASE} with (force)".encode())
        world.admin().execute(f"create database {_BASE}".encode())
        self._names.append(_BASE)
        dsn = self._dsn(world, _BASE)
        apply_schema(dsn, "install")

    def inject(self, world: World, fault: Fault) -> None:
        """Do it, with jobs of ours running across it."""
        jobs = [INNOCENT] * 10 + [
            Job(label="runs across it", call="hostile.innocent_for", args={"ms": 1500})
        ]
        self._watched.enqueue(self._line, jobs)
        if fault.kind == "clone ours":
            self._refused(world, f"create database torture_copy template {world.database}")
            return
        if fault.kind == "drop ours":
            self._refused(world, f"drop database {world.database}")
            return
        name = f"torture_neighbour_{fault.facts['number']}"
        if not self._does(world, f"create database {name} template {_BASE}"):
            return
        self._names.append(name)
        if fault.kind == "clone":
            return
        if fault.kind == "drop with its jobs":
            self._start_jobs(world, name)
        forced = " with (force)" if fault.kind == "drop with its jobs" else ""
        if self._does(world, f"drop database {name}{forced}"):
            self._names.remove(name)

    def _start_jobs(self, world: World, name: str) -> None:
        with psycopg.connect(self._dsn(world, name, "app"), autocommit=True) as line:
            line.execute(
                "select jobs.enqueue('pg_catalog.pg_sleep', '{\"$1\": 20}')"
                " from generate_series(1, 3)"
            )
            line.execute("select jobs.start(2)")

            def running() -> bool:
                found = line.execute("select count(*) from jobs.running").fetchone()
                return bool(found and found[0] == 2)

            if not world.until(running, 20):
                self._troubles.append(f"the jobs of {name} do not start")

    def _does(self, world: World, statement: str) -> bool:
        """Do it within its time."""
        begun = time.monotonic()
        try:
            self._alone(world, lambda line: line.execute(statement.encode()))
        except psycopg.Error as error:
            self._troubles.append(f"{statement}: {error}")
            return False
        if time.monotonic() - begun > _PROMPT:
            self._troubles.append(f"{statement} took {time.monotonic() - begun:.1f} s")
        return True

    def _refused(self, world: World, statement: str) -> None:
        """Try what must be refused, because our sessions are there."""
        try:
            self._alone(world, lambda line: line.execute(statement.encode()))
        except psycopg.errors.ObjectInUse:
            return
        self._troubles.append(f"{statement} was not refused")

    def _alone(self, world: World, work: Callable[[Connection[Any]], object]) -> None:
        with psycopg.connect(self._dsn(world, "postgres"), autocommit=True) as line:
            line.execute("set statement_timeout = '30s'")
            work(line)

    def _dsn(self, world: World, database: str, role: str = "postgres") -> str:
        return make_conninfo(world.dsn(role), dbname=database)

    def mend(self, world: World) -> None:
        """Drop what is left of them."""
        for name in self._names:
            world.admin().execute(f"drop database if exists {name} with (force)".encode())
        self._line.close()

    def check(self, world: World) -> list[Violation]:
        """Our jobs ended as if nothing had been; and so did what was done to the neighbours."""
        violations = [self.violation("neighbours", trouble) for trouble in self._troubles]
        return violations + self._watched.check(world.admin())

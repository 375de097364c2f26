"""What a server runs out of: worker slots, connections, disk. It is back-pressure, and over when it is over."""

import os
import random
import subprocess
import time
from contextlib import suppress
from pathlib import Path
from statistics import median
from typing import Any, ClassVar

import psycopg
from psycopg import Connection, sql

from pyworker.server import PrivateServer
from tests.torture.scenario import Fault, Scenario, Violation, register
from tests.torture.world import World

__all__ = ["ConnectionsExhausted", "DiskFullData", "DiskFullWal", "LeaseShort", "SlotsExhausted", "SnapshotHeld"]


def spells(rng: random.Random, seconds: float, kind: str, long: tuple[float, float]) -> list[Fault]:
    """Draw one or several spells of `kind`, each with its end, so long and with some peace between them."""
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
    """Others take every worker slot of the server: no session can be launched, and no job may fail of that."""

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
        """Launch sleepers until there is no slot left, or no more for this connection: 16 is its limit."""
        count = 0
        full = (psycopg.errors.InsufficientResources, psycopg.errors.ConfigurationLimitExceeded)
        with self._neighbour(world) as line, suppress(*full):
            while True:
                handle = line.execute("select pid, cookie from pg_background_submit(%s)", [self._HOLD]).fetchone()
                line.execute("select pg_background_detach(%s, %s)", handle)
                count += 1
        return count

    def _release(self, world: World) -> None:
        gone = "select 1 from pg_stat_activity where query = %s"
        with self._neighbour(world) as line:
            line.execute("select pg_terminate_backend(pid) from pg_stat_activity where query = %s", [self._HOLD])
            world.until(lambda: not line.execute(gone, [self._HOLD]).fetchall(), 20, "the neighbours leave")
        world.note_fault("slots_given_back")

    def mend(self, world: World) -> None:
        """Give them back."""
        self._release(world)

    def check(self, world: World) -> list[Violation]:
        """A supervisor has to have met it; that no attempt failed with class 53 is among the common invariants."""
        met = [line for one in world.supervisors.all for line in one.events("no_worker_slot")]
        if not met or not any(self._taken):
            return [self.violation("driver", f"nobody met a server without slots; {self._taken} were taken")]
        return []


@register
class ConnectionsExhausted(Scenario):
    """Others take every connection: what runs goes on and is supervised, and all comes back by itself."""

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
        """Take them all, and see whether a job that runs too long is ended all the same; or give them back."""
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
        # It is there since before, and overdue after 0.3 s: the supervisor that we have must end it.
        overdue = (
            "select id from jobs.job where state = 'running'"
            " and started_at + timeout < clock_timestamp() - interval '3 s'"
        )
        world.pause(3.0)
        late = world.rows(overdue)
        if late:
            self._found.append(self.violation("I12", f"jobs {late} run past their timeout while connections are out"))

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


class DiskFull(Scenario):
    """A part of the cluster on a small file system of its own, which is filled up and freed."""

    starves = True
    minimum = 12.0
    megabytes: ClassVar[int]

    def __init__(self) -> None:
        """Nothing is mounted."""
        self._mounted: Path | None = None
        self._full = 0

    def impossible(self, server: PrivateServer) -> str | None:
        """Only root may mount; without a file system of its own it would fill up everybody's."""
        if os.geteuid() != 0:
            return "only root may mount the small file system that is filled up"
        place = server.dir / "mount-try"
        try:
            place.mkdir(exist_ok=True)
            self._mount(place, 1)
            self._unmount(place)
        except (OSError, subprocess.CalledProcessError) as error:
            told = error.stderr.strip() if isinstance(error, subprocess.CalledProcessError) else str(error)
            return f"a small file system cannot be mounted here ({told})"
        finally:
            with suppress(OSError):
                place.rmdir()
        return None

    @staticmethod
    def _mount(place: Path, megabytes: int) -> None:
        argv = ["mount", "-t", "tmpfs", "-o", f"size={megabytes}m", "pyworker-torture", str(place)]
        subprocess.run(argv, check=True, capture_output=True, text=True)

    @staticmethod
    def _unmount(place: Path) -> None:
        subprocess.run(["umount", str(place)], check=True, capture_output=True, text=True)

    def small_place(self, world: World) -> Path:
        """Mount a small file system that belongs to the server's user."""
        place = world.server.dir / self.name
        place.mkdir()
        self._mount(place, self.megabytes)
        self._mounted = place
        owner = (world.server.dir / "data").stat()
        os.chown(place, owner.st_uid, owner.st_gid)
        place.chmod(0o700)
        return place

    def plan(self, rng: random.Random, seconds: float) -> list[Fault]:
        """Fill it, leave it full for some seconds, free it."""
        return spells(rng, seconds, "fill_disk", (2.0, 5.0))

    def inject(self, world: World, fault: Fault) -> None:
        """Fill up or free."""
        if fault.kind == "release":
            self.free(world)
        else:
            self.fill(world)

    def fill(self, world: World) -> None:
        """Write until there is no byte left."""
        assert self._mounted is not None
        written = 0
        with (self._mounted / "filler").open("ab", buffering=0) as file:
            for size in (1 << 20, 4096):
                with suppress(OSError):
                    while True:
                        written += file.write(bytes(size))
        self._full += 1
        world.note_fault("disk_filled", bytes=written)

    def free(self, world: World) -> None:
        """Give the room back."""
        if self._mounted is not None:
            (self._mounted / "filler").unlink(missing_ok=True)
        world.note_fault("disk_freed")

    def mend(self, world: World) -> None:
        """Give the room back."""
        self.free(world)

    def check(self, world: World) -> list[Violation]:
        """The server has to have met it."""
        if "No space left on device" not in world.log():
            return [self.violation("driver", f"the disk was full {self._full} times, and the server never noticed")]
        return []

    def _give_back(self) -> None:
        if self._mounted is not None:
            self._unmount(self._mounted)
            self._mounted.rmdir()
            self._mounted = None


@register
class DiskFullData(DiskFull):
    """No room for tables and indexes: what writes fails, is tried again, and all goes on once there is room."""

    name = "disk_full_data"
    summary = "the disk of the database fills up, and is freed"
    megabytes = 120

    def prepare(self, world: World) -> None:
        """Move the database onto the small file system."""
        place = self.small_place(world)
        world.admin().close()
        with psycopg.connect(world.server.dsn(), autocommit=True) as admin:
            admin.execute(sql.SQL("create tablespace small location {}").format(str(place)))
            move = sql.SQL("alter database {} set tablespace small").format(sql.Identifier(world.database))

            def moved() -> bool:
                try:
                    admin.execute(move)
                except psycopg.errors.ObjectInUse:
                    return False
                return True

            if not world.until(moved, 20):
                raise TimeoutError("the database stays in use and cannot be moved")

    def restore(self, server: PrivateServer) -> None:
        """Remove the tablespace and the file system."""
        with psycopg.connect(server.dsn(), autocommit=True) as admin:
            admin.execute("checkpoint")  # or its files are still to be written
            admin.execute("drop tablespace if exists small")
        self._give_back()


@register
class DiskFullWal(DiskFull):
    """No room for the log: the server panics, and does not come back before there is room."""

    name = "disk_full_wal"
    summary = "the disk of the write-ahead log fills up: the server panics, and comes back when it is freed"
    crashes = True
    restarts = True
    megabytes = 400
    minimum = 14.0

    def prepare(self, world: World) -> None:
        """Move the log onto the small file system."""
        world.server.stop("fast")
        place = self.small_place(world)
        log = world.server.dir / "data" / "pg_wal"
        done = world.server.run_as_server_user(
            ["sh", "-c", 'cp -a "$1/." "$2/wal" && mv "$1" "$1.before" && ln -s "$2/wal" "$1"', "sh", log, place]
        )
        if done.returncode != 0:
            raise OSError(f"moving the log failed: {done.stdout}")
        world.start_server()

    def fill(self, world: World) -> None:
        """Fill it, and write until the server gives up."""
        panics = world.log().count("PANIC:")
        # Each panic is two lines of the server's log, and one more when it panics again on its way up.
        world.allow_crashes(8)
        super().fill(world)

        def panicked() -> bool:
            with suppress(psycopg.Error):
                world.admin().execute("select pg_logical_emit_message(true, 'torture', repeat('x', 20000000))")
            return world.log().count("PANIC:") > panics

        world.until(panicked, 20, "the server panics")

    def free(self, world: World) -> None:
        """Give the room back, and start what did not come up again."""
        super().free(world)
        world.until(lambda: world.server.status().state != "running" or self._answers(world), 30, "it is up or down")
        if world.server.status().state != "running":
            world.start_server()
        world.wait_ready()

    @staticmethod
    def _answers(world: World) -> bool:
        try:
            return bool(world.admin().execute("select 1").fetchone())
        except psycopg.Error:
            return False

    def check(self, world: World) -> list[Violation]:
        """The server has to have met it."""
        if not world.log().count("PANIC:"):
            return [self.violation("driver", "the server never panicked: nothing was shown")]
        return super().check(world)

    def restore(self, server: PrivateServer) -> None:
        """Move the log back."""
        if self._mounted is None:
            return
        server.stop("fast")
        log = server.dir / "data" / "pg_wal"
        script = 'test ! -L "$1" || { rm "$1" && rm -rf "$1.before" && cp -a "$2/wal/." "$1"; }'
        done = server.run_as_server_user(["sh", "-c", script, "sh", log, self._mounted])
        if done.returncode != 0:
            raise OSError(f"moving the log back failed: {done.stdout}")
        self._give_back()
        server.start()


@register
class SnapshotHeld(Scenario):
    """Somebody holds an old snapshot all the time: nothing can be vacuumed, and the rate does not collapse."""

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
        return [Fault(round(1.0 + step * (number + rng.uniform(0, 0.4)), 3), "burst") for number in range(count)]

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
        if not world.until(lambda: world.rows(left, [ids])[0][0] == 0, 60, "the burst is worked off"):
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
        if len(self._rates) > 5 and median(self._rates[-3:]) < self._SLOWEST * median(self._rates[:3]):
            return [
                self.violation("I9", f"the rate collapsed under an old snapshot: {[round(r) for r in self._rates]}")
            ]
        return []


@register
class LeaseShort(Scenario):
    """The lease runs out long before the job is over. A lease that ran out permits a look, never a second run."""

    name = "lease_short"
    summary = "jobs that take several times the lease, each of which runs once"
    settings: ClassVar[dict[str, str]] = {"lease_seconds": "1"}
    supervisors = 2

    def plan(self, rng: random.Random, seconds: float) -> list[Fault]:
        """One long job after the other, several at once."""
        return [Fault(round(0.5 + n * (seconds - 1) / 12 * rng.uniform(0.8, 1.0), 3), "long_job") for n in range(12)]

    def inject(self, world: World, fault: Fault) -> None:
        """Enqueue one."""
        world.enqueue("long")

    def check(self, world: World) -> list[Violation]:
        """Each has one attempt, which succeeded, and took longer than its lease."""
        found = []
        for job, attempts, outcomes, took in world.rows(
            "select job_id, count(*), array_agg(outcome), max(finished_at - started_at) < interval '2 s'"
            " from jobs.attempts where job_id in (select id from jobs.job where note ->> 'tag' like 'w\\_%') group by 1"
        ):
            if attempts != 1 or outcomes != ["succeeded"]:
                found.append(self.violation("I2", f"job {job} with a short lease had {attempts} attempts: {outcomes}"))
            elif took:
                found.append(self.violation("driver", f"job {job} was shorter than two leases: nothing was shown"))
        return found

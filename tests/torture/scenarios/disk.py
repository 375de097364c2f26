"""A disk that fills up: that of the database, or that of the write-ahead log."""

import os
import random
import subprocess
from contextlib import suppress
from pathlib import Path
from typing import ClassVar

import psycopg
from psycopg import sql

from pyworker.server import PrivateServer
from tests.torture.scenario import Fault, Scenario, Violation, register
from tests.torture.scenarios.resources import spells
from tests.torture.world import World

__all__ = ["DiskFullData", "DiskFullWal"]


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
            told = (
                error.stderr.strip()
                if isinstance(error, subprocess.CalledProcessError)
                else str(error)
            )
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
            return [
                self.violation(
                    "driver", f"the disk was full {self._full} times, and the server never noticed"
                )
            ]
        return []

    def _give_back(self) -> None:
        if self._mounted is not None:
            self._unmount(self._mounted)
            self._mounted.rmdir()
            self._mounted = None


@register
class DiskFullData(DiskFull):
    """No room for tables and indexes: what writes fails, is tried again, and all goes on once there
    is room.
    """

    name = "disk_full_data"
    summary = "the disk of the database fills up, and is freed"
    megabytes = 120

    def prepare(self, world: World) -> None:
        """Move the database onto the small file system."""
        place = self.small_place(world)
        world.admin().close()
        with psycopg.connect(world.server.dsn(), autocommit=True) as admin:
            admin.execute(sql.SQL("create tablespace small location {}").format(str(place)))
            move = sql.SQL("alter database {} set tablespace small").format(
                sql.Identifier(world.database)
            )

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
    summary = (
        "the disk of the write-ahead log fills up: the server panics, and comes back"
        " when it is freed"
    )
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
            [
                "sh",
                "-c",
                'cp -a "$1/." "$2/wal" && mv "$1" "$1.before" && ln -s "$2/wal" "$1"',
                "sh",
                log,
                place,
            ]
        )
        if done.returncode != 0:
            raise OSError(f"moving the log failed: {done.stdout}")
        world.start_server()

    def fill(self, world: World) -> None:
        """Fill it, and write until the server gives up."""
        panics = world.log().count("PANIC:")
        # Each panic is two lines of the server's log, and one more when it panics again on its
        # way up.
        world.allow_crashes(8)
        super().fill(world)

        def panicked() -> bool:
            with suppress(psycopg.Error):
                world.admin().execute(
                    "select pg_logical_emit_message(true, 'torture', repeat('x', 20000000))"
                )
            return world.log().count("PANIC:") > panics

        world.until(panicked, 20, "the server panics")

    def free(self, world: World) -> None:
        """Give the room back, and start what did not come up again."""
        super().free(world)
        world.until(
            lambda: world.server.status().state != "running" or self._answers(world),
            30,
            "it is up or down",
        )
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

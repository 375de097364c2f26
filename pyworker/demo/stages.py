"""The main job, in three stages: long operations, everything at once, and what builds on it. All of
it is SQL.
"""

from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from typing import Any

import psycopg

from pyworker.demo.checks import Check
from pyworker.demo.daemon import Daemon
from pyworker.demo.others import Connect
from pyworker.demo.scenes import KilledStep, SavedBuild, Scene
from pyworker.demo.screen import Screen
from pyworker.demo.statements import read_statements
from pyworker.demo.watch import watch

__all__ = ["Stages"]


class Stages:
    """The demo's jobs, enqueued and watched over one connection of its ordinary role, in
    autocommit.
    """

    def __init__(
        self,
        connection: psycopg.Connection[Any],
        screen: Screen,
        connect: Connect,
        daemon: Daemon,
    ) -> None:
        """Nothing is enqueued yet; other sessions connect by `connect`."""
        self._connection = connection
        self._screen = screen
        self._assert_alive = daemon.assert_alive
        self._sql = read_statements("work.sql")
        self._scenes: Mapping[str, Scene] = {
            "steps": KilledStep(connection, screen, connect, daemon.lines),
            "build": SavedBuild(connection, screen, connect, daemon.lines),
        }
        self._jobs: dict[str, int] = {}
        self._sources: dict[int, str] = {}
        self._cancelled_at: float | None = None
        self._refused = "accepted"

    def run(self) -> list[Check]:
        """Run all three; returns what only this side has seen."""
        self._stage(
            "Long operations: an index and its gain, a vacuum, a NOT NULL whose session is killed:",
            ("index", "vacuum", "steps"),
        )
        self._stage(
            "Over a thousand jobs, some that go wrong on purpose, and a build that another session "
            "would kill:",
            ("days", "planes", "timeout", "retried", "cancelled", "build", "by_size"),
            before=self._refuse,
            between=self._cancel,
        )
        self._stage("What builds on them, and the way back:", ("refresh", "undo"))
        percent = self._cancelled_at or 0.0
        half = percent if 50 <= percent < 100 else "from 50 to 100"
        return [
            *[check for scene in self._scenes.values() for check in scene.checks()],
            Check(
                name="what the progress of REFRESH was taken from",
                found=self._sources.get(self._jobs["by_size"], "nothing"),
                expected="file",
            ),
            Check(
                name="SQLSTATE of the call refused at enqueue",
                found=self._refused,
                expected="PW005",
            ),
            Check(
                name="percent done when the job was cancelled",
                found=str(percent),
                expected=str(half),
            ),
        ]

    def _stage(
        self,
        title: str,
        names: Sequence[str],
        before: Callable[[], None] | None = None,
        between: Callable[[], None] | None = None,
    ) -> None:
        self._screen.line()
        self._screen.line(title, "bold")
        if before:
            before()
        scenes = {name: scene for name, scene in self._scenes.items() if name in names}
        with ExitStack() as stack:
            for scene in scenes.values():
                scene.prepare(stack)
            groups = [self._enqueue(name) for name in names]
            plays = [scene.play(self._jobs[name]) for name, scene in scenes.items()]

            def each_time() -> None:
                self._assert_alive()
                for play in plays:
                    next(play, None)
                if between:
                    between()

            self._sources |= watch(self._connection, self._screen, groups, each_time)

    def _enqueue(self, name: str) -> list[int]:
        self._screen.statement(self._sql[name])
        jobs = [
            int(row[0]) for row in self._connection.execute(self._sql[name].encode()).fetchall()
        ]
        self._jobs[name] = jobs[0]
        return jobs

    def _refuse(self) -> None:
        self._screen.statement(self._sql["refused"])
        try:
            self._connection.execute(self._sql["refused"].encode())
        except psycopg.Error as error:
            self._refused = error.sqlstate or "no SQLSTATE"
            said = error.diag
            self._screen.line(f"    ERROR:  {self._refused}: {said.message_primary}")
            self._screen.line(f"    DETAIL:  {said.message_detail}")
            self._screen.line(f"    HINT:  {said.message_hint}")

    def _cancel(self) -> None:
        if self._cancelled_at is not None:
            return
        row = self._connection.execute(self._sql["cancel"].encode()).fetchone()
        if row:
            self._cancelled_at = float(row[1])

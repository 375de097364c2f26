"""What other sessions do to two of the jobs. A scene is prepared before its job is enqueued, and
played on while that is watched: at each `yield` it waits for what it asks to come true.
"""

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from datetime import datetime
from typing import Any, Protocol

import psycopg

from pyworker.demo.checks import Check
from pyworker.demo.others import Connect, Other
from pyworker.demo.screen import Screen
from pyworker.demo.statements import read_statements

__all__ = ["KilledStep", "SavedBuild", "Scene"]


class Scene(Protocol):
    """What the stages need of it."""

    def prepare(self, stack: ExitStack) -> None:
        """Do what must stand before the job is enqueued; the sessions end with the stack."""

    def play(self, job: int) -> Iterator[None]:
        """Go on with each look at the jobs."""

    def checks(self) -> list[Check]:
        """Give what only this side has seen."""


class _SceneWithStatements:
    """What scenes share: a connection that asks, the screen, and the statements of scenes.sql."""

    def __init__(
        self,
        connection: psycopg.Connection[Any],
        screen: Screen,
        connect: Connect,
        log: Callable[[], list[dict[str, Any]]],
    ) -> None:
        """Ask over this connection; others connect by `connect`. `log` reads the supervisor's."""
        self._connection = connection
        self._log = log
        self._screen = screen
        self._connect = connect
        self._sql = read_statements("scenes.sql")

    def _ask(self, name: str, value: object) -> Any:
        row = self._connection.execute(self._sql[name].encode(), (value,)).fetchone()
        return row[0] if row else None

    def _show(self, other: Other, name: str) -> None:
        self._screen.statement(f"{self._sql[name]}  -- another session, pid {other.pid}")


class KilledStep(_SceneWithStatements):
    """The session that runs the steps is killed while the second one waits for its lock."""

    killed_at: datetime | None = None

    def prepare(self, stack: ExitStack) -> None:
        """Let the first step wait."""
        self._reader = stack.enter_context(Other(self._connect))
        self._locker = stack.enter_context(Other(self._connect))
        self._reader.run(self._sql["read"])

    def play(self, job: int) -> Iterator[None]:
        """Let the first step through, then kill."""
        while self._ask("step_waits", job) != 1:
            yield
        self._locker.start(self._sql["lock"])
        while not self._ask("waits", self._locker.pid):
            yield
        self._reader.run(self._sql["rollback"])
        while self._ask("step_waits", job) != 2:
            yield
        self._screen.statement(self._sql["end_session"] % job)
        self.killed_at = self._ask("end_session", job)
        self._locker.wait_for_end()
        self._locker.run(self._sql["rollback"])

    def checks(self) -> list[Check]:
        """Give what was done before, and what by the session that went on."""
        return [
            Check(
                name="the NOT NULL in four steps: done before its session was killed, and after",
                found=str(self._ask("steps_done", self.killed_at)),
                expected="1 and 3",
            )
        ]


class SavedBuild(_SceneWithStatements):
    """ANALYZE waits for a concurrent build that will wait for it: the build would be lost."""

    logged: str | None = None

    def prepare(self, stack: ExitStack) -> None:
        """Let the build wait."""
        self._writer = stack.enter_context(Other(self._connect))
        self._analyze = stack.enter_context(Other(self._connect))
        self._writer.run(self._sql["write"])

    def play(self, job: int) -> Iterator[None]:
        """Let the build go on once it is saved."""
        while not self._ask("build_waits", job):
            yield
        self._show(self._analyze, "analyze")
        self._analyze.start(self._sql["analyze"])
        # it may be cancelled at the very look that has seen it, so the view shows it, or the log
        while not (risk := self._ask("risk", job)) and not self._in_log(job):
            yield
        if risk:
            self._screen.line(f"    deadlock_risk of job {job}: {risk}")
        while not (logged := self._in_log(job)):
            yield
        self.logged = logged
        while not self._analyze.done:
            yield
        self._screen.line(f"    ANALYZE was cancelled: {self._analyze.sqlstate}")
        self._writer.run(self._sql["rollback"])

    def _in_log(self, job: int) -> str | None:
        for line in self._log():
            if line["event"] == "deadlock_risk" and line["job_id"] == job:
                return str(line["reason"])
        return None

    def checks(self) -> list[Check]:
        """Give what was seen of the risk, and what became of it."""
        role, pid = self._connection.info.user, self._analyze.pid
        return [
            Check(
                name="deadlock risk, in the log before the build was lost",
                found=str(self.logged),
                expected=f"pid {pid} of role {role} has a snapshot that the build will wait for,"
                f" and waits for it: pid {pid} waits for ShareUpdateExclusiveLock on demo.flights",
            ),
            Check(
                name="SQLSTATE of the ANALYZE that was cancelled to save the build",
                found=str(self._analyze.sqlstate),
                expected="57014",
            ),
        ]

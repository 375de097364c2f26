"""Looks every second while things happen: what must hold all the time, and not only at the end."""

import threading
import time
from collections.abc import Hashable
from contextlib import suppress
from typing import Any

import psycopg
from psycopg import Connection

from tests.torture.scenario import Violation
from tests.torture.world import ADMINISTRATOR, World

__all__ = ["Probes", "Since"]

_EVERY = 1.0
_GRACE = 5.0  # seconds beyond the lease in which the dead are noticed
_LEASE_MOST = 3.0  # seconds: a longer lease gives nobody more time

#: I5: jobs that are said to run, with no session and no child that could run them.
_UNATTENDED = """
select j.id, coalesce(j.started_at::text, '') from jobs_internal.job as j
where j.state = 'running'
  and not exists (select from jobs_internal.session as s
    join pg_stat_activity as a on a.pid = s.pid and a.backend_start = s.backend_start
    where s.id = j.session_id)
  and not exists (select from pg_stat_activity as a where a.pid = j.child_pid
    and a.backend_start = j.child_start)
"""
#: I6: background sessions that no row of ours knows: neither a session, nor the child of a running
#: job, nor a helper.
_ORPHANS = """
select a.pid, a.backend_start::text, left(a.query, 80) from pg_stat_activity as a
where a.datname = current_database()
  and a.backend_type not in ('client backend', 'autovacuum worker', 'parallel worker')
  and a.query !~
    '^(call jobs_internal[.]stop_job|vacuum [(]skip_locked|select jobs_internal[.]keep_)'
  and not exists (select from jobs_internal.session as s where s.pid = a.pid
    and s.backend_start = a.backend_start)
  and not exists (select from jobs_internal.job as j where j.child_pid = a.pid
    and j.child_start = a.backend_start)
"""

_LEASE = "select value from jobs.settings where name = 'lease_seconds'"

Row = tuple[Any, ...]


class Since:
    """Remembers for how long each thing has been seen without a break."""

    def __init__(self) -> None:
        """Nothing was seen."""
        self._first: dict[Hashable, float] = {}

    def look(self, seen: set[Hashable], now: float) -> dict[Hashable, float]:
        """Take in what is seen now; returns for how long each was."""
        self._first = {thing: self._first.get(thing, now) for thing in seen}
        return {thing: now - first for thing, first in self._first.items()}


class Probes(threading.Thread):
    """The thread that looks. A server that is away is no violation here; what it says when it is
    there may be one.
    """

    def __init__(self, world: World) -> None:
        """Begin with nothing seen."""
        super().__init__(name="probes", daemon=True)
        self._world = world
        self._end = threading.Event()
        self._lease = 3.0
        self._told: dict[tuple[str, Hashable], str] = {}
        self._unattended, self._orphans = Since(), Since()
        self.error: BaseException | None = None

    def run(self) -> None:
        """Look until told to end."""
        try:
            while not self._end.wait(_EVERY):
                with (
                    suppress(psycopg.OperationalError, psycopg.InterfaceError),
                    self._world.connect(ADMINISTRATOR, lock_timeout="10s") as admin,
                ):
                    self._lease = min(float(self._value(admin, _LEASE)), _LEASE_MOST)
                    while not self._end.wait(_EVERY):
                        self._look(admin)
        except BaseException as error:  # noqa: BLE001  told by whoever ends this thread
            self.error = error

    def _value(self, line: Connection[Row], query: str) -> Any:
        row = line.execute(query.encode()).fetchone()
        assert row is not None
        return row[0]

    def _look(self, admin: Connection[Row]) -> None:
        now = time.monotonic()
        unattended = self._unattended.look(
            {tuple(row) for row in admin.execute(_UNATTENDED).fetchall()}, now
        )
        for job, seconds in unattended.items():
            if seconds > self._lease + _GRACE:
                self._tell(
                    "I5",
                    job,
                    f"job {job} is running without a session or child for {seconds:.1f} s",
                )
        orphans = self._orphans.look(
            {tuple(row) for row in admin.execute(_ORPHANS).fetchall()}, now
        )
        for session, seconds in orphans.items():
            if seconds > _GRACE:
                self._tell(
                    "I6",
                    session,
                    f"background session {session} belongs to nobody for {seconds:.1f} s",
                )

    def _tell(self, invariant: str, thing: Hashable, message: str) -> None:
        self._told[invariant, thing] = message

    def finish(self) -> list[Violation]:
        """End it; returns what was seen."""
        self._end.set()
        self.join(30)
        if self.error is not None:
            raise self.error
        return [
            self._world.scenario.violation(invariant, message)
            for (invariant, _thing), message in self._told.items()
        ]

"""The database, as the daemon sees it: the only module that knows SQL.

Each method calls one function, or reads one public view.
"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import timedelta
from typing import Any, LiteralString

import psycopg
from psycopg.rows import dict_row
from psycopg.types.json import Jsonb

from pyworker.database.records import Commit, Maintenance, StopSignal, Tick

__all__ = ["PUBLIC_VIEWS", "Gateway"]

_VIEWS: dict[str, LiteralString] = {
    "health": "select * from jobs.health",
    "queues": "select * from jobs.queues order by 1",
    "running": "select * from jobs.running order by started_at limit 200",
    "sessions": "select * from jobs.sessions limit 200",
    "supervisors": "select * from jobs.supervisors limit 200",
}
PUBLIC_VIEWS = tuple(_VIEWS)


class Gateway:
    """Calls on one connection in autocommit: each call is a transaction, unless it is made inside
    `transaction()`.
    """

    def __init__(self, connection: psycopg.Connection[Any]) -> None:
        """Speak through this connection."""
        self._connection = connection
        self.notified = False
        connection.add_notify_handler(self._on_notify)

    def _on_notify(self, _notify: psycopg.Notify) -> None:
        self.notified = True

    def _value(self, statement: LiteralString, *arguments: object) -> Any:
        row = self._connection.execute(statement, arguments).fetchone()
        return row[0] if row else None

    def _values(self, statement: LiteralString, *arguments: object) -> list[Any]:
        return [row[0] for row in self._connection.execute(statement, arguments).fetchall()]

    # The supervisor

    def login_privileges(self) -> str | None:
        """Name what this connection's login has, itself or by membership, that no supervisor needs;
        None: nothing.

        Asked of the server's catalog alone, before anything of ours is called: as
        jobs_internal.privileges_of.
        """
        found = self._value(
            "with recursive reached (login, role) as ("
            " select r.oid, r.oid from pg_catalog.pg_roles as r where r.rolname = session_user"
            " union"
            " select o.login, m.roleid from reached as o"
            " join pg_catalog.pg_auth_members as m on m.member = o.role)"
            " select pg_catalog.string_agg(w.power || case when o.role = o.login or w.n = 5 then ''"
            " else ' by membership in ' || r.rolname end, ', '"
            " order by o.role <> o.login, w.n, r.rolname)"
            " from reached as o join pg_catalog.pg_roles as r on r.oid = o.role"
            " cross join lateral (values (1, 'SUPERUSER', r.rolsuper), (2,"
            " 'REPLICATION', r.rolreplication),"
            " (3, 'CREATEROLE', r.rolcreaterole), (4, 'BYPASSRLS',"
            " r.rolbypassrls), (5, r.rolname::text,"
            " r.rolname = any ('{pg_execute_server_program,"
            " pg_read_server_files, pg_write_server_files}'))"
            " ) as w (n, power, has) where w.has"
        )
        return None if found is None else str(found)

    def assert_program_fits(self, schema: int) -> None:
        """Raise where the database's schema is older than the one that this program is for."""
        self._value("select jobs_internal.assert_program_fits(%s)", schema)

    def supervisor_open(self, name: str, host: str, os_pid: int, version: str) -> int:
        """Register this connection as a supervisor; returns its number."""
        return int(
            self._value(
                "select jobs_internal.supervisor_open(%s, %s, %s, %s)", name, host, os_pid, version
            )
        )

    def supervisor_serves(self, supervisor: int, owners: Sequence[str]) -> None:
        """Say whose jobs this supervisor runs, where it runs only some."""
        self._value("select jobs_internal.supervisor_serves(%s, %s)", supervisor, list(owners))

    def supervisor_close(self, supervisor: int) -> None:
        """Take the registration back."""
        self._value("select jobs_internal.supervisor_close(%s)", supervisor)

    def supervisor_tick(self, supervisor: int) -> Tick:
        """Dispatch what is due, rescue what is dead, and tell how things stand."""
        return Tick.from_row(
            self._value("select jobs_internal.supervisor_tick(%s)", supervisor) or {}
        )

    def supervisor_send_stop_signals(self, supervisor: int) -> list[StopSignal]:
        """Signal the sessions whose job has a committed reason to stop."""
        found = self._values(
            "select * from jobs_internal.supervisor_send_stop_signals(%s)", supervisor
        )
        return [StopSignal.from_row(row) for row in found]

    def supervisor_sleep(self, supervisor: int, *, asleep: bool) -> bool:
        """Ask enqueuers to wake this supervisor, or no longer; true: there is work already."""
        return bool(
            self._value("select jobs_internal.supervisor_sleep(%s, %s)", supervisor, asleep)
        )

    def note_unreached(self, supervisor: int, reasons: Mapping[str, str]) -> None:
        """Say as which of the owners with due jobs this supervisor cannot connect, and why; as all
        others it can.
        """
        self._value("select jobs_internal.note_unreached(%s, %s)", supervisor, Jsonb(dict(reasons)))

    def take_outcomes(self, limit: int) -> list[Commit]:
        """Take outcomes for the log, some megabytes at once; none: that is all. They are gone at
        the commit.
        """
        return [
            Commit.from_row(row)
            for row in self._values("select * from jobs_internal.take_outcomes(%s)", limit)
        ]

    def wait_of(self, pid: int) -> str | None:
        """Name what a process of the server waits for."""
        query: LiteralString = (
            "select pg_catalog.concat_ws(':', a.wait_event_type, a.wait_event)"
            " from pg_catalog.pg_stat_activity as a"
            " where a.pid = %s"
        )
        return self._value(query, pid) or None

    def runners(self) -> list[str]:
        """Name the roles that may run jobs and log in."""
        return [str(name) for name in self._values("select * from jobs_internal.runners()")]

    def maintain(self) -> Maintenance:
        """Do one round for the history, and vacuum the hot tables."""
        return Maintenance.from_row(self._value("select jobs_internal.maintain()"))

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """Make the calls inside one transaction."""
        with self._connection.transaction():
            yield

    # Wake-ups

    def listen(self) -> None:
        """Receive the wake-ups that enqueuers send to sleeping supervisors."""
        self._connection.execute("listen pyworker")

    def receive(self) -> bool:
        """Read what the server sent unasked; true: a job was enqueued.

        Raises when the connection is gone.
        """
        self._connection.pgconn.consume_input()
        while self._connection.pgconn.notifies():
            self.notified = True
        seen, self.notified = self.notified, False
        return seen

    # An owner

    def launch(self, sessions: int, linger: timedelta) -> int:
        """Launch worker sessions of the connected user; returns how many started."""
        return int(self._value("select jobs_internal.launch(%s, %s)", sessions, linger) or 0)

    # What people see

    def view(self, name: str) -> list[dict[str, Any]]:
        """Read one of the public views."""
        with self._connection.cursor(row_factory=dict_row) as cursor:
            return cursor.execute(_VIEWS[name]).fetchall()

    def import_schedules(self, source: str, *, apply: bool) -> list[dict[str, Any]]:
        """Read the jobs of another scheduler, or make schedules of them."""
        with self._connection.cursor(row_factory=dict_row) as cursor:
            return cursor.execute(
                "select * from jobs.import_schedules(%s, %s)", [source, apply]
            ).fetchall()

"""What tests share beside fixtures: a server, a database of one's own, connections,
and the one place that waits.
"""

import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import Any, TypeVar

import psycopg
from psycopg import Connection
from psycopg.rows import dict_row
from testserver import ADMINISTRATOR, Row, Server

__all__ = [
    "ADMINISTRATOR",
    "LOGINS",
    "PATIENCE",
    "Arguments",
    "Database",
    "Fact",
    "Row",
    "Server",
    "sqlstate_of",
    "wait_until",
]

#: Login roles of the tests, and the roles of ours that each is a member of.
LOGINS: dict[str, tuple[str, ...]] = {
    "app": ("jobs_producer", "jobs_runner"),
    "other": ("jobs_producer", "jobs_runner"),
    "producer": ("jobs_producer",),
    "runner": ("jobs_runner",),
    "operator": ("jobs_operator",),
    "reader": ("jobs_reader",),
    "supervisor": ("jobs_supervisor",),
    "nobody": (),
}

Arguments = Sequence[Any] | Mapping[str, Any]
Fact = TypeVar("Fact")


#: Seconds that a busy machine is given for what an idle one does at once; a lease that is waited
#: for takes longer.
PATIENCE = 25.0
#: Seconds between two looks at something that takes long.
_LONGEST_STEP = 0.05


def wait_until(fact: Callable[[], Fact], timeout: float = PATIENCE, step: float = 0.01) -> Fact:
    """Wait for something to become true, and return it."""
    until = time.monotonic() + timeout
    while True:
        found = fact()
        if found:
            return found
        if time.monotonic() > until:
            raise AssertionError(f"it did not become true within {timeout} s; it is {found!r}")
        time.sleep(step)
        # what takes long is not asked all the time
        step = max(step, min(step * 1.2, _LONGEST_STEP))


def sqlstate_of(work: Callable[[], object]) -> str | None:
    """Do something that may be refused; returns the SQLSTATE of the refusal, None when it was not
    refused.
    """
    try:
        work()
    except psycopg.Error as error:
        return error.sqlstate
    return None


_WITHOUT_REASON = (
    "select j.id, e.state, e.code, e.reason"
    " from (select id from jobs_internal.job order by random() limit 20) as j"
    " cross join jobs.explain(j.id) as e where e.code is null or e.reason is null"
    " or e.state is null"
    " or e.code not in (select code from jobs.wait_reasons)"
    " union all select id, state, null, 'waits_for' from jobs.queued where waits_for is null"
)


@dataclass(kw_only=True)
class Database:
    """One database with pyworker in it, and the ways to reach it."""

    server: Server
    name: str
    _opened: ExitStack = field(default_factory=ExitStack)
    _lines: dict[str, Connection[Row]] = field(default_factory=dict)

    def dsn(self, role: str = "app") -> str:
        """Render the DSN for a role."""
        return self.server.dsn(role, self.name)

    def connect(self, role: str = "app", **options: Any) -> Connection[Row]:
        """Open a connection, which is closed at the end of the test."""
        return self._opened.enter_context(self.server.connect(role, self.name, **options))

    def line(self, role: str = "app") -> Connection[Row]:
        """Give the connection of a role that `run` uses: always the same."""
        line = self._lines.get(role)
        if line is None or line.closed:
            line = self._lines[role] = self.connect(role)
        return line

    def run(
        self, query: str, arguments: Arguments | None = None, *, role: str = "app"
    ) -> list[Row]:
        """Run a statement, committed at once."""
        cursor = self.line(role).execute(query, arguments)
        return cursor.fetchall() if cursor.description else []

    def admin(self, query: str, arguments: Arguments | None = None) -> list[Row]:
        """Run a statement as administrator."""
        return self.run(query, arguments, role=ADMINISTRATOR)

    def value(self, query: str, arguments: Arguments | None = None, *, role: str = "app") -> Any:
        """Run a query and give its one value."""
        return self.run(query, arguments, role=role)[0][0]

    def record(
        self, query: str, arguments: Arguments | None = None, *, role: str = "app"
    ) -> dict[str, Any]:
        """Run a query and give its one row by column."""
        with self.line(role).cursor(row_factory=dict_row) as cursor:
            rows = cursor.execute(query, arguments).fetchall()
        assert len(rows) == 1, rows
        return dict(rows[0])

    def job(self, job_id: int, *, role: str = "app") -> dict[str, Any]:
        """Give the row of jobs.job; one that waits says why, whatever the test is about."""
        job = self.record("select * from jobs.job where id = %s", [job_id], role=role)
        assert job["waits_for"] or job["state"] not in ("queued", "scheduled"), job
        return job

    def assert_reasons(self) -> None:
        """Assert that each unfinished job has a reason, whatever state a test has brought the
        database into.
        """
        try:
            without = self._without_reason()
        except psycopg.OperationalError:  # the server was restarted since it was asked last
            without = self._without_reason()
        assert without == [], without

    def _without_reason(self) -> list[Row]:
        there = (
            "select to_regprocedure('jobs.explain(bigint, bigint)') is not null"
            " and to_regclass('jobs.queued') is not null"
        )
        if not self.admin(there)[0][0]:
            return []  # a database that a test has taken pyworker from
        if not self.admin("select 1 from jobs_internal.job limit 1"):
            return []
        # prepared: to plan it takes longer than to run it, and it is asked at each drain
        return self.line(ADMINISTRATOR).execute(_WITHOUT_REASON, prepare=True).fetchall()

    def result(self, job_id: int) -> Any:
        """Give the result of a job that succeeded."""
        job = self.job(job_id)
        assert job["state"] == "succeeded", (job["state"], job["error"])
        return job["result"]

    def drain(self, *, role: str = "app", sessions: int = 1, timeout: float = PATIENCE) -> None:
        """Run what is due, as its owner, without a supervisor, until nothing is due and no session
        is left.
        """
        self.assert_reasons()
        started = self._start(role, sessions)

        def idle() -> bool:
            nonlocal started
            # A process that was launched a moment ago is not in pg_stat_activity yet:
            # wait for its number first.
            if self._sessions_ever() < started or self.background():
                return False
            at_work, due = self.admin(
                "select (select count(*) from jobs_internal.session as s,"
                " pg_stat_get_activity(s.pid) as a"
                "  where s.owner = r.oid and a.backend_start = s.backend_start),"
                " (select count(*) from jobs_internal.job as j where j.owner = r.oid"
                "  and (j.state <> 'scheduled' or j.due_at <= now() + interval '5 s'))"
                " from pg_authid as r where r.rolname = %s",
                [role],
            )[0]
            if at_work:
                return False
            if due:
                started = self._start(role, sessions)
            return not due

        wait_until(idle, timeout)

    def _start(self, role: str, sessions: int) -> int:
        """Launch worker sessions; gives what `_sessions_ever` comes to when the last of them has
        registered.
        """
        before = self._sessions_ever()
        return before + int(self.value("select jobs.start(%s)", [sessions], role=role))

    def _sessions_ever(self) -> int:
        """Count the worker sessions that ever registered here."""
        return int(
            self.admin(
                "select coalesce(pg_sequence_last_value('jobs_internal.session_id_seq'), 0)"
            )[0][0]
        )

    def background(self) -> list[Row]:
        """List the background processes in this database: worker sessions and their children."""
        return self.admin(
            "select a.pid, a.usesysid::regrole, a.application_name, left(a.query, 200)"
            " from pg_stat_get_activity(null) as a, pg_database as d where d.datname = %s"
            " and d.oid = a.datid"
            " and a.backend_type not in ('client backend', 'autovacuum worker', 'parallel worker')",
            [self.name],
        )

    def close(self) -> None:
        """Close all connections."""
        self._opened.close()
        self._lines.clear()

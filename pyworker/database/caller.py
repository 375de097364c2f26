"""Jobs and marks, as people and scripts see and control them: public views and functions, as the
login.

Rows come as JSON that the server made, so a time that Python cannot hold (infinity) is text.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, LiteralString

import psycopg
from psycopg.sql import SQL, Composed
from psycopg.types.json import Jsonb

__all__ = ["ACTIONS", "Caller", "Filter"]

_FINISHED = frozenset(("succeeded", "failed", "cancelled", "in_doubt"))

#: What can be done with jobs: its call.
ACTIONS: dict[str, LiteralString] = {
    "cancel": "select jobs.cancel(%s)",
    "retry": "select jobs.retry(%s)",
    "dismiss": "select jobs.dismiss(%s)",
}


@dataclass(frozen=True, kw_only=True)
class Filter:
    """Which jobs are meant: those for which all of it holds. `task` may have `*` for any text."""

    states: tuple[str, ...] = ()
    queue: str | None = None
    task: str | None = None
    owner: str | None = None
    since: str | None = None  #: a time or an interval, as the server reads it
    not_dismissed: bool = False


class Caller:
    """Calls on one connection in autocommit."""

    def __init__(self, connection: psycopg.Connection[Any]) -> None:
        """Speak through this connection."""
        self._connection = connection

    def is_installed(self) -> bool:
        """Tell whether this database has a schema jobs."""
        found = self._connection.execute(
            "select pg_catalog.to_regnamespace('jobs') is not null"
        ).fetchone()
        return bool(found and found[0])

    def moment(self, text: str) -> str | None:
        """Read a time, or an interval as that long ago; None: it is neither."""
        row = self._connection.execute(
            "select case when pg_catalog.pg_input_is_valid(%(text)s, 'timestamptz')"
            " then %(text)s::timestamptz"
            " when pg_catalog.pg_input_is_valid(%(text)s, 'interval')"
            " then pg_catalog.now() - %(text)s::interval end::text",
            {"text": text},
        ).fetchone()
        return row[0] if row else None

    def has_queue(self, name: str) -> bool:
        """Tell whether there is such a queue."""
        return bool(self._rows("select queue from jobs.queues where queue = %s", [name]))

    def jobs(self, which: Filter, limit: int) -> list[dict[str, Any]]:
        """List jobs, the latest first."""
        where, arguments = _condition(which)
        query = SQL(
            "select id, state, queue, owner, task, title, attempt, max_attempts, created_at,"
            " run_at, started_at, finished_at, waits_for, error, dismissed_at"
            " from jobs.job where {} order by id desc limit %s"
        )
        return self._rows(query.format(where), [*arguments, limit])

    def numbers(self, which: Filter) -> list[int]:
        """List the numbers of jobs, the oldest first."""
        where, arguments = _condition(which)
        query = SQL("select id from jobs.job where {}").format(where)
        found = self._connection.execute(query, arguments)
        return sorted(row[0] for row in found.fetchall())

    def job(self, number: int) -> dict[str, Any] | None:
        """Read all of jobs.job about one; None: it is not there, or not for this login."""
        found = self._rows("select * from jobs.job where id = %s", [number])
        return found[0] if found else None

    def running(self, number: int) -> dict[str, Any] | None:
        """Read how far a job that runs is; None: it does not run."""
        found = self._rows("select * from jobs.running where id = %s", [number])
        return found[0] if found else None

    def attempts(self, number: int) -> list[dict[str, Any]]:
        """List the attempts of a job."""
        return self._rows(
            "select * from jobs.attempts where job_id = %s order by attempt", [number]
        )

    def log_lines(self, number: int) -> list[dict[str, Any]] | None:
        """List the log lines of a job; None: this login may not see any."""
        try:
            return self._rows(
                "select * from jobs.log_lines where job_id = %s order by attempt, n", [number]
            )
        except psycopg.errors.InsufficientPrivilege:
            return None

    def all_about(self, number: int) -> dict[str, Any] | None:
        """Read what `pyworker show` shows; None: it is not there, or not for this login."""
        job = self.job(number)
        return job and {
            "job": job,
            "running": self.running(number),
            "explain": self.explain(number) if job["finished_at"] is None else None,
            "attempts": self.attempts(number),
            "log_lines": self.log_lines(number),
        }

    def explain(self, number: int) -> dict[str, Any]:
        """Ask why a job waits, or what it is at."""
        return self._rows("select * from jobs.explain(%s)", [number])[0]

    def mark(self, name: str, kind: str, note: Mapping[str, Any] | None) -> int:
        """Mark this moment; returns the number of the mark."""
        given = [name, kind, None if note is None else Jsonb(note)]
        return int(self._connection.execute("select jobs.mark(%s, %s, %s)", given).fetchall()[0][0])

    def act(self, action: str, number: int) -> str:
        """Cancel, retry or dismiss one job; returns what that did, in the function's own word."""
        row = self._connection.execute(ACTIONS[action], [number]).fetchone()
        return str(row[0]) if row else ""

    def _rows(
        self, query: LiteralString | Composed, arguments: Sequence[object]
    ) -> list[dict[str, Any]]:
        inner = SQL(query) if isinstance(query, str) else query
        whole = SQL("select pg_catalog.row_to_json(r) from ({}) as r").format(inner)
        return [row[0] for row in self._connection.execute(whole, arguments).fetchall()]


def _condition(which: Filter) -> tuple[Composed, list[object]]:
    """Write the filter as a condition on jobs.job."""
    parts: list[LiteralString] = ["true"]
    arguments: list[object] = []
    if which.states:
        parts.append("state = any (%s)")
        arguments.append(list(which.states))
        # The view is a union of live and finished jobs: this leaves one of them out.
        if _FINISHED.issuperset(which.states):
            parts.append("finished_at is not null")
        elif _FINISHED.isdisjoint(which.states):
            parts.append("finished_at is null")
    if which.queue is not None:
        parts.append("queue = %s")
        arguments.append(which.queue)
    if which.task is not None:
        parts.append("task like %s" if "*" in which.task else "task = %s")
        arguments.append(_pattern(which.task) if "*" in which.task else which.task)
    if which.owner is not None:
        parts.append("owner = %s")
        arguments.append(which.owner)
    if which.since is not None:
        parts.append("coalesce(finished_at, started_at, created_at) >= %s::timestamptz")
        arguments.append(which.since)
    if which.not_dismissed:
        parts.append("dismissed_at is null")
    return SQL(" and ").join([SQL(part) for part in parts]), arguments


def _pattern(task: str) -> str:
    for special in "\\%_":
        task = task.replace(special, f"\\{special}")
    return task.replace("*", "%")

"""What `pyworker top` shows, read from public views as the login that connects; each list is
short, whatever the number of jobs.
"""

from typing import Any, LiteralString

from pyworker.database.caller import Caller

__all__ = ["SCREEN", "Watching"]

#: Reasons are counted over so many jobs: to read a million takes seconds.
COUNTED = 2000

SCREEN: dict[str, LiteralString] = {
    "running": "select * from jobs.running order by started_at limit 200",
    "waiting": "select id, title, queue, owner, state, age, waits_for from jobs.queued limit 50",
    "reasons": (
        "select waits_for, pg_catalog.count(*) as jobs from"
        " (select waits_for from jobs.queued limit 2000) as w group by 1 order by 2 desc, 1"
    ),
    "queues": (
        "select queue, paused, concurrency, queued, running, scheduled, failed, rate"
        " from jobs.queues order by queue limit 200"
    ),
    "failed": (
        "select id, task, queue, owner, outcome, finished_at, sqlstate, message"
        " from jobs.failed limit 50"
    ),
    "operations": "select * from jobs.operation_list limit 20",
    "schedules": 'select name, "when", next, last, state, failed from jobs.schedule_list limit 50',
}


class Watching(Caller):
    """The calls of `pyworker top` beside those of the commands."""

    def listed(self, name: str) -> list[dict[str, Any]]:
        """Read one of the lists."""
        return self._rows(SCREEN[name], [])

    def not_ok(self) -> list[dict[str, Any]]:
        """Read the health checks that are not ok, the worst first."""
        return self._rows(
            "select \"check\", status, detail from jobs.health where status <> 'ok'"
            " order by status, 1",
            [],
        )

    def rights(self) -> set[str]:
        """Name the roles of ours whose rights this login has."""
        found = self._connection.execute(
            "select r.name from (values ('jobs_producer'), ('jobs_operator'), ('jobs_owner'))"
            " as r (name) where pg_catalog.pg_has_role(current_user, r.name, 'usage')"
        )
        return {row[0] for row in found.fetchall()}

    def pause(self, queue: str, *, paused: bool) -> None:
        """Pause a queue, or let it go on."""
        statement: LiteralString = "select jobs.pause(%s)" if paused else "select jobs.resume(%s)"
        self._connection.execute(statement, [queue])

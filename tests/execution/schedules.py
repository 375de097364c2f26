"""Short ways to make schedules, to play time, and to see what became of it."""

from datetime import UTC, datetime, timedelta
from typing import Any

from psycopg.types.json import Jsonb
from support import Database, Row

#: A moment in the past from which tests play time.
START = datetime(2026, 1, 1, tzinfo=UTC)
HOUR = timedelta(hours=1)
MINUTE = timedelta(minutes=1)


def schedule(database: Database, name: str, when: str, *, role: str = "app", **options: Any) -> int:
    """Make a schedule of a function that notes a number."""
    given = {
        "task": "app.note",
        "args": {"n": 1},
        **options,
    }
    more = "".join(f", {key} => %({key})s" for key in given)
    values = {key: Jsonb(v) if isinstance(v, dict) else v for key, v in given.items()}
    return int(
        database.value(
            f"select jobs.schedule(%(name)s, %(when)s{more})",
            {"name": name, "when": when, **values},
            role=role,
        )
    )


def set_clock(database: Database, at: datetime) -> None:
    """Say that all schedules were made at that moment."""
    database.admin(
        "update jobs_internal.schedule_state as t set next_due = n.at, next_at = n.at"
        " from (select s.id, jobs_internal.next_due(s, %s) as at from jobs_internal.schedule as s)"
        " as n where n.id = t.schedule_id",
        [at],
    )


def fire(database: Database, at: datetime) -> None:
    """Play the part of a supervisor's round at that moment."""
    while database.admin("select jobs_internal.fire_schedules(%s)", [at])[0][0] >= 200:
        pass


def runs(database: Database, columns: str = "due_at, outcome", role: str = "app") -> list[Row]:
    """List what became of the occurrences, the first one first."""
    return database.run(
        f"select {columns} from jobs.schedule_runs order by due_at, rerun", role=role
    )


def accounted(database: Database, since: datetime, until: datetime, step: timedelta) -> list[str]:
    """Say which occurrences, one each step, are not accounted for exactly once."""
    rows = database.admin(
        "select due_at, coalesce(until, due_at) from jobs_internal.schedule_run where rerun = 0"
    )
    wrong = []
    at = since
    while at <= until:
        count = sum(first <= at <= last for first, last in rows)
        if count != 1:
            wrong.append(f"{at}: {count}")
        at += step
    return wrong

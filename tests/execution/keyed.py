"""Short ways to make jobs with a key of concurrency, and to see who holds its places."""

from typing import Any

from psycopg.types.json import Jsonb
from stage import put
from support import Database, wait_until

KEY = Jsonb({"concurrency_key": "k"})


def keyed(
    database: Database,
    key: str = "k",
    task: str = "app.note",
    args: dict[str, Any] | None = None,
    **more: Any,
) -> int:
    """Enqueue a job with a key."""
    args = {"n": 1} if args is None and task == "app.note" else args
    return put(database, task, args, options=Jsonb({"concurrency_key": key}), **more)


def admit(database: Database) -> int:
    """Play the parts of a supervisor's round that give places; gives how many."""
    database.admin("select jobs_internal.dispatch()")
    return int(database.admin("select jobs_internal.admit_waiting()")[0][0])


def holders(database: Database, key: str = "k") -> list[int]:
    """List the jobs that hold places of a key."""
    rows = database.admin(
        "select job_id from jobs_internal.key_held where key = %s and n > 0 order by job_id", [key]
    )
    return [row[0] for row in rows]


def behind(database: Database, key: str = "k") -> list[int]:
    """List the jobs that stand behind the holder of a key's only place, in turn."""
    rows = database.admin(
        "select job_id from jobs_internal.key_held where key = %s and n < 0 order by n desc", [key]
    )
    return [row[0] for row in rows]


def waiters(database: Database, key: str = "k") -> list[int]:
    """List the jobs that wait for a place of a key."""
    rows = database.admin(
        "select w.job_id from jobs_internal.key_wait as w"
        " join jobs_internal.job as j on j.id = w.job_id and j.due_at = 'infinity'"
        " where w.key = %s order by w.job_id",
        [key],
    )
    return [row[0] for row in rows]


def left(database: Database) -> list[Any]:
    """List what is kept of keys."""
    return database.admin(
        "select 'held', job_id from jobs_internal.key_held union all"
        " select 'wait', job_id from jobs_internal.key_wait union all"
        " select 'event', id from jobs_internal.key_event"
    )


def is_well(database: Database) -> bool:
    """Tell whether jobs.health finds nothing about keys."""
    return database.admin("select status from jobs.health where \"check\" = 'keys'") == [("ok",)]


def work_off(database: Database, sessions: int = 1) -> None:
    """Run all that is due or waits for its key, with sessions that leave and come again."""

    def over() -> bool:
        database.drain(sessions=sessions)
        admit(database)
        return not database.admin(
            "select job_id from jobs_internal.key_wait"
            " union all select job_id from jobs_internal.key_held"
        )

    wait_until(over)

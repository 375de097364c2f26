"""Short ways to make jobs that wait for others, and to see what became of them."""

from typing import Any

from psycopg.types.json import Jsonb
from stage import put, state
from support import Database

#: How a parent ends, as a task and its arguments; what is cancelled is an ordinary one.
ENDS: dict[str, tuple[str, dict[str, Any]]] = {
    "succeeded": ("app.note", {"n": 1}),
    "failed": ("app.fail", {}),
    "cancelled": ("app.note", {"n": 1}),
}


def after(
    database: Database,
    *parents: int,
    wants: str | None = None,
    task: str = "app.note",
    args: dict[str, Any] | None = None,
    options: dict[str, Any] | None = None,
    **more: Any,
) -> int:
    """Enqueue a job that waits for others."""
    given = {"after": list(parents), **(options or {})}
    if wants is not None:
        given["after_state"] = wants
    args = {"n": 9} if args is None and task == "app.note" else args
    return put(database, task, args, options=Jsonb(given), **more)


def chain(database: Database, first: int, length: int) -> list[int]:
    """Enqueue jobs that wait for one another, the first of them for that one."""
    jobs = [first]
    for _ in range(length):
        jobs.append(after(database, jobs[-1]))
    return jobs[1:]


def follow(database: Database) -> None:
    """Play the part of a supervisor's round that draws the consequences."""
    database.admin("select jobs_internal.follow()")


def states(database: Database, *jobs: int) -> list[str]:
    """Give the states of jobs."""
    return [state(database, job) for job in jobs]


def waits(database: Database, job: int) -> bool:
    """Tell whether a job waits for others."""
    return database.admin(
        "select due_at = 'infinity' from jobs_internal.job where id = %s", [job]
    ) == [(True,)]


def left(database: Database) -> list[Any]:
    """List what is kept of dependencies, and the events that no one has followed yet."""
    return database.admin(
        "select 'dependency', parent, child from jobs_internal.dependency union all"
        " select 'event', parent, null from jobs_internal.parent_event"
    )


def error(database: Database, job: int) -> tuple[str, str]:
    """Give SQLSTATE and message of a job's error."""
    found = database.job(job, role="postgres")["error"]
    return found["sqlstate"], found["message"]

"""What the tests of lock attempts and of giving way share."""

from typing import Any

from stage import state
from support import Database, Row, wait_until


def operation(database: Database, job: int) -> dict[str, Any]:
    """Give what is kept of an operation."""
    return database.record(
        "select * from jobs_internal.operation where job_id = %s", [job], role="postgres"
    )


def codes(database: Database, job: int) -> list[Row]:
    """Give why a job waits, as its owner sees it."""
    return database.run("select code, blocked_by_jobs from jobs.explain(%s)", [job])


def put_off(database: Database, job: int) -> dict[str, Any]:
    """Wait until an operation is put off; gives what is kept of it."""
    return wait_until(
        lambda: (
            state(database, job) == "scheduled"
            and (kept := operation(database, job))["held"]
            and kept
        ),
        20,
    )

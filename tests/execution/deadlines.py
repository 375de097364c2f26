"""Short ways to let deadlines pass, and to see what that does."""

from support import Database

LATER = {"deadline": "2100-01-01 00:00+00"}


def let_pass(database: Database, job: int) -> None:
    """Have the deadline of a job passed."""
    database.admin(
        "update jobs_internal.job_deadline set at = clock_timestamp() - interval '1 second'"
        " where job_id = %s",
        [job],
    )


def counts(database: Database, job: int) -> bool:
    return bool(database.admin("select 1 from jobs_internal.job_deadline where job_id = %s", [job]))


def round_of_deadlines(database: Database) -> int:
    """What a round of a supervisor does with deadlines."""
    return int(database.admin("select jobs_internal.cancel_late_jobs()")[0][0])


def end_of(database: Database, job: int) -> tuple[str, str | None, int]:
    found = database.job(job)
    return found["state"], (found["error"] or {}).get("sqlstate"), found["attempt"]

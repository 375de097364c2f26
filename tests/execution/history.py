"""Partitions of history, and what is left in them."""

from support import Database

TABLES = ("finished", "finished_attempt", "finished_log_line", "finished_statement")


def bucket_of(database: Database, job: int) -> int:
    return int(
        database.admin("select bucket from jobs_internal.finished where id = %s", [job])[0][0]
    )


def partitions_of(database: Database, bucket: int) -> set[str]:
    rows = database.admin(
        "select c.relname from pg_class as c where c.relnamespace = 'jobs_internal'::regnamespace"
        " and c.relkind = 'r' and c.relname ~ ('^(finished|past_.*)_' || %s || '$')",
        [bucket],
    )
    return {row[0] for row in rows}


def lines_of(database: Database, job: int) -> list[str]:
    rows = database.run(
        "select message from jobs.log_lines where job_id = %s order by attempt, n", [job]
    )
    return [row[0] for row in rows]


def jobs_left(database: Database, jobs: list[int]) -> set[int]:
    return {row[0] for row in database.run("select id from jobs.job where id = any (%s)", [jobs])}

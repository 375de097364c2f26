"""Many jobs in one statement, against one INSERT ... SELECT of as many rows."""

import time
from collections.abc import Iterator

from bench.database import Database
from bench.drain import enqueue, teach
from bench.figures import Curve, Figure
from bench.measurement import Bench, measurement


def _rate(database: Database, statement: str, rows: int) -> float:
    with database.connect() as app:
        app.execute("select jobs.enqueue('bench.noop')")  # a session that has enqueued before
        begun = time.monotonic()
        app.execute(statement.encode(), (rows,))
        return rows / (time.monotonic() - begun)


def _many(database: Database, rows: int) -> float:
    begun = time.monotonic()
    enqueue(database, rows)
    return rows / (time.monotonic() - begun)


@measurement("bulk", "jobs.enqueue over generate_series and jobs.enqueue_many, jobs per second")
def measure(bench: Bench) -> Iterator[Figure | Curve]:
    """Take turns."""
    database, jobs = bench.database, bench.size.bulk_jobs
    teach(database)
    inserted, selected, many = [], [], []
    for run in range(1, bench.size.runs + 1):
        bench.say(f"{jobs:,} jobs in one statement, run {run} of {bench.size.runs}")
        database.empty()
        inserted.append(
            _rate(
                database,
                "insert into bench.plain (at) select now() from generate_series(1, %s::int)",
                jobs,
            )
        )
        selected.append(
            _rate(
                database, "select jobs.enqueue('bench.noop') from generate_series(1, %s::int)", jobs
            )
        )
        database.empty()
        many.append(_many(database, jobs))
    rival = "INSERT ... SELECT of as many rows"
    yield Figure(
        text=f"select jobs.enqueue(...) from generate_series(1, {jobs})",
        unit="jobs/s",
        values=tuple(selected),
        rivals=tuple(inserted),
        rival=rival,
        goals=("enqueue_select",),
    )
    yield Figure(
        text=f"jobs.enqueue_many, {jobs:,} jobs",
        unit="jobs/s",
        values=tuple(many),
        rivals=tuple(inserted),
        rival=rival,
        goals=("enqueue_many",),
    )

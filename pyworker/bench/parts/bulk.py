"""Many jobs in one statement, against one INSERT ... SELECT of as many rows."""

import time
from collections.abc import Iterator

from pyworker.bench.drain import enqueue, teach
from pyworker.bench.figures import Curve, Figure
from pyworker.bench.part import Bench, part
from pyworker.bench.place import Place


def _rate(place: Place, statement: str, rows: int) -> float:
    with place.connect() as app:
        app.execute("select jobs.enqueue('bench.noop')")  # a session that has enqueued before
        begun = time.monotonic()
        app.execute(statement.encode(), (rows,))
        return rows / (time.monotonic() - begun)


def _many(place: Place, rows: int) -> float:
    begun = time.monotonic()
    enqueue(place, rows)
    return rows / (time.monotonic() - begun)


@part("bulk", "jobs.enqueue over generate_series and jobs.enqueue_many, jobs per second")
def measure(bench: Bench) -> Iterator[Figure | Curve]:
    """Take turns."""
    place, jobs = bench.place, bench.form.bulk_jobs
    teach(place)
    inserted, selected, many = [], [], []
    for run in range(1, bench.form.runs + 1):
        bench.say(f"{jobs:,} jobs in one statement, run {run} of {bench.form.runs}")
        place.empty()
        inserted.append(
            _rate(place, "insert into bench.plain (at) select now() from generate_series(1, %s::int)", jobs)
        )
        selected.append(_rate(place, "select jobs.enqueue('bench.noop') from generate_series(1, %s::int)", jobs))
        place.empty()
        many.append(_many(place, jobs))
    rival = "INSERT ... SELECT of as many rows"
    yield Figure(
        text=f"select jobs.enqueue(...) from generate_series(1, {jobs})", unit="jobs/s", values=tuple(selected),
        rivals=tuple(inserted), rival=rival, goals=("enqueue_select",),
    )  # fmt: skip
    yield Figure(
        text=f"jobs.enqueue_many, {jobs:,} jobs", unit="jobs/s", values=tuple(many), rivals=tuple(inserted),
        rival=rival, goals=("enqueue_many",),
    )  # fmt: skip

"""Drains beside many jobs that are not due yet, against drains without any."""

from collections.abc import Iterator

from bench.drain import drain, enqueue, teach
from bench.figures import Curve, Figure
from bench.measurement import Bench, measurement


@measurement("delayed", "drains with many delayed jobs present, against none")
def measure(bench: Bench) -> Iterator[Figure | Curve]:
    """Take turns between two databases."""
    database, size = bench.database, bench.size
    with bench.twin("delayed") as crowded:
        for one in (database, crowded):
            teach(one)
        bench.say(f"enqueue {size.delayed_jobs:,} jobs for tomorrow")
        enqueue(crowded, size.delayed_jobs, run_at="now() + interval '1 day'")
        crowded.rows("checkpoint")
        with_delayed, without = [], []
        for run in range(1, size.runs + 1):
            bench.say(f"drains of {size.side_jobs:,} jobs, run {run} of {size.runs}")
            without.append(drain(database, enqueue(database, size.side_jobs)).rate)
            with_delayed.append(drain(crowded, enqueue(crowded, size.side_jobs)).rate)
    yield Figure(
        text=f"drain of {size.side_jobs:,} jobs beside {size.delayed_jobs:,} delayed ones",
        unit="jobs/s",
        values=tuple(with_delayed),
        rivals=tuple(without),
        rival="the same drain without them",
        goals=("delayed",),
    )

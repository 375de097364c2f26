"""Drains beside many jobs that are not due yet, against drains without any."""

from collections.abc import Iterator

from pyworker.bench.drain import drain, enqueue, teach
from pyworker.bench.figures import Curve, Figure
from pyworker.bench.part import Bench, part


@part("delayed", "drains with many delayed jobs present, against none")
def measure(bench: Bench) -> Iterator[Figure | Curve]:
    """Take turns between two databases."""
    place, form = bench.place, bench.form
    with bench.twin("delayed") as crowded:
        for one in (place, crowded):
            teach(one)
        bench.say(f"enqueue {form.delayed_jobs:,} jobs for tomorrow")
        enqueue(crowded, form.delayed_jobs, run_at="now() + interval '1 day'")
        crowded.rows("checkpoint")
        with_delayed, without = [], []
        for run in range(1, form.runs + 1):
            bench.say(f"drains of {form.side_jobs:,} jobs, run {run} of {form.runs}")
            without.append(drain(place, enqueue(place, form.side_jobs)).rate)
            with_delayed.append(drain(crowded, enqueue(crowded, form.side_jobs)).rate)
    yield Figure(
        text=f"drain of {form.side_jobs:,} jobs beside {form.delayed_jobs:,} delayed ones", unit="jobs/s",
        values=tuple(with_delayed), rivals=tuple(without), rival="the same drain without them", goals=("delayed",),
    )  # fmt: skip

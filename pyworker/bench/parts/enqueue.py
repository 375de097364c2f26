"""One jobs.enqueue per transaction against single-row INSERT commits of the same clients."""

from collections.abc import Iterator

from pyworker.bench.clients import CLIENTS, pgbench
from pyworker.bench.drain import teach
from pyworker.bench.figures import Curve, Figure
from pyworker.bench.part import Bench, part


@part("enqueue", "one jobs.enqueue per transaction, against INSERT commits")
def measure(bench: Bench) -> Iterator[Figure | Curve]:
    """Take turns, with nobody who drains."""
    place, form = bench.place, bench.form
    teach(place)
    inserted, enqueued = [], []
    for run in range(1, form.runs + 1):
        bench.say(f"enqueue and INSERT, run {run} of {form.runs}")
        place.empty()
        inserted.append(pgbench(place, "insert into bench.plain default values;", form.client_seconds))
        enqueued.append(pgbench(place, "select jobs.enqueue('bench.noop');", form.client_seconds))
    yield Figure(
        text=f"jobs.enqueue, one to a transaction, {CLIENTS} clients", unit="jobs/s", values=tuple(enqueued),
        rivals=tuple(inserted), rival="single-row INSERT commits of the same clients", goals=("enqueue_ratio",),
    )  # fmt: skip

"""One jobs.enqueue per transaction against single-row INSERT commits of the same clients."""

from collections.abc import Iterator

from bench.clients import CLIENTS, pgbench
from bench.drain import teach
from bench.figures import Curve, Figure
from bench.measurement import Bench, measurement


@measurement("enqueue", "one jobs.enqueue per transaction, against INSERT commits")
def measure(bench: Bench) -> Iterator[Figure | Curve]:
    """Take turns, while no session drains."""
    database, size = bench.database, bench.size
    teach(database)
    inserted, enqueued = [], []
    for run in range(1, size.runs + 1):
        bench.say(f"enqueue and INSERT, run {run} of {size.runs}")
        database.empty()
        inserted.append(
            pgbench(database, "insert into bench.plain default values;", size.client_seconds)
        )
        enqueued.append(
            pgbench(database, "select jobs.enqueue('bench.noop');", size.client_seconds)
        )
    yield Figure(
        text=f"jobs.enqueue, one to a transaction, {CLIENTS} clients",
        unit="jobs/s",
        values=tuple(enqueued),
        rivals=tuple(inserted),
        rival="single-row INSERT commits of the same clients",
        goals=("enqueue_ratio",),
    )

"""How much longer an enqueue takes while another transaction that has enqueued stays open."""

import statistics
import time
from collections.abc import Iterator

from psycopg import Connection

from bench.database import Database, Row
from bench.figures import Curve, Figure, percentile
from bench.measurement import Bench, measurement

_TURNS = 10  # with it and without it, in one run
_CALL = "select jobs.enqueue('bench.fresh')"


def _times(app: Connection[Row], samples: int) -> list[float]:
    times = []
    for _ in range(samples):
        begun = time.monotonic()
        app.execute(_CALL)
        times.append((time.monotonic() - begun) * 1000)
    return times


def _fresh(database: Database) -> None:
    """Make the function anew: the open transaction is the first that enqueues it, which is when
    most is written.
    """
    database.rows(
        "create or replace function bench.fresh() returns void language plpgsql as 'begin end'"
    )


@measurement("open", "what an open transaction that has enqueued costs another enqueuer")
def measure(bench: Bench) -> Iterator[Figure | Curve]:
    """Take turns: with the other transaction open, and with none. A wait for it would end in an
    error.
    """
    database, size = bench.database, bench.size
    beside: list[list[float]] = []
    free: list[list[float]] = []
    each = max(1, size.open_samples // _TURNS)
    for run in range(1, size.runs + 1):
        bench.say(f"enqueue beside an open transaction, run {run} of {size.runs}")
        database.empty()
        beside.append([])
        free.append([])
        with database.connect() as other, database.connect(options="-c lock_timeout=5s") as app:
            app.execute("select jobs.enqueue('bench.noop')")  # this session has enqueued before
            for _ in range(_TURNS):
                _fresh(database)
                other.execute("begin")
                other.execute(_CALL)
                beside[-1] += _times(app, each)
                other.execute("commit")
                _fresh(database)
                other.execute(_CALL)
                free[-1] += _times(app, each)
    extra = tuple(
        statistics.median(a) - statistics.median(b) for a, b in zip(beside, free, strict=True)
    )
    yield Figure(
        text="delay of an enqueue by an open transaction that has enqueued, p50",
        unit="ms",
        values=extra,
        goals=("open_transaction",),
        note="the longest of all: "
        f"{max(map(max, beside)):.1f} ms, with none open {max(map(max, free)):.1f} ms",
    )
    yield Figure(
        text="jobs.enqueue beside such a transaction, p99",
        unit="ms",
        values=tuple(percentile(one, 99) for one in beside),
        rivals=tuple(percentile(one, 99) for one in free),
        rival="with none open",
        inverse=True,
    )

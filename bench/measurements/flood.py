"""One tenant floods its lane; how long another tenant's jobs wait for their start."""

import random
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

from psycopg import Connection

from bench.database import Database, Row, tenant
from bench.drain import teach
from bench.figures import Curve, Figure, percentile
from bench.latency import Sent, send, starts
from bench.measurement import Bench, measurement
from bench.supervised import supervisor
from bench.waiting import wait_until

_AT_ONCE = 500  # jobs of one call
_BACKLOG = 5000  # jobs that the flood keeps waiting; more would only take longer to drain
_FLOOD = "select count(*) from jobs.enqueue_many('bench.noop', array_fill('{}'::jsonb, array[%s]))"
_WAITING = (
    "select count(*) from (select from jobs_internal.job"
    " where owner = 'app'::regrole limit %s) as j"
)


@contextmanager
def _flood(database: Database) -> Iterator[None]:
    """Enqueue as fast as the sessions drain, in a connection of its own."""
    over = threading.Event()

    def pour() -> None:
        with database.connect() as app, database.connect("postgres") as look:
            while not over.is_set():
                row = look.execute(_WAITING.encode(), (_BACKLOG,)).fetchone()
                if row is not None and row[0] < _BACKLOG:
                    app.execute(_FLOOD.encode(), (_AT_ONCE,))
                else:
                    over.wait(0.005)

    pouring = threading.Thread(target=pour)
    pouring.start()
    try:
        wait_until(lambda: database.value(_WAITING, (_BACKLOG,)) >= _BACKLOG, 30, what="the flood")
        yield
    finally:
        over.set()
        pouring.join()
    wait_until(lambda: not database.value(_WAITING, (1,)), 120, what="the flood to end")


def _samples(database: Database, line: Connection[Row], count: int) -> list[float]:
    starts(database, [send(line)], role=tenant())  # a session of the tenant's waits from now on
    sent: list[Sent] = []
    for _ in range(count):
        time.sleep(random.uniform(0.03, 0.09))  # noqa: S311  no secret
        sent.append(send(line))
    return starts(database, sent, role=tenant())


@measurement("flood", "another tenant's jobs while one tenant floods, against a quiet system")
def measure(bench: Bench) -> Iterator[Figure | Curve]:
    """Take turns between quiet and flood."""
    database, size = bench.database, bench.size
    teach(database)
    database.rows(f"grant usage on schema bench to {tenant()}")
    flooded: list[list[float]] = []
    quiet: list[list[float]] = []
    with supervisor(database, owners=("app", tenant())), database.connect(tenant()) as line:
        for run in range(1, size.runs + 1):
            bench.say(f"a neighbour of a flood, run {run} of {size.runs}")
            quiet.append(_samples(database, line, size.flood_samples))
            with _flood(database):
                flooded.append(_samples(database, line, size.flood_samples))
    for percent, goals in ((50, ()), (99, ("flood_p99",))):
        yield Figure(
            text=f"enqueue to start of a tenant while another floods, p{percent}",
            unit="ms",
            values=tuple(percentile(one, percent) for one in flooded),
            rivals=tuple(percentile(one, percent) for one in quiet),
            rival="the same in a quiet system",
            goals=goals,
            note=f"{size.flood_samples * size.runs} samples each",
        )

"""One tenant floods its lane; how long another tenant's jobs wait for their start."""

import random
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

from psycopg import Connection

from pyworker.bench.drain import teach
from pyworker.bench.figures import Curve, Figure, percentile
from pyworker.bench.latency import Sent, send, starts
from pyworker.bench.part import Bench, part
from pyworker.bench.place import Place, Row, tenant
from pyworker.bench.supervised import supervisor
from pyworker.bench.waiting import wait_until

_AT_ONCE = 500  # jobs of one call
_BACKLOG = 5000  # jobs that the flood keeps waiting; more would only take longer to drain
_FLOOD = "select count(*) from jobs.enqueue_many('bench.noop', array_fill('{}'::jsonb, array[%s]))"
_WAITING = "select count(*) from (select from jobs_internal.job where owner = 'app'::regrole limit %s) as j"


@contextmanager
def _flood(place: Place) -> Iterator[None]:
    """Enqueue as fast as the sessions drain, in a connection of its own."""
    over = threading.Event()

    def pour() -> None:
        with place.connect() as app, place.connect("postgres") as look:
            while not over.is_set():
                row = look.execute(_WAITING.encode(), (_BACKLOG,)).fetchone()
                if row is not None and row[0] < _BACKLOG:
                    app.execute(_FLOOD.encode(), (_AT_ONCE,))
                else:
                    over.wait(0.005)

    pouring = threading.Thread(target=pour)
    pouring.start()
    try:
        wait_until(lambda: place.value(_WAITING, (_BACKLOG,)) >= _BACKLOG, 30, what="the flood")
        yield
    finally:
        over.set()
        pouring.join()
    wait_until(lambda: not place.value(_WAITING, (1,)), 120, what="the flood to end")


def _samples(place: Place, line: Connection[Row], count: int) -> list[float]:
    starts(place, [send(line)], role=tenant())  # a session of the tenant's waits from now on
    sent: list[Sent] = []
    for _ in range(count):
        time.sleep(random.uniform(0.03, 0.09))  # noqa: S311  no secret
        sent.append(send(line))
    return starts(place, sent, role=tenant())


@part("flood", "another tenant's jobs while one tenant floods, against a quiet system")
def measure(bench: Bench) -> Iterator[Figure | Curve]:
    """Take turns between quiet and flood."""
    place, form = bench.place, bench.form
    teach(place)
    place.rows(f"grant usage on schema bench to {tenant()}")
    flooded: list[list[float]] = []
    quiet: list[list[float]] = []
    with supervisor(place, owners=("app", tenant())), place.connect(tenant()) as line:
        for run in range(1, form.runs + 1):
            bench.say(f"a neighbour of a flood, run {run} of {form.runs}")
            quiet.append(_samples(place, line, form.flood_samples))
            with _flood(place):
                flooded.append(_samples(place, line, form.flood_samples))
    for percent, goals in ((50, ()), (99, ("flood_p99",))):
        yield Figure(
            text=f"enqueue to start of a tenant while another floods, p{percent}", unit="ms",
            values=tuple(percentile(one, percent) for one in flooded),
            rivals=tuple(percentile(one, percent) for one in quiet), rival="the same in a quiet system", goals=goals,
            note=f"{form.flood_samples * form.runs} samples each",
        )  # fmt: skip

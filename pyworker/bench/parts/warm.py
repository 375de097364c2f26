"""From enqueue to the start of the job while a worker session waits."""

import random
import time
from collections.abc import Iterator

from psycopg import Connection

from pyworker.bench.drain import teach
from pyworker.bench.figures import Curve, Figure
from pyworker.bench.latency import Sent, figures, send, starts
from pyworker.bench.part import Bench, part
from pyworker.bench.place import Place, Row
from pyworker.bench.supervised import supervisor


def _warm_up(place: Place, app: Connection[Row]) -> None:
    """See to it that a session waits: it leaves after a minute, whatever there is to do."""
    while not place.value("select count(*) from jobs.sessions where job_id is null"):
        starts(place, [send(app)])


@part("warm", "from enqueue to the start of the job, a session waits")
def measure(bench: Bench) -> Iterator[Figure | Curve]:
    """Send at uneven times, so that no rhythm of a waiting session is met or missed, and look only afterwards."""
    place, form = bench.place, bench.form
    teach(place, task="bench.stamp")
    rounds: list[list[float]] = []
    with supervisor(place), place.connect() as app:
        for run in range(1, form.runs + 1):
            bench.say(f"warm starts, run {run} of {form.runs}")
            sent: list[Sent] = []
            for _ in range(max(1, form.warm_samples // form.runs)):
                _warm_up(place, app)
                time.sleep(random.uniform(0.03, 0.09))  # noqa: S311  no secret
                sent.append(send(app))
            rounds.append(starts(place, sent))
    yield from figures("warm", "enqueue to start, a session waits", rounds)

"""From enqueue to the start of the job while a worker session waits."""

import random
import time
from collections.abc import Iterator

from psycopg import Connection

from bench.database import Database, Row
from bench.drain import teach
from bench.figures import Curve, Figure
from bench.latency import Sent, figures, send, starts
from bench.measurement import Bench, measurement
from bench.supervised import supervisor


def _warm_up(database: Database, app: Connection[Row]) -> None:
    """See to it that a session waits: it leaves after a minute, whatever there is to do."""
    while not database.value("select count(*) from jobs.sessions where job_id is null"):
        starts(database, [send(app)])


@measurement("warm", "from enqueue to the start of the job, a session waits")
def measure(bench: Bench) -> Iterator[Figure | Curve]:
    """Send at uneven times, so that no rhythm of a waiting session is met or missed, and look only
    afterwards.
    """
    database, size = bench.database, bench.size
    teach(database, task="bench.stamp")
    rounds: list[list[float]] = []
    with supervisor(database), database.connect() as app:
        for run in range(1, size.runs + 1):
            bench.say(f"warm starts, run {run} of {size.runs}")
            sent: list[Sent] = []
            for _ in range(max(1, size.warm_samples // size.runs)):
                _warm_up(database, app)
                time.sleep(random.uniform(0.03, 0.09))  # noqa: S311  no secret
                sent.append(send(app))
            rounds.append(starts(database, sent))
    yield from figures("warm", "enqueue to start, a session waits", rounds)

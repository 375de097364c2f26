"""From enqueue to the start in an idle system: no session, no connection of the owner, a sleeping
supervisor.
"""

import time
from collections.abc import Iterator

from bench.drain import teach
from bench.figures import Curve, Figure
from bench.latency import figures, send, starts
from bench.measurement import Bench, measurement
from bench.supervised import BRIEFLY, supervisor, wait_idle


@measurement("cold", "from enqueue to the start of the job, idle system")
def measure(bench: Bench) -> Iterator[Figure | Curve]:
    """Wait before each sample until the system is at rest; that takes seconds, since connections
    stay for a while.
    """
    database, size = bench.database, bench.size
    teach(database, task="bench.stamp")
    rounds: list[list[float]] = [[] for _ in range(size.runs)]
    with supervisor(database, linger=BRIEFLY), database.connect() as app:
        app.execute("select jobs.enqueue('bench.stamp')")  # this session has enqueued before
        for number in range(size.cold_samples):
            if number % 10 == 0:
                bench.say(f"cold start {number + 1} of {size.cold_samples}")
            wait_idle(database)
            time.sleep(0.3)  # our own looks are over too
            sent = send(app)
            time.sleep(0.3)  # no look at it while it starts
            rounds[number % size.runs].extend(starts(database, [sent]))
    yield from figures("cold", "enqueue to start, no session up", [one for one in rounds if one])

"""From enqueue to the start in an idle system: no session, no connection of the owner, a sleeping supervisor."""

import time
from collections.abc import Iterator

from pyworker.bench.drain import teach
from pyworker.bench.figures import Curve, Figure
from pyworker.bench.latency import figures, send, starts
from pyworker.bench.part import Bench, part
from pyworker.bench.supervised import BRIEFLY, supervisor, wait_idle


@part("cold", "from enqueue to the start of the job, idle system")
def measure(bench: Bench) -> Iterator[Figure | Curve]:
    """Wait before each sample until the system is at rest; that takes seconds, since connections stay for a while."""
    place, form = bench.place, bench.form
    teach(place, task="bench.stamp")
    rounds: list[list[float]] = [[] for _ in range(form.runs)]
    with supervisor(place, linger=BRIEFLY), place.connect() as app:
        app.execute("select jobs.enqueue('bench.stamp')")  # this session has enqueued before
        for number in range(form.cold_samples):
            if number % 10 == 0:
                bench.say(f"cold start {number + 1} of {form.cold_samples}")
            wait_idle(place)
            time.sleep(0.3)  # our own looks are over too
            sent = send(app)
            time.sleep(0.3)  # nobody looks while it starts
            rounds[number % form.runs].extend(starts(place, [sent]))
    yield from figures("cold", "enqueue to start, no session up", [one for one in rounds if one])

"""What finished no-op jobs take on disk, all tables and indexes, after VACUUM."""

from collections.abc import Iterator
from itertools import pairwise

from pyworker.bench.drain import enqueue, teach
from pyworker.bench.figures import Curve, Figure
from pyworker.bench.part import Bench, part
from pyworker.bench.sizes import disk_bytes, vacuum
from pyworker.bench.supervised import supervisor, wait_done
from pyworker.bench.waiting import wait_until


@part("disk", "disk space of finished no-op jobs")
def measure(bench: Bench) -> Iterator[Figure | Curve]:
    """Let a supervisor do a batch before the first look: what comes and goes has its size by then."""
    place, jobs = bench.place, bench.form.disk_jobs
    teach(place)
    place.empty()
    sizes: list[int] = []
    with supervisor(place):
        for run in range(bench.form.runs + 1):
            bench.say(f"{jobs:,} jobs on disk, batch {run + 1} of {bench.form.runs + 1}")
            wait_done(place, enqueue(place, jobs), 120)
            wait_until(lambda: not place.value("select count(*) from jobs_internal.feed"), 60, what="the log")
            vacuum(place)
            sizes.append(disk_bytes(place))
    taken = [(after - before) / 1000 / (jobs / 1000) for before, after in pairwise(sizes)]
    yield Figure(
        text="disk space of 1,000 finished no-op jobs", unit="kB", values=tuple(taken), goals=("disk",),
        note=f"batches of {jobs:,}",
    )  # fmt: skip

"""What finished no-op jobs take on disk, all tables and indexes, after VACUUM."""

from collections.abc import Iterator
from itertools import pairwise

from bench.disk_use import disk_bytes, vacuum
from bench.drain import enqueue, teach
from bench.figures import Curve, Figure
from bench.measurement import Bench, measurement
from bench.supervised import supervisor, wait_done
from bench.waiting import wait_until


@measurement("disk", "disk space of finished no-op jobs")
def measure(bench: Bench) -> Iterator[Figure | Curve]:
    """Let a supervisor do a batch before the first look: what comes and goes has its
    size by then.
    """
    database, jobs = bench.database, bench.size.disk_jobs
    teach(database)
    database.empty()
    sizes: list[int] = []
    with supervisor(database):
        for run in range(bench.size.runs + 1):
            bench.say(f"{jobs:,} jobs on disk, batch {run + 1} of {bench.size.runs + 1}")
            wait_done(database, enqueue(database, jobs), 120)
            wait_until(
                lambda: not database.value("select count(*) from jobs_internal.outbox"),
                60,
                what="the log",
            )
            vacuum(database)
            sizes.append(disk_bytes(database))
    taken = [(after - before) / 1000 / (jobs / 1000) for before, after in pairwise(sizes)]
    yield Figure(
        text="disk space of 1,000 finished no-op jobs",
        unit="kB",
        values=tuple(taken),
        goals=("disk",),
        note=f"batches of {jobs:,}",
    )

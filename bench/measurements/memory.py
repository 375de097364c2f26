"""Memory of the supervisor and of worker sessions over many jobs."""

import statistics
import time
from collections.abc import Iterator

from bench.drain import enqueue, teach
from bench.figures import Curve, Figure
from bench.measurement import Bench, measurement
from bench.process import private_megabytes, resident_megabytes
from bench.supervised import supervisor, wait_done
from bench.waiting import wait_until


@measurement(
    "memory", "memory of the supervisor and of worker sessions over many jobs", quick=False
)
def measure(bench: Bench) -> Iterator[Figure | Curve]:
    """Give a supervisor the jobs in rounds and look all the time."""
    database, size = bench.database, bench.size
    teach(database)
    database.empty()
    resident: list[float] = []
    private: list[float] = []
    with supervisor(database) as daemon:
        for number in range(1, size.rounds + 1):
            batch = enqueue(database, size.memory_jobs // size.rounds)
            at_work: list[float] = []

            def look(at_work: list[float] = at_work) -> bool:
                for (pid,) in database.rows("select pid from jobs.sessions where jobs > 0"):
                    size = private_megabytes(database, pid)
                    if size is not None:
                        at_work.append(size)
                return not database.value("select count(*) from jobs_internal.job")

            wait_until(look, 600, what="the jobs to end", step=0.4)
            wait_done(database, batch, 10)
            wait_until(
                lambda: not database.value("select count(*) from jobs_internal.outbox"),
                60,
                what="the log",
            )
            time.sleep(0.2)
            resident.append(resident_megabytes(daemon))
            if at_work:
                private.append(max(at_work))
            bench.say(
                f"{number * batch.jobs:,} jobs: supervisor {resident[-1]:.1f} MB,"
                f" session {max(at_work, default=0):.1f} MB"
            )
    jobs = f"{size.memory_jobs:,} jobs"
    yield Figure(
        text=f"resident memory of the supervisor after {jobs}", unit="MB", values=tuple(resident),
        whole=resident[-1], goals=("supervisor_memory",),
    )  # fmt: skip
    yield Figure(
        text=f"the same, against after the first {2 * size.memory_jobs // size.rounds:,}",
        unit="ratio",
        values=(resident[-1] / resident[1],),
        goals=("supervisor_growth",),
    )
    if private:
        third = max(1, len(private) // 3)
        yield Figure(
            text=f"private memory of a worker session over {jobs}, at most",
            unit="MB",
            values=tuple(private),
            whole=max(private),
            goals=("worker_memory",),
        )
        yield Figure(
            text="the same, the last third against the first", unit="ratio",
            values=(statistics.median(private[-third:]) / statistics.median(private[:third]),),
            goals=("worker_growth",),
        )  # fmt: skip

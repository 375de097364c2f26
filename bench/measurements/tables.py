"""Whether the live tables stay small while many jobs go through and no person vacuums
them.
"""

from collections.abc import Iterator

from bench.disk_use import live_bytes
from bench.drain import enqueue, teach
from bench.figures import Curve, Figure
from bench.measurement import Bench, measurement
from bench.supervised import supervisor, wait_done


@measurement(
    "tables", "size of the live tables after many jobs, against their steady size", quick=False
)
def measure(bench: Bench) -> Iterator[Figure | Curve]:
    """Give a supervisor the jobs in rounds. Steady is the size after the first of them."""
    database, size = bench.database, bench.size
    teach(database)
    database.empty()
    jobs = size.table_jobs // size.rounds
    sizes: list[float] = []
    with supervisor(database):
        for number in range(1, size.rounds + 1):
            wait_done(database, enqueue(database, jobs), 600)
            sizes.append(live_bytes(database) / 1e6)
            bench.say(f"{number * jobs:,} jobs went through; live tables: {sizes[-1]:,.1f} MB")
    yield Figure(
        text=f"live tables after {size.table_jobs:,} jobs",
        unit="MB",
        values=tuple(sizes),
        whole=sizes[-1],
        note=f"after the first {jobs:,}: {sizes[0]:,.1f} MB",
    )
    yield Figure(
        text="the same, as a ratio",
        unit="ratio",
        values=(sizes[-1] / sizes[0],),
        goals=("live_tables",),
        note=f"at most {max(sizes) / sizes[0]:.2f} on the way",
    )

"""The rate of a drain with a long backlog, against many drains with a short one."""

from collections.abc import Iterator

from bench.drain import drain, enqueue, marks, teach
from bench.figures import Curve, Figure
from bench.measurement import Bench, measurement

_SMALL_DRAINS = 10
_WINDOWS = 25


@measurement("backlog", "the drain of a long backlog, against a short one", quick=False)
def measure(bench: Bench) -> Iterator[Figure | Curve]:
    """Take turns. Both rates count from the first start: a launch is a larger part of a short
    drain.
    """
    database, size = bench.database, bench.size
    teach(database)
    long, short = [], []
    curve: tuple[tuple[float, float], ...] = ()
    for run in range(1, size.runs + 1):
        bench.say(f"drain of a backlog of {size.backlog:,}, run {run} of {size.runs}")
        database.empty()
        batch = enqueue(database, size.backlog)
        database.rows("checkpoint")  # what the enqueue wrote is not the drain's to write
        drained = drain(database, batch)
        long.append(drained.jobs / drained.busy)
        every = size.backlog // _WINDOWS
        ends = marks(database, batch, every)
        curve = tuple(
            (float(size.backlog - i * every), every / max(ends[i] - ends[i - 1], 1e-6))
            for i in range(1, len(ends))
        )
        database.empty()
        drains = [
            drain(database, enqueue(database, size.small_backlog)) for _ in range(_SMALL_DRAINS)
        ]
        short.append(sum(one.jobs for one in drains) / sum(one.busy for one in drains))
    yield Figure(
        text=f"drain of a backlog of {size.backlog:,}",
        unit="jobs/s",
        values=tuple(long),
        rivals=tuple(short),
        rival=f"{_SMALL_DRAINS} drains of a backlog of {size.small_backlog:,}",
        goals=("backlog",),
    )
    yield Curve(plot="backlog", label="drain", points=curve)

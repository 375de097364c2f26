"""The rate of a drain with a long backlog, against many drains with a short one."""

from collections.abc import Iterator

from pyworker.bench.drain import drain, enqueue, marks, teach
from pyworker.bench.figures import Curve, Figure
from pyworker.bench.part import Bench, part

_SMALL_DRAINS = 10
_WINDOWS = 25


@part("backlog", "the drain of a long backlog, against a short one", quick=False)
def measure(bench: Bench) -> Iterator[Figure | Curve]:
    """Take turns. Both rates count from the first start: a launch is a larger part of a short drain."""
    place, form = bench.place, bench.form
    teach(place)
    long, short = [], []
    curve: tuple[tuple[float, float], ...] = ()
    for run in range(1, form.runs + 1):
        bench.say(f"drain of a backlog of {form.backlog:,}, run {run} of {form.runs}")
        place.empty()
        batch = enqueue(place, form.backlog)
        place.rows("checkpoint")  # what the enqueue wrote is not the drain's to write
        drained = drain(place, batch)
        long.append(drained.jobs / drained.busy)
        every = form.backlog // _WINDOWS
        ends = marks(place, batch, every)
        curve = tuple(
            (float(form.backlog - i * every), every / max(ends[i] - ends[i - 1], 1e-6)) for i in range(1, len(ends))
        )
        place.empty()
        drains = [drain(place, enqueue(place, form.small_backlog)) for _ in range(_SMALL_DRAINS)]
        short.append(sum(one.jobs for one in drains) / sum(one.busy for one in drains))
    yield Figure(
        text=f"drain of a backlog of {form.backlog:,}", unit="jobs/s", values=tuple(long), rivals=tuple(short),
        rival=f"{_SMALL_DRAINS} drains of a backlog of {form.small_backlog:,}", goals=("backlog",),
    )  # fmt: skip
    yield Curve(plot="backlog", label="drain", points=curve)

"""A drain under a snapshot that was taken before it: nothing that dies meanwhile can be removed."""

from collections.abc import Iterator
from contextlib import contextmanager

from bench.database import Database
from bench.drain import Batch, drain, enqueue, marks, teach
from bench.figures import Curve, Figure
from bench.measurement import Bench, measurement

_WINDOWS = 20


@contextmanager
def _held_snapshot(database: Database) -> Iterator[None]:
    with database.connect("postgres") as holder:
        holder.execute("begin isolation level repeatable read")
        holder.execute("select 1")
        yield
        holder.execute("rollback")


def _curve(database: Database, batch: Batch, label: str) -> Curve:
    every = batch.jobs // _WINDOWS
    ends = marks(database, batch, every)
    points = tuple((ends[i], every / max(ends[i] - ends[i - 1], 1e-6)) for i in range(1, len(ends)))
    return Curve(plot="snapshot", label=label, points=points)


def _quarters(database: Database, batch: Batch) -> tuple[float, float]:
    """Return the rates of the first and the last quarter, by the order in which the jobs ended."""
    quarter = batch.jobs // 4
    ends = marks(database, batch, quarter)
    return quarter / max(ends[1] - ends[0], 1e-6), quarter / max(ends[4] - ends[3], 1e-6)


@measurement("snapshot", "a drain under a held snapshot: its last quarter against its first")
def measure(bench: Bench) -> Iterator[Figure | Curve]:
    """Drain under a held snapshot; once more without one, for the plot."""
    database, jobs = bench.database, bench.size.snapshot_jobs
    teach(database)
    first, last = [], []
    for run in range(1, bench.size.runs + 1):
        bench.say(f"drain of {jobs:,} jobs under a held snapshot, run {run} of {bench.size.runs}")
        database.empty()
        with _held_snapshot(database):
            batch = enqueue(database, jobs)
            drain(database, batch)
        begin, end = _quarters(database, batch)
        first.append(begin)
        last.append(end)
    held = _curve(database, batch, "a snapshot is held from the start")
    database.empty()
    batch = enqueue(database, jobs)
    drain(database, batch)
    free_first, free_last = _quarters(database, batch)
    quarter = jobs // 4
    text = f"jobs {jobs - quarter + 1:,} to {jobs:,}"
    rival = f"jobs 1 to {quarter:,} of the same drain"
    yield Figure(
        text=f"{text}, a snapshot held from the start",
        unit="jobs/s",
        values=tuple(last),
        rivals=tuple(first),
        rival=rival,
        goals=("snapshot",),
    )
    yield Figure(
        text=f"{text}, none held",
        unit="jobs/s",
        values=(free_last,),
        rivals=(free_first,),
        rival=rival,
    )
    yield held
    yield _curve(database, batch, "no snapshot is held")

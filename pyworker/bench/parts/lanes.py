"""Many queues with a few jobs each, against one queue with as many jobs; and the memory that many queues take."""

import time
from collections.abc import Iterator

from pyworker.bench.drain import Batch, drain, enqueue, teach
from pyworker.bench.figures import Curve, Figure
from pyworker.bench.part import Bench, part
from pyworker.bench.place import Place
from pyworker.bench.process import private_megabytes

_AT_ONCE = 50  # lanes made by one transaction: each takes locks that the server has a limited number of


def _enqueue_in_all(place: Place, queues: range, jobs: int) -> Batch:
    with place.connect() as app:
        row = app.execute(
            "select min(j), max(j), count(*) from generate_series(%s::int, %s::int) as q,"
            " jobs.enqueue_many('bench.noop', (select array_agg('{}'::jsonb) from generate_series(1, %s::int)),"
            " queue => 'lane_' || q) as j",
            (queues.start, queues.stop - 1, jobs),
        ).fetchone()
    assert row is not None  # noqa: S101  an aggregate returns a row
    return Batch(first=row[0], last=row[1], jobs=row[2])


def _make_lanes(bench: Bench, place: Place, queues: int) -> None:
    """Make the queues, and their lanes by a first job in each."""
    teach(place)
    for start in range(1, queues + 1, _AT_ONCE):
        some = range(start, min(queues + 1, start + _AT_ONCE))
        place.rows(
            "select jobs.create_queue('lane_' || q) from generate_series(%s::int, %s::int) as q",
            (some.start, some.stop - 1),
        )
        drain(place, _enqueue_in_all(place, some, 2))
        if start % 250 == 1:
            bench.say(f"{some.stop - 1:,} of {queues:,} queues are there")
    place.rows("checkpoint")


def _memory(place: Place, queues: int, jobs: int) -> float:
    """Return the most private memory that a session had while it went through all lanes, MB."""
    seen: list[float] = [0.0]
    looked = [0.0]

    def watch() -> None:
        if time.monotonic() - looked[0] > 0.5:
            looked[0] = time.monotonic()
            pids = place.rows("select pid from jobs.sessions")
            seen.extend(size for (pid,) in pids if (size := private_megabytes(place, pid)) is not None)

    drain(place, _enqueue_in_all(place, range(1, queues + 1), jobs), watch=watch)
    return max(seen)


@part("lanes", "many queues with a few jobs each, against one queue", quick=False)
def measure(bench: Bench) -> Iterator[Figure | Curve]:
    """Take turns between two databases."""
    place, form = bench.place, bench.form
    jobs = form.queues * form.queue_jobs
    teach(place)
    with bench.twin("lanes") as laned:
        _make_lanes(bench, laned, form.queues)
        many, one, memory = [], [], []
        for run in range(1, form.runs + 1):
            bench.say(f"drains of {form.queues:,} queues and of one, run {run} of {form.runs}")
            many.append(drain(laned, _enqueue_in_all(laned, range(1, form.queues + 1), form.queue_jobs)).rate)
            one.append(drain(place, enqueue(place, jobs)).rate)
            memory.append(_memory(laned, form.queues, form.queue_jobs))
    yield Figure(
        text=f"drain of {form.queues:,} queues with {form.queue_jobs} jobs each", unit="jobs/s", values=tuple(many),
        rivals=tuple(one), rival=f"one queue with {jobs:,}", goals=("lanes",),
    )  # fmt: skip
    if all(memory):
        yield Figure(
            text=f"private memory of a worker session with {form.queues:,} lanes, at most", unit="MB",
            values=tuple(memory), whole=max(memory), goals=("worker_lanes_memory",),
        )  # fmt: skip

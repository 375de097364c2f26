"""Many queues with a few jobs each, against one queue with as many jobs; and the memory that many
queues take.
"""

import time
from collections.abc import Iterator

from bench.database import Database
from bench.drain import Batch, drain, enqueue, teach
from bench.figures import Curve, Figure
from bench.measurement import Bench, measurement
from bench.process import private_megabytes

_AT_ONCE = (
    50  # lanes made by one transaction: each takes locks that the server has a limited number of
)


def _enqueue_in_all(database: Database, queues: range, jobs: int) -> Batch:
    with database.connect() as app:
        row = app.execute(
            "select min(j), max(j), count(*) from generate_series(%s::int, %s::int) as q,"
            " jobs.enqueue_many('bench.noop', (select array_agg('{}'::jsonb)"
            " from generate_series(1, %s::int)),"
            " queue => 'lane_' || q) as j",
            (queues.start, queues.stop - 1, jobs),
        ).fetchone()
    assert row is not None  # noqa: S101  an aggregate returns a row
    return Batch(first=row[0], last=row[1], jobs=row[2])


def _make_lanes(bench: Bench, database: Database, queues: int) -> None:
    """Make the queues, and their lanes by a first job in each."""
    teach(database)
    for start in range(1, queues + 1, _AT_ONCE):
        some = range(start, min(queues + 1, start + _AT_ONCE))
        database.rows(
            "select jobs.create_queue('lane_' || q) from generate_series(%s::int, %s::int) as q",
            (some.start, some.stop - 1),
        )
        drain(database, _enqueue_in_all(database, some, 2))
        if start % 250 == 1:
            bench.say(f"{some.stop - 1:,} of {queues:,} queues are there")
    database.rows("checkpoint")


def _memory(database: Database, queues: int, jobs: int) -> float:
    """Return the most private memory that a session had while it went through all lanes, MB."""
    seen: list[float] = [0.0]
    looked = [0.0]

    def watch() -> None:
        if time.monotonic() - looked[0] > 0.5:
            looked[0] = time.monotonic()
            pids = database.rows("select pid from jobs.sessions")
            seen.extend(
                size for (pid,) in pids if (size := private_megabytes(database, pid)) is not None
            )

    drain(database, _enqueue_in_all(database, range(1, queues + 1), jobs), watch=watch)
    return max(seen)


@measurement("lanes", "many queues with a few jobs each, against one queue", quick=False)
def measure(bench: Bench) -> Iterator[Figure | Curve]:
    """Take turns between two databases."""
    database, size = bench.database, bench.size
    jobs = size.queues * size.queue_jobs
    teach(database)
    with bench.twin("lanes") as laned:
        _make_lanes(bench, laned, size.queues)
        many, one, memory = [], [], []
        for run in range(1, size.runs + 1):
            bench.say(f"drains of {size.queues:,} queues and of one, run {run} of {size.runs}")
            many.append(
                drain(
                    laned, _enqueue_in_all(laned, range(1, size.queues + 1), size.queue_jobs)
                ).rate
            )
            one.append(drain(database, enqueue(database, jobs)).rate)
            memory.append(_memory(laned, size.queues, size.queue_jobs))
    yield Figure(
        text=f"drain of {size.queues:,} queues with {size.queue_jobs} jobs each",
        unit="jobs/s",
        values=tuple(many),
        rivals=tuple(one),
        rival=f"one queue with {jobs:,}",
        goals=("lanes",),
    )
    if all(memory):
        yield Figure(
            text=f"private memory of a worker session with {size.queues:,} lanes, at most",
            unit="MB",
            values=tuple(memory),
            whole=max(memory),
            goals=("worker_lanes_memory",),
        )

"""Enqueue a batch and drain it with sessions that plain SQL starts; no figure counts unless it was
exactly once.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass

from bench.database import Database
from pyworker.errors import WorkError

__all__ = ["SESSIONS", "Batch", "Drained", "check", "drain", "enqueue", "marks", "teach"]

SESSIONS = 2
_AT_ONCE = 100_000  # jobs of one call of enqueue_many
_STANDSTILL = 120.0  # seconds without a session's doing before a drain is given up on
_TURN = 0.1  # seconds between two looks


@dataclass(frozen=True, kw_only=True)
class Batch:
    """Jobs that were enqueued together: no other client enqueues into this database meanwhile."""

    first: int
    last: int
    jobs: int


@dataclass(frozen=True, kw_only=True)
class Drained:
    """How a batch was drained, by the server's clock."""

    jobs: int
    seconds: float  #: from the launch of the sessions to the end of the last job
    busy: float  #: from the start of the first job to the end of the last

    @property
    def rate(self) -> float:
        """Jobs per second, the launch of the sessions counted."""
        return self.jobs / self.seconds


def enqueue(
    database: Database,
    jobs: int,
    *,
    task: str = "bench.noop",
    args: str = "'{}'::jsonb",
    queue: str = "default",
    run_at: str = "now()",
) -> Batch:
    """Enqueue by jobs.enqueue_many. `args`: an expression over n, the number of the job; `run_at`:
    one of a time.
    """
    query = (
        "select min(j), max(j), count(*) from jobs.enqueue_many(%s, queue => %s, args =>"
        f" (select array_agg({args})"
        f" from generate_series(%s::int, %s::int) as n), run_at => {run_at}) as j"
    )
    first, last = 0, 0
    with database.connect() as app:
        for start in range(1, jobs + 1, _AT_ONCE):
            row = app.execute(
                query.encode(), (task, queue, start, min(jobs, start + _AT_ONCE - 1))
            ).fetchone()
            assert row is not None  # noqa: S101  an aggregate returns a row
            first, last = first or int(row[0]), int(row[1])
    return Batch(first=first, last=last, jobs=jobs)


def drain(
    database: Database,
    batch: Batch,
    *,
    watch: Callable[[], None] | None = None,
    sessions: int = SESSIONS,
) -> Drained:
    """Drain with that many worker sessions: one that ends before the last job is started is
    replaced.

    `watch` is called some times a second meanwhile.
    """
    with database.connect() as app:
        row = app.execute("select clock_timestamp()").fetchone()
        assert row is not None  # noqa: S101  a select without FROM returns a row
        launched = row[0]
        app.execute("select jobs.start(%s)", (sessions,))
        moved, seen = time.monotonic(), (0, 0)
        while True:
            time.sleep(_TURN)
            look = app.execute(
                "select count(*), coalesce(sum(s.jobs), 0), exists (select from jobs.job as j"
                " where j.id = %s"
                " and j.state in ('queued', 'scheduled')) from jobs.sessions as s",
                (batch.last,),
            ).fetchone()
            assert look is not None  # noqa: S101  an aggregate returns a row
            live, done, waiting = int(look[0]), int(look[1]), bool(look[2])
            if waiting and live < sessions:
                app.execute("select jobs.start(%s)", (sessions - live,))
            elif not live and not _left(database, batch):
                break
            elif not live:
                app.execute("select jobs.start(%s)", (sessions,))
            if (live, done) != seen:
                moved, seen = time.monotonic(), (live, done)
            if time.monotonic() - moved > _STANDSTILL:
                raise WorkError(
                    "a drain stands still",
                    detail=f"{live} sessions, {_left(database, batch)} jobs left.",
                )
            if watch is not None:
                watch()
        first, last = check(database, batch)
        ends = app.execute(
            (
                "select extract(epoch from %s::timestamptz - %s), extract(epoch"
                " from %s::timestamptz - %s)"
            ),
            (last, launched, last, first),
        ).fetchone()
        assert ends is not None  # noqa: S101  a select without FROM returns a row
        return Drained(jobs=batch.jobs, seconds=float(ends[0]), busy=max(float(ends[1]), 0.0005))


def _left(database: Database, batch: Batch) -> int:
    query = "select count(*) from jobs_internal.job where id between %s and %s"
    return int(database.value(query, (batch.first, batch.last)))


def check(database: Database, batch: Batch) -> tuple[object, object]:
    """Refuse a batch that was not done exactly once; return the first start and the last end."""
    count, jobs, done, first, last = database.rows(
        "select count(*), count(distinct id), count(*) filter (where state = 'succeeded'),"
        " min(started_at),"
        " max(finished_at) from jobs.job where id between %s and %s",
        (batch.first, batch.last),
    )[0]
    if not count == jobs == done == batch.jobs:
        raise WorkError(
            "not every job was done exactly once",
            detail=f"{batch.jobs} jobs, {count} rows of {jobs} jobs, {done} succeeded.",
        )
    return first, last


def marks(database: Database, batch: Batch, every: int) -> list[float]:
    """Return when the 1st and then every n-th job had ended, in seconds after the first start."""
    rows = database.rows(
        "select extract(epoch from t.ended - t.begun) from (select j.finished_at as ended,"
        " min(j.started_at) over () as begun, row_number() over (order by j.finished_at) as n"
        " from jobs.job as j where j.id between %s and %s) as t where t.n = 1 or t.n %% %s = 0"
        " order by t.n",
        (batch.first, batch.last, every),
    )
    return [float(row[0]) for row in rows]


def teach(
    database: Database,
    *,
    task: str = "bench.noop",
    args: str = "'{}'::jsonb",
    queue: str = "default",
) -> None:
    """Let a function's duration be known and its lane be there, as in a system that has been at
    work for a while.
    """
    for _ in range(2):
        drain(database, enqueue(database, 50, task=task, args=args, queue=queue))

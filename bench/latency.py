"""Samples of the time from the call of jobs.enqueue to the start of the job, by the
server's clock.
"""

from collections.abc import Sequence

from psycopg import Connection

from bench.database import Database, Row
from bench.figures import Curve, Figure, percentile
from bench.waiting import wait_until
from pyworker.errors import WorkError

__all__ = ["figures", "send", "starts"]

Sent = tuple[int, float]  #: the job, and when the call of enqueue began


def send(app: Connection[Row]) -> Sent:
    """Enqueue a job that returns when it started. The time is taken before the call: the enqueue
    itself counts.
    """
    row = app.execute(
        "select extract(epoch from clock_timestamp()), jobs.enqueue('bench.stamp')"
    ).fetchone()
    assert row is not None  # noqa: S101  a select without FROM returns a row
    return int(row[1]), float(row[0])


def starts(database: Database, sent: Sequence[Sent], *, role: str = "app") -> list[float]:
    """Return the latencies, ms, once all those jobs of a role have ended."""
    ids = [job for job, _ in sent]
    left = "select not exists (select from jobs_internal.job where id = any (%s))"
    wait_until(lambda: database.value(left, (ids,)), 30, what="the jobs to end")
    with database.connect(role) as app:
        rows = app.execute(
            "select id, result from jobs.job where id = any (%s) and state = 'succeeded'", (ids,)
        )
        began = {int(row[0]): float(row[1]) for row in rows.fetchall()}
    if len(began) != len(sent):
        raise WorkError(
            "a job whose latency was measured did not succeed",
            detail=f"{len(began)} of {len(sent)} did.",
        )
    return [(began[job] - at) * 1000 for job, at in sent]


def figures(kind: str, text: str, rounds: Sequence[Sequence[float]]) -> list[Figure | Curve]:
    """Make the figures: percentiles of all samples, with those of each round beside them, and the
    curve.
    """
    samples = sorted(sample for one in rounds for sample in one)
    made: list[Figure | Curve] = [
        Figure(
            text=f"{text}, p{percent}",
            unit="ms",
            values=tuple(percentile(one, percent) for one in rounds),
            whole=percentile(samples, percent),
            goals=(f"{kind}_p{percent}",),
            note=f"{len(samples)} samples",
        )
        for percent in (50, 99)
    ]
    points = tuple((sample, (rank + 1) / len(samples)) for rank, sample in enumerate(samples))
    return [*made, Curve(plot="latency", label=kind, points=points)]

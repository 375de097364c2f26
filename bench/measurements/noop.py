"""A drain of no-op jobs against a plain loop in the same number of sessions, with as many commits
and no queue.
"""

from collections.abc import Iterator

from bench.clients import beside_each_other
from bench.database import Database
from bench.drain import SESSIONS, Batch, drain, enqueue, teach
from bench.figures import Curve, Figure
from bench.measurement import Bench, measurement
from pyworker.errors import WorkError

_LOOP = "call bench.call_noop(%s, %s, %s)"


def _commits(database: Database, batch: Batch) -> int:
    """Count the commits that wrote history: each has its transaction number in the rows that it
    wrote.
    """
    query = (
        "select count(distinct xmin::text) from jobs_internal.finished where id between %s and %s"
    )
    return int(database.value(query, (batch.first, batch.last)))


def _drain_bare(database: Database, jobs: int, chunk: int) -> float:
    """Drain a bare table of rows by the same number of sessions; returns jobs per second."""
    database.rows("truncate bench.bare, bench.bare_past")
    database.rows(
        (
            "insert into bench.bare select n, 'bench.noop', '{}'"
            " from generate_series(1, %s::bigint) as n"
        ),
        (jobs,),
    )
    database.rows("vacuum (analyze) bench.bare")
    each = jobs // SESSIONS
    parts = [
        (n * each + 1, jobs if n == SESSIONS - 1 else (n + 1) * each, chunk)
        for n in range(SESSIONS)
    ]
    rate = jobs / beside_each_other(database, "call bench.drain_bare(%s, %s, %s)", parts)
    if database.value("select count(*) from bench.bare_past") != jobs:
        raise WorkError("the bare queue lost rows")
    return rate


@measurement("drain", "no-op jobs per second, against a plain loop in as many sessions")
def measure(bench: Bench) -> Iterator[Figure | Curve]:
    """Take turns: drain, loops with durable commits, with commits of nothing, with each call held
    apart; bare rows.
    """
    database, jobs = bench.database, bench.size.drain_jobs
    teach(database)
    drained, plain, idle, apart, bare, chunks = [], [], [], [], [], []
    each = jobs // SESSIONS
    for run in range(1, bench.size.runs + 1):
        bench.say(f"drain of {jobs:,} no-op jobs, run {run} of {bench.size.runs}")
        database.empty()
        batch = enqueue(database, jobs)
        drained.append(drain(database, batch).rate)
        chunk = max(1, round(jobs / _commits(database, batch)))
        chunks.append(float(chunk))
        plain.append(jobs / beside_each_other(database, _LOOP, [(each, chunk, True)] * SESSIONS))
        idle.append(jobs / beside_each_other(database, _LOOP, [(each, chunk, False)] * SESSIONS))
        apart.append(
            jobs
            / beside_each_other(
                database, "call bench.call_apart(%s, %s)", [(each, chunk)] * SESSIONS
            )
        )
        bare.append(_drain_bare(database, jobs, chunk))
    drain_text = f"drain of {jobs:,} no-op jobs, {SESSIONS} sessions"
    yield Figure(
        text=drain_text,
        unit="jobs/s",
        values=tuple(drained),
        rivals=tuple(plain),
        goals=("drain", "drain_ratio"),
        rival="a plain loop with the same calls and as many durable commits",
        note=(
            f"{sorted(chunks)[len(chunks) // 2]:.0f} jobs to a commit, in the drain and in "
            f"the loops"
        ),
    )
    yield Figure(
        text=drain_text, unit="jobs/s", values=tuple(drained), rivals=tuple(idle),
        rival="the same loop, its commits after nothing but no-ops: no disk is waited for",
    )  # fmt: skip
    yield Figure(
        text=drain_text, unit="jobs/s", values=tuple(drained), rivals=tuple(apart),
        rival="the plain loop with a subtransaction and a call by name for each job",
    )  # fmt: skip
    yield Figure(
        text=(
            f"{jobs:,} rows of a bare table: one DELETE that calls, one INSERT into its history, "
            f"{SESSIONS} sessions"
        ),
        unit="jobs/s",
        values=tuple(bare),
        rivals=tuple(plain),
        rival="the plain loop with as many durable commits",
    )

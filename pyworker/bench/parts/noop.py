"""A drain of no-op jobs against a plain loop in the same number of sessions, with as many commits and no queue."""

from collections.abc import Iterator

from pyworker.bench.clients import beside_each_other
from pyworker.bench.drain import SESSIONS, Batch, drain, enqueue, teach
from pyworker.bench.figures import Curve, Figure
from pyworker.bench.part import Bench, part
from pyworker.bench.place import Place
from pyworker.errors import WorkError

_LOOP = "call bench.call_noop(%s, %s, %s)"


def _commits(place: Place, batch: Batch) -> int:
    """Count the commits that wrote history: each has its transaction number in the rows that it wrote."""
    query = "select count(distinct xmin::text) from jobs_internal.finished where id between %s and %s"
    return int(place.value(query, (batch.first, batch.last)))


def _drain_bare(place: Place, jobs: int, chunk: int) -> float:
    """Drain a bare table of rows by the same number of sessions; returns jobs per second."""
    place.rows("truncate bench.bare, bench.bare_past")
    place.rows("insert into bench.bare select n, 'bench.noop', '{}' from generate_series(1, %s::bigint) as n", (jobs,))
    place.rows("vacuum (analyze) bench.bare")
    each = jobs // SESSIONS
    parts = [(n * each + 1, jobs if n == SESSIONS - 1 else (n + 1) * each, chunk) for n in range(SESSIONS)]
    rate = jobs / beside_each_other(place, "call bench.drain_bare(%s, %s, %s)", parts)
    if place.value("select count(*) from bench.bare_past") != jobs:
        raise WorkError("the bare queue lost rows")
    return rate


@part("drain", "no-op jobs per second, against a plain loop in as many sessions")
def measure(bench: Bench) -> Iterator[Figure | Curve]:
    """Take turns: drain, loops with durable commits, with commits of nothing, with each call held apart; bare rows."""
    place, jobs = bench.place, bench.form.drain_jobs
    teach(place)
    drained, plain, idle, apart, bare, chunks = [], [], [], [], [], []
    each = jobs // SESSIONS
    for run in range(1, bench.form.runs + 1):
        bench.say(f"drain of {jobs:,} no-op jobs, run {run} of {bench.form.runs}")
        place.empty()
        batch = enqueue(place, jobs)
        drained.append(drain(place, batch).rate)
        chunk = max(1, round(jobs / _commits(place, batch)))
        chunks.append(float(chunk))
        plain.append(jobs / beside_each_other(place, _LOOP, [(each, chunk, True)] * SESSIONS))
        idle.append(jobs / beside_each_other(place, _LOOP, [(each, chunk, False)] * SESSIONS))
        apart.append(jobs / beside_each_other(place, "call bench.call_apart(%s, %s)", [(each, chunk)] * SESSIONS))
        bare.append(_drain_bare(place, jobs, chunk))
    drain_text = f"drain of {jobs:,} no-op jobs, {SESSIONS} sessions"
    yield Figure(
        text=drain_text, unit="jobs/s", values=tuple(drained), rivals=tuple(plain), goals=("drain", "drain_ratio"),
        rival="a plain loop with the same calls and as many durable commits",
        note=f"{sorted(chunks)[len(chunks) // 2]:.0f} jobs to a commit, in the drain and in the loops",
    )  # fmt: skip
    yield Figure(
        text=drain_text, unit="jobs/s", values=tuple(drained), rivals=tuple(idle),
        rival="the same loop, its commits after nothing but no-ops: no disk is waited for",
    )  # fmt: skip
    yield Figure(
        text=drain_text, unit="jobs/s", values=tuple(drained), rivals=tuple(apart),
        rival="the plain loop with a subtransaction and a call by name for each job",
    )  # fmt: skip
    yield Figure(
        text=f"{jobs:,} rows of a bare table: one DELETE that calls, one INSERT into its history, {SESSIONS} sessions",
        unit="jobs/s", values=tuple(bare), rivals=tuple(plain), rival="the plain loop with as many durable commits",
    )  # fmt: skip

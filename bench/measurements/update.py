"""A drain of jobs with one small UPDATE each against a plain loop that does the same UPDATEs in
batches of 50.
"""

from collections.abc import Iterator

from bench.clients import beside_each_other
from bench.database import Database
from bench.drain import SESSIONS, drain, enqueue, teach
from bench.figures import Curve, Figure
from bench.measurement import Bench, measurement
from pyworker.errors import WorkError

_PER_COMMIT = 50


def _fresh_accounts(database: Database, accounts: int) -> None:
    database.rows("truncate bench.account")
    database.rows("insert into bench.account (id) select generate_series(1, %s::int)", (accounts,))
    database.rows("vacuum (analyze) bench.account")


def _check(database: Database, accounts: int) -> None:
    once = database.value("select count(*) filter (where updates = 1) from bench.account")
    if once != accounts:
        raise WorkError(
            "not every UPDATE was done exactly once", detail=f"{once} of {accounts} were."
        )


@measurement("update", "jobs with one small UPDATE each, against a plain loop of the same UPDATEs")
def measure(bench: Bench) -> Iterator[Figure | Curve]:
    """Take turns; each side finds the table as new."""
    database, jobs = bench.database, bench.size.update_jobs
    _fresh_accounts(database, 50)
    teach(database, task="bench.add_one", args="jsonb_build_object('n', n)")
    drained, looped = [], []
    half = jobs // 2
    for run in range(1, bench.size.runs + 1):
        bench.say(f"{jobs:,} UPDATEs, run {run} of {bench.size.runs}")
        database.empty()
        _fresh_accounts(database, jobs)
        batch = enqueue(database, jobs, task="bench.add_one", args="jsonb_build_object('n', n)")
        drained.append(drain(database, batch).rate)
        _check(database, jobs)
        _fresh_accounts(database, jobs)
        halves = [(1, half, _PER_COMMIT), (half + 1, jobs, _PER_COMMIT)]
        looped.append(
            jobs / beside_each_other(database, "call bench.update_plainly(%s, %s, %s)", halves)
        )
        _check(database, jobs)
    yield Figure(
        text=f"drain of {jobs:,} jobs with one UPDATE each, {SESSIONS} sessions",
        unit="jobs/s",
        values=tuple(drained),
        rivals=tuple(looped),
        rival=f"a plain loop of the same UPDATEs, {_PER_COMMIT} to a commit",
        goals=("update_ratio",),
    )

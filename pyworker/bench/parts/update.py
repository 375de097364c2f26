"""A drain of jobs with one small UPDATE each against a plain loop that does the same UPDATEs in batches of 50."""

from collections.abc import Iterator

from pyworker.bench.clients import beside_each_other
from pyworker.bench.drain import SESSIONS, drain, enqueue, teach
from pyworker.bench.figures import Curve, Figure
from pyworker.bench.part import Bench, part
from pyworker.bench.place import Place
from pyworker.errors import WorkError

_PER_COMMIT = 50


def _fresh_accounts(place: Place, accounts: int) -> None:
    place.rows("truncate bench.account")
    place.rows("insert into bench.account (id) select generate_series(1, %s::int)", (accounts,))
    place.rows("vacuum (analyze) bench.account")


def _check(place: Place, accounts: int) -> None:
    once = place.value("select count(*) filter (where updates = 1) from bench.account")
    if once != accounts:
        raise WorkError("not every UPDATE was done exactly once", detail=f"{once} of {accounts} were.")


@part("update", "jobs with one small UPDATE each, against a plain loop of the same UPDATEs")
def measure(bench: Bench) -> Iterator[Figure | Curve]:
    """Take turns; each side finds the table as new."""
    place, jobs = bench.place, bench.form.update_jobs
    _fresh_accounts(place, 50)
    teach(place, task="bench.add_one", args="jsonb_build_object('n', n)")
    drained, looped = [], []
    half = jobs // 2
    for run in range(1, bench.form.runs + 1):
        bench.say(f"{jobs:,} UPDATEs, run {run} of {bench.form.runs}")
        place.empty()
        _fresh_accounts(place, jobs)
        batch = enqueue(place, jobs, task="bench.add_one", args="jsonb_build_object('n', n)")
        drained.append(drain(place, batch).rate)
        _check(place, jobs)
        _fresh_accounts(place, jobs)
        halves = [(1, half, _PER_COMMIT), (half + 1, jobs, _PER_COMMIT)]
        looped.append(jobs / beside_each_other(place, "call bench.update_plainly(%s, %s, %s)", halves))
        _check(place, jobs)
    yield Figure(
        text=f"drain of {jobs:,} jobs with one UPDATE each, {SESSIONS} sessions", unit="jobs/s", values=tuple(drained),
        rivals=tuple(looped), rival=f"a plain loop of the same UPDATEs, {_PER_COMMIT} to a commit",
        goals=("update_ratio",),
    )  # fmt: skip

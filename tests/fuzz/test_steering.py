"""What steers jobs, with ids of jobs in every state and ids of none; and start."""

import pytest
from hypothesis import given
from support import Database

from . import aftermath
from .calls import fuzz
from .catalog import FUZZED
from .conftest import Callers
from .values import BIGINTS, Value, either

STEERING = ("cancel", "retry", "run_now", "wait", "await")


def _some_jobs(database: Database) -> list[int]:
    """Enqueue jobs that succeed, fail, wait, are cancelled, or run as procedures;
    run what is due.
    """
    enqueued = database.run(
        """select jobs.enqueue('app.nothing'), jobs.enqueue('app.whole', '{"x": 1}'),
            jobs.enqueue('app.proc'),
        jobs.enqueue_sql('select 1/0'), jobs.enqueue_sql('vacuum app.t'),
        jobs.enqueue('app.nothing', run_at => 'infinity', unique_key => 'k')"""
    )[0]
    database.drain()
    waiting = database.run(
        "select jobs.enqueue('app.nothing', run_at => 'infinity'), jobs.enqueue('app.proc',"
        " run_at => '294276-01-01'),"
        " jobs.enqueue('app.nothing'), jobs.enqueue_sql('vacuum app.t')"
    )[0]
    return [*enqueued, *waiting]


@pytest.mark.parametrize("function", STEERING)
def test_any_job(database: Database, caller: Callers, function: str) -> None:
    call = caller(function)
    ids = [str(job) for job in _some_jobs(database)]

    @fuzz(80)
    @given(FUZZED[function].arguments(id=either(*ids) | BIGINTS))
    def one(arguments: dict[str, Value]) -> None:
        call(arguments)

    one()
    aftermath.run_all(database)
    aftermath.assert_all_well(database)


@pytest.mark.parametrize("timeout", [None, "infinity", "178000000 years", "1000 years"])
@pytest.mark.parametrize("function", ["wait", "await"])
def test_waits_without_end(
    database: Database, caller: Callers, function: str, timeout: str | None
) -> None:
    """A wait that is too long to count is refused or ends with its job."""
    (job,) = database.run("select jobs.enqueue('app.nothing')")[0]
    database.run("select jobs.start(1)")

    caller(function)({"id": str(job), "timeout": timeout})

    aftermath.run_all(database)
    aftermath.assert_all_well(database)


def test_start(database: Database, caller: Callers) -> None:
    call = caller("start")

    @fuzz(25)
    @given(FUZZED["start"].arguments())
    def one(arguments: dict[str, Value]) -> None:
        database.run("select jobs.enqueue('app.nothing')")
        call(arguments)
        database.drain()

    one()
    aftermath.assert_all_well(database)

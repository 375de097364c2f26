"""Schedules with whatever comes as name, schedule, zone, task, options and time; and what is then
fired.
"""

import pytest
from hypothesis import given
from support import Database

from . import aftermath
from .calls import fuzz
from .catalog import FUZZED
from .conftest import Callers
from .values import Value


def test_next_runs(database: Database, caller: Callers) -> None:
    call = caller("next_runs")

    @fuzz(200)
    @given(FUZZED["next_runs"].arguments())
    def one(arguments: dict[str, Value]) -> None:
        call(arguments)

    one()
    aftermath.assert_all_well(database)


@pytest.mark.parametrize(
    "function",
    [
        "schedule",
        "schedule_sql",
        "alter_schedule",
        "pause_schedule",
        "resume_schedule",
        "run_schedule",
        "rerun_schedule",
        "unschedule",
        "current_run",
    ],
)
def test_schedules(database: Database, caller: Callers, function: str) -> None:
    """A round fires what was made, and nothing is out of order."""
    database.run(
        "select jobs.schedule('s', 'every 1 second', 'app.nothing'),"
        " jobs.schedule_sql('t', '@daily', 'select 1')"
    )
    call = caller(function)

    @fuzz(80)
    @given(FUZZED[function].arguments())
    def one(arguments: dict[str, Value]) -> None:
        call(arguments)

    one()
    database.admin(
        "update jobs_internal.schedule_state set next_at = now(),"
        " next_due = case when schedule_id % 2 = 0 then next_due else now() end"
        " where next_at is not null"
    )
    database.admin("select jobs_internal.fire_schedules()")
    assert database.admin("select error from jobs_internal.duty_failure") == []
    database.run("select jobs.unschedule(name) from jobs.schedules")
    aftermath.run_all(database)
    aftermath.assert_all_well(database)

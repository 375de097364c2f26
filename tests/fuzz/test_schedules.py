"""jobs.next_runs with whatever comes as schedule, zone, number and time."""

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

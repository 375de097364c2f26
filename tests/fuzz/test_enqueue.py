"""jobs.enqueue and jobs.enqueue_many with anything: refused by name or stored,
and what is stored runs.
"""

import pytest
from hypothesis import given
from support import Database

from . import aftermath
from .calls import fuzz
from .catalog import FUZZED
from .conftest import Callers
from .values import Value


@pytest.mark.parametrize("function", ["enqueue", "enqueue_many", "forget"])
def test_anything(database: Database, caller: Callers, function: str) -> None:
    call = caller(function)
    accepted = 0

    @fuzz(700)
    @given(FUZZED[function].arguments())
    def one(arguments: dict[str, Value]) -> None:
        nonlocal accepted
        accepted += call(arguments).accepted

    one()
    assert accepted > 30
    aftermath.run_all(database)
    aftermath.assert_all_well(database)

"""Batches with whatever comes as name, callbacks, arguments, options and number; and what is called
then.
"""

import pytest
from hypothesis import given
from support import Database

from . import aftermath
from .calls import fuzz
from .catalog import FUZZED
from .conftest import Callers
from .values import Value


@pytest.mark.parametrize(
    "function", ["create_batch", "close_batch", "cancel_batch", "retry_batch", "batch_jobs"]
)
def test_batches(database: Database, caller: Callers, function: str) -> None:
    """All that was made calls back when it is closed, and nothing is out of order."""
    database.run(
        "select jobs.create_batch('b', 'app.nothing', 'app.nothing', 'app.nothing');"
        " select jobs.enqueue('app.nothing', options => jsonb_build_object('batch', b.id))"
        " from jobs.batches as b;"
    )
    call = caller(function)

    @fuzz(80)
    @given(FUZZED[function].arguments())
    def one(arguments: dict[str, Value]) -> None:
        call(arguments)

    one()
    database.run("select jobs.close_batch(id) from jobs.batches")
    aftermath.run_all(database)
    for _ in range(20):
        database.admin("select jobs_internal.fold_batches()")
    assert database.admin("select error from jobs_internal.duty_failure") == []
    aftermath.run_all(database)
    assert database.run("select state, trouble from jobs.batches where state <> 'finished'") == []
    aftermath.assert_all_well(database)

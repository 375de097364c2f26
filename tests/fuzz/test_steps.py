"""jobs.enqueue_steps with anything, and the recipes: what they give can be enqueued, and runs."""

import pytest
from hypothesis import given
from psycopg.types.json import Jsonb
from support import Database

from . import aftermath
from .calls import fuzz
from .catalog import FUZZED
from .conftest import Callers
from .values import Value, either

#: What makes it likely that a recipe fits.
FITTING = {
    "not_null_steps": {"table_name": either("app.t", 'app."T"'), "column_name": either("n", "t")},
    "constraint_steps": {"table_name": either("app.t"), "name": either("c", "é", '"')},
    "unique_steps": {"table_name": either("app.t", "t")},
    "replace_index_steps": {"index_name": either("app.t_n", "t_n")},
}


def test_anything(database: Database, caller: Callers) -> None:
    call = caller("enqueue_steps")
    accepted = 0

    @fuzz(500)
    @given(FUZZED["enqueue_steps"].arguments())
    def one(arguments: dict[str, Value]) -> None:
        nonlocal accepted
        accepted += call(arguments).accepted

    one()
    assert accepted > 20
    aftermath.run_all(database)
    aftermath.assert_all_well(database, internal_errors=("XX000",))


@pytest.mark.parametrize("function", FITTING)
def test_recipes(database: Database, caller: Callers, function: str) -> None:
    call = caller(function)
    database.run("create index t_n on app.t (n)")
    given_back = []

    @fuzz(200)
    @given(FUZZED[function].arguments() | FUZZED[function].arguments(**FITTING[function]))
    def one(arguments: dict[str, Value]) -> None:
        answer = call(arguments)
        if answer.accepted:
            given_back.extend(answer.rows)

    one()
    assert given_back
    for (steps,) in given_back:
        database.run("select jobs.enqueue_steps(%s, max_attempts => 1)", [Jsonb(steps)])
    aftermath.run_all(database)
    aftermath.assert_all_well(database, internal_errors=("XX000",))

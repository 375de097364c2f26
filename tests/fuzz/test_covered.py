"""A function that is not fuzzed is a failure."""

from support import Database

from .calls import types_of
from .catalog import FUZZED

#: It takes a statement, or what the recipes return and jobs.enqueue_steps takes (test_steps.py).
TWIN = ("plan", "steps")


def test_every_public_function_is_fuzzed(shared: Database) -> None:
    """Each routine of schema jobs, and each of its parameters, is given values here."""
    routines = {
        row[0]
        for row in shared.run(
            "select proname from pg_proc where pronamespace = 'jobs'::regnamespace"
        )
    }

    assert routines == set(FUZZED)
    for function, fuzzed in FUZZED.items():
        given = [name for name in types_of(shared.line(), function) if (function, name) != TWIN]
        assert given == list(fuzzed.parameters), function


def test_no_public_function_has_a_twin(shared: Database) -> None:
    """Names are unique in schema jobs, so that one says which function is fuzzed; but for one."""
    assert (
        shared.run(
            "select proname from pg_proc where pronamespace = 'jobs'::regnamespace group by 1"
            " having count(*) > 1 and proname <> %s",
            TWIN[:1],
        )
        == []
    )

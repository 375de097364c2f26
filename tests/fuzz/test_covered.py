"""A function that is not fuzzed is a failure."""

from support import Database

from .calls import types_of
from .catalog import FUZZED


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
        assert list(types_of(shared.line(), function)) == list(fuzzed.parameters), function


def test_no_public_function_has_a_twin(shared: Database) -> None:
    """Names are unique in schema jobs, so that a name says which function is fuzzed."""
    assert (
        shared.run(
            "select proname from pg_proc where pronamespace = 'jobs'::regnamespace group by 1"
            " having count(*) > 1"
        )
        == []
    )

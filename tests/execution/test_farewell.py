"""A session that has nothing more to do leaves by itself, and nobody has to clear up after it."""

from stage import drain_once, put
from support import Database


def test_a_session_takes_its_row_along(database: Database) -> None:
    put(database, "app.nap", {"seconds": 0, "n": 1})
    drain_once(database)
    assert database.admin("select id, lane_id from jobs_internal.session") == []


def test_a_session_that_found_nothing_takes_its_row_along(database: Database) -> None:
    drain_once(database)
    assert database.admin("select id, lane_id from jobs_internal.session") == []

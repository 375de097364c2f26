"""The recipe of NOT NULL: run beside writers, cut off at each step, and taken back."""

import threading

import pytest
from stage import attempts, quick_retries, state, wait_for
from support import Database, wait_until

from .recipes import (
    NOT_NULL,
    POINTS,
    constraints,
    enqueue,
    is_not_null,
    left,
    recipe,
    stopped_at,
    take_back,
)


@pytest.mark.parametrize("version", NOT_NULL)
def test_a_column_becomes_not_null_beside_writers(database: Database, version: str) -> None:
    database.run(POINTS)
    over = threading.Event()
    written = []

    def write() -> None:
        with database.connect() as line:
            while not over.is_set() or not written:
                line.execute("insert into app.points values (0, 1)")
                written.append(1)

    writers = [threading.Thread(target=write) for _ in range(2)]
    for one in writers:
        one.start()
    try:
        job = enqueue(database, recipe(database, NOT_NULL[version]), settings={})
        database.drain()
    finally:
        over.set()
        for one in writers:
            one.join()
    assert state(database, job) == "succeeded"
    assert (is_not_null(database), left(database)) == (True, [])
    assert database.value("select count(*) from app.points") == 1000 + len(written)
    assert [row[2] for row in constraints(database)] in ([], [True])


@pytest.mark.parametrize("place", [1, 2, 3, 4])
def test_not_null_whose_session_dies_at_a_step(database: Database, place: int) -> None:
    """The next attempt goes on at that step; no other is run again."""
    quick_retries(database)
    database.run(POINTS)
    with stopped_at(database, recipe(database, NOT_NULL["17"]), place) as (job, pid):
        assert len(left(database)) == (place > 1)
        database.admin("select pg_terminate_backend(%s)", [pid])
        wait_until(lambda: not database.background())
    assert is_not_null(database) == (place == 4)
    database.drain()
    assert state(database, job) == "succeeded"
    assert (is_not_null(database), left(database)) == (True, [])
    assert attempts(database, job) == [(1, "succeeded")]
    # none was passed over because it was done already
    ran = database.run("select step from jobs.steps where id = %s and result ? 'rows'", [job])
    assert len(ran) == 5


@pytest.mark.parametrize("version", NOT_NULL)
def test_rows_without_a_value_stop_it_and_a_retry_goes_on(database: Database, version: str) -> None:
    database.run(POINTS)
    database.run("insert into app.points values (0, null)")
    job = enqueue(database, recipe(database, NOT_NULL[version]))
    database.drain()
    found = database.job(job)
    assert (found["state"], found["error"]["sqlstate"]) == (
        "failed",
        {"17": "23514"}.get(version, "23502"),
    )
    assert found["statement"].startswith("alter table app.points validate constraint")
    database.run("delete from app.points where m is null")
    database.run("select jobs.retry(%s)", [job])
    database.drain()
    assert (state(database, job), is_not_null(database), left(database)) == ("succeeded", True, [])


@pytest.mark.parametrize("version", NOT_NULL)
def test_the_same_steps_once_more_do_what_is_left(database: Database, version: str) -> None:
    """A job that was cancelled is enqueued again; once all is done, nothing is run."""
    database.run(POINTS)
    steps = recipe(database, NOT_NULL[version])
    with stopped_at(database, steps, 2) as (job, _):
        database.run("select jobs.cancel(%s)", [job])
        wait_for(database, job, "cancelled")
    # of PostgreSQL 18 it is taken up under the name that it has
    assert recipe(database, NOT_NULL[version])[0] == steps[0]
    enqueue(database, steps)
    database.drain()
    assert (is_not_null(database), left(database)) == (True, [])
    again = enqueue(database, steps)
    database.drain()
    results = database.run("select distinct result from jobs.steps where id = %s", [again])
    assert (state(database, again), results) == ("succeeded", [({"verified": True},)])


@pytest.mark.parametrize("version", NOT_NULL)
def test_not_null_is_taken_back(database: Database, version: str) -> None:
    database.run(POINTS)
    before = constraints(database)
    job = enqueue(database, recipe(database, NOT_NULL[version]))
    database.drain()
    assert is_not_null(database)
    take_back(database, job)
    assert (is_not_null(database), constraints(database)) == (False, before)

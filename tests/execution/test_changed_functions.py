"""Functions that change between enqueue and run."""

import pytest
from stage import know_as_short, put, state
from support import Database


@pytest.mark.parametrize("knows", [True, False], ids=["short", "unknown"])
def test_a_function_that_is_dropped_fails_its_job(database: Database, *, knows: bool) -> None:
    database.run("create function app.gone(n integer) returns integer language sql return n")
    put(database, "app.gone", {"n": 1})
    database.drain()
    if knows:
        know_as_short(database)
    job = put(database, "app.gone", {"n": 1})
    after = put(database, "app.note", {"n": 1})
    database.run("drop function app.gone")
    database.drain()
    assert database.job(job)["error"]["sqlstate"] == "PW042"
    assert state(database, job) == "failed"
    assert state(database, after) == "succeeded"


@pytest.mark.parametrize("knows", [True, False], ids=["short", "unknown"])
def test_a_function_that_changes_owner_fails_its_job(database: Database, *, knows: bool) -> None:
    database.run("create function app.owned(n integer) returns integer language sql return n")
    put(database, "app.owned", {"n": 1})
    database.drain()
    if knows:
        know_as_short(database)
    job = put(database, "app.owned", {"n": 1})
    database.admin(
        "alter function app.owned owner to other; grant execute on function app.owned to app"
    )
    database.drain()
    assert (state(database, job), database.job(job)["error"]["sqlstate"]) == ("failed", "PW042")


@pytest.mark.parametrize("knows", [True, False], ids=["short", "unknown"])
@pytest.mark.parametrize("how", ["replace", "drop and create"])
def test_a_function_that_is_replaced_runs_as_it_is(
    database: Database, how: str, *, knows: bool
) -> None:
    database.run("create function app.versioned(n integer) returns integer language sql return n")
    put(database, "app.versioned", {"n": 1})
    database.drain()
    if knows:
        know_as_short(database)
    jobs = [put(database, "app.versioned", {"n": n}) for n in (1, 2)]
    if how != "replace":
        database.run("drop function app.versioned")
    database.run(
        "create or replace function app.versioned(n integer) returns integer"
        " language sql return n * 10"
    )
    database.drain()
    assert [database.result(job) for job in jobs] == [10, 20]


def test_a_parameter_that_is_renamed_fails_its_job(database: Database) -> None:
    database.run("create function app.renamed(n integer) returns integer language sql return n")
    job = put(database, "app.renamed", {"n": 1})
    database.run("drop function app.renamed")
    database.run("create function app.renamed(m integer) returns integer language sql return m")
    database.drain()
    assert state(database, job) == "failed"


def test_a_right_that_is_lost_fails_its_job(database: Database) -> None:
    database.run(
        "create function other.lent(n integer) returns integer language sql return n", role="other"
    )
    database.run("grant usage on schema other to app", role="other")
    job = put(database, "other.lent", {"n": 1})
    database.run("revoke execute on function other.lent from public", role="other")
    database.drain()
    assert (state(database, job), database.job(job)["error"]["sqlstate"]) == ("failed", "42501")

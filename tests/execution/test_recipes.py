"""Recipes: the steps that they give, run beside writers, cut off at each step, and taken back."""

import pytest
from stage import quick_retries, state
from support import Database, wait_until

from .recipes import (
    NOT_NULL,
    POINTS,
    constraints,
    definitions,
    enqueue,
    invalid,
    is_not_null,
    left,
    recipe,
    stopped_at,
    take_back,
)

UNIQUE = "jobs.unique_steps('app.points', '{n}')"


REPLACE = "jobs.replace_index_steps('app.points_n', '(n, m) where m > 0')"


@pytest.mark.parametrize(
    "definition",
    ["check (m >= 0)", "foreign key (m) references app.kinds", "\nCHECK (m < 10 and n > 0) -- all"],
)
def test_a_constraint_is_added_and_validated(database: Database, definition: str) -> None:
    database.run(POINTS)
    database.run("create table app.kinds as select generate_series(0, 6) as m")
    database.run("alter table app.kinds add primary key (m)")
    quoted = definition.replace("'", "''")
    steps = recipe(database, f"""jobs.constraint_steps('app.points', 'The kinds', '{quoted}')""")
    with stopped_at(database, steps, 2) as (job, pid):
        assert [row[2] for row in left(database)] == [False]
        database.admin("select pg_cancel_backend(%s)", [pid])
        wait_until(lambda: not database.background())
    database.drain()
    assert state(database, job) == "succeeded"
    assert [(row[0], row[2]) for row in left(database)] == [("The kinds", True)]
    take_back(database, job)
    assert left(database) == []


def test_duplicates_leave_no_index_and_a_retry_builds_it(database: Database) -> None:
    database.run(POINTS)
    database.run("insert into app.points values (1, 1)")
    job = enqueue(database, recipe(database, UNIQUE))
    database.drain()
    found = database.job(job)
    assert (found["state"], found["error"]["sqlstate"]) == ("failed", "23505")
    assert invalid(database) == []
    database.run("delete from app.points where ctid = (select max(ctid) from app.points)")
    database.run("select jobs.retry(%s)", [job])
    database.drain()
    assert state(database, job) == "succeeded"
    assert constraints(database) == [("points_n_key", "u", True)]


def end_session(database: Database, job: int, waiting: int, who: str) -> None:
    """End the session that waits, or the one that watches it."""
    pid = waiting
    if who == "watcher":
        pid = int(database.value("select pid from jobs.running where id = %s", [job]))
    database.admin("select pg_terminate_backend(%s)", [pid])
    wait_until(lambda: not database.admin("select 1 from pg_stat_activity where pid = %s", [pid]))


@pytest.mark.parametrize("who", ["child", "watcher"])
@pytest.mark.parametrize("place", [1, 2])
def test_unique_whose_session_dies_at_a_step(database: Database, place: int, who: str) -> None:
    quick_retries(database)
    database.run(POINTS)
    steps = recipe(database, UNIQUE)
    with stopped_at(database, steps, place) as (job, pid):
        end_session(database, job, pid, who)
    database.drain()
    assert (state(database, job), invalid(database)) == ("succeeded", [])
    assert constraints(database) == [("points_n_key", "u", True)]
    take_back(database, job)
    assert constraints(database) == []


@pytest.mark.parametrize("who", ["child", "watcher"])
@pytest.mark.parametrize("place", [1, 2, 3])
def test_replacing_an_index_whose_session_dies_at_a_step(
    database: Database, place: int, who: str
) -> None:
    quick_retries(database)
    database.run(POINTS)
    before = definitions(database)
    steps = recipe(database, REPLACE)
    held = (
        {
            "relation": "app.points_n_new",
            "hold": "alter index app.points_n_new set (fillfactor = 90)",
        }
        if place == 3
        else {}
    )
    with stopped_at(database, steps, place, **held) as (job, pid):
        end_session(database, job, pid, who)
    database.drain()
    assert (state(database, job), invalid(database)) == ("succeeded", [])
    assert definitions(database) == [
        "CREATE INDEX points_n ON app.points USING btree (n, m) WHERE (m > 0)"
    ]
    take_back(database, job)
    assert definitions(database) == before


def test_names_are_those_of_the_path_and_are_quoted(database: Database) -> None:
    """What a recipe says holds under any path."""
    database.admin('create schema "My app" authorization app')
    database.run(
        'create table "My app"."The points" ("No" integer, "a ""b" text);'
        ' insert into "My app"."The points" select 1, 2;'
        ' create index "By no" on "My app"."The points" ("No")'
    )
    with database.connect() as line:
        line.execute('set search_path = "My app"')
        found = line.execute(
            """select jobs.not_null_steps('"The points"', 'No')
            || jobs.unique_steps('"The points"', array['No', 'a "b'])
            || jobs.constraint_steps('"The points"', 'it''s', 'check ("No" > 0)')
            || jobs.replace_index_steps('"By no"', '("No") include ("a ""b")')"""
        ).fetchone()
    assert found is not None
    job = enqueue(database, found[0])
    database.drain()
    assert state(database, job) == "succeeded", database.job(job)
    assert [row[0] for row in constraints(database, '"My app"."The points"') if row[2]] == [
        'The points_No_a "b_key',
        "The points_No_not_null",
        "it's",
    ]
    again = enqueue(database, found[0])
    database.drain()
    results = database.run("select distinct result from jobs.steps where id = %s", [again])
    assert (state(database, again), results) == ("succeeded", [({"verified": True},)])


@pytest.mark.parametrize("version", NOT_NULL)
def test_a_partitioned_table(database: Database, version: str) -> None:
    """NOT NULL and CHECK reach all partitions."""
    database.run(
        "create table app.points (n integer, m integer) partition by range (n);"
        " create table app.low partition of app.points for values from (0) to (10);"
        " create table app.high partition of app.points for values from (10) to (20);"
        " insert into app.points select n, 1 from generate_series(0, 19) as n"
    )
    check = "jobs.constraint_steps('app.points', 'positive', 'check (m > 0)')"
    steps = recipe(database, NOT_NULL[version]) + recipe(database, check)
    job = enqueue(database, steps)
    database.drain()
    assert state(database, job) == "succeeded", database.job(job)
    for table in ("app.points", "app.low", "app.high"):
        found = constraints(database, table)
        assert {row[2] for row in found} == {True}
        assert [row[0] for row in found if row[1] == "c"] == ["positive"]
    assert is_not_null(database)


def test_long_names_are_cut_and_taken_ones_are_not_used(database: Database) -> None:
    long = "é" * 31
    database.run(
        f"create table app.{long} (n integer, constraint {'é' * 27}_not_null check (n > 0))"
    )
    database.run("create table app.t (n integer); create table app.t_n_key (n integer)")
    steps = recipe(database, f"jobs.not_null_steps('app.{long}', 'n')")
    assert f"""{"é" * 26}_not_null1" """ in steps[0]["statement"]
    unique = recipe(database, "jobs.unique_steps('app.t', '{n}')")
    assert "t_n_key1 " in unique[0]["statement"]
    job = enqueue(database, steps + unique)
    database.drain()
    assert state(database, job) == "succeeded", database.job(job)


def test_an_index_that_was_rebuilt_meanwhile_is_replaced(database: Database) -> None:
    """REINDEX CONCURRENTLY gives it another OID; it is known by its definition."""
    database.run(POINTS)
    before = definitions(database)
    steps = recipe(database, REPLACE)
    database.run("reindex index concurrently app.points_n")
    job = enqueue(database, steps)
    database.drain()
    assert (state(database, job), invalid(database)) == ("succeeded", [])
    assert definitions(database) == [
        "CREATE INDEX points_n ON app.points USING btree (n, m) WHERE (m > 0)"
    ]
    take_back(database, job)
    assert definitions(database) == before

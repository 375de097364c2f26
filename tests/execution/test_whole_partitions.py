"""Operations on partitioned tables do all of them, or tell what they passed over."""

import pytest
from stage import put_sql, state, wait_for
from support import Database


@pytest.mark.parametrize(
    "statement",
    [
        "reindex index concurrently app.parts_n",
        "reindex table concurrently app.parts",
        "reindex table app.parts",
    ],
)
def test_the_leaves_of_a_partitioned_index_are_compared(database: Database, statement: str) -> None:
    database.run(
        "create table app.parts (n integer) partition by range (n);"
        " create table app.low partition of app.parts for values from (0) to (10);"
        " create table app.high partition of app.parts for values from (10) to (20);"
        " create index parts_n on app.parts (n)"
    )
    job = put_sql(database, statement)
    database.drain()
    found = database.job(job)
    assert (found["state"], found["result"]) == (
        "succeeded",
        {"command_tag": "REINDEX", "verified": True},
    ), found


@pytest.mark.parametrize(
    "statement", ["vacuum app.parts", "analyze app.parts", "vacuum (analyze) app.parts"]
)
def test_a_partition_of_another_owner_is_not_passed_over(
    database: Database, statement: str
) -> None:
    database.run(
        "create table app.parts (n integer) partition by range (n);"
        " create table app.low partition of app.parts for values from (0) to (10);"
        " create table app.high partition of app.parts for values from (10) to (20)"
    )
    database.admin("alter table app.high owner to postgres")
    job = put_sql(database, statement)
    database.drain()
    error = database.job(job)["error"]
    assert (state(database, job), error["sqlstate"]) == ("failed", "42501")
    assert "app.high" in error["message"]
    database.admin("grant maintain on app.high to app")
    database.run("select jobs.retry(%s)", (job,))
    database.drain()
    assert state(database, job) == "succeeded", database.job(job)["error"]


@pytest.mark.parametrize(
    "statement",
    [
        "vacuum app.shown",
        "analyze app.shown",
        "vacuum app.ledger, app.shown",
        "analyze app.counter",
    ],
)
def test_what_is_no_table_is_refused(database: Database, statement: str) -> None:
    """PostgreSQL skips a view or a sequence with a warning that no session hears."""
    database.run("create view app.shown as select 1 as n; create sequence app.counter")
    job = put_sql(database, statement)
    database.drain()
    error = database.job(job)["error"]
    assert (state(database, job), error["sqlstate"]) == ("failed", "42809")
    assert "skip it with a warning" in error["message"]


def test_a_foreign_partition_is_not_passed_over(database: Database) -> None:
    """VACUUM would skip it; refused before anything is done, with its name."""
    database.admin(
        "create foreign data wrapper nothing; create server nowhere foreign data wrapper nothing;"
        " create table app.parts (n integer) partition by range (n); alter table app.parts"
        " owner to app;"
        " create foreign table app.far partition of app.parts for values"
        " from (0) to (10) server nowhere;"
        " alter foreign table app.far owner to app"
    )
    job = put_sql(database, "vacuum app.parts")
    database.drain()
    error = database.job(job)["error"]
    assert (state(database, job), error["sqlstate"]) == ("failed", "42809")
    assert "app.far" in error["message"]


def test_what_skip_locked_passed_over_is_told(database: Database) -> None:
    """No failure, for it was asked for; but not verified."""
    database.run("create table app.points (n integer)")
    with database.server.connect("app", database.name) as holder:
        holder.autocommit = False
        holder.execute("lock table app.points in access exclusive mode")
        job = put_sql(database, "vacuum (skip_locked) app.points", max_attempts=1)
        database.run("select jobs.start()")
        found = wait_for(database, job)
        holder.rollback()
    assert found["state"] == "succeeded", found
    assert (found["result"]["verified"], found["result"]["skipped"]) == (False, "app.points")
    database.drain()


def test_an_analyze_tells_what_skip_locked_passed_over(database: Database) -> None:
    """It runs in a transaction, and is judged as what runs outside of one."""
    database.run("create table app.points (n integer)")
    with database.server.connect("app", database.name) as holder:
        holder.autocommit = False
        holder.execute("lock table app.points in access exclusive mode")
        job = put_sql(database, "analyze (skip_locked) app.points, app.ledger", max_attempts=1)
        database.drain()
        holder.rollback()
    found = database.job(job)
    assert found["state"] == "succeeded", found
    assert (found["result"]["verified"], found["result"]["skipped"]) == (False, "app.points")


def test_an_analyze_that_passes_over_a_foreign_partition_fails(database: Database) -> None:
    """PostgreSQL skips one that its wrapper cannot analyze, with a warning that no
    session hears.
    """
    database.admin(
        "create extension file_fdw; create server files foreign data wrapper file_fdw;"
        " create table app.parts (n integer) partition by range (n); alter table app.parts"
        " owner to app;"
        " create foreign table app.far partition of app.parts for values"
        " from (0) to (10) server files"
        "  options (program 'true');"
        " create table app.near partition of app.parts for values from (10) to (20);"
        " alter foreign table app.far owner to app; alter table app.near owner to app"
    )
    job = put_sql(database, "analyze app.parts", max_attempts=1)
    near = put_sql(database, "analyze app.near", max_attempts=1)
    database.drain()
    found = database.job(job)
    assert (found["state"], found["error"]["sqlstate"]) == ("failed", "PW043"), found
    assert "app.far" in found["error"]["detail"]
    assert database.result(near) == {"command_tag": "ANALYZE", "verified": True}

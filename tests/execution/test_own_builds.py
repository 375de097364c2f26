"""An index that was built is known as the job's own, also where its watcher missed the build."""

import psycopg
import pytest
from stage import put_sql, wait_for
from support import Database, wait_until

from .cut_off import finish, indexes, kill_both, never_seen, stop_child


@pytest.mark.parametrize("exists", ["", "if not exists "])
def test_an_index_of_that_name_that_was_there_is_not_what_was_made(
    database: Database, exists: str
) -> None:
    """Of another definition: with IF NOT EXISTS nothing is made, which the result says;
    without it is an error.
    """
    database.run(
        "create table app.points (a integer, b integer); create index points_i on app.points (a)"
    )
    job = put_sql(
        database, f"create index concurrently {exists}points_i on app.points (b)", max_attempts=1
    )
    database.drain()
    found = database.job(job)
    if exists:
        assert found["state"] == "succeeded"
        assert (found["result"]["verified"], found["result"]["made"]) == (False, None)
        assert "was there before" in found["result"]["why"]
    else:
        assert (found["state"], found["error"]["sqlstate"]) == ("failed", "42P07")


def test_an_interrupted_build_is_not_verified_by_an_older_index(database: Database) -> None:
    """Its session and its watcher die; the valid index of that name was there before."""
    database.run(
        "create table app.points (a integer, b integer); create index points_i on app.points (a)"
    )
    with database.server.connect("app", database.name) as holder:
        holder.autocommit = False
        holder.execute("lock table app.points in share row exclusive mode")
        job = put_sql(
            database, "create index concurrently points_i on app.points (b)", max_attempts=1
        )
        database.run("select jobs.start()")
        kill_both(database, job)
        holder.rollback()
    database.drain()
    found = database.job(job)
    assert (found["state"], found["error"]["sqlstate"]) == ("failed", "42P07"), found


def test_an_unnamed_index_that_was_cut_off_is_dropped_before_the_next(database: Database) -> None:
    database.run("create table app.points (n integer)")
    with database.server.connect("app", database.name) as holder:
        holder.autocommit = False
        holder.execute("insert into app.points values (1)")
        job = put_sql(database, "create index concurrently on app.points (n)", max_attempts=5)
        database.run("select jobs.start()")
        wait_until(
            lambda: database.admin(
                "select 1 from jobs_internal.made_index where job_id = %s", [job]
            )
        )
        stop_child(database, job)
        wait_until(lambda: not database.background())
        assert indexes(database, "app.points") == [("points_n_idx", False)]
        ((status, detail, remedy),) = database.admin(
            "select status, detail, remedy from jobs.health where \"check\" = 'invalid indexes'"
        )
        assert (status, "app.points_n_idx" in detail) == ("warning", True)
        assert remedy.startswith("drop index concurrently app.points_n_idx;")
        holder.rollback()
    found = finish(database, job)
    assert (found["state"], found["result"]["verified"]) == ("succeeded", True)
    assert indexes(database, "app.points") == [("points_n_idx", True)]
    assert database.admin("select status from jobs.health where \"check\" = 'invalid indexes'") == [
        ("ok",)
    ]


def test_a_rebuild_that_ended_at_its_last_step_is_a_success(database: Database) -> None:
    """By a lock timeout: the new index is valid under the name, the old one an invalid _ccold.
    It is cleared up.
    """
    database.run("create table app.points (n integer); create index points_n on app.points (n)")
    with (
        database.server.connect("app", database.name) as first,
        database.server.connect("app", database.name) as last,
    ):
        first.autocommit = last.autocommit = False
        first.execute("insert into app.points values (1)")
        settings = {"lock_timeout": "4s"}
        job = put_sql(
            database, "reindex index concurrently app.points_n", max_attempts=1, settings=settings
        )
        database.run("select jobs.start()")
        wait_until(lambda: database.admin("select 1 from pg_stat_progress_create_index"))
        # A reader without a snapshot is what its last steps wait for.
        last.execute("select from app.points where n = 5")
        first.rollback()
        wait_until(
            lambda: database.admin("select 1 from pg_class where relname = 'points_n_ccold'"), 20
        )
        wait_until(lambda: not database.admin("select 1 from pg_stat_progress_create_index"), 20)
        last.rollback()
    found = wait_for(database, job)
    assert found["state"] == "succeeded", found
    assert (found["result"]["verified"], found["result"]["despite"][:5]) == (True, "55P03")
    database.drain()
    assert indexes(database, "app.points") == [("points_n", True)]


def test_a_short_build_that_its_watcher_missed_is_verified(database: Database) -> None:
    """An unnamed index is known by what was seen being built, else as the only new one of
    its table.
    """
    database.admin(
        "create or replace function jobs_internal.index_of_child(p_pid integer) returns oid"
        " language sql volatile"
        " set search_path = pg_catalog, pg_temp begin atomic select null::oid; end"
    )
    database.run("create table app.points (n integer); create index on app.points ((n + 1))")
    job = put_sql(database, "create index concurrently on app.points (n)")
    database.drain()
    assert database.result(job) == {"command_tag": "CREATE INDEX", "verified": True}


@pytest.mark.parametrize("sure", [True, False])
@pytest.mark.parametrize("both", [True, False])
def test_an_unnamed_index_that_its_watcher_missed_is_found(
    database: Database, *, sure: bool, both: bool
) -> None:
    """By what stood on the table before: dropped where it can be no other one, and else told;
    never in doubt.
    """
    never_seen(database)
    database.run("create table app.points (n integer); create index on app.points ((n + 1))")
    columns = "(n)" if sure else "(n desc)"
    with database.server.connect("app", database.name) as holder:
        holder.autocommit = False
        holder.execute("insert into app.points values (1)")
        job = put_sql(
            database, f"create index concurrently on app.points {columns}", max_attempts=5
        )
        database.run("select jobs.start()")
        wait_until(lambda: indexes(database, "app.points")[-1] == ("points_n_idx", False))
        if both:
            kill_both(database, job)
        else:
            stop_child(database, job)
            wait_until(lambda: not database.background())
            left = database.admin(
                "select detail, remedy from jobs.health where \"check\" = 'invalid indexes'"
            )
            assert "app.points_n_idx" in left[0][0]
            assert left[0][1].startswith("drop index concurrently app.points_n_idx;")
        holder.rollback()
    assert finish(database, job)["state"] == "succeeded", database.job(job)
    found = [("points_expr_idx", True), ("points_n_idx", sure)] + [("points_n_idx1", True)] * (
        not sure
    )
    assert indexes(database, "app.points") == found
    health = database.admin("select status from jobs.health where \"check\" = 'invalid indexes'")
    assert health == [("ok" if sure else "warning",)]


def test_an_invalid_index_of_another_one_is_not_dropped(database: Database) -> None:
    """New on the table and invalid, of other columns: it is not of this job."""
    never_seen(database)
    database.run("create table app.points (n integer, m integer)")
    with database.server.connect("app", database.name) as holder:
        holder.autocommit = False
        holder.execute("insert into app.points values (1, 1)")
        job = put_sql(database, "create index concurrently on app.points (n)", max_attempts=5)
        database.run("select jobs.start()")
        wait_until(lambda: indexes(database, "app.points") == [("points_n_idx", False)])
        stop_child(database, job)
        wait_until(lambda: not database.background())
        with database.connect() as line:
            line.execute("set statement_timeout = 200")
            with pytest.raises(psycopg.errors.QueryCanceled):
                line.execute("create index concurrently on app.points (m)")
        holder.rollback()
    assert finish(database, job)["state"] == "succeeded"
    assert indexes(database, "app.points") == [("points_m_idx", False), ("points_n_idx", True)]


def test_an_unnamed_index_is_found_whose_first_build_was_seen_and_whose_second_was_not(
    database: Database,
) -> None:
    """What was seen is dropped by then: it says nothing about the next attempt."""
    database.run("create table app.points (n integer)")
    with database.server.connect("app", database.name) as holder:
        holder.autocommit = False
        holder.execute("insert into app.points values (1)")
        job = put_sql(database, "create index concurrently on app.points (n)", max_attempts=5)
        database.run("select jobs.start()")
        wait_until(
            lambda: database.admin(
                "select 1 from jobs_internal.made_index where job_id = %s", [job]
            )
        )
        stop_child(database, job)
        wait_until(lambda: not database.background())
        holder.rollback()
    never_seen(database)
    found = finish(database, job)
    assert (found["state"], found["result"]["verified"]) == ("succeeded", True), found
    assert indexes(database, "app.points") == [("points_n_idx", True)]

"""What a job left that ended for good, and no further attempt would remove, is removed by a job
that its end makes; and nothing else is.
"""

from typing import Any

import pytest
from stage import holding, put_sql
from support import Database, wait_until

from .cut_off import finish, indexes, stop_child

TABLES = """
create table app.points (n integer, m integer);
create index points_n on app.points (n);
create table app.parts (n integer) partition by range (n);
create table app.low partition of app.parts for values from (0) to (10);
"""
CLEAN_UPS = "select id, state, title from jobs.job where title like 'clean-up of %%' order by id"


def clean(database: Database) -> list[tuple[Any, ...]]:
    """Run what is due, and give the jobs that cleaned up."""
    wait_until(lambda: not database.background(), 20)
    database.drain()
    return database.admin(CLEAN_UPS)


def broken(database: Database) -> list[tuple[Any, ...]]:
    """List what an interrupted operation may leave."""
    return database.admin(
        "select indexrelid::regclass::text from pg_index where not indisvalid"
        " union all select inhrelid::regclass::text from pg_inherits where inhdetachpending"
    )


@pytest.mark.parametrize(
    ("statement", "left"),
    [
        ("create index concurrently points_m on app.points (m)", "app.points_m"),
        ("create index concurrently on app.points (m, n)", "app.points_m_n_idx"),
        ("reindex index concurrently app.points_n", "app.points_n_ccnew"),
        ("reindex table concurrently app.points", "app.points_n_ccnew"),
        ("drop index concurrently app.points_n", "app.points_n"),
        ("alter table app.parts detach partition app.low concurrently", "app.low"),
    ],
)
def test_what_a_cancelled_job_left_is_removed(
    database: Database, statement: str, left: str
) -> None:
    database.run(TABLES)
    with holding(database, "insert into app.points values (1); select from app.parts") as holder:
        job = put_sql(database, statement)
        database.run("select jobs.start()")
        wait_until(lambda: broken(database) == [(left,)], 20)
        database.run("select jobs.cancel(%s)", [job])
        wait_until(lambda: database.job(job)["state"] == "cancelled", 20)
        assert broken(database) == [(left,)]
        holder.rollback()
    ((_id, state, title),) = clean(database)
    assert (state, title) == ("succeeded", f"clean-up of {job}")
    assert broken(database) == []
    there = ["points_n"] if "drop" not in statement else []
    assert [name for name, _valid in indexes(database, "app.points")] == there


def test_a_supervisor_that_sleeps_is_woken_for_it(database: Database) -> None:
    """By the transaction that makes the clean-up."""
    database.run(TABLES)
    database.admin(
        "create table app.woken (at timestamptz);"
        " grant insert on app.woken to public; grant usage on schema app to public;"
        " create or replace function jobs_internal.wake(p_lane integer) returns void language sql"
        " as 'insert into app.woken values (now())'"
    )
    with holding(database, "insert into app.points values (1); select from app.parts") as holder:
        job = put_sql(database, "create index concurrently points_m on app.points (m)")
        database.run("select jobs.start()")
        wait_until(lambda: broken(database) == [("app.points_m",)], 20)
        database.run("select jobs.cancel(%s)", [job])
        wait_until(lambda: database.job(job)["state"] == "cancelled", 20)
        holder.rollback()
    # made at the beginning of a transaction, as are the wake-ups of that one
    made = "select j.title from jobs.job as j join app.woken as w on w.at = j.created_at"
    assert (f"clean-up of {job}",) in database.admin(made)


def test_an_index_that_was_invalid_before_its_drop_was_cancelled_stays(database: Database) -> None:
    """Only a drop that was carried out to its half is carried out to its end."""
    database.run(TABLES)
    database.admin(
        "update pg_index set indisvalid = false where indexrelid = 'app.points_n'::regclass"
    )
    with holding(database, "insert into app.points values (1)") as holder:
        job = put_sql(database, "drop index concurrently app.points_n")
        database.run("select jobs.start()")
        wait_until(
            lambda: database.admin(
                "select 1 from pg_stat_activity where backend_type = 'pg_background'"
                " and wait_event_type = 'Lock'"
            ),
            20,
        )
        database.run("select jobs.cancel(%s)", [job])
        wait_until(lambda: database.job(job)["state"] == "cancelled", 20)
        holder.rollback()
    assert clean(database) == []
    assert broken(database) == [("app.points_n",)]


def test_a_retry_that_comes_first_leaves_nothing_to_do(database: Database) -> None:
    database.run(TABLES)
    with holding(database, "insert into app.points values (1)") as holder:
        job = put_sql(database, "create index concurrently points_m on app.points (m)")
        database.run("select jobs.start()")
        wait_until(lambda: broken(database), 20)
        database.run("select jobs.cancel(%s)", [job])
        wait_until(lambda: database.job(job)["state"] == "cancelled", 20)
        wait_until(lambda: not database.background(), 20)
        database.admin(
            "update jobs_internal.job set due_at = 'infinity' where options ->> 'title' ~ '^clean'"
        )
        holder.rollback()
    database.run("select jobs.retry(%s)", [job])
    database.drain()
    assert database.job(job)["state"] == "succeeded"
    database.admin("update jobs_internal.job set due_at = now() where due_at = 'infinity'")
    assert [state for _id, state, _title in clean(database)] == ["succeeded"]
    assert ("points_m", True) in indexes(database, "app.points")


@pytest.mark.parametrize("what", ["index app.points_n", "table app.points"])
def test_the_copy_of_a_rebuild_that_stood_before_is_not_ours(database: Database, what: str) -> None:
    """Another session's REINDEX CONCURRENTLY left it."""
    database.run(TABLES + "create index strange_ccnew on app.points (m);")
    database.admin(
        "set allow_system_table_mods = on; update pg_index set indisvalid = false"
        " where indexrelid = 'app.strange_ccnew'::regclass; reset allow_system_table_mods"
    )
    with holding(database, "insert into app.points values (1)") as holder:
        job = put_sql(database, f"reindex {what.replace(' ', ' concurrently ')}", max_attempts=5)
        database.run("select jobs.start()")
        stop_child(database, job)
        wait_until(lambda: not database.background())
        holder.rollback()
    assert finish(database, job)["state"] == "succeeded"
    assert broken(database) == [("app.strange_ccnew",)]

"""What a build left is dropped when nobody is in the way, and else known of until it is gone,
however its job ended.
"""

from concurrent.futures import ThreadPoolExecutor

import psycopg
import pytest
from stage import attempts, holding, put_sql, running, wait_for
from support import Database, wait_until

from .cut_off import indexes, kill_both, stop_child

LEFT = (
    "select c.relname from pg_index i join pg_class c on c.oid = i.indexrelid"
    " where not i.indisvalid"
)
HEALTH = "select status, detail, remedy from jobs.health where \"check\" = 'invalid indexes'"


def cut_off_build(database: Database) -> int:
    """A job whose first attempt was interrupted and left app.points_n invalid;
    it waits for the second.
    """
    database.run("create table app.points (n integer)")
    with holding(database, "insert into app.points values (1)") as holder:
        job = put_sql(
            database, "create index concurrently points_n on app.points (n)", max_attempts=5
        )
        database.run("select jobs.start()")
        stop_child(database, job)
        wait_until(lambda: not database.background())
        holder.rollback()
    assert indexes(database, "app.points") == [("points_n", False)]
    return job


def test_what_a_rebuild_left_whose_watcher_died_is_in_health(database: Database) -> None:
    """There is no further attempt that would note it: it may not be repeated."""
    database.run("create table app.points (n integer); create index points_n on app.points (n)")
    with holding(database, "insert into app.points values (1)") as holder:
        job = put_sql(
            database,
            "reindex index concurrently app.points_n",
            max_attempts=1,
            options={"repeatable": False},
            done_when="false",
        )
        database.run("select jobs.start()")
        kill_both(database, job)
        holder.rollback()
    database.admin("select jobs_internal.rescue()")
    ((status, detail, remedy),) = database.admin(HEALTH)
    assert (status, "app.points_n_ccnew" in detail) == ("warning", True), detail
    for statement in remedy.split(";")[:-1]:
        database.run(statement)
    assert database.admin(HEALTH)[0][0] == "ok"


def test_a_rescue_waits_for_nobody_who_notes_an_index(database: Database) -> None:
    """A transaction of another session that notes the same index is open: the dead session is seen
    to all the same.
    """
    database.run("create table app.points (n integer); create index points_n on app.points (n)")
    with holding(database, "insert into app.points values (1)") as holder:
        job = put_sql(database, "reindex index concurrently app.points_n", max_attempts=1)
        database.run("select jobs.start()")
        kill_both(database, job)
        holder.rollback()
    with database.server.connect("postgres", database.name) as other:
        other.autocommit = False
        other.execute(
            "insert into jobs_internal.made_index (index, job_id)"
            " select indexrelid, 0 from pg_index where not indisvalid"
            " and indrelid = 'app.points'::regclass"
        )
        with database.connect("postgres", lock_timeout="5s") as line:
            assert line.execute("select jobs_internal.rescue()").fetchone() == (1,)
        other.rollback()
    assert "app.points_n_ccnew" in database.admin(HEALTH)[0][1]
    database.drain()


def test_the_clean_up_waits_for_who_may_make_the_index_valid(database: Database) -> None:
    """TRUNCATE does: the next attempt finds the work done, and nothing was dropped or built."""
    job = cut_off_build(database)
    before = database.value("select 'app.points_n'::regclass::oid::bigint")
    with holding(database, "truncate app.points") as holder:
        holder_pid = holder.info.backend_pid
        database.run("select jobs.run_now(%s)", (job,))
        database.run("select jobs.start()")
        said = str(wait_until(lambda: (running(database, job) or {}).get("message")))
        assert f"pid {holder_pid} holds AccessExclusiveLock on app.points" in said
        assert running(database, job)["child_pid"] is None  # type: ignore[index]
        holder.commit()
    assert wait_for(database, job)["result"]["verified"] is True
    assert indexes(database, "app.points") == [("points_n", True)]
    assert database.value("select 'app.points_n'::regclass::oid::bigint") == before


def test_a_clean_up_that_waits_can_be_cancelled(database: Database) -> None:
    job = cut_off_build(database)
    with holding(database, "lock table app.points in share mode") as holder:
        database.run("select jobs.run_now(%s)", (job,))
        database.run("select jobs.start()")
        wait_until(lambda: (running(database, job) or {}).get("message"))
        database.run("select jobs.cancel(%s)", (job,))
        assert wait_for(database, job)["state"] == "cancelled"
        holder.rollback()
    assert attempts(database, job)[-1][1] == "cancelled"
    assert "app.points_n" in database.admin(HEALTH)[0][1]


def test_a_clean_up_waits_no_longer_than_its_job_may_run(database: Database) -> None:
    """No supervisor ends it here."""
    database.run("create table app.points (n integer)")
    with holding(database, "insert into app.points values (1)") as holder:
        job = put_sql(
            database,
            "create index concurrently points_n on app.points (n)",
            max_attempts=2,
            timeout="1 s",
        )
        database.run("select jobs.start()")
        wait_for(database, job, "scheduled")
        wait_until(lambda: not database.background())
        holder.rollback()
    with holding(database, "lock table app.points in share mode") as holder:
        database.run("select jobs.run_now(%s)", (job,))
        database.run("select jobs.start()")
        error = wait_for(database, job)["error"]
        holder.rollback()
    assert attempts(database, job) == [(1, "timed_out"), (2, "timed_out")]
    assert "holds ShareLock on app.points" in error["detail"]


def test_a_build_that_failed_for_good_leaves_nothing(database: Database) -> None:
    """Its invalid index would go on refusing duplicates."""
    database.run("create table app.points (n integer); insert into app.points values (1), (1)")
    job = put_sql(database, "create unique index concurrently points_n on app.points (n)")
    database.drain()
    error = database.job(job)["error"]
    assert (error["sqlstate"], indexes(database, "app.points")) == ("23505", [])
    assert database.admin(HEALTH)[0][0] == "ok"


def test_what_a_failed_build_left_stays_where_somebody_may_make_it_valid(
    database: Database,
) -> None:
    """Its last attempt ends by a lock timeout while another session waits for the table:
    nothing is dropped.
    """
    database.run("create table app.points (n integer)")
    with holding(database, "insert into app.points values (1)") as holder:
        settings = {"lock_timeout": "3s"}
        job = put_sql(
            database,
            "create index concurrently points_n on app.points (n)",
            max_attempts=1,
            settings=settings,
        )
        database.run("select jobs.start()")
        wait_until(lambda: database.admin("select 1 from pg_stat_progress_create_index"))
        with ThreadPoolExecutor(1) as pool:
            other = pool.submit(database.connect().execute, "truncate app.points")
            found = wait_for(database, job)
            left = database.admin(LEFT)
            health = database.admin(HEALTH)
            holder.rollback()
            other.result()
    assert found["error"]["sqlstate"] == "55P03"
    assert "It left invalid: index app.points_n." in found["error"]["detail"]
    assert left == [("points_n",)]
    assert "app.points_n" in health[0][1]
    assert indexes(database, "app.points") == [("points_n", True)]
    assert database.admin(HEALTH)[0][0] == "ok"


def test_what_is_left_of_a_toast_table_is_told_to_a_superuser(database: Database) -> None:
    """The rebuild ends at its last step: its owner may not drop the old index of the TOAST table,
    the remedy does.
    """
    database.run(
        "create table app.points (n integer, filler text); create index points_n on app.points (n)"
    )
    with holding(database, "insert into app.points values (1)") as first:
        settings = {"lock_timeout": "4s"}
        job = put_sql(
            database, "reindex table concurrently app.points", max_attempts=1, settings=settings
        )
        database.run("select jobs.start()")
        wait_until(lambda: database.admin("select 1 from pg_stat_progress_create_index"))
        # A reader without a snapshot is what its last steps wait for.
        with holding(database, "select from app.points where n = 5") as last:
            first.rollback()
            wait_until(
                lambda: database.admin(
                    "select 1 from pg_class where relname ~ '^pg_toast.*_ccold$'"
                ),
                20,
            )
            wait_until(
                lambda: not database.admin("select 1 from pg_stat_progress_create_index"), 20
            )
            last.rollback()
    found = wait_for(database, job)
    assert (found["state"], found["result"] and found["result"]["verified"]) == (
        "succeeded",
        True,
    ), found
    wait_until(lambda: not database.background())
    assert indexes(database, "app.points") == [("points_n", True)]
    ((status, detail, remedy),) = database.admin(HEALTH)
    assert (status, "_index_ccold" in detail) == ("warning", True), detail
    told, _, statement = remedy.split(";")[0].partition(": ")
    assert told == "as a superuser"
    with pytest.raises(psycopg.errors.InsufficientPrivilege):
        database.run(statement)
    database.admin(statement)
    assert database.admin(HEALTH)[0][0] == "ok"


@pytest.mark.parametrize("invalid", ["part", "parent"])
def test_a_rebuild_of_a_partitioned_index_with_an_invalid_part(
    database: Database, invalid: str
) -> None:
    """What was invalid before is not rebuilt concurrently, and is nobody's leftover."""
    database.run(
        "create table app.parts (n integer) partition by range (n);"
        " create table app.low partition of app.parts for values from (0) to (10);"
        " create table app.high partition of app.parts for values from (10) to (20);"
        " create index parts_n on only app.parts (n); create index low_n on app.low (n);"
        " alter index app.parts_n attach partition app.low_n; insert into app.high"
        " values (11), (11)"
    )
    if invalid == "part":
        unique = "create unique index concurrently high_n on app.high (n)"
        with pytest.raises(psycopg.errors.UniqueViolation):
            database.run(unique)
    job = put_sql(database, "reindex table concurrently app.parts", max_attempts=1)
    database.drain()
    assert database.result(job)["verified"] is True
    assert indexes(database, "app.low") == [("low_n", True)]
    assert indexes(database, "app.high") == ([("high_n", False)] if invalid == "part" else [])
    assert database.admin(HEALTH)[0][0] == "ok"

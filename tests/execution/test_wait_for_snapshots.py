"""The option wait_for_snapshots: a build waits for old transactions before it begins, when nothing
is lost yet.
"""

from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from psycopg import Connection
from stage import attempts, put_sql, running, wait_for
from support import Database, Row, wait_until

BUILD = "create index concurrently points_n on app.points (n)"


@pytest.fixture(autouse=True)
def _scene(database: Database) -> None:
    """A moment is old here, and the table is there."""
    database.run("create table app.points (n integer)")
    database.run("create table app.lines (n integer)")
    database.admin(
        "create or replace function jobs_internal.old_age() returns interval language sql"
        " immutable set search_path = pg_catalog, pg_temp"
        " begin atomic select interval '0.3 s'; end"
    )


@contextmanager
def transaction(
    database: Database, *statements: str, young: bool = False
) -> Iterator[Connection[Row]]:
    """Hold a transaction open, which is an old one by now, or a young one."""
    with database.server.connect("app", database.name) as connection:
        for statement in statements:
            connection.execute(statement.encode())
        wait_until(
            lambda: (
                young
                or database.admin(
                    "select 1 from pg_stat_activity where pid = %s"
                    " and xact_start < clock_timestamp() - jobs_internal.old_age()",
                    [connection.info.backend_pid],
                )
            )
        )
        yield connection
        connection.rollback()


def start(database: Database, statement: str = BUILD, **options: object) -> int:
    job = put_sql(database, statement, options={"wait_for_snapshots": True}, **options)
    database.run("select jobs.start()")
    return job


def message(database: Database, job: int) -> str:
    """Wait until a job says what it waits for."""
    return str(wait_until(lambda: (running(database, job) or {}).get("message")))


def test_it_waits_for_an_old_snapshot_before_it_begins(database: Database) -> None:
    """It says for whom in jobs.running, jobs.explain and jobs.blockers, and has made nothing."""
    with transaction(database, "begin isolation level repeatable read", "select 1") as reader:
        pid = reader.info.backend_pid
        job = start(database)
        assert f"before it begins, it waits for old transactions: pid {pid} (snapshot" in message(
            database, job
        )
        code, reason, pids = database.run(
            "select code, reason, blocked_by_pids from jobs.explain(%s)", [job]
        )[0]
        assert (code, pids) == ("snapshot", [pid])
        assert reason == f"before it begins, it waits for old transactions to end: process {pid}"
        assert database.run("select pid, why, may_end from jobs.blockers(%s)", [job]) == [
            (pid, "snapshot", True)
        ]
        now = running(database, job)
        assert now is not None
        assert now["child_pid"] is None
        # no transaction of its own stays open meanwhile
        begun = "select xact_start from pg_stat_activity where pid = %s"
        before = database.admin(begun, [now["pid"]])
        wait_until(lambda: database.admin(begun, [now["pid"]]) != before)
        assert database.admin("select from pg_class where relname = 'points_n'") == []
    wait_for(database, job, "succeeded")
    assert attempts(database, job) == [(1, "succeeded")]


def test_what_a_build_does_not_wait_for_it_does_not_wait_for_before(database: Database) -> None:
    """Idle transactions that read this table, or wrote to another."""
    with (
        transaction(database, "begin", "select * from app.points"),
        transaction(database, "begin", "insert into app.lines values (1)"),
    ):
        job = start(database)
        wait_for(database, job, "succeeded")


@pytest.mark.parametrize(
    ("statement", "hold"),
    [
        (BUILD, "insert into app.points values (1)"),
        ("reindex index concurrently app.points_old", "select * from app.points"),
        ("drop index concurrently app.points_old", "select * from app.points"),
    ],
)
def test_it_waits_for_those_who_have_locked_the_table(
    database: Database, statement: str, hold: str
) -> None:
    """A build for writers, a rebuild and a drop for readers too."""
    database.run("create index points_old on app.points (n)")
    with transaction(database, "begin", hold) as holder:
        job = start(database, statement)
        assert f"pid {holder.info.backend_pid} (lock" in message(database, job)
    wait_for(database, job, "succeeded")


def test_a_drop_waits_for_no_snapshot(database: Database) -> None:
    database.run("create index points_old on app.points (n)")
    with transaction(database, "begin isolation level repeatable read", "select 1"):
        job = start(database, "drop index concurrently app.points_old")
        wait_for(database, job, "succeeded")


def test_it_is_cancelled_while_it_waits(database: Database) -> None:
    """And its time is over while it waits."""
    with transaction(database, "begin isolation level repeatable read", "select 1") as reader:
        job = start(database)
        message(database, job)
        assert database.value("select jobs.cancel(%s)", [job]) == "cancelling"
        wait_for(database, job, "cancelled")
        late = start(database, BUILD, timeout="1 s", max_attempts=1)
        error = wait_for(database, late, "failed")["error"]
        assert error["sqlstate"] == "PWT01"
        assert f"It waited for old transactions: pid {reader.info.backend_pid}" in error["detail"]
    assert database.admin("select from pg_class where relname = 'points_n'") == []


def test_young_transactions_are_not_waited_for(database: Database) -> None:
    """It is said of those that are old enough only; the build itself waits for the others."""
    database.admin(
        "create or replace function jobs_internal.old_age() returns interval language sql"
        " immutable set search_path = pg_catalog, pg_temp"
        " begin atomic select interval '1 hour'; end"
    )
    with transaction(database, "begin isolation level repeatable read", "select 1", young=True):
        job = start(database)
        wait_until(lambda: (running(database, job) or {}).get("child_pid"))
    wait_for(database, job, "succeeded")

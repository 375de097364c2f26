"""An index build that was interrupted does not stand in its own way, and waiters are told what a job waits for."""

import psycopg
import pytest
from stage import attempts, put, put_sql, state, wait_for
from support import Database


def test_another_attempt_drops_what_the_first_left(database: Database) -> None:
    """The first attempt is timed out and leaves an invalid index; its error says so; the second drops it and builds."""
    database.run("create table app.points (n integer)")
    database.run("insert into app.points select generate_series(1, 2000)")
    database.run(
        "create function app.slow(n integer) returns integer language plpgsql immutable as"
        " $$ begin perform pg_sleep(0.02); return n; end $$"
    )
    job = put_sql(
        database, "create index concurrently points_slow on app.points (app.slow(n))", timeout="1 s", max_attempts=2
    )
    database.run("select jobs.start()")
    error = wait_for(database, job, "scheduled")["error"]
    assert error["sqlstate"] == "PWT01"
    assert "It left the invalid index app.points_slow." in error["detail"]
    assert "drops that index first" in error["hint"]

    database.run(
        "create or replace function app.slow(n integer) returns integer language sql immutable as $$ select n $$"
    )
    database.run("select jobs.run_now(%s)", (job,))
    database.drain()

    assert attempts(database, job) == [(1, "timed_out"), (2, "succeeded")]
    assert database.run(
        "select c.relname, i.indisvalid from pg_index i join pg_class c on c.oid = i.indexrelid"
        " where i.indrelid = 'app.points'::regclass"
    ) == [("points_slow", True)]


def test_an_index_that_another_builds_is_not_dropped(database: Database) -> None:
    """A valid index of that name is nobody's leftover: the attempt fails with the server's own error, and it stays."""
    database.run("create table app.points (n integer)")
    database.run("create index points_n on app.points (n)")
    job = put_sql(database, "create index concurrently points_n on app.points (n)", max_attempts=1)
    database.drain()
    database.run("select jobs.retry(%s)", (job,))
    database.drain()
    assert state(database, job) == "failed"
    assert database.job(job)["error"]["sqlstate"] == "42P07"
    assert database.value("select indisvalid from pg_index where indexrelid = 'app.points_n'::regclass") is True


def test_await_is_refused_in_a_transaction_block(database: Database) -> None:
    """It commits between two looks; it says so instead of failing on its first commit."""
    job = put(database, "app.attempt")
    with database.connect() as connection:
        connection.execute("begin")
        with pytest.raises(psycopg.Error) as refused:
            connection.execute(f"call jobs.await({job}, '1 s')".encode())
    assert refused.value.sqlstate == "PW037"
    database.drain()


def test_a_waiter_is_told_that_nobody_runs_the_job(database: Database) -> None:
    """Without sessions and supervisors a job does not go on by itself."""
    job = put(database, "app.attempt")
    with database.connect() as connection, pytest.raises(psycopg.Error) as over:
        connection.execute(f"call jobs.await({job}, '0.1 s')".encode())
    assert over.value.sqlstate == "PW036"
    assert "select jobs.start()" in (over.value.diag.message_hint or "")
    database.drain()

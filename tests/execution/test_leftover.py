"""An index build that was interrupted does not stand in its own way, and waiters are told what a
job waits for.
"""

import psycopg
import pytest
from stage import attempts, put, put_sql, running, state, wait_for
from support import Database, wait_until


def wait_running_child(database: Database, job: int) -> int:
    """Wait until a job runs in a child session; gives its pid."""
    return wait_until(lambda: (running(database, job) or {}).get("child_pid"))


def test_another_attempt_drops_what_the_first_left(database: Database) -> None:
    """The first attempt is timed out and leaves an invalid index; its error says so;
    the second drops it and builds.
    """
    database.run("create table app.points (n integer)")
    database.run("insert into app.points select generate_series(1, 2000)")
    database.run(
        "create function app.slow(n integer) returns integer language plpgsql immutable as"
        " $$ begin perform pg_sleep(0.02); return n; end $$"
    )
    job = put_sql(
        database,
        "create index concurrently points_slow on app.points (app.slow(n))",
        timeout="1 s",
        max_attempts=2,
    )
    database.run("select jobs.start()")
    error = wait_for(database, job, "scheduled")["error"]
    assert error["sqlstate"] == "PWT01"
    assert "It left invalid: index app.points_slow." in error["detail"]
    assert "drops that first" in error["hint"]

    database.run(
        "create or replace function app.slow(n integer) returns integer language sql immutable as"
        " $$ select n $$"
    )
    database.run("select jobs.run_now(%s)", (job,))
    database.drain()

    assert attempts(database, job) == [(1, "timed_out"), (2, "succeeded")]
    assert database.run(
        "select c.relname, i.indisvalid from pg_index i join pg_class c on c.oid = i.indexrelid"
        " where i.indrelid = 'app.points'::regclass"
    ) == [("points_slow", True)]


def test_a_build_that_is_interrupted_for_ever_says_what_it_left(database: Database) -> None:
    """Three times by nobody known: it has failed, and its error still speaks of the index."""
    database.run("create table app.points (n integer)")
    database.run("insert into app.points select generate_series(1, 2000)")
    database.run(
        "create function app.slow(n integer) returns integer language plpgsql immutable as"
        " $$ begin perform pg_sleep(0.02); return n; end $$"
    )
    job = put_sql(database, "create index concurrently points_slow on app.points (app.slow(n))")
    # Its child may be another one before, which drops what the last one left.
    building = (
        "select p.pid from pg_stat_progress_create_index as p join jobs_internal.job as j on"
        " j.child_pid = p.pid"
        " where j.id = %s and p.phase ~ '^building'"
    )
    for _ in range(3):
        database.run("select jobs.start()")
        ((child,),) = wait_until(lambda: database.admin(building, [job]), 20)
        database.admin("select pg_cancel_backend(%s)", [child])
        wait_until(lambda: not database.background(), 20)
    error = database.job(job)["error"]
    assert error["sqlstate"] == "PWC02"
    assert "It left invalid: index app.points_slow." in error["detail"]
    assert "canceling statement due to user request" in error["detail"]


@pytest.mark.parametrize(
    "statement",
    [
        "reindex index concurrently app.points_slow",
        "reindex (concurrently) index app.points_slow",
        "reindex table concurrently app.points",
        "reindex (verbose) schema concurrently app",
    ],
)
def test_a_reindex_that_was_cut_off_leaves_nothing(database: Database, statement: str) -> None:
    """The first attempt leaves a half-built copy; that the old index is valid is no success;
    the second clears up.
    """
    database.run("create table app.points (n integer, filler text)")
    database.run("insert into app.points select generate_series(1, 2000)")
    body = (
        "returns integer language plpgsql immutable as $$ begin perform pg_sleep({});"
        " return n; end $$"
    )
    database.run("create function app.slow(n integer) " + body.format(0))
    database.run("create index points_slow on app.points (app.slow(n))")
    database.run("create or replace function app.slow(n integer) " + body.format(0.02))
    job = put_sql(database, statement, timeout="1 s", max_attempts=2)
    database.run("select jobs.start()")
    error = wait_for(database, job, "scheduled")["error"]
    assert error["sqlstate"] == "PWT01"
    assert "It left invalid: index app.points_slow_ccnew" in error["detail"]
    before = database.value("select 'app.points_slow'::regclass::oid::bigint")

    database.run("create or replace function app.slow(n integer) " + body.format(0))
    wait_until(lambda: not database.background())
    database.run("select jobs.run_now(%s)", (job,))
    database.drain()

    assert attempts(database, job) == [(1, "timed_out"), (2, "succeeded")]
    assert database.result(job)["verified"] is True
    assert database.value("select 'app.points_slow'::regclass::oid::bigint") != before
    # That of the TOAST table stays: its owner may not drop it.
    left = (
        "select from pg_index as i where not i.indisvalid and i.indexrelid::regclass::text !~"
        " '^pg_toast'"
    )
    assert database.admin(left) == []


def test_a_reindex_whose_session_died_is_no_success(database: Database) -> None:
    """The index was valid before: that it still is does not show that it was built anew."""
    database.run("create table app.points (n integer)")
    database.run("create index points_n on app.points (n)")
    with database.server.connect("app", database.name) as holder:
        holder.autocommit = False
        holder.execute("insert into app.points values (1)")
        job = put_sql(database, "reindex index concurrently app.points_n", max_attempts=1)
        database.run("select jobs.start()")
        child = wait_running_child(database, job)
        watcher = database.value("select pid from jobs.running where id = %s", [job])
        database.admin(
            "select pg_terminate_backend(%s), pg_terminate_backend(%s)", [watcher, child]
        )
        wait_until(lambda: not database.background())
        holder.rollback()
    assert state(database, job) != "succeeded"
    database.drain()
    assert state(database, job) == "succeeded"
    assert database.run(
        "select indisvalid from pg_index where indrelid = 'app.points'::regclass"
    ) == [(True,)]


@pytest.mark.parametrize(
    "table", ["app.points", "points", 'app."points"', "App.Points", 'U&"points"']
)
def test_builds_on_one_table_follow_each_other(database: Database, table: str) -> None:
    """Beside each other one would be a deadlock's victim and leave an invalid index;
    however the table is named.
    """
    database.run("create table app.points (n integer)")
    database.run("create table app.lines (n integer)")
    with database.server.connect("app", database.name) as holder:
        holder.autocommit = False
        # Both builds wait for this transaction, so that what runs can be seen for as long as it
        # takes to look.
        holder.execute("insert into app.points values (1)")
        holder.execute("insert into app.lines values (1)")
        first = put_sql(
            database, "create index concurrently points_a on app.points (n)", max_attempts=1
        )
        database.run("select jobs.start()")
        wait_running_child(database, first)
        second = put_sql(
            database, f"create index concurrently points_b on {table} (n)", max_attempts=1
        )
        database.run("select jobs.start()")
        # A session has decided about it: it started, or its message comes back in a moment (a claim
        # lasts longer).
        ((lane,),) = database.admin("select pgmq_queue from jobs_internal.lane")
        decided = (
            f"select not exists (select from pgmq.q_{lane}"
            " where read_ct = 0 or vt > clock_timestamp() + interval '2 seconds')"
        )
        wait_until(lambda: database.admin(decided)[0][0])
        assert state(database, second) == "queued"
        elsewhere = None
        if "U&" not in table:  # what it is on cannot be read from its text: it waits for all
            elsewhere = put_sql(
                database, "create index concurrently lines_a on app.lines (n)", max_attempts=1
            )
            database.run("select jobs.start()")
            wait_running_child(database, elsewhere)
        assert state(database, second) == "queued"
        holder.rollback()
    database.drain()
    # How one ends whose name cannot be read is another test's.
    judged = (first, second, elsewhere) if elsewhere else (first,)
    assert {state(database, job) for job in judged} == {"succeeded"}
    assert database.job(second)["started_at"] >= database.job(first)["finished_at"]


def test_an_index_that_another_builds_is_not_dropped(database: Database) -> None:
    """A valid index of that name is nobody's leftover: the attempt fails with the server's own
    error, and it stays.
    """
    database.run("create table app.points (n integer)")
    database.run("create index points_n on app.points (n)")
    job = put_sql(database, "create index concurrently points_n on app.points (n)", max_attempts=1)
    database.drain()
    database.run("select jobs.retry(%s)", (job,))
    database.drain()
    assert state(database, job) == "failed"
    assert database.job(job)["error"]["sqlstate"] == "42P07"
    assert (
        database.value(
            "select indisvalid from pg_index where indexrelid = 'app.points_n'::regclass"
        )
        is True
    )


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

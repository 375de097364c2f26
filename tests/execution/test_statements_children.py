"""Child sessions of statements: what they end in, say, and leave to be seen."""

import pytest
from stage import (
    attempts,
    gate_shut,
    ledger,
    put,
    put_sql,
    running,
    state,
    wait_at_gate,
    wait_for,
    wait_running,
)
from support import Database, wait_until


def test_the_full_error_of_a_child(database: Database) -> None:
    job = put_sql(database, "call app.break_child()")
    by_task = put(database, "app.break_child")
    database.drain()
    for one in (job, by_task):
        found = database.job(one)
        assert found["state"] == "failed"
        error = found["error"]
        assert {
            name: error[name]
            for name in ("sqlstate", "message", "detail", "hint", "constraint", "table")
        } == {
            "sqlstate": "23514",
            "message": "broken",
            "detail": "d",
            "hint": "h",
            "constraint": "c_1",
            "table": "ledger",
        }
        assert "break_child()" in error["context"]
    assert ledger(database) == []


def test_arguments_of_a_call_are_seen_nowhere(database: Database) -> None:
    secret = "canary-4711"
    with gate_shut(database):
        job = put(database, "app.watched", {"n": 1, "secret": secret})
        database.run("select jobs.start()")
        wait_at_gate(database)
        shown = database.admin(
            "select query, application_name from pg_stat_activity where pid <> pg_backend_pid()"
        )
        assert not [row for row in shown if secret in f"{row[0]}{row[1]}"]
    assert wait_for(database, job)["state"] == "succeeded"
    assert ledger(database) == [1]


@pytest.mark.parametrize("level", ["info", "notice"])
def test_a_child_that_talks_too_much_does_not_hang(database: Database, level: str) -> None:
    # INFO is the one level that cannot be turned off: nobody reads it, and the post-condition tells
    # what came of it.
    job = put_sql(
        database,
        f"call app.chatter('{level}', 100000)",
        done_when="exists (select from app.ledger)",
    )
    unknown = put_sql(database, f"call app.chatter('{level}', 50000)")
    database.drain(timeout=60)
    assert state(database, job) == "succeeded"
    assert attempts(database, job) == [(1, "succeeded")]
    assert ledger(database) == [50000, 100000]
    assert state(database, unknown) == ("in_doubt" if level == "info" else "succeeded")


def test_vacuum_verbose_of_many_tables(database: Database) -> None:
    database.run(
        "do $$ begin for i in 1 .. 150 loop"
        " execute format('create table app.t%s (n integer primary key)', i); end loop; end $$"
    )
    job = put_sql(database, "vacuum (verbose, analyze)")
    database.drain(timeout=60)
    assert state(database, job) == "succeeded"


def test_a_million_rows_are_counted(database: Database) -> None:
    job = put_sql(database, "select g, 'x' from generate_series(1, 1000000) as g")
    child = put_sql(
        database, "do $$ begin perform g from generate_series(1, 1000000) as g; commit; end $$"
    )
    database.drain()
    assert database.result(job) == {"rows": 1_000_000}
    assert database.result(child) == {"command_tag": "DO"}


@pytest.mark.parametrize(
    "done", [None, "exists (select from app.ledger)", "not exists (select from app.ledger)"]
)
def test_a_child_that_dies_is_never_a_success_by_itself(
    database: Database, done: str | None
) -> None:
    """transaction_timeout ends its process (FATAL), which pg_background reports as completed
    without an error.
    """
    text = (
        "do $$ begin insert into app.ledger (n) values (1); commit;"
        " perform set_config('transaction_timeout', '50', false); perform pg_sleep(10); end $$"
    )
    job = put_sql(database, text, done_when=done, max_attempts=1)
    database.drain()
    assert ledger(database) == [1]
    found = database.job(job)
    if done is None:
        assert found["state"] in ("failed", "in_doubt")
        assert found["error"]["sqlstate"] in ("PWL01", "PWD01")
    else:
        # A post-condition outranks what the process says of itself.
        assert found["state"] == ("succeeded" if not done.startswith("not") else "failed")


def test_await_works_where_wait_would_block_the_job(database: Database) -> None:
    import psycopg

    job = put_sql(database, "create index concurrently one on app.ledger (n)")
    database.run("select jobs.start()")
    line = database.connect("app")
    with pytest.raises(psycopg.Error) as refused:
        line.execute("select jobs.wait(%s, '1 s')", [job])
    assert refused.value.sqlstate == "PW034" or state(database, job) == "succeeded"
    line.execute(f"call jobs.await({job}, '20 s')")
    assert state(database, job) == "succeeded"


def test_the_views_show_the_child(database: Database) -> None:
    database.run("insert into app.ledger (n) values (1)")
    holder = database.connect("app")
    with holder.transaction():
        holder.execute("lock table app.ledger in share mode")
        job = put_sql(database, "vacuum full app.ledger")
        database.run("select jobs.start()")
        wait_until(lambda: (running(database, job) or {}).get("blocked_by"), 10)
        row = wait_running(database, job)
        assert row["blocked_by"] == [holder.info.backend_pid]
        assert row["wait_event"] == "Lock:relation"
        assert row["child_pid"] is not None
        assert row["child_pid"] != row["pid"]
        assert (row["owner"], row["task"]) == ("app", "vacuum app.ledger")
        seen = database.admin(
            "select usename from pg_stat_activity where pid = %s", [row["child_pid"]]
        )
        assert seen == [("app",)]
    assert wait_for(database, job)["state"] == "succeeded"

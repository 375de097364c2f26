"""What is seen of a job while it runs: its progress, and who blocks it."""

from stage import (
    attempts,
    gate_shut,
    know_as_short,
    put,
    put_sql,
    running,
    state,
    wait_at_gate,
    wait_for,
    wait_running,
)
from support import Database, sqlstate_of, wait_until


def test_a_process_that_blocks_in_several_ways_is_named_once(database: Database) -> None:
    """A parallel query holds its locks in each of its processes, and the server names its leader
    for each.
    """
    database.admin("create table app.many as select 1 as n")
    database.admin("alter table app.many owner to app")
    with database.connect("app") as holder:
        holder.execute("set debug_parallel_query = on")
        leader = holder.info.backend_pid
        holder.pgconn.send_query(b"select n, pg_sleep(600) from app.many")
        try:
            members = (
                "select count(*) from pg_locks where relation = 'app.many'::regclass and granted"
            )
            wait_until(lambda: database.admin(members)[0][0] >= 2)
            job = put_sql(database, "truncate app.many")
            database.run("select jobs.start()")
            wait_until(lambda: (running(database, job) or {}).get("blocked_by"), 10)
            row = running(database, job)
            assert row is not None
            assert database.admin("select pg_blocking_pids(%s)", [row["pid"]]) == [
                ([leader, leader],)
            ]
            assert row["blocked_by"] == [leader]
        finally:
            database.admin("select pg_cancel_backend(%s)", [leader])
            while holder.pgconn.get_result():
                pass
    assert wait_for(database, job)["state"] == "succeeded"


def test_progress_is_seen_in_the_middle_of_the_transaction(database: Database) -> None:
    job = put(database, "app.report", {"done": 30, "total": 120, "message": "reading"})
    with gate_shut(database):
        database.run("select jobs.start()")
        wait_at_gate(database)
        wait_until(lambda: (running(database, job) or {}).get("message"), 5)
        row = running(database, job)
        assert row is not None
        assert (row["done"], row["total"], row["percent"], row["message"]) == (
            30,
            120,
            25,
            "reading",
        )
        assert (row["task"], row["owner"], row["child_pid"]) == ("app.report", "app", None)
        assert row["eta"] >= row["started_at"]
        assert row["wait_event"] == "Lock:advisory"
        holders = database.admin(
            "select pid from pg_locks where locktype = 'advisory' and objid = 1 and granted"
            " and database = (select oid from pg_database where datname = current_database())"
        )
        assert row["blocked_by"] == [holders[0][0]]
        assert database.run("select pid from jobs.sessions") == [(row["pid"],)]
        assert database.run(
            "select count(*) from jobs.running where id = %s", [job], role="other"
        ) == [(0,)]
    assert wait_for(database, job)["state"] == "succeeded"
    wait_until(lambda: not database.background(), 10)
    assert running(database, job) is None
    # outside a job it does nothing
    assert sqlstate_of(lambda: database.run("select jobs.progress(-1, 10)")) is None
    bad = put(database, "app.run", {"what": "select jobs.progress(-1, 10)"})
    database.drain()
    assert database.job(bad)["error"]["sqlstate"] == "PW023"


def test_progress_of_a_job_in_a_chunk(database: Database) -> None:
    put(database, "app.report", {"done": 1, "total": 2, "message": None})
    database.drain()
    know_as_short(database)
    job = put(database, "app.report", {"done": 1.5, "total": 2, "message": None})
    with gate_shut(database):
        database.run("select jobs.start()")
        wait_at_gate(database)
        row = wait_running(database, job)
        assert (row["done"], row["total"], row["percent"]) == (1.5, 2, 75)
        assert state(database, job) == "running"
        assert database.run("select queued, running from jobs.queues where queue = 'default'") == [
            (0, 1)
        ]
        assert attempts(database, job) == [(1, None)]
    assert wait_for(database, job)["state"] == "succeeded"

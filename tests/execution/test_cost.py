"""What attempts cost: measured where the server can tell, summed per task and day."""

from typing import Any

import pytest
from stage import know_as_short, put, put_many, put_sql
from support import Database

MEASURED = ("wal_bytes", "buffers_hit", "buffers_read", "buffers_dirtied", "temp_bytes")


@pytest.fixture(autouse=True)
def functions(database: Database) -> None:
    """A function that writes, and one that spills to disk."""
    database.run("create table app.heap (n integer, filler text)")
    database.run(
        "create function app.write(rows integer) returns integer language sql as"
        " 'insert into app.heap select g, repeat(md5(g::text), 8) from generate_series(1,"
        " $1) as g; select $1'"
    )
    database.run(
        "create function app.many(rows integer) returns setof integer"
        " language sql as 'select generate_series(1, $1)'"
    )
    database.run(
        "create function app.spill() returns bigint language sql set work_mem = '64kB' as"
        " 'select count(*) from (select g from generate_series(1, 50000) as g"
        " order by md5(g::text)) as s'"
    )


def attempt(database: Database, job: int) -> dict[str, Any]:
    return database.record("select * from jobs.attempts where job_id = %s", [job])


def test_a_job_that_runs_alone_is_measured(database: Database) -> None:
    job = put(database, "app.write", {"rows": 1000})
    database.drain()
    assert database.result(job) == 1000
    found = attempt(database, job)
    assert 300_000 < found["wal_bytes"] < 600_000
    assert found["buffers_hit"] + found["buffers_read"] > 1000
    assert found["buffers_dirtied"] > 30
    assert found["temp_bytes"] == 0
    assert found["run_ms"] > 0
    assert found["waited_ms"] >= 0


def test_temporary_files_are_counted(database: Database) -> None:
    job = put(database, "app.spill")
    database.drain()
    assert database.result(job) == 50000
    assert attempt(database, job)["temp_bytes"] > 500_000


def test_rows_are_those_of_the_statement_or_the_set(database: Database) -> None:
    jobs = [
        put_sql(database, "insert into app.heap values (1, 'x'), (2, 'y')"),
        put(database, "app.many", {"rows": 7}),
    ]
    jobs.append(put(database, "app.write", {"rows": 3}))
    database.drain()
    assert [attempt(database, job)["rows"] for job in jobs] == [2, 7, None]
    assert attempt(database, jobs[0])["wal_bytes"] > 100


def test_what_failed_or_ran_in_a_child_is_not_measured(database: Database) -> None:
    jobs = [put(database, "app.fail", max_attempts=1), put_sql(database, "call app.two_commits(1)")]
    database.drain()
    for job in jobs:
        found = attempt(database, job)
        assert [found[name] for name in MEASURED] == [None] * 5
        assert found["run_ms"] > 0


def test_a_result_is_the_same_measured_or_not(database: Database) -> None:
    """Null, a JSON null, texts and sets come through the detour unharmed."""
    values = [
        "null",
        "'null'::jsonb",
        "''::text",
        "'\"'::text",
        "array[1, null]",
        "repeat('x', 200000)",
        "row(1, 'a')",
    ]
    results = []
    for switch in ("on", "off"):
        database.run("select jobs.configure('measure_cost', %s)", [switch], role="operator")
        jobs = []
        for number, value in enumerate(values):
            name = f"app.value_{switch}_{number}"
            kind = database.value(f"select format_type(pg_typeof({value}), -1)")
            kind = {"unknown": "text", "record": "app.pair"}.get(kind, kind)
            if kind == "app.pair" and switch == "on":
                database.run("create type app.pair as (a integer, b text)")
            database.run(
                f"create function {name}() returns {kind} language sql as $f$ select {value} $f$"
            )
            jobs.append(put(database, name))
        database.drain()
        results.append([database.result(job) for job in jobs])
        measured = [attempt(database, job)["wal_bytes"] is not None for job in jobs]
        assert measured == [switch == "on"] * len(jobs)
    assert results[0] == results[1]


def test_of_short_jobs_a_sample_is_measured_and_all_are_reckoned(database: Database) -> None:
    put(database, "app.write", {"rows": 1})
    database.drain()
    know_as_short(database)
    put_many(database, "app.write", [{"rows": 1}] * 200)
    database.drain()
    measured, every = database.run("select count(wal_bytes), count(*) from jobs.attempts")[0]
    assert every == 201
    assert 0 < measured < 50
    cost = database.record("select * from jobs.cost where task = 'app.write'")
    assert (cost["attempts"], cost["failed"], cost["measured"]) == (201, 0, measured)
    known = int(database.value("select sum(wal_bytes) from jobs.attempts"))
    assert abs(int(cost["wal_bytes"]) - known * 201 / measured) < 2
    assert 201 * 100 < cost["wal_bytes"] < 201 * 20_000


def test_the_sums_survive_upkeep_and_show_statements_too(database: Database) -> None:
    put_sql(database, "insert into app.heap values (1, 'x')")
    put(database, "app.fail", max_attempts=1)
    database.drain()
    show = (
        "select task, attempts, failed, rows, measured, wal_bytes is null from jobs.cost"
        " order by task"
    )
    before = database.run(show)
    assert before == [("app.fail", 1, 1, 0, 0, True), ("insert", 1, 0, 1, 1, False)]
    for _ in range(2):
        database.admin("select jobs_internal.maintain()")
    assert database.admin("select distinct session_id from jobs_internal.daily_cost") == [(0,)]
    assert database.run(show) == before


def test_it_can_be_switched_off(database: Database) -> None:
    database.run("select jobs.configure('measure_cost', 'off')", role="operator")
    job = put(database, "app.write", {"rows": 10})
    database.drain()
    assert attempt(database, job)["wal_bytes"] is None
    assert database.record("select * from jobs.cost")["wal_bytes"] is None


def test_others_do_not_see_it(database: Database) -> None:
    put(database, "app.write", {"rows": 10})
    database.drain()
    assert database.run("select count(*) from jobs.cost", role="other") == [(0,)]
    assert database.run("select count(*) from jobs.cost", role="operator") == [(1,)]

"""What a statement at top level cost, from pg_stat_statements where it is installed; else null,
and the reason.
"""

from collections.abc import Callable
from typing import Any

import pytest
from stage import gate_shut, put, put_sql, wait_at_gate, wait_for
from support import Database, wait_until

MEASURED = ("wal_bytes", "buffers_hit", "buffers_read", "buffers_dirtied", "temp_bytes")
CHECK = """select status, detail from jobs.health where "check" = 'costs'"""


def attempt(database: Database, job: int) -> dict[str, Any]:
    """Give the one attempt of a job."""
    return database.record("select * from jobs.attempts where job_id = %s", [job])


@pytest.fixture(name="counted")
def _counted(database: Database) -> Database:
    """A database with pg_stat_statements, a table of 2,000 rows and procedures that write."""
    if "pg_stat_statements" not in database.admin("show shared_preload_libraries")[0][0]:
        pytest.skip("this server does not load pg_stat_statements (shared_preload_libraries)")
    database.admin("create extension pg_stat_statements")
    database.run("create table app.heap (n integer, filler text)")
    database.run(
        "insert into app.heap select g, repeat('x', 100) from generate_series(1, 2000) as g"
    )
    database.run("create index heap_there on app.heap (n)")
    database.run(
        "create procedure app.told(inout n integer) language plpgsql as $$ begin"
        " insert into app.heap select g, repeat('y', 100) from generate_series(1, n) as g;"
        " commit; end $$"
    )
    database.run(
        "create procedure app.fill(n integer) language plpgsql as $$ begin"
        " insert into app.heap select g, repeat('y', 100) from generate_series(1, n) as g; commit;"
        " if n = 7 then perform pg_advisory_xact_lock(1); end if; end $$"
    )
    return database


@pytest.mark.parametrize(
    "enqueue",
    [
        lambda d: put_sql(d, "create index concurrently heap_n on app.heap (n)"),
        lambda d: put_sql(
            d, "  CREATE   INDEX concurrently\n heap_n on app.heap (n) where n <> 17;"
        ),
        lambda d: put_sql(d, "vacuum (freeze) app.heap"),
        lambda d: put_sql(d, "call app.fill(500)"),
        lambda d: put(d, "app.fill", {"n": 500}),
        lambda d: put(d, "app.told", {"n": 500}),
        lambda d: put_sql(d, "reindex index concurrently app.heap_there"),
    ],
    ids=[
        "create index",
        "spaces and constants",
        "vacuum",
        "call",
        "procedure",
        "its result",
        "reindex",
    ],
)
def test_what_a_statement_at_top_level_wrote(
    counted: Database, enqueue: Callable[[Database], int]
) -> None:
    """Each attempt has its own figures, and jobs.cost sums them."""
    job = enqueue(counted)
    counted.drain()
    counted.result(job)
    found = attempt(counted, job)
    assert found["child_pid"] is not None
    assert 10_000 < found["wal_bytes"] < 2_000_000
    assert found["buffers_hit"] + found["buffers_read"] > 30
    assert found["buffers_dirtied"] >= 0
    assert found["temp_bytes"] == 0
    assert found["not_measured"] is None
    assert counted.run("select measured, wal_bytes from jobs.cost") == [(1, found["wal_bytes"])]


def test_the_second_run_has_figures_of_its_own(counted: Database) -> None:
    """Not the sum of both."""
    jobs = []
    for count in (1000, 10):
        jobs.append(put_sql(counted, f"call app.fill({count})"))
        counted.drain()
    large, small = (attempt(counted, job)["wal_bytes"] for job in jobs)
    assert large > 100_000
    assert 0 < small < large / 10


def test_what_another_session_runs_meanwhile_is_not_taken_for_it(counted: Database) -> None:
    """Two calls of one statement cannot be told apart: null, and why."""
    job = put_sql(counted, "call app.fill(7)")
    with gate_shut(counted):
        counted.run("select jobs.start()")
        wait_at_gate(counted)
        counted.run("call app.fill(1000)")
    assert wait_for(counted, job, "succeeded")["state"] == "succeeded"
    wait_until(lambda: not counted.background())
    found = attempt(counted, job)
    assert [found[name] for name in MEASURED] == [None] * 5
    assert (
        found["not_measured"]
        == "pg_stat_statements did not count this statement exactly once meanwhile"
    )


def test_another_role_runs_the_same_meanwhile(counted: Database) -> None:
    """Statements are counted by role: its figures are not touched."""
    counted.run("grant usage on schema app to other; grant insert on app.heap to other")
    job = put_sql(counted, "call app.fill(7)")
    with gate_shut(counted):
        counted.run("select jobs.start()")
        wait_at_gate(counted)
        counted.run("call app.fill(1000)", role="other")
    wait_until(lambda: not counted.background())
    found = attempt(counted, job)
    assert 0 < found["wal_bytes"] < 50_000


def test_without_the_extension_it_is_null_and_says_why(database: Database) -> None:
    """In the view beside the figures, and in jobs.health; that is no fault of the installation."""
    job = put_sql(database, "vacuum pg_temp.nothing", max_attempts=1)
    done = put_sql(database, "call app.two_commits(1)")
    quick = put(database, "pg_catalog.now")
    database.drain()
    assert attempt(database, job)["not_measured"] == "it did not succeed"
    found = attempt(database, done)
    assert [found[name] for name in MEASURED] == [None] * 5
    assert (
        found["not_measured"]
        == "it ran at top level, and pg_stat_statements is not installed in this database"
    )
    assert attempt(database, quick)["not_measured"] is None
    ((status, detail),) = database.run(CHECK)
    assert status == "ok"
    assert "pg_stat_statements is not installed in this database" in detail


def test_health_says_that_they_are_measured(counted: Database) -> None:
    """And no role of ours is told more than its own figures."""
    assert counted.run(CHECK) == [
        ("ok", "statements at top level are measured, by pg_stat_statements")
    ]
    counted.run("vacuum app.heap")
    mine = counted.value("select jobs_internal.child_figures('vacuum app.heap')")
    assert [value["calls"] for value in mine.values()] == [1]
    assert (
        counted.value("select jobs_internal.child_figures('vacuum app.heap')", role="other") == {}
    )


def test_nothing_is_asked_where_costs_are_not_measured(counted: Database) -> None:
    """The setting holds for these as well."""
    counted.run("select jobs.configure('measure_cost', 'off')", role="operator")
    job = put_sql(counted, "vacuum app.heap")
    counted.drain()
    found = attempt(counted, job)
    assert found["wal_bytes"] is None
    assert found["not_measured"] == "measure_cost is off"

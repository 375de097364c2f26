"""What an operation gained is measured before and after it."""

from typing import Any

import pytest
from stage import attempts, put_sql, wait_for
from support import Database, sqlstate_of, wait_until

STOP = 4712
SHOWN = (
    "select label, unit, ratio, buffers_before, buffers_after, plan_changed, uses_index, error"
    " from jobs.measurements where id = %s"
)


@pytest.fixture
def events(database: Database) -> Database:
    """A table in which one row of many is looked for."""
    database.run(
        "create table app.events (id integer, at integer);"
        " insert into app.events select g, g from generate_series(1, 20000) as g;"
        " analyze app.events"
    )
    return database


def measured(database: Database, job: int) -> list[tuple[Any, ...]]:
    """Wait until all of an operation is measured; gives the rows of the view."""
    wait_until(
        lambda: database.admin(
            "select 1 from jobs_internal.measurement where job_id = %s having count(*) > 0"
            " and count(*) = count(after)",
            [job],
        ),
        20,
    )
    return database.run(SHOWN, [job])


@pytest.mark.parametrize("how", ["create index", "create index concurrently"])
def test_named_queries_are_run_before_and_after(events: Database, how: str) -> None:
    """One that the index helps, and one that it does not."""
    helped, other = "select * from app.events where id = 77", "select count(*) from app.events"
    job = put_sql(events, f"{how} on app.events (id)", options={"measure": [helped, other]})
    events.drain()
    first, second = measured(events, job)
    assert first[:2] == (helped, "ms")
    assert first[2] > 0  # how long it takes is not up to us
    assert first[3] > first[4]  # blocks
    assert first[5:] == (True, True, None)
    assert second[0] == other
    assert (second[3], second[5]) == (second[4], False)
    plans = events.run(
        "select plan_before #>> '{0,Plan,Node Type}', plan_after #>> '{0,Plan,Node Type}'"
        " from jobs.measurements where id = %s and label = %s",
        [job, helped],
    )
    assert plans == [("Seq Scan", "Index Scan")]
    assert events.run("select 1 from jobs.measurements", role="other") == []
    gain = events.value("select gain from jobs.operations where id = %s", [job])
    assert float(gain.removesuffix("x")) > 0


def test_a_query_that_cannot_be_measured_is_no_failure(events: Database) -> None:
    """It fails, or it would write: that is said, and the operation goes on; nothing is written."""
    events.run(
        "create function app.writes() returns bigint language sql as"
        " 'insert into app.ledger (n) values (1) returning n'"
    )
    job = put_sql(
        events,
        "analyze app.events",
        options={"measure": ["select * from app.missing", "select app.writes()", "select 1"]},
    )
    events.drain()
    errors = [row[7] for row in measured(events, job)]
    assert errors[0].startswith("42P01")
    assert errors[1].startswith("25006")
    assert errors[2] is None
    assert attempts(events, job) == [(1, "succeeded")]
    assert not events.run("select 1 from app.ledger")


def test_a_cancel_while_it_measures_stops_the_job(events: Database) -> None:
    """Before it began: the statement is not run."""
    with events.connect() as line:
        line.execute(f"select pg_advisory_lock({STOP})".encode())
        job = put_sql(
            events,
            "create index built on app.events (id)",
            options={"measure": [f"select pg_advisory_xact_lock({STOP})"]},
        )
        events.run("select jobs.start()")
        wait_until(
            lambda: events.admin("select 1 from pg_locks where objid = %s and not granted", [STOP]),
            20,
        )
        events.run("select jobs.cancel(%s)", [job])
        assert wait_for(events, job)["state"] == "cancelled"
    assert not events.admin("select 1 from pg_class where relname = 'built'")
    wait_until(lambda: not events.background(), 20)


def test_the_owners_costliest_queries_are_planned(events: Database) -> None:
    """Where none is named: those whose plan names the table, three at most, with $1 for their
    constants; the traffic since then is that of the present.
    """
    if "pg_stat_statements" not in events.admin("show shared_preload_libraries")[0][0]:
        pytest.skip("this server does not load pg_stat_statements (shared_preload_libraries)")
    events.admin("create extension pg_stat_statements")
    for n in range(5):
        events.run(f"select at from app.events where id = {n}")
        events.run(f"select count(*) from app.ledger where n = {n}")
    job = put_sql(events, "create index concurrently made on app.events (id)")
    events.drain()
    rows = measured(events, job)
    assert [(row[0], row[1], row[5], row[6]) for row in rows] == [
        ("select at from app.events where id = $1", "cost", True, True),
        ("select at from app.events where id = $1", "ms a call", None, None),
    ]
    assert rows[0][2] < 1
    assert rows[1][2] is None  # no call since
    events.run("select at from app.events where id = 8")
    assert events.run(SHOWN, [job])[1][2] > 0
    none = put_sql(events, "analyze app.events", options={"measure": []})
    events.drain()
    assert events.run(SHOWN, [none]) == []


@pytest.mark.parametrize(
    "query",
    [
        "delete from app.ledger",
        "with gone as (delete from app.ledger returning n) select n from gone",
        "select n into app.copy from app.ledger",
        "select n from app.ledger for update",
        "select 1; select 2",
        "select from where",
        "",
    ],
)
def test_what_does_not_only_read_is_refused(events: Database, query: str) -> None:
    """At once, and nothing is enqueued."""
    state = sqlstate_of(lambda: put_sql(events, "analyze app.events", options={"measure": [query]}))
    assert state in ("PW029", "PW021", "PW017", "PW014"), state
    assert not events.admin("select 1 from jobs_internal.job")

"""How far long operations are: one percent over all phases, which never goes back, and the figures
of the present phase only.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from psycopg.types.json import Jsonb
from stage import put_sql, running, wait_for
from support import Database, wait_until

ROWS = 20_000


STOPS = (5_000, 10_000, 15_000)


#: Rows, and a function that stops a build at some of them, each for a lock of its own.
POINTS = f"""
create table app.points as select n, repeat('x', 200) as pad from generate_series(1, {ROWS}) as n;
create function app.stop(n integer) returns integer language plpgsql immutable as $$
begin
  if n in {STOPS} then
    perform pg_advisory_lock_shared(77, n);
    perform pg_advisory_unlock_shared(77, n);
  end if;
  return n;
end $$;
"""


@contextmanager
def stops(database: Database) -> Iterator[Any]:
    """Hold the build at each stop; gives a function that lets it go on to the next."""
    database.run(POINTS)
    database.run("analyze app.points")
    with database.connect() as holder:
        for stop in STOPS:
            holder.execute("select pg_advisory_lock(77, %s)", [stop])
        yield lambda stop: holder.execute("select pg_advisory_unlock(77, %s)", [stop])


def at_stop(database: Database, job: int, stop: int) -> dict[str, Any]:
    """Wait until the build stands at a stop; gives its row of jobs.running."""
    wait_until(
        lambda: database.admin(
            "select true from pg_locks where locktype = 'advisory' and not granted"
            " and classid = 77 and objid = %s",
            [stop],
        )
    )
    # in its first two seconds it shows no percent, unless one was noted
    database.admin(
        "update jobs_internal.job set started_at = now() - interval '1 minute' where id = %s"
        " and started_at > now() - interval '10 seconds'",
        [job],
    )
    row = running(database, job)
    assert row is not None
    return row


def test_one_percent_over_all_phases(database: Database) -> None:
    """It stops in the first phase and in a wait: the percent rises, stays below 100, and is not
    that of the phase; while it waits, no figures of an earlier phase are left, and the one that it
    waits for stands there instead of an end.
    """
    percents = []
    with database.connect() as reader, stops(database) as go_on:
        job = put_sql(database, "create index concurrently on app.points (app.stop(n))")
        database.run("select jobs.start()")
        for stop in STOPS:
            row = at_stop(database, job, stop)
            assert row["message"] == "building index: scanning table"
            assert 0 < row["done"] < row["total"]
            assert row["percent"] < 50 * row["done"] / row["total"]
            percents.append(row["percent"])
            if stop == STOPS[-1]:
                reader.execute("begin isolation level repeatable read")
                reader.execute("select from app.ledger")
            go_on(stop)
        row = wait_until(
            lambda: next(
                (
                    row
                    for row in [running(database, job)]
                    if row
                    and row["message"] == "waiting for old snapshots"
                    and row["blocked_by"]
                    # the worker session that watches it has noted the phase
                    and database.admin(
                        "select percent from jobs_internal.operation"
                        " where job_id = %s and phase = 'waiting for old snapshots'",
                        [job],
                    )
                    == [(row["percent"],)]
                ),
                None,
            )
        )
        percents.append(row["percent"])
        assert row["done"] < row["total"] < 10  # sessions, and not pages
        assert (row["eta"], row["blocked_by"]) == (None, [reader.info.backend_pid])
        reader.execute("rollback")
    assert wait_for(database, job, "succeeded")
    assert percents == sorted(percents)
    assert percents[0] > 0
    assert 90 < percents[-1] < 100


def test_what_runs_in_its_own_transaction_is_looked_at_live_and_noted_in_a_round(
    database: Database,
) -> None:
    """No session watches a plain CREATE INDEX: the views reckon by themselves, a round of a
    supervisor notes it, and waits for no row.
    """
    noted = "select percent, phase from jobs_internal.operation where job_id = %s"
    with stops(database) as go_on:
        job = put_sql(database, "create index points_plain on app.points (app.stop(n))")
        database.run("select jobs.start()")
        row = at_stop(database, job, STOPS[0])
        assert row["percent"] > 0
        go_on(STOPS[0])
        row = at_stop(database, job, STOPS[1])
        assert database.admin(noted, [job]) == [(None, None)]
        database.admin("update jobs_internal.operation set looked_at = now() - interval '1 hour'")
        with database.connect("postgres") as other:
            other.execute("begin")
            other.execute("select from jobs_internal.operation for update")
            database.admin("set lock_timeout = '10 s'")
            database.admin("select jobs_internal.note_operations()")
            other.execute("rollback")
        assert database.admin(noted, [job]) == [(None, None)]
        database.admin("select jobs_internal.note_operations()")
        assert database.admin(noted, [job]) == [(row["percent"], row["message"])]
        for stop in STOPS[1:]:
            go_on(stop)
    wait_for(database, job, "succeeded")


def test_what_is_shown_was_noted_so_that_it_cannot_go_back(database: Database) -> None:
    """What a view reckons is not kept: a moment later, between two phases, it would know less. It
    shows what was noted, carried on by the pace so far: for 1.2 seconds, here of a minute.
    """
    with stops(database) as go_on:
        job = put_sql(database, "create index points_plain on app.points (app.stop(n))")
        database.run("select jobs.start()")
        at_stop(database, job, STOPS[0])
        database.admin("select jobs_internal.note_operations()")
        first = at_stop(database, job, STOPS[0])
        go_on(STOPS[0])
        database.admin("update jobs_internal.operation set looked_at = now()")
        second = at_stop(database, job, STOPS[1])
        assert second["done"] > first["done"]
        assert first["percent"] <= second["percent"] <= float(first["percent"]) * 1.03
        database.admin("update jobs_internal.operation set looked_at = now() - interval '2 s'")
        database.admin("select jobs_internal.note_operations()")
        third = at_stop(database, job, STOPS[1])
        assert third["percent"] > second["percent"]
        for stop in STOPS[1:]:
            go_on(stop)
    wait_for(database, job, "succeeded")


def test_an_attempt_that_begins_anew_does_not_go_back(database: Database) -> None:
    """Its session is ended from outside: no attempt is charged. A charged one begins at nothing."""
    noted = "select attempt, percent from jobs_internal.operation where job_id = %s"
    with stops(database) as go_on:
        job = put_sql(database, "create index points_plain on app.points (app.stop(n))")
        database.run("select jobs.start()")
        at_stop(database, job, STOPS[0])
        go_on(STOPS[0])
        row = at_stop(database, job, STOPS[1])
        database.admin("select jobs_internal.note_operations()")
        ((_attempt, percent),) = database.admin(noted, [job])
        assert percent > 0
        with database.connect() as holder:
            holder.execute("select pg_advisory_lock(77, %s)", [STOPS[0]])
            database.admin("select pg_terminate_backend(%s)", [row["pid"]])
            wait_until(lambda: not database.background())
            database.admin("select jobs_internal.rescue()")
            database.run("select jobs.run_now(%s)", [job])
            database.run("select jobs.start()")
            again = at_stop(database, job, STOPS[0])
            ((attempt, kept),) = database.admin(noted, [job])
            # an attempt that was interrupted is the same one when it runs again
            assert (attempt, kept, again["percent"]) == (1, percent, percent)
        for stop in STOPS[1:]:
            go_on(stop)
    wait_for(database, job, "succeeded")


#: An operation of which 40 % were done in 4 seconds, as it was noted: what changes, a time since
#: then, and the percent that is shown.
CARRIED: dict[str, tuple[dict[str, Any], float, float]] = {
    "at once": ({}, 0, 40),
    "by the pace so far": ({}, 0.5, 45),
    "for 1.2 seconds": ({}, 30, 52),
    "the clock was set back": ({}, -30, 40),
    "it waits": ({"wait": True}, 1, 40),
    "what is shown is more": ({"percent": 48}, 0.5, 48),
    "never to the end": ({"share": 0.95}, 1, 99),
    "too early to tell": ({"share": 0.01, "percent": 1}, 1, 1),
    "nothing is known": ({"share": None, "percent": None}, 1, 0),
}


@pytest.mark.parametrize("case", CARRIED)
def test_the_percent_is_carried_on_between_two_looks(shared: Database, case: str) -> None:
    given, seconds, expected = CARRIED[case]
    known = {"share": 0.4, "percent": 40, "wait": False, **given}
    place = {"share": known["share"], "worked": 4, "wait": known["wait"]}
    row = {"percent": known["percent"], "place": place, "looked_at": "2026-01-01 00:00:00+00"}
    shown = shared.admin(
        "select jobs_internal.carried_percent(jsonb_populate_record("
        "null::jobs_internal.operation, %s), timestamptz '2026-01-01 00:00:00+00'"
        " + make_interval(secs => %s))",
        [Jsonb(row), seconds],
    )
    assert float(shown[0][0] or 0) == expected

"""Time limits hold, and what is stopped for one is charged as its rule says."""

import pytest
from stage import (
    attempts,
    know_as_short,
    make_lane,
    put,
    put_sql,
    quick_retries,
    state,
    wait_for,
    wait_running,
)
from support import Database, wait_until

from .session_ends import no_process

KINDS = {
    "alone": ("app.nap", {"seconds": 600}),
    "in a chunk": ("app.nap", {"seconds": 600}),
    "statement": ("select pg_sleep(600)", None),
    "child": (
        "do $$ begin insert into app.ledger (n) values (1); commit; perform pg_sleep(600); end $$",
        None,
    ),
}


def enqueue_slow(database: Database, kind: str, timeout: str) -> int:
    """Enqueue something that takes ten minutes."""
    if kind == "in a chunk":
        put(database, "app.nap", {"seconds": 0})
        database.drain()
        know_as_short(database)
    task, args = KINDS[kind]
    if args is None:
        return put_sql(database, task, timeout=timeout, max_attempts=1)
    return put(database, task, args, timeout=timeout, max_attempts=1)


@pytest.mark.parametrize("kind", KINDS)
def test_a_timeout_holds_without_a_supervisor(database: Database, kind: str) -> None:
    make_lane(database)
    job = enqueue_slow(database, kind, "500 ms")
    after = put(database, "app.note", {"n": 7})
    database.run("select jobs.start()")
    wait_running(database, job)
    no_process(database)  # it gives up waiting long before the job ends by itself
    database.drain()
    found = database.job(job)
    # Of a chunk nobody was there to say which one: it ran alone then, and was timed out there.
    assert (found["state"], found["error"]["sqlstate"]) == ("failed", "PWT01")
    assert attempts(database, job) == [(1, "timed_out")]
    assert state(database, after) == "succeeded"


def test_timeouts_are_retried_by_their_rule(database: Database) -> None:
    quick_retries(database)
    database.admin("select jobs.configure('timeout_margin_ms', '0')")
    job = put(database, "app.nap", {"seconds": 30}, timeout="100 ms", max_attempts=2)
    database.drain()
    assert attempts(database, job) == [(1, "timed_out"), (2, "timed_out")]


def test_a_timed_out_reason_of_a_chunk_that_died_stops_no_later_run(database: Database) -> None:
    job = put(database, "app.note", {"n": 1})
    database.admin(
        "insert into jobs_internal.stop_request values (%s, 1, 'timed_out', 'supervisor')", [job]
    )
    database.drain()
    assert database.result(job) == 1


def test_an_old_reason_stops_no_other_attempt(database: Database) -> None:
    quick_retries(database)
    job = put(database, "app.stumble", {"n": 1, "times": 2}, max_attempts=5)
    database.admin(
        "insert into jobs_internal.stop_request values (%s, 7, 'cancelled', 'app')", [job]
    )
    database.drain()
    assert database.result(job) == 1
    assert len(attempts(database, job)) == 3


def test_a_job_that_raises_the_error_of_a_cancel_is_told_what_it_said(database: Database) -> None:
    job = put(database, "app.fail", {"state": "57014"})

    def over() -> bool:
        database.run("select jobs.start()")
        return state(database, job) == "failed"

    wait_until(over, 20, step=0.2)
    error = database.job(job)["error"]
    assert error["sqlstate"] == "PWC02"
    assert "The last time it said: it failed." in error["detail"]


def test_a_child_that_traps_its_time_limit_is_ended_by_its_watcher(database: Database) -> None:
    """No supervisor lives, and the server's own limit fires only once."""
    database.run(
        "create procedure app.trap_once() language plpgsql as $$ begin"
        " begin perform pg_sleep(60); exception when query_canceled then null; end;"
        " commit; perform pg_sleep(60); end $$"
    )
    job = put_sql(database, "call app.trap_once()", timeout="300 ms", max_attempts=1)
    database.run("select jobs.start()")
    assert wait_for(database, job, timeout=15)["error"]["sqlstate"] == "PWT01"
    assert attempts(database, job) == [(1, "timed_out")]
    no_process(database)

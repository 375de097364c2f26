"""What ends in the middle: sessions signalled from inside and outside, and their claims."""

import pytest
from stage import (
    attempts,
    gate_shut,
    know_as_short,
    ledger,
    put,
    put_many,
    put_sql,
    quick_retries,
    state,
    wait_at_gate,
)
from support import Database, wait_until

from .session_ends import no_process


@pytest.mark.parametrize(
    ("how", "knows"), [("pg_cancel_backend", True), ("pg_terminate_backend", False)]
)
def test_a_job_that_signals_itself_ends_as_failed_in_the_end(
    database: Database, how: str, *, knows: bool
) -> None:
    if knows:
        put(database, "app.end_oneself", {"how": "pg_blocking_pids"})
        database.run(
            "create or replace function app.end_oneself(how text) returns void"
            " language sql as 'select null'"
        )
        database.drain()
    if knows:
        database.run(
            "create or replace function app.end_oneself(how text) returns void language plpgsql as"
            " $$ begin"
            " insert into app.ledger (n) values (0);"
            " execute format('select %I(pg_backend_pid())', how);"
            " perform pg_sleep(20); end $$"
        )
    job = put(database, "app.end_oneself", {"how": how}, max_attempts=5)
    if knows:
        know_as_short(database)
    after = put(database, "app.note", {"n": 1})
    database.drain()
    found = database.job(job)
    assert (found["state"], found["error"]["sqlstate"]) == ("failed", "PWC02")
    assert attempts(database, job) == [(1, "cancelled")]
    assert database.admin("select outcome from jobs.finished where id = %s", [job]) == [
        ("cancelled",)
    ]
    assert state(database, after) == "succeeded"
    assert ledger(database) == [1]


@pytest.mark.parametrize("how", ["pg_cancel_backend", "pg_terminate_backend"])
def test_a_session_signalled_from_outside_charges_nothing(database: Database, how: str) -> None:
    job = put(database, "app.gate", {"n": 1}, max_attempts=1)
    with gate_shut(database):
        database.run("select jobs.start()")
        (pid,) = wait_at_gate(database)
        database.admin(f"select {how}(%s)", [pid])
        no_process(database)
        assert state(database, job) == "scheduled"
        assert attempts(database, job) == []
    database.drain()
    assert database.result(job) == 1
    assert attempts(database, job) == [(1, "succeeded")]
    assert ledger(database) == [1]


@pytest.mark.parametrize("how", ["pg_cancel_backend", "pg_terminate_backend"])
def test_a_chunk_that_is_interrupted_loses_nothing(database: Database, how: str) -> None:
    put(database, "app.note", {"n": 0})
    put(database, "app.gate", {"n": 0})
    database.drain()
    know_as_short(database)
    database.run("truncate app.ledger")
    jobs = put_many(database, "app.note", [{"n": n} for n in range(10)])
    jobs.append(put(database, "app.gate", {"n": 10}))
    jobs += put_many(database, "app.note", [{"n": n} for n in range(11, 20)])
    with gate_shut(database):
        database.run("select jobs.start()")
        (pid,) = wait_at_gate(database)
        database.admin(f"select {how}(%s)", [pid])
        no_process(database)
    database.drain()
    assert ledger(database) == list(range(20))
    assert {(one, state(database, one)) for one in jobs} == {(one, "succeeded") for one in jobs}
    assert {len(attempts(database, one)) for one in jobs} == {1}


@pytest.mark.parametrize("knows", [True, False], ids=["in a chunk", "alone"])
def test_a_session_that_dies_at_once_is_rescued(database: Database, *, knows: bool) -> None:
    """transaction_timeout is FATAL: no handler runs, as when the process is lost."""
    quick_retries(database)
    what = "select set_config('transaction_timeout', '1', false); select pg_sleep(1)"
    put(database, "app.note", {"n": 0})
    put(database, "app.run", {"what": "select 1"})
    database.drain()
    if knows:
        know_as_short(database)
    database.run("truncate app.ledger")
    before = put_many(database, "app.note", [{"n": n} for n in range(10)])
    job = put(database, "app.run", {"what": what}, max_attempts=2)
    after = put_many(database, "app.note", [{"n": n} for n in range(10, 20)])
    database.drain()
    # Only the one that is to blame is charged: in a chunk nobody knows, and each runs alone then.
    assert attempts(database, job) == [(1, "lost"), (2, "lost")]
    assert state(database, job) == "failed"
    assert database.job(job)["error"]["sqlstate"] == "PWL01"
    assert {state(database, one) for one in before + after} == {"succeeded"}
    assert {len(attempts(database, one)) for one in before + after} == {1}
    assert ledger(database) == list(range(20))


def test_a_lost_job_runs_again_exactly_once(database: Database) -> None:
    quick_retries(database)
    database.run(
        "create function app.die_first(n integer) returns void language plpgsql as $$ begin"
        " insert into app.ledger (n) values (n);"
        " if app.attempt() = 1 then perform set_config('transaction_timeout', '1', false),"
        " pg_sleep(1); end if; end $$"
    )
    job = put(database, "app.die_first", {"n": 1})
    database.drain()
    assert attempts(database, job) == [(1, "lost"), (2, "succeeded")]
    assert ledger(database) == [1]


def test_rescue_of_a_dead_session_gives_its_claim_back_at_once(database: Database) -> None:
    put(database, "app.note", {"n": 0})
    put(database, "app.run", {"what": "select 1"})
    database.drain()
    know_as_short(database)
    jobs = put_many(database, "app.note", [{"n": n} for n in range(1, 50)])
    what = "select set_config('transaction_timeout', '1', false); select pg_sleep(1)"
    killer = put(database, "app.run", {"what": what}, max_attempts=1)
    jobs += put_many(database, "app.note", [{"n": n} for n in range(50, 100)])
    database.admin("select jobs.configure('lease_seconds', '3600')")
    database.drain(timeout=60)  # it gives up waiting long before the lease ends
    assert ledger(database) == list(range(100))
    assert attempts(database, killer) == [(1, "lost")]
    assert {state(database, one) for one in jobs[::10]} == {"succeeded"}


@pytest.mark.parametrize("kind", ["function", "child"])
def test_an_end_that_cannot_be_written_down_charges_nothing(database: Database, kind: str) -> None:
    """The disk is full when the outcome is to be written: the session waits until there is room."""
    database.admin(
        "create function app.is_full() returns trigger language plpgsql as"
        " $$ begin perform nextval('app.hits'); raise disk_full using message = 'no space left';"
        " end $$"
    )
    database.admin("grant all on sequence app.hits to public")
    database.admin("grant usage on schema app to public")
    database.admin(
        "create trigger is_full before insert on jobs_internal.finished for each row execute"
        " function app.is_full()"
    )
    if kind == "function":
        job = put(database, "app.note", {"n": 1}, max_attempts=1)
    else:
        job = put_sql(
            database,
            "do $$ begin insert into app.ledger (n) values (1); commit; end $$",
            max_attempts=1,
        )
    database.run("select jobs.start()")
    wait_until(lambda: database.value("select is_called from app.hits"), 10)
    assert (
        database.admin(
            "select 1 from jobs.attempts where job_id = %s and outcome is not null", [job]
        )
        == []
    )
    database.admin("drop trigger is_full on jobs_internal.finished")
    database.drain()
    assert attempts(database, job) == [(1, "succeeded")]
    assert ledger(database) == [1]

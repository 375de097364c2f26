"""Jobs that are called by one statement when one of them fails, is cancelled, or ends
more than itself."""

import pytest
from stage import attempts, gate_shut, ledger, put, put_many, state, wait_at_gate
from support import Database, wait_until

from .together import PROOF, SETUP, in_order, prove, put_proved, together


@pytest.fixture(autouse=True)
def functions(database: Database) -> None:
    """Functions that see, and say, how they are called; a busy machine makes nothing long."""
    database.run(SETUP)
    for name in ("chunk_ms", "short_ms"):
        database.admin("select jobs.configure(%s, '60000')", [name])
    prove(database, "app.waits", [{"n": 0, "waits": False}])
    prove(database, "app.one", [{"n": 0}])
    prove(database, "app.one", [{"n": 0, "does": ""}])
    prove(database, "app.two", [{"n": 0}])
    database.run("truncate app.ledger, app.ran")


def test_one_that_fails_undoes_only_itself(database: Database) -> None:
    args = [{"n": n, "does": "fails" if n == 20 else ""} for n in range(40)]
    jobs = put_proved(database, "app.one", args, max_attempts=1)
    database.drain()
    good = [n for n in range(40) if n != 20]
    assert in_order(database) == good
    assert {state(database, jobs[n]) for n in good} == {"succeeded"}
    assert state(database, jobs[20]) == "failed"
    error = database.job(jobs[20])["error"]
    assert (error["sqlstate"], error["message"]) == ("P0001", "on purpose")
    assert "one(integer,text)" in error["context"]
    assert "jobs_internal" not in error["context"]


def test_others_are_called_together_after_one_failed(database: Database) -> None:
    """It is not known which of them failed until they ran again."""
    for task in ("app.one", "app.two"):
        put_many(database, task, [{"n": -1}] * PROOF)
    put_many(database, "app.one", [{"n": -1, "does": ""}] * PROOF)
    put_many(database, "app.two", [{"n": -1}] * 20)
    bad = put(database, "app.one", {"n": 0, "does": "fails"}, max_attempts=1)
    put_many(database, "app.two", [{"n": -1}] * 100)
    put_many(database, "app.two", [{"n": n} for n in range(100)])
    database.drain()
    assert state(database, bad) == "failed"
    assert together(database) >= 60


def test_what_fails_with_others_only_is_done_once_and_not_tried_for_ever(
    database: Database,
) -> None:
    args = [{"n": n, "does": "fails among others"} for n in range(200)]
    jobs = put_proved(database, "app.one", args)
    database.drain()
    assert in_order(database) == list(range(200))
    assert {state(database, job) for job in jobs} == {"succeeded"}
    assert database.run("select max(attempt) from jobs.attempts") == [(1,)]
    assert database.value("select last_value from app.hits") <= 3


def test_a_cancel_of_one_that_has_not_begun_spares_the_others(database: Database) -> None:
    """A signal undoes the statement: it is asked which of its jobs were to be stopped."""
    put_many(database, "app.waits", [{"n": -1, "waits": False}] * 70)
    jobs = put_many(database, "app.waits", [{"n": n, "waits": n == 5} for n in range(20)])
    with gate_shut(database):
        database.run("select jobs.start()")
        wait_at_gate(database)
        for n in (6, 5):
            assert database.value("select jobs.cancel(%s)", [jobs[n]]) == "cancelling"
        wait_until(lambda: state(database, jobs[5]) == "cancelled")
    database.drain()
    assert state(database, jobs[6]) == "cancelled"
    assert ledger(database)[70:] == [n for n in range(20) if n not in (5, 6)]
    assert database.run("select max(attempt) from jobs.attempts") == [(1,)]


def test_a_signal_without_a_reason_names_all_that_it_may_have_met(database: Database) -> None:
    put_many(database, "app.waits", [{"n": -1, "waits": False}] * PROOF)
    jobs = put_many(database, "app.waits", [{"n": n, "waits": n == 5} for n in range(20)])
    with gate_shut(database):
        database.run("select jobs.start()")
        (pid,) = wait_at_gate(database)
        database.admin("select pg_cancel_backend(%s)", [pid])
        wait_until(lambda: not database.background())
        interrupted = database.admin(
            "select array_agg(id) from jobs_internal.job where interruptions = 1"
        )[0][0]
    assert jobs[5] in interrupted
    database.drain()
    assert ledger(database)[PROOF:] == list(range(20))
    assert {attempts(database, job)[0] for job in jobs} == {(1, "succeeded")}


def test_a_second_signal_while_it_looks_for_a_reason(database: Database) -> None:
    """The session writes down how its jobs ended all the same."""
    put_many(database, "app.waits", [{"n": -1, "waits": False}] * PROOF)
    jobs = put_many(database, "app.waits", [{"n": n, "waits": n == 5} for n in range(20)])
    looking = (
        "select 1 from pg_stat_get_activity(null) as a where a.pid = %s"
        " and a.wait_event = 'PgSleep'"
    )
    with gate_shut(database):
        database.run("select jobs.start()")
        (pid,) = wait_at_gate(database)
        for _ in range(2):
            database.admin("select pg_cancel_backend(%s)", [pid])
            wait_until(lambda: database.admin(looking, [pid]) or not database.background(), step=0)
        wait_until(lambda: not database.background())
        interrupted = database.admin(
            "select array_agg(id) from jobs_internal.job where interruptions = 1"
        )[0][0]
    assert jobs[5] in interrupted
    database.drain()
    assert ledger(database)[PROOF:] == list(range(20))


def test_a_temporary_table_ends_the_transaction(database: Database) -> None:
    """Constraints were set immediate, which holds to the commit."""
    database.run(
        "create function app.keeps(n integer) returns bigint language plpgsql as $$ begin"
        " if n > 0 then create temporary table kept (n integer); end if;"
        " insert into app.ran (n) values (keeps.n);"
        " return (select count(*) from pg_class where relname = 'kept'); end $$;"
        "create function app.xact() returns text language plpgsql as $$ begin"
        " return pg_current_xact_id(); end $$"
    )
    prove(database, "app.keeps", [{"n": -1}])
    prove(database, "app.xact", [{}])
    for task, args in (("app.keeps", {"n": 0}), ("app.xact", {})):
        put_many(database, task, [args] * PROOF)
    jobs = []
    for n in range(6):
        jobs += [put(database, "app.xact"), put(database, "app.keeps", {"n": n % 2})]
    database.drain()
    results = [database.result(job) for job in jobs]
    assert results[1::2] == [0, 1] * 3
    # one before the table is made and the one after the next are of different transactions
    assert [results[n] == results[n + 2] for n in (0, 2, 4, 6, 8)] == [True, False] * 2 + [True]


def test_none_begins_when_the_time_of_the_chunk_is_over(database: Database) -> None:
    """Its effects are seen by others, and the others of its claim run, no later than that."""
    database.admin("select jobs.configure('chunk_ms', '50')")
    database.run(
        "create function app.sleeps(n integer) returns text language plpgsql as $$ begin"
        " perform app.one(n), pg_sleep(0.02); return pg_current_xact_id(); end $$"
    )
    prove(database, "app.sleeps", [{"n": -1}])
    jobs = put_proved(database, "app.sleeps", [{"n": n} for n in range(40)])
    database.drain()
    results = [database.result(job) for job in jobs]
    assert together(database) > 0
    assert max(results.count(result) for result in results) <= 10

"""Short functions that have proved themselves run in a row, without subtransactions;
what goes wrong is told apart.
"""

import pytest
from stage import (
    attempts,
    gate_shut,
    know_as_short,
    ledger,
    put,
    put_many,
    state,
    wait_at_gate,
    wait_for,
    wait_running,
)
from support import Database, wait_until

PROOF = 60  # jobs, of which 20 in a row are asked for


@pytest.fixture(autouse=True)
def functions(database: Database) -> None:
    """One function, which does what its arguments say."""
    database.run(
        "create function app.one(n integer, does text default '') returns integer"
        " language plpgsql as $$ begin"
        " insert into app.ledger (n) values (one.n);"
        " if does = 'fails' then raise exception 'on purpose'; end if;"
        " if does = 'waits' then perform nextval('app.hits'), pg_advisory_xact_lock(1); end if;"
        " if does = 'catches' then begin update app.ledger as l set at = now() where l.n = one.n;"
        "   exception when others then null; end; end if;"
        " return n; end $$"
    )
    database.admin("select jobs.configure('chunk_ms', '60000')")
    put_many(database, "app.one", [{"n": 0}])
    put_many(database, "app.one", [{"n": 0, "does": ""}])
    database.drain()
    know_as_short(database)
    database.run("truncate app.ledger")


def put_row(database: Database, special: str, count: int = 40, **options: object) -> list[int]:
    """Enqueue jobs that prove the function, then some with one in their middle that does something
    special.
    """
    put_many(database, "app.one", [{"n": n, "does": ""} for n in range(PROOF)])
    does = [special if n == count // 2 else "" for n in range(count)]
    return put_many(
        database, "app.one", [{"n": PROOF + n, "does": d} for n, d in enumerate(does)], **options
    )


def in_a_row(database: Database) -> int:
    """Count the jobs whose effects share a subtransaction with those of others."""
    found = database.run(
        "select coalesce(sum(c), 0) from (select count(*) as c from app.ledger group by xmin"
        " having count(*) > 1) as x"
    )
    return int(found[0][0])


def test_they_run_in_a_row_once_they_have_proved_themselves(database: Database) -> None:
    put_row(database, "")
    database.drain()
    assert ledger(database) == list(range(PROOF + 40))
    assert 40 <= in_a_row(database) <= PROOF + 40 - 20


def test_one_that_fails_after_all_undoes_only_itself(database: Database) -> None:
    jobs = put_row(database, "fails", max_attempts=1)
    ever = "select last_value from jobs_internal.session_id_seq"
    before = database.admin(ever)[0][0]
    database.drain()
    assert database.admin(ever)[0][0] == before + 1, "its session lives on"
    bad = jobs.pop(20)
    assert ledger(database) == [n for n in range(PROOF + 40) if n != PROOF + 20]
    assert {state(database, job) for job in jobs} == {"succeeded"}
    assert attempts(database, bad) == [(1, "failed")]
    error = database.job(bad)["error"]
    assert (error["sqlstate"], error["message"]) == ("P0001", "on purpose")
    assert "one(integer,text)" in error["context"]
    assert "run_chunk" not in error["context"]
    assert database.run("select max(attempt) from jobs.attempts") == [(1,)]


def test_a_function_that_has_failed_is_not_trusted_again(database: Database) -> None:
    put_row(database, "fails", max_attempts=1)
    put_many(database, "app.one", [{"n": 1000 + n, "does": ""} for n in range(100)])
    database.drain()
    found = database.run(
        "select count(*) from (select from app.ledger where n >= 1000 group by xmin"
        " having count(*) > 1) as x"
    )
    assert found == [(0,)]


def test_a_function_that_has_failed_alone_is_not_trusted(database: Database) -> None:
    put(
        database, "app.one", {"n": 0, "does": "fails"}, settings={"work_mem": "8MB"}, max_attempts=1
    )
    put_row(database, "")
    database.drain()
    assert database.run("select count(*) from jobs.failed") == [(1,)]
    assert in_a_row(database) == 0


def test_a_function_that_fails_alone_after_a_chunk_of_nothing_is_not_trusted(
    database: Database,
) -> None:
    """A chunk may hold nothing but a message that is stale: it says nothing of the job that
    follows.
    """
    put_row(database, "")
    put(database, "app.one", {"n": -2, "does": ""}, settings={"work_mem": "8MB"})
    lane = database.admin("select pgmq_queue from jobs_internal.lane")[0][0]
    database.admin("select pgmq.send(%s, '{\"job\": 999999}')", [lane])
    put(
        database,
        "app.one",
        {"n": -1, "does": "fails"},
        settings={"work_mem": "8MB"},
        max_attempts=1,
    )
    put_many(database, "app.one", [{"n": 1000 + n, "does": ""} for n in range(40)])
    database.drain()
    assert in_a_row(database) >= 40, "before it failed"
    found = database.run(
        "select count(*) from (select from app.ledger where n >= 1000 group by xmin"
        " having count(*) > 1) as x"
    )
    assert found == [(0,)]


def test_a_cancel_hits_the_one_that_runs(database: Database) -> None:
    jobs = put_row(database, "waits")
    with gate_shut(database):
        database.run("select jobs.start()")
        wait_at_gate(database)
        wait_running(database, jobs[20])
        assert database.value("select jobs.cancel(%s)", [jobs[20]]) == "cancelling"
        assert wait_for(database, jobs[20])["state"] == "cancelled"
    database.drain()
    assert database.value("select last_value from app.hits") == 1, (
        "it is not run again to be cancelled again"
    )
    assert ledger(database) == [n for n in range(PROOF + 40) if n != PROOF + 20]
    assert {state(database, job) for job in jobs[:20] + jobs[21:]} == {"succeeded"}
    assert database.run("select max(attempt) from jobs.attempts") == [(1,)]


def test_a_timeout_hits_the_one_that_runs(database: Database) -> None:
    jobs = put_row(database, "waits", timeout="1 second", max_attempts=1)
    with gate_shut(database):
        database.run("select jobs.start()")
        wait_at_gate(database)
        wait_running(database, jobs[20])

        def over() -> bool:
            database.admin("select jobs_internal.supervisor_tick(0)")
            database.admin("select count(*) from jobs_internal.supervisor_send_stop_signals(0)")
            return state(database, jobs[20]) == "failed"

        wait_until(over, 15)
    database.drain()
    assert database.job(jobs[20])["error"]["sqlstate"] == "PWT01"
    assert ledger(database) == [n for n in range(PROOF + 40) if n != PROOF + 20]
    assert database.run("select max(attempt) from jobs.attempts") == [(1,)]


def test_a_signal_that_nobody_explains_charges_none_of_them(database: Database) -> None:
    jobs = put_row(database, "waits")
    with gate_shut(database):
        database.run("select jobs.start()")
        (pid,) = wait_at_gate(database)
        database.admin("select pg_cancel_backend(%s)", [pid])
        wait_until(lambda: not database.background(), 10)
    database.drain()
    assert ledger(database) == list(range(PROOF + 40))
    assert {state(database, job) for job in jobs} == {"succeeded"}
    assert database.run("select max(attempt) from jobs.attempts") == [(1,)]


def test_functions_that_catch_errors_do_not_fill_a_transaction_with_subtransactions(
    database: Database,
) -> None:
    """Over 64 of them in one transaction would slow all other sessions."""
    longest = (
        "select max(jsonb_array_length(t -> 'job_ids'))"
        " from jobs_internal.outbox, jsonb_array_elements(body -> 'succeeded') as t"
    )
    put_many(database, "app.one", [{"n": n, "does": "catches"} for n in range(300)])
    database.drain()
    assert ledger(database) == list(range(300))
    assert database.admin(longest)[0][0] <= 60
    put_many(database, "app.one", [{"n": 1000 + n, "does": ""} for n in range(300)])
    database.drain()
    assert database.admin(longest) == [(100,)]

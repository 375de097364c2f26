"""Function jobs: effect and outcome in one commit, exactly once, each answering for itself."""

import pytest
from stage import (
    attempts,
    drain_once,
    know_as_short,
    ledger,
    make_lane,
    put,
    put_many,
    put_sql,
    quick_retries,
    state,
    wait_for,
)
from support import Database, wait_until


def test_exactly_once(database: Database) -> None:
    quick_retries(database)
    put(database, "app.note", {"n": -1})
    put(database, "app.stumble", {"n": -2, "times": 0})
    put(database, "app.fail", {"n": -3, "state": "22012"})
    database.drain()
    know_as_short(database)
    database.run("truncate app.ledger")
    good = put_many(database, "app.note", [{"n": n} for n in range(1, 1801)])
    stumbling = put_many(database, "app.stumble", [{"n": n, "times": 1} for n in range(1801, 1901)])
    bad = put_many(database, "app.fail", [{"n": n, "state": "22012"} for n in range(1901, 2001)])
    database.drain(sessions=3)
    assert ledger(database) == list(range(1, 1901))
    states: dict[str, int] = dict(
        database.run(
            "select state, count(*) from jobs.finished where id >= %s group by state", [good[0]]
        )
    )
    assert states == {"succeeded": 1900, "failed": 100}
    assert database.run(
        "select count(*), min(attempt), max(attempt) from jobs.finished where id >= %s", [good[0]]
    ) == [(2000, 1, 2)]
    assert {attempts(database, job) == [(1, "failed"), (2, "succeeded")] for job in stumbling} == {
        True
    }
    assert {attempts(database, job) == [(1, "failed")] for job in bad[:5]} == {True}
    # Each row was written by the job that says so, and by no other.
    wrong = (
        "select count(*) from app.ledger as l join jobs.job as j on j.id = l.job"
        " where (j.args ->> 'n')::int <> l.n"
    )
    assert database.value(wrong) == 0
    # Many to a transaction, in several sessions.
    transactions, pids = database.run(
        "select count(distinct xid), count(distinct pid) from app.ledger"
    )[0]
    assert transactions < 600
    assert pids >= 2
    # Nothing is left anywhere.
    assert database.admin("select count(*) from jobs_internal.job") == [(0,)]
    for (queue,) in database.admin("select pgmq_queue from jobs_internal.lane"):
        assert database.admin(f"select count(*) from pgmq.q_{queue}") == [(0,)]


def test_a_failure_in_a_chunk_undoes_only_itself(database: Database) -> None:
    database.admin("select jobs.configure('chunk_ms', '5000')")
    put(database, "app.note", {"n": 0})
    put(database, "app.fail", {"state": "22012", "n": 0})
    database.drain()
    know_as_short(database)
    database.run("truncate app.ledger")
    before = put_many(database, "app.note", [{"n": n} for n in range(10)])
    bad = put(database, "app.fail", {"state": "22012", "n": 100})
    after = put_many(database, "app.note", [{"n": n} for n in range(10, 15)])
    drain_once(database)
    assert ledger(database) == list(range(15))
    assert {state(database, job) for job in before + after} == {"succeeded"}
    # Claims begin small: what stood around the failure shared its transaction.
    assert database.run("select count(distinct xid) from app.ledger where n > 4") == [(1,)]
    error = database.job(bad)["error"]
    assert {
        name: error[name] for name in ("sqlstate", "message", "detail", "hint", "constraint")
    } == {
        "sqlstate": "22012",
        "message": "it failed",
        "detail": "a detail",
        "hint": "a hint",
        "constraint": "a_constraint",
    }
    assert "app.fail" in error["context"] or "fail(text,integer)" in error["context"]


@pytest.mark.parametrize("knows", [True, False], ids=["short", "unknown"])
def test_a_deferred_constraint_blames_the_right_job(database: Database, *, knows: bool) -> None:
    database.run(
        "create table app.parent (id integer primary key);"
        "create table app.child (id integer references app.parent deferrable initially deferred);"
        "create function app.adopt(child integer) returns void"
        " language sql as 'insert into app.child values (child)';"
        "insert into app.parent values (1), (2), (3)"
    )
    if knows:
        put(database, "app.adopt", {"child": 3})
        database.drain()
        know_as_short(database)
    first = put(database, "app.adopt", {"child": 1})
    bad = put(database, "app.adopt", {"child": 99})
    last = put(database, "app.adopt", {"child": 2})
    drain_once(database)
    assert [state(database, job) for job in (first, bad, last)] == [
        "succeeded",
        "failed",
        "succeeded",
    ]
    error = database.job(bad)["error"]
    assert (error["sqlstate"], error["constraint"]) == ("23503", "child_id_fkey")
    assert database.run("select id from app.child where id < 3 order by id") == [(1,), (2,)]
    # The next job may still defer: what was made immediate for the check does not stay so.
    deferred = put_sql(
        database,
        "with c as (insert into app.child values (5)) insert into app.parent values (5)",
        max_attempts=1,
    )
    drain_once(database)
    assert state(database, deferred) == "succeeded"


def test_a_constraint_trigger_that_fails_at_the_end(database: Database) -> None:
    database.run(
        "create table app.guarded (n integer);"
        "create function app.refuse() returns trigger language plpgsql as"
        " $$ begin if new.n < 0 then raise exception 'negative' using errcode = '23514'; end if;"
        " return null; end $$;"
        "create constraint trigger guard after insert on app.guarded deferrable initially deferred"
        " for each row execute function app.refuse();"
        "create function app.guard(n integer) returns void"
        " language sql as 'insert into app.guarded values (n)'"
    )
    put(database, "app.guard", {"n": 0})
    database.drain()
    know_as_short(database)
    jobs = [put(database, "app.guard", {"n": n}) for n in (1, -1, 2)]
    drain_once(database)
    assert [state(database, job) for job in jobs] == ["succeeded", "failed", "succeeded"]
    assert database.job(jobs[1])["error"]["message"] == "negative"


def test_results_are_capped(database: Database) -> None:
    fine = put(database, "app.series", {"n": 1000})
    wide = put(database, "app.series", {"n": 1001})
    small = put(database, "app.large", {"bytes": 999_000})
    large = put(database, "app.large", {"bytes": 1_000_001})
    database.drain()
    assert len(database.result(fine)) == 1000
    assert len(database.result(small)) == 999_000
    for job in (wide, large):
        assert (state(database, job), database.job(job)["error"]["sqlstate"]) == ("failed", "PW040")
        assert attempts(database, job) == [(1, "failed")]


def test_a_superusers_jobs_are_refused(database: Database) -> None:
    import psycopg

    with pytest.raises(psycopg.Error) as refused:
        database.admin("select jobs.enqueue('pg_catalog.now')")
    assert refused.value.sqlstate == "PW019"
    database.admin("select jobs.admit_role('postgres')")
    job = database.admin("select jobs.enqueue('pg_catalog.now')")[0][0]
    database.drain(role="postgres")
    assert state(database, job) == "succeeded"


def test_a_job_that_enqueues_sees_its_jobs_run(database: Database) -> None:
    job = put(database, "app.run", {"what": "select jobs.enqueue('app.note', '{\"n\": 1}')"})
    failing = put(
        database,
        "app.run_and_fail",
        {"what": "select jobs.enqueue('app.note', '{\"n\": 2}')"},
        max_attempts=1,
    )
    database.drain()
    assert [state(database, one) for one in (job, failing)] == ["succeeded", "failed"]
    assert ledger(database) == [1]


def test_from_plain_sql_in_the_enqueuing_transaction(database: Database) -> None:
    """jobs.start in the transaction that enqueues: the sessions wait for its end."""
    make_lane(database)
    line = database.connect("app")
    with line.transaction():
        line.execute("select jobs.enqueue('app.note', '{\"n\": 1}')")
        assert line.execute("select jobs.start(2)").fetchall() == [(2,)]
    wait_until(lambda: ledger(database) == [1] and not database.background(), 20)
    with line.transaction(force_rollback=True):
        line.execute("select jobs.enqueue('app.note', '{\"n\": 2}')")
        line.execute("select jobs.start()")
    wait_until(lambda: not database.background(), 10)
    assert ledger(database) == [1]


def test_assert_failures_are_failures(database: Database) -> None:
    job = put(
        database, "app.run", {"what": "do $$ begin assert false, 'wrong'; end $$"}, max_attempts=1
    )
    database.drain()
    assert (state(database, job), database.job(job)["error"]["sqlstate"]) == ("failed", "P0004")


def test_a_job_finishes_though_it_made_many_subtransactions(database: Database) -> None:
    what = (
        "do $$ begin for i in 1 .. 200 loop begin insert into app.ledger (n) values (i);"
        " exception when others then"
        " null; end; end loop; end $$"
    )
    put(database, "app.run", {"what": "select 1"})
    database.drain()
    know_as_short(database)
    jobs = [put(database, "app.run", {"what": what}) for _ in range(5)]
    database.drain()
    assert {state(database, job) for job in jobs} == {"succeeded"}
    assert len(ledger(database)) == 1000
    wait_for(database, jobs[0])

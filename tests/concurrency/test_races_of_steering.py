"""Races of what people ask for: cancels, retries, jobs that are run now, a unique key; each is
driven to its moment."""

from stage import (
    attempts,
    gate_shut,
    ledger,
    make_lane,
    put,
    put_many,
    put_sql,
    quick_retries,
    state,
    wait_at_gate,
    wait_for,
)
from support import Database, wait_until

from .waiting import Ask, begin, lane, waits


def test_two_cancels_at_once(database: Database, ask: Ask) -> None:
    make_lane(database)
    for options in ({"run_at": "2100-01-01"}, {}):
        job = put(database, "app.note", {"n": 1}, **options)
        first, second = database.connect("app"), database.connect("app")
        assert begin(first, f"select jobs.cancel({job})") == "cancelled"
        answer = ask(second, f"select jobs.cancel({job})")
        if options:
            waits(database, second)
        first.execute("commit")
        assert answer.result(10) in ("cancelled", "cancelling")
        assert wait_for(database, job)["state"] == "cancelled"
        assert database.admin(
            "select count(*) from jobs_internal.finished where id = %s", [job]
        ) == [(1,)]
    database.drain()
    assert ledger(database) == []


def test_a_cancel_that_is_rolled_back_never_was(database: Database) -> None:
    make_lane(database)
    jobs = [put(database, "app.note", {"n": n}) for n in range(3)]
    line = database.connect("app")
    begin(line, f"select jobs.cancel({jobs[1]})")
    database.run("select jobs.start()")
    wait_until(lambda: len(ledger(database)) == 2, 10)
    line.execute("rollback")
    database.drain()
    assert ledger(database) == [0, 1, 2]


def test_a_cancel_is_open_while_its_job_is_claimed(database: Database, ask: Ask) -> None:
    """The cancel holds the message: no session can start the job, none waits,
    and it is cancelled at the commit.
    """
    make_lane(database)
    job = put(database, "app.note", {"n": 1})
    line = database.connect("app")
    assert begin(line, f"select jobs.cancel({job})") == "cancelled"
    database.run("select jobs.start(2)")
    wait_until(lambda: not database.background(), 10)
    line.execute("commit")
    assert state(database, job) == "cancelled"
    database.drain()
    assert ledger(database) == []


def test_cancel_against_completion(database: Database, ask: Ask) -> None:
    """The end of a job waits for its row; a cancel comes; one of both holds,
    and never half of each.
    """
    make_lane(database)
    job = put(database, "app.gate", {"n": 1})
    blocker = database.connect("postgres")
    with gate_shut(database):
        database.run("select jobs.start()")
        (pid,) = wait_at_gate(database)
        begin(blocker, f"select 1 from jobs_internal.job where id = {job} for update")
    wait_until(
        lambda: database.admin(
            "select 1 from pg_locks where pid = %s and not granted and locktype = 'transactionid'",
            [pid],
        )
    )
    assert database.value("select jobs.cancel(%s)", [job]) == "cancelling"
    wait_until(lambda: database.admin("select 1 from jobs_internal.stop_request"))
    blocker.execute("commit")
    wait_until(lambda: not database.background(), 20)
    database.drain()
    found = database.job(job)
    assert found["state"] in ("succeeded", "cancelled")
    assert ledger(database) == ([1] if found["state"] == "succeeded" else [])
    assert len(attempts(database, job)) == 1


def test_two_retries_at_once(database: Database, ask: Ask) -> None:
    job = put(database, "app.stumble", {"n": 1, "state": "22012"})
    database.drain()
    first, second = database.connect("app"), database.connect("app")
    assert begin(first, f"select jobs.retry({job})") == "retrying"
    answer = ask(second, f"select jobs.retry({job})")
    waits(database, second)
    first.execute("commit")
    assert answer.result(10) == "queued"
    database.drain()
    assert attempts(database, job) == [(1, "failed"), (2, "succeeded")]
    assert ledger(database) == [1]


def test_two_run_nows_at_once(database: Database, ask: Ask) -> None:
    make_lane(database)
    job = put(database, "app.note", {"n": 1}, run_at="2100-01-01")
    first, second = database.connect("app"), database.connect("app")
    assert begin(first, f"select jobs.run_now({job})") == "queued"
    answer = ask(second, f"select jobs.run_now({job})")
    waits(database, second)
    first.execute("commit")
    assert answer.result(10) == "queued"
    assert database.admin(f"select count(*) from {lane(database)}") == [(1,)]
    database.drain()
    assert ledger(database) == [1]


def test_two_ticks_at_once(database: Database, ask: Ask) -> None:
    """Both dispatch, both make lanes: each job gets one message, each lane is made once."""
    database.admin("select jobs.create_queue('side')")
    put_many(database, "app.note", [{"n": n} for n in range(50)])
    put_many(
        database, "app.note", [{"n": n} for n in range(50, 100)], queue="side", priority="high"
    )
    assert database.admin("select count(*) from jobs_internal.lane") == [(0,)]
    first, second = database.connect("supervisor"), database.connect("supervisor")
    begin(first, "select jobs_internal.supervisor_tick(1)")
    # it does not wait
    assert ask(second, "select jobs_internal.supervisor_tick(2) ->> 'dispatched'").result(10) == "0"
    first.execute("commit")
    assert database.admin("select count(*) from jobs_internal.duty_failure") == [(0,)]
    assert database.admin("select count(*) from jobs_internal.lane") == [(2,)]
    third, fourth = database.connect("supervisor"), database.connect("supervisor")
    later = put(database, "app.note", {"n": 100}, run_at="2100-01-01")
    database.admin("update jobs_internal.job set due_at = now() where id = %s", [later])
    begin(third, "select jobs_internal.supervisor_tick(1)")
    assert ask(fourth, "select jobs_internal.supervisor_tick(2) ->> 'dispatched'").result(10) == "0"
    third.execute("commit")
    database.drain(sessions=2)
    assert ledger(database) == list(range(101))


def test_run_now_against_a_tick(database: Database, ask: Ask) -> None:
    make_lane(database)
    job = put(database, "app.note", {"n": 1}, run_at="2100-01-01")
    database.admin("update jobs_internal.job set due_at = now() where id = %s", [job])
    ticking, running = database.connect("supervisor"), database.connect("app")
    begin(ticking, "select jobs_internal.supervisor_tick(1)")
    answer = ask(running, f"select jobs.run_now({job})")
    waits(database, running)
    ticking.execute("commit")
    assert answer.result(10) == "queued"
    assert database.admin(f"select count(*) from {lane(database)}") == [(1,)]


def test_cancel_against_a_tick(database: Database, ask: Ask) -> None:
    make_lane(database)
    job = put(database, "app.note", {"n": 1}, run_at="2100-01-01")
    database.admin("update jobs_internal.job set due_at = now() where id = %s", [job])
    ticking, cancelling = database.connect("supervisor"), database.connect("app")
    begin(ticking, "select jobs_internal.supervisor_tick(1)")
    answer = ask(cancelling, f"select jobs.cancel({job})")
    waits(database, cancelling)
    ticking.execute("commit")
    assert answer.result(10) == "cancelled"
    assert database.admin(f"select count(*) from {lane(database)}") == [(0,)]
    database.drain()
    assert ledger(database) == []


def test_the_same_unique_key_at_once(database: Database, ask: Ask) -> None:
    make_lane(database)
    first, second = database.connect("app"), database.connect("app")
    for end in ("commit", "rollback"):
        statement = f"select jobs.enqueue('app.note', '{{\"n\": 1}}', unique_key => '{end}')"
        mine = begin(first, statement)
        answer = ask(second, statement)
        waits(database, second)
        first.execute(end.encode())
        assert (answer.result(10) == mine) == (end == "commit")
    database.drain()
    assert ledger(database) == [1, 1]


def test_deadlocks_between_jobs_are_retried(database: Database) -> None:
    quick_retries(database)
    database.run(
        "create table app.pair (id integer primary key, n integer); insert into app.pair"
        " values (1, 0), (2, 0)"
    )
    database.run(
        "create function app.cross(a integer, b integer) returns void language plpgsql as $$ begin"
        " update app.pair set n = n + 1 where id = a; perform pg_sleep(0.02);"
        " update app.pair set n = n + 1 where id = b; end $$"
    )
    jobs = put_many(
        database,
        "app.cross",
        [{"a": 1 + i % 2, "b": 2 - i % 2} for i in range(10)],
        max_attempts=20,
    )
    database.drain(sessions=2, timeout=60)
    assert {state(database, job) for job in jobs} == {"succeeded"}
    assert database.run("select n from app.pair") == [(10,), (10,)]


def test_statements_do_not_wait_for_each_other(database: Database) -> None:
    """An open transaction that enqueued blocks no other enqueuer, no tick and no session."""
    make_lane(database)
    holder = database.connect("app")
    begin(holder, "select jobs.enqueue('app.note', '{\"n\": 1}')")
    job = put_sql(database, "select 1")
    database.run("select jobs_internal.supervisor_tick(1)", role="supervisor")
    database.run("select jobs.start()")
    wait_for(database, job)
    holder.execute("commit")
    database.drain()
    assert ledger(database) == [1]

"""Races, each driven to its moment: a lock is held, the other side is seen to wait for it,
the lock is let go.
"""

from psycopg import Connection
from stage import (
    attempts,
    drain_once,
    gate_shut,
    know_as_short,
    ledger,
    make_lane,
    put,
    put_many,
    state,
    wait_at_gate,
    wait_for,
)
from support import Database, Row, wait_until

from .byhand import Worker
from .waiting import Ask, begin, lane, waits_for


def _begin_removal(database: Database) -> Connection[Row]:
    """Drop the queue, and stand in the middle of the removal of its lanes."""
    database.run("select jobs.drop_queue('doomed')", role="operator")
    database.admin("select jobs_internal.remove_dropped_queues()")  # its horizon noted
    remover = database.connect("postgres")
    assert begin(remover, "select jobs_internal.remove_dropped_queues()") == 2
    return remover


def test_a_session_that_meets_a_dropped_lane_goes_on(database: Database) -> None:
    database.admin("select jobs.create_queue('doomed')")
    make_lane(database, queue="doomed")
    make_lane(database)
    remover = _begin_removal(database)
    with database.server.connect("app", database.name) as line:
        # The lanes are listed, and then there is one less.
        assert line.execute("select jobs.start()").fetchall() == [(1,)]
    (pid,) = wait_until(lambda: [row[0] for row in database.background()], 5)
    wait_until(
        lambda: (
            database.admin("select 1 from pg_locks where pid = %s and not granted", [pid])
            or not database.background()
        )
    )
    remover.execute("commit")
    job = put(database, "app.note", {"n": 1})
    database.drain()
    assert state(database, job) == "succeeded"


def test_a_session_whose_lane_is_dropped_between_two_claims_goes_on(
    database: Database, ask: Ask
) -> None:
    """It has just had a job there, so it does not ask first whether there is another."""
    database.admin("select jobs.create_queue('doomed')")
    make_lane(database, queue="doomed")
    make_lane(database)
    put(database, "app.note", {"n": 1}, queue="doomed")
    worker = Worker(database=database)
    worker.finish(worker.start_first())
    database.admin(
        "update jobs_internal.session set full_scan_at = clock_timestamp() + interval '1 minute'"
    )
    remover = _begin_removal(database)
    answer = ask(
        worker.line, f"select (jobs_internal.claim({worker.number}, 1, null, false, 1)).msg_ids"
    )
    waits_for(database, worker.line, remover)
    remover.execute("commit")
    assert answer.result(10) is None

    job = put(database, "app.note", {"n": 2})
    worker.finish(worker.start_first())
    assert state(database, job) == "succeeded"


def test_claim_against_claim(database: Database) -> None:
    """Four sessions claim the same lane at once: each message goes to one of them."""
    put(database, "app.note", {"n": -1})
    database.drain()
    know_as_short(database)
    database.run("truncate app.ledger")
    put_many(database, "app.note", [{"n": n} for n in range(2000)])
    drain_once(database, sessions=4)
    assert ledger(database) == list(range(2000))


def test_claim_against_rescue(database: Database, ask: Ask) -> None:
    """A message is with a rescuer that has not committed: nobody runs it beside;
    then it is run once.
    """
    put(database, "app.note", {"n": -1})
    put(database, "app.gate", {"n": -1})
    database.drain()
    know_as_short(database)
    database.run("truncate app.ledger")
    put(database, "app.gate", {"n": 0})
    jobs = put_many(database, "app.note", [{"n": n} for n in range(1, 20)])
    with gate_shut(database):
        database.run("select jobs.start()")
        (pid,) = wait_at_gate(database)
        # The session is gone, its row and its claim are there.
        keeper = database.connect("postgres")
        begin(keeper, "select 1 from jobs_internal.session for update")
        database.admin("select pg_terminate_backend(%s)", [pid])
        row_wait = (
            "select 1 from pg_locks where pid = %s and not granted and locktype <> 'advisory'"
        )
        wait_until(lambda: database.admin(row_wait, [pid]) or not database.background(), 10)
        database.admin("select pg_terminate_backend(%s)", [pid])
        wait_until(lambda: not database.background(), 10)
        keeper.execute("rollback")
    first, second = database.connect("supervisor"), database.connect("supervisor")
    begin(first, "select jobs_internal.supervisor_tick(1)")
    assert (
        ask(second, "select (jobs_internal.supervisor_tick(2) ->> 'rescued')::int").result(10) == 0
    )
    database.run("select jobs.start(2)")
    wait_until(lambda: not database.background(), 10)
    assert ledger(database) == []
    first.execute("commit")
    database.drain()
    assert ledger(database) == list(range(20))
    assert {len(attempts(database, job)) for job in jobs} == {1}


def test_a_function_renamed_while_its_chunk_is_open(database: Database) -> None:
    """The call goes by name; the job is found by its function, whatever that is called by now."""
    database.run(
        "create function app.before(n integer) returns integer language sql begin atomic"
        " select app.note(n); end"
    )
    put(database, "app.before", {"n": -1})
    put(database, "app.gate", {"n": -1})
    database.drain()
    know_as_short(database)
    database.run("truncate app.ledger")
    first = put(database, "app.gate", {"n": 1}, max_attempts=1)
    job = put(database, "app.before", {"n": 2}, max_attempts=1)
    with gate_shut(database):
        database.run("select jobs.start()")
        wait_at_gate(database)
        database.run("alter function app.before(integer) rename to after")
    for one in (first, job):
        assert wait_for(database, one)["state"] == "succeeded"
        assert attempts(database, one) == [(1, "succeeded")]
    wait_until(lambda: not database.background(), 10)
    assert ledger(database) == [1, 2]


def test_a_function_renamed_while_its_job_runs_alone(database: Database) -> None:
    """A job that misses a function, and whose own has another name now, may have missed that:
    it starts anew.
    """
    database.run(
        "create function app.before(n integer) returns integer language plpgsql as $$ begin"
        " perform nextval('app.hits'), app.gate(n); perform app.before(n, 'no such');"
        " return n; end $$"
    )
    job = put(database, "app.before", {"n": 1}, max_attempts=1)
    with gate_shut(database):
        database.run("select jobs.start()")
        wait_at_gate(database)
        database.run("alter function app.before(integer) rename to after")
    wait_until(lambda: not database.background(), 10)
    database.drain()
    assert database.job(job)["error"]["sqlstate"] == "42883"
    assert attempts(database, job) == [(1, "failed")]
    assert database.value("select last_value from app.hits") == 2
    assert ledger(database) == []


def test_a_message_that_is_locked_for_a_moment_is_not_forgotten(database: Database) -> None:
    """A claim with an older snapshot may hold our message: it goes back at once,
    and not when the lease ends.
    """
    put(database, "app.note", {"n": -1})
    put(database, "app.gate", {"n": -1})
    database.drain()
    know_as_short(database)
    database.admin("select jobs.configure('chunk_jobs', '1')")
    database.run("truncate app.ledger")
    put(database, "app.gate", {"n": 1})
    job = put(database, "app.note", {"n": 2})
    with database.server.connect("postgres", database.name) as holder:
        with gate_shut(database):
            database.run("select jobs.start()")
            (pid,) = wait_at_gate(database)
            begin(
                holder,
                f"select msg_id from {lane(database)} where message ->> 'job' = '{job}' for update",
            )
        blocked = "select %s = any (pg_blocking_pids(%s))"
        wait_until(lambda: database.admin(blocked, [holder.info.backend_pid, pid])[0][0], 10)
        assert ledger(database) == [1]
        holder.execute("rollback")
    wait_for(database, job, timeout=5)
    wait_until(lambda: not database.background(), 10)
    assert ledger(database) == [1, 2]


def test_a_lease_that_ran_out_makes_nothing_run_twice(database: Database) -> None:
    """Its session still works: the message is visible again, and yet nobody else runs it."""
    put(database, "app.gate", {"n": -1})
    database.drain()
    know_as_short(database)
    database.admin("select jobs.configure('lease_seconds', '1')")
    database.run("truncate app.ledger")
    job = put(database, "app.gate", {"n": 1})
    with gate_shut(database):
        database.run("select jobs.start()")
        (pid,) = wait_at_gate(database)
        wait_until(
            lambda: database.admin(f"select 1 from {lane(database)} where vt < clock_timestamp()"),
            5,
        )
        database.run("select jobs.start(2)")
        wait_until(lambda: [row[0] for row in database.background()] == [pid], 10)
        database.admin("select jobs_internal.rescue()")
        assert wait_at_gate(database) == [pid]
    wait_for(database, job)
    wait_until(lambda: not database.background(), 10)
    assert ledger(database) == [1]


def test_a_token_that_is_gone_opens_nothing(database: Database) -> None:
    """Whose messages were claimed by another does not even look at their jobs."""
    make_lane(database)
    put_many(database, "app.note", [{"n": n} for n in range(3)])
    first, second = Worker(database=database), Worker(database=database)
    assert len(first.claim()) == 3
    database.admin(f"update {lane(database)} set vt = clock_timestamp()")  # its lease is over
    assert second.claim() == first.messages
    assert first.open() == []
    assert len(second.open(short_ms=-1)) == 1


def test_a_message_that_was_claimed_again_is_left_to_its_new_holder(database: Database) -> None:
    """A session claims, stands still, and its lease runs out: what another has claimed meanwhile it
    does not run.
    """
    put(database, "app.note", {"n": -1})
    put(database, "app.gate", {"n": -1})
    database.drain()
    know_as_short(database)
    database.admin("select jobs.configure('chunk_ms', '0')")
    database.admin("select jobs.configure('lease_seconds', '1')")
    database.run("truncate app.ledger")
    put(database, "app.gate", {"n": 0})
    put_many(database, "app.note", [{"n": n} for n in range(1, 200)])
    with gate_shut(database):
        database.run("select jobs.start()")
        wait_at_gate(database)
        # Its lease ends while it is in its first job; another session takes the rest.
        wait_until(
            lambda: database.admin(
                "select 1 from jobs_internal.session where lease < clock_timestamp()"
            ),
            5,
        )
        database.run("select jobs.start()")
        wait_until(lambda: len(ledger(database)) > 50, 20)
    wait_until(lambda: not database.background(), 20)
    database.drain()
    assert ledger(database) == list(range(200))


def test_the_last_slot_goes_to_one(database: Database) -> None:
    database.admin("select jobs.create_queue('single', 1)")
    put(database, "app.crowd", queue="single")
    database.drain()
    database.run("truncate app.ledger")
    put_many(database, "app.crowd", [{} for _ in range(10)], queue="single")
    database.drain(sessions=4)
    assert ledger(database) == [1] * 10

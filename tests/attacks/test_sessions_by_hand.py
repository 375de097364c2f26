"""A tenant that plays worker session by hand: it passes what it likes,
and nobody else is hurt by it.
"""

import time

import pytest
from concurrency.byhand import Worker
from psycopg.types.json import Jsonb
from stage import (
    attempts,
    gate_shut,
    make_lane,
    put,
    put_many,
    put_sql,
    state,
    wait_at_gate,
    wait_for,
)
from support import Database, wait_until

LEARN = (
    "select (jobs_internal.claim(%s, 0,"
    " array[jsonb_populate_record(null::jobs_internal.run_stats, %s)], true, 1)).lane_id"
)
BEGIN = (
    "select (jobs_internal.begin_alone(%s, %s, jsonb_populate_record(null::jobs_internal.work_item,"
    " %s))).mode"
)


def tick(database: Database) -> None:
    database.value("select jobs_internal.supervisor_tick(0)", role="supervisor")


@pytest.mark.parametrize("ms", ["1e-322", "5e-324", "0", "-1e308", "1e308", "NaN", "Infinity"])
def test_no_lesson_breaks_the_tick(database: Database, ms: str) -> None:
    """What a session says of its jobs goes into what a supervisor reckons with."""
    make_lane(database, role="other")
    put(database, "pg_catalog.now", priority="low")
    tick(database)
    lane = database.admin("select id from jobs_internal.lane where owner = 'app'::regrole")[0][0]
    worker = Worker(database=database)
    worker.line.execute(
        LEARN, [worker.number, Jsonb({"lane_id": lane, "runs": 1, "failed": 0, "ms": ms})]
    )
    worker.leave()
    put(database, "pg_catalog.now", priority="low")
    late = put(database, "other.work", role="other", run_at="2026-01-01")
    tick(database)
    assert state(database, late) == "queued"
    assert database.run("select count(*) from jobs.queues", role="operator") == [(1,)]


def test_figures_of_a_session_are_added_and_bounded(database: Database) -> None:
    """Those of its claims come to one sum; one that is no figure does not spoil the sum,
    and none takes from it.
    """
    make_lane(database)
    lane = database.admin("select id from jobs_internal.lane")[0][0]
    worker = Worker(database=database)
    for figures in (
        {
            "runs": 3,
            "failed": 1,
            "ms": 5,
            "waited_ms": 2,
            "measured": 2,
            "rows": 7,
            "wal_bytes": 100,
        },
        {
            "runs": 2,
            "failed": 0,
            "ms": 4,
            "waited_ms": 1,
            "measured": 1,
            "rows": 8,
            "wal_bytes": 10,
        },
        {
            "runs": 1,
            "failed": -9,
            "ms": "NaN",
            "waited_ms": "Infinity",
            "measured": -1,
            "rows": -20,
            "wal_bytes": -7,
        },
    ):
        worker.line.execute(
            LEARN, [worker.number, Jsonb({"lane_id": lane, "task": "vacuum", **figures})]
        )
    worker.leave()
    query = (
        "select task, attempts, failed, measured, rows, run_ms, waited_ms, wal_bytes"
        " from jobs.cost where task = 'vacuum'"
    )
    bounded = 10**15
    assert database.run(query) == [
        ("vacuum", 6, 1, 3, 15, 9 + bounded, 3 + bounded, round(110 * 5 / 3))
    ]


@pytest.mark.parametrize("attempt", [1, 2, 2147483647, -5])
def test_which_attempt_it_is_says_the_row(database: Database, attempt: int) -> None:
    """A number of the caller's own would be one that no rescue can write down."""
    make_lane(database)
    job = put(database, "app.note", {"n": 1}, max_attempts=3)
    worker = Worker(database=database)
    (message,) = worker.claim(1)
    item = {"msg_id": message, "job_id": job, "attempt": attempt, "mode": "alone", "quick": False}
    assert worker.line.execute(BEGIN, [worker.number, worker.lane, Jsonb(item)]).fetchone() == (
        "alone",
    )
    worker.die()
    tick(database)
    assert database.admin("select count(*) from jobs_internal.session") == [(0,)]
    assert attempts(database, job) == [(1, "lost")]


def test_only_what_was_claimed_is_started(database: Database) -> None:
    """A claim takes the slot of the queue; the number of a message is easily guessed."""
    make_lane(database)
    first, second = put_many(database, "app.note", [{"n": 1}, {"n": 2}])
    worker = Worker(database=database)
    (message,) = worker.claim(1)
    item = {"msg_id": message + 1, "job_id": second, "attempt": 1, "mode": "alone", "quick": False}
    (mode,) = worker.line.execute(BEGIN, [worker.number, worker.lane, Jsonb(item)]).fetchone() or (
        "",
    )
    assert mode == "gone"
    worker.leave()
    database.drain()
    assert {state(database, job) for job in (first, second)} == {"succeeded"}


def test_sessions_that_die_together_are_waited_for_once(database: Database) -> None:
    """Each was 0.2 s of a tick, during which nobody else's jobs are seen to."""
    count = 20
    make_lane(database)
    database.admin("select jobs.alter_queue('default', concurrency => %s)", [count])
    put_many(database, "app.note", [{"n": n} for n in range(count)])
    workers = [Worker(database=database) for _ in range(count)]
    jobs = [worker.start_first() for worker in workers]
    for worker in workers:
        worker.die()
    # a tick ends in time: a busy machine needs some
    while "running" in {state(database, job) for job in jobs}:
        tick(database)
    # Waited for one by one, each would be judged 0.2 s after the one before,
    # however busy the machine is.
    gaps = database.admin(
        "select count(*) filter (where gap < interval '0.2 s'), count(*) from ("
        " select finished_at - lag(finished_at) over (order by finished_at) as gap"
        " from jobs.attempts where job_id = any (%s)"
        ") as t where gap is not null",
        [jobs],
    )
    assert gaps[0][1] == count - 1
    assert gaps[0][0] > count / 4


def test_one_that_waits_for_a_slot_and_asks_no_more_keeps_none(database: Database) -> None:
    """A slot is kept for the owner who has waited longest, as long as it asks."""
    database.admin("select jobs.create_queue('serial', concurrency => 1)")
    make_lane(database, queue="serial")
    make_lane(database, queue="serial", role="other")
    put_many(database, "app.note", [{"n": n} for n in range(3)], queue="serial")
    first, waiter = Worker(database=database), Worker(database=database)
    assert first.claim(1)
    assert waiter.claim(1) == []
    first.leave()
    theirs = put(database, "other.work", {"n": 1}, queue="serial", role="other")
    with database.connect("other") as line:
        number = line.execute(
            "select jobs_internal.open_session(jobs_internal.schema_version())"
        ).fetchone()
        claim = "select (jobs_internal.claim(%s, 0, null, false, 1)).lane_id"
        assert line.execute(claim.encode(), number).fetchone() == (None,), (
            "the waiter has only just asked"
        )
        wait_until(lambda: line.execute(claim.encode(), number).fetchone() != (None,), 60)
    tick(database)
    waiter.leave()
    database.drain(role="other")
    database.drain()
    assert wait_for(database, theirs)["state"] == "succeeded"


SEEN = "select count(x.t) from (select v::text as t from jobs.running as v) as x"


@pytest.mark.parametrize(
    "name", ["1 0.01/9999999999999999999", "1 0.00/5", "9999999999999 0.01/9999999999999999999"]
)
def test_no_name_of_a_session_breaks_the_views(database: Database, name: str) -> None:
    make_lane(database)
    put(database, "app.note", {"n": 1})
    worker = Worker(database=database)
    job = worker.start_first()
    worker.line.execute("select set_config('application_name', %s, false)", [f"pw {job}/1 {name}"])
    for role in ("operator", "reader", "app"):
        assert database.run(SEEN, role=role) == [(1,)]
    worker.finish(job)
    worker.leave()


def test_no_progress_breaks_the_views(database: Database) -> None:
    database.run(
        "create function app.tells() returns void language plpgsql as"
        " $$ begin perform jobs.progress(0.01, 1e18, null), app.gate(1); end $$"
    )
    with gate_shut(database):
        put(database, "app.tells")
        database.run("select jobs.start()")
        wait_at_gate(database)
        for role in ("operator", "reader", "app"):
            assert database.run(SEEN, role=role) == [(1,)]
    database.drain()


@pytest.mark.alone
def test_a_dead_watcher_whose_child_works_costs_no_tick(database: Database) -> None:
    """Nobody is judged before the child has ended, so nobody waits for that judgement,
    round after round.
    """
    with gate_shut(database):
        job = put_sql(
            database,
            "do $$ begin perform app.gate(7); end $$",
            done_when="select true",
            max_attempts=1,
        )
        database.run("select jobs.start()")
        (child,) = wait_at_gate(database)
        (watcher,) = [
            pid
            for (pid,) in database.admin("select pid from jobs_internal.session")
            if pid != child
        ]
        database.admin("select pg_terminate_backend(%s)", [watcher])
        wait_until(
            lambda: not database.admin("select 1 from pg_stat_activity where pid = %s", [watcher])
        )
        took = []
        for _ in range(20):
            begun = time.monotonic()
            tick(database)
            took.append(time.monotonic() - begun)
        assert min(took) < 0.2, "one that waits for a judgement takes 0.2 s at least"
        assert state(database, job) == "running"
    wait_until(lambda: not database.background())
    tick(database)
    database.drain()
    assert state(database, job) == "succeeded"

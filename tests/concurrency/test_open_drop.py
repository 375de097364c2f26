"""A drop that stays open makes no enqueuer wait, and an enqueuer that stays open no drop;
no accepted job is lost.
"""

import pytest
from psycopg import Connection
from stage import make_lane, put, state
from support import Database, Row, sqlstate_of, wait_until

from .waiting import Ask, begin, waits

LEVELS = ("read committed", "repeatable read", "serializable")
LEFT = (
    "select (select count(*) from jobs_internal.lane where queue_id = q.id),"
    " (select count(*) from jobs_internal.slot where queue_id = q.id), removed_at is not null"
    " from jobs_internal.queue as q where name = 'doomed' order by id limit 1"
)
#: But those that were made ahead.
TABLES = (
    "select count(*) from pgmq.list_queues()"
    " where queue_name not in"
    " (select pgmq_queue from jobs_internal.lane where owner <> 'app'::regrole)"
)


@pytest.fixture
def doomed(database: Database) -> Database:
    """A queue with slots and one lane; an enqueue that waits for more than 0.2 s fails."""
    database.admin("select jobs.create_queue('doomed', concurrency => 2)")
    make_lane(database)
    make_lane(database, queue="doomed")
    return database


def _enqueuer(database: Database, level: str) -> Connection[Row]:
    line = database.connect(lock_timeout="200ms")
    line.execute(f"begin isolation level {level}".encode())
    # from here on it has a snapshot, where it keeps one
    line.execute("select count(*) from jobs.queues")
    return line


def _enqueue(line: Connection[Row], queue: str, **options: str) -> int:
    more = "".join(f", {name} => '{value}'" for name, value in options.items())
    (row,) = line.execute(
        f"select jobs.enqueue('pg_catalog.now', queue => '{queue}'{more})".encode()
    ).fetchall()
    return int(row[0])


def _maintain(database: Database) -> None:
    for _ in range(3):
        database.run("select jobs_internal.maintain()", role="supervisor")


def _is_gone(database: Database) -> bool:
    _maintain(database)
    return database.admin(LEFT) == [(0, 0, True)]


@pytest.mark.parametrize("end", ["commit", "rollback"])
@pytest.mark.parametrize("level", LEVELS)
def test_an_open_drop_makes_no_enqueuer_wait(doomed: Database, level: str, end: str) -> None:
    """Neither of another queue nor of that one: what is accepted before the commit runs."""
    dropper = doomed.connect("operator")
    begin(dropper, "select jobs.drop_queue('doomed')")
    jobs = []
    for queue in ("default", "doomed"):
        enqueuer = _enqueuer(doomed, level)
        jobs.append(_enqueue(enqueuer, queue))
        jobs.append(_enqueue(enqueuer, queue, unique_key="k", run_at="2020-01-01"))
        jobs.append(_enqueue(enqueuer, queue, priority="high"))
        enqueuer.execute("commit")
    dropper.execute(end.encode())
    _maintain(doomed)
    doomed.drain()
    assert [state(doomed, job) for job in jobs] == ["succeeded"] * 6
    there = doomed.run("select queue from jobs.queues where queue = 'doomed'")
    assert there == ([] if end == "commit" else [("doomed",)])
    assert (sqlstate_of(lambda: put(doomed, "pg_catalog.now", queue="doomed")) == "PW007") == (
        end == "commit"
    )
    if end == "commit":
        wait_until(lambda: _is_gone(doomed))
        assert doomed.admin(TABLES) == [(2,)], "those of the queue default"


DOORS = (
    "select jobs.enqueue_many('pg_catalog.now', array['{}']::jsonb[], queue => 'doomed')",
    "select jobs.enqueue_sql('select 1', queue => 'doomed', unique_key => 'k')",
    "select jobs.enqueue_published('app.note', '{\"n\": 1}')",
    "select jobs.retry((select max(id) from jobs.failed))",
    "select jobs.set_priority((select max(id) from jobs.queued), 'low')",
)


@pytest.mark.parametrize("door", DOORS)
def test_no_door_waits_for_an_open_drop(database: Database, door: str) -> None:
    """With no lane there, too; what came before the commit runs after it."""
    database.admin("select jobs.create_queue('doomed')")
    failed = put(database, "app.fail", {"state": "22012"}, queue="doomed")
    database.drain()
    database.run("select jobs.publish('app.note', 'other', queue => 'doomed')")
    inside, dropper = _enqueuer(database, LEVELS[0]), database.connect("operator")
    late = _enqueue(inside, "doomed")
    begin(dropper, "select jobs.drop_queue('doomed')")
    inside.execute("commit")
    database.connect("other" if "published" in door else "app", lock_timeout="200ms").execute(
        door.encode()
    )
    dropper.execute("commit")
    _maintain(database)
    database.drain()
    assert state(database, late) == "succeeded"
    assert state(database, failed) == "failed"
    assert database.admin("select * from jobs_internal.job") == []
    assert sqlstate_of(lambda: database.run(DOORS[0])) == "PW007"
    wait_until(lambda: _is_gone(database))


@pytest.mark.parametrize("level", LEVELS)
def test_an_open_enqueue_makes_no_drop_wait(doomed: Database, level: str) -> None:
    """Nor fail, wherever it has put its job; its job runs, and the queue's tables go after it."""
    elsewhere, inside = _enqueuer(doomed, LEVELS[0]), _enqueuer(doomed, level)
    jobs = [
        _enqueue(elsewhere, "default"),
        _enqueue(inside, "doomed"),
        _enqueue(inside, "doomed", priority="low"),
    ]
    dropper = doomed.connect("operator", lock_timeout="200ms")
    assert dropper.execute("select jobs.drop_queue('doomed')").fetchall() == [(True,)]
    _maintain(doomed)
    assert doomed.admin(LEFT) == [(1, 2, False)], "it may still come"
    elsewhere.execute("commit")
    inside.execute("commit")
    _maintain(doomed)
    assert doomed.admin(LEFT)[0][2] is False, "its jobs are there"
    doomed.drain()
    assert [state(doomed, job) for job in jobs] == ["succeeded"] * 3
    wait_until(lambda: _is_gone(doomed))


def test_a_job_that_came_late_is_retried_and_cancelled_as_any_other(doomed: Database) -> None:
    enqueuer = _enqueuer(doomed, LEVELS[0])
    begun = (
        "select jobs.enqueue('app.fail', '{\"state\": \"40001\"}', queue => 'doomed',"
        " max_attempts => 2)"
    )
    fails = enqueuer.execute(begun.encode()).fetchall()[0][0]
    later = _enqueue(enqueuer, "doomed", run_at="2100-01-01")
    doomed.run("select jobs.drop_queue('doomed')", role="operator")
    enqueuer.execute("commit")
    _maintain(doomed)
    doomed.drain()
    wait_until(lambda: (doomed.drain(), state(doomed, fails) == "failed")[1])
    assert doomed.job(fails)["attempt"] == 2
    assert sqlstate_of(lambda: doomed.run("select jobs.retry(%s)", [fails])) == "PW007"
    _maintain(doomed)
    assert doomed.admin(LEFT)[0][2] is False
    assert doomed.value("select jobs.cancel(%s)", [later]) == "cancelled"
    wait_until(lambda: _is_gone(doomed))


@pytest.mark.parametrize("level", LEVELS)
def test_a_transaction_that_was_there_before_is_told_or_served(
    doomed: Database, level: str
) -> None:
    """Its snapshot may be older than the drop: one clear error, and never a job that
    nothing runs.
    """
    enqueuer = _enqueuer(doomed, level)
    doomed.run("select jobs.drop_queue('doomed')", role="operator")
    assert sqlstate_of(lambda: _enqueue(enqueuer, "doomed")) == (
        "PW007" if level == LEVELS[0] else "40001"
    )


def test_the_name_is_free_at_once(doomed: Database) -> None:
    dropper = doomed.connect("operator")
    begin(dropper, "select jobs.drop_queue('doomed')")
    dropper.execute("select jobs.create_queue('doomed')")
    dropper.execute("commit")
    job = put(doomed, "pg_catalog.now", queue="doomed")
    wait_until(lambda: _is_gone(doomed))
    _maintain(doomed)
    doomed.drain()
    assert state(doomed, job) == "succeeded"
    assert doomed.run("select queue from jobs.queues where queue = 'doomed'") == [("doomed",)]


def test_two_operators_drop_it_at_once(doomed: Database, ask: Ask) -> None:
    first, second = doomed.connect("operator"), doomed.connect("operator")
    begin(first, "select jobs.drop_queue('doomed')")
    answer = ask(second, "select jobs.drop_queue('doomed')")
    waits(doomed, second)
    first.execute("commit")
    assert answer.result(10) == "PW007"


def test_a_paused_queue_runs_what_comes_late(doomed: Database) -> None:
    doomed.run("select jobs.pause('doomed')", role="operator")
    enqueuer = _enqueuer(doomed, LEVELS[0])
    job = _enqueue(enqueuer, "doomed")
    doomed.run("select jobs.drop_queue('doomed')", role="operator")
    enqueuer.execute("commit")
    doomed.drain()
    assert state(doomed, job) == "succeeded"


def test_a_lane_that_a_session_uses_goes_later(doomed: Database) -> None:
    doomed.run("select jobs.drop_queue('doomed')", role="operator")
    holder = doomed.connect("app")
    lanes = (
        "select pgmq_queue from jobs_internal.lane where queue_id = (select max(id)"
        " from jobs_internal.queue)"
    )
    ((name,),) = doomed.admin(lanes)
    doomed.admin(f"grant usage on schema pgmq to app; grant select on pgmq.q_{name} to app")
    begin(holder, f"select count(*) from pgmq.q_{name}")
    _maintain(doomed)
    assert doomed.admin(LEFT) == [(1, 0, False)]
    holder.execute("rollback")
    doomed.admin(
        "update jobs_internal.duty_failure set retry_at = clock_timestamp() - interval '1 s'"
    )
    wait_until(lambda: _is_gone(doomed))
    assert doomed.admin("select * from jobs_internal.duty_failure") == []

"""Lanes that rest: nobody looks at an empty one, and no message is ever passed by."""

import pytest
from stage import make_lane, put, state
from support import Database, wait_until

from .waiting import begin

ENQUEUE = "select jobs.enqueue('app.note', '{\"n\": 1}')"


def idle_state(database: Database) -> str:
    return str(database.admin("select idle_state from jobs_internal.lane")[0][0])


def look(database: Database, times: int = 1) -> None:
    """What a round of a supervisor does, long after the lane was served last."""
    for _ in range(times):
        database.admin(
            "update jobs_internal.lane set served_at = clock_timestamp() - interval '1 minute'"
        )
        database.admin("select count(*) from jobs_internal.session_demand()")


def fall_asleep(database: Database) -> None:
    make_lane(database)
    database.drain()
    wait_asleep(database)


def wait_asleep(database: Database) -> None:
    """Three rounds are enough, unless somebody else's transaction, an autovacuum's say,
    takes its time.
    """

    def asleep() -> bool:
        look(database)
        return idle_state(database) == "idle"

    wait_until(asleep, 20)


def test_a_lane_with_messages_stays_awake(database: Database) -> None:
    make_lane(database)
    job = put(database, "app.note", {"n": 1})
    database.admin("update pgmq.q_pyworker_1 set vt = clock_timestamp() + interval '1 hour'")
    look(database, 5)
    assert idle_state(database) == "active"
    database.admin("update pgmq.q_pyworker_1 set vt = clock_timestamp()")
    database.drain()
    assert state(database, job) == "succeeded"


def test_a_lane_that_was_served_just_now_stays_awake(database: Database) -> None:
    make_lane(database)
    database.drain()
    for _ in range(5):
        database.admin("select count(*) from jobs_internal.session_demand()")
    assert idle_state(database) == "active"


def test_what_enters_a_lane_asleep_is_run(database: Database) -> None:
    fall_asleep(database)
    job = put(database, "app.note", {"n": 1})
    assert idle_state(database) == "idle"
    assert database.run("select queued from jobs.queues where queue = 'default'") == [(1,)]
    assert database.admin(
        "select owner::text, session_demand from jobs_internal.session_demand()"
    ) == [("app", 1)]
    assert idle_state(database) == "active"
    database.drain()
    assert state(database, job) == "succeeded"
    assert database.admin("select count(*) from jobs_internal.wakeup_request") == [(0,)]


@pytest.mark.parametrize("steps", [0, 1, 2])
def test_an_enqueuer_who_saw_it_awake_is_waited_for(database: Database, steps: int) -> None:
    """His message comes to light whenever he commits: before his end the lane does not fall
    asleep.
    """
    make_lane(database)
    database.drain()
    look(database, steps)
    late = database.connect()
    begin(late, ENQUEUE)
    look(database, 5)
    assert (idle_state(database), steps) != ("idle", 0)
    late.execute("commit")
    look(database, 1)
    database.drain()
    assert database.run("select count(*) from jobs.job where finished_at is null") == [(0,)]


def test_an_old_snapshot_leaves_a_nudge_in_any_case(database: Database) -> None:
    make_lane(database)
    database.drain()
    late = database.connect()
    late.execute("begin isolation level repeatable read")
    late.execute("select count(*) from jobs.queues")
    wait_asleep(database)
    late.execute(ENQUEUE.encode())
    late.execute("commit")
    database.drain()
    assert database.run("select count(*) from jobs.job where finished_at is null") == [(0,)]


def test_a_savepoint_takes_its_nudge_along(database: Database) -> None:
    fall_asleep(database)
    line = database.connect()
    line.execute("begin")
    line.execute("savepoint s")
    line.execute(ENQUEUE.encode())
    line.execute("rollback to s")
    line.execute(ENQUEUE.encode())
    line.execute(ENQUEUE.encode())
    line.execute("commit")
    assert database.admin("select count(*) from jobs_internal.wakeup_request") == [(1,)], (
        "one, though two were enqueued"
    )
    database.drain()
    assert database.run("select count(*) from jobs.job where finished_at is null") == [(0,)]


def test_enqueuers_into_a_lane_asleep_do_not_wait_for_each_other(database: Database) -> None:
    fall_asleep(database)
    first = database.connect()
    begin(first, ENQUEUE)
    second = put(database, "app.note", {"n": 2})
    database.drain()
    assert state(database, second) == "succeeded"
    first.execute("commit")
    database.drain()
    assert database.run("select count(*) from jobs.job where finished_at is null") == [(0,)]


def test_a_nudge_stays_while_its_lane_is_held(database: Database) -> None:
    fall_asleep(database)
    job = put(database, "app.note", {"n": 1})
    holder = database.connect("postgres")
    begin(holder, "select count(*) from (select from jobs_internal.lane for update) as l")
    database.admin("select jobs_internal.wake_lanes()")
    assert database.admin("select count(*) from jobs_internal.wakeup_request") == [(1,)]
    holder.execute("rollback")
    database.drain()
    assert state(database, job) == "succeeded"


def test_upkeep_wakes_a_lane_that_sleeps_on_a_message(database: Database) -> None:
    """It cannot come to that by any way of ours; should it, the job waits for the next upkeep and
    no longer.
    """
    fall_asleep(database)
    job = put(database, "app.note", {"n": 1})
    database.admin("delete from jobs_internal.wakeup_request")
    database.admin("select jobs_internal.maintain()")
    assert idle_state(database) == "active"
    database.drain()
    assert state(database, job) == "succeeded"

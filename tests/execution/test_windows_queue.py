"""A queue with a window: its jobs start while that is open."""

import pytest
from stage import gate_shut, know_as_short, ledger, make_lane, put, put_many, state, wait_at_gate
from support import Database, sqlstate_of, wait_until

from .windows import close, in_window, make_window, open_for, ran, tick, told, waits, work


@pytest.fixture(autouse=True)
def night(database: Database) -> None:
    make_window(database)
    database.run("select jobs.create_queue('heavy', window_name => 'night')", role="operator")


def test_its_jobs_wait_in_their_lane(database: Database) -> None:
    """As in a paused queue, with a reason of its own; enqueue goes on, and no session is asked for.
    Other queues go on.
    """
    jobs = put_many(database, "app.note", [{"n": n} for n in range(3)], queue="heavy")
    tick(database)
    jobs.append(put(database, "app.note", {"n": 3}, queue="heavy"))
    free = put(database, "app.note", {"n": 9})
    assert {state(database, job) for job in jobs} == {"queued"}
    database.run("select jobs.start()")
    wait_until(lambda: state(database, free) == "succeeded")
    wait_until(lambda: not database.background())
    assert [row["owner"] for row in tick(database)["owners"]] == []
    assert told(database, jobs[0]) in ("queue_window", "no_supervisor")
    said = database.record("select * from jobs.explain(%s)", [jobs[0]])
    assert said["code"] == "queue_window"
    assert said["reason"].startswith("window night of its queue heavy is closed: it opens at 2")
    assert database.job(jobs[0])["waits_for"] == said["reason"]
    assert database.run("select window_name from jobs.queues where queue = 'heavy'") == [("night",)]
    assert database.run("select jobs_waiting from jobs.windows") == [(4,)]

    open_for(database)
    assert [row["session_demand"] for row in tick(database)["owners"]] == [1]
    database.drain()
    assert ledger(database) == [0, 1, 2, 3, 9]
    close(database)
    last = put(database, "app.note", {"n": 4}, queue="heavy")
    work(database)
    assert state(database, last) == "queued"


def test_silence_in_a_closed_window_is_none(database: Database) -> None:
    """jobs.health says nothing of what waits for hours for its queue's window, nor in the moment in
    which that opens.
    """
    put(database, "app.note", {"n": 1}, queue="heavy")
    tick(database)
    database.admin("update jobs_internal.lane set served_at = now() - interval '8 hours'")
    database.admin(
        "update pgmq.q_pyworker_1 set vt = vt - interval '8 hours',"
        " enqueued_at = enqueued_at - interval '8 hours'"
    )
    row = "select status from jobs.health where \"check\" = 'due jobs'"
    assert database.admin(row) == [("ok",)]
    open_for(database)
    assert database.admin(row) == [("ok",)]
    database.admin("update jobs_internal.window_state set opened_at = now() - interval '1 hour'")
    assert database.admin(row) == [("critical",)]
    database.drain()


def test_its_jobs_must_fit(database: Database) -> None:
    """One that is not expected to end in time leaves the lane and waits, those behind it run; and
    the runs are kept, in a chunk too.
    """
    make_lane(database)
    open_for(database)
    put_many(database, "app.note", [{"n": n} for n in range(30)], queue="heavy")
    know_as_short(database)
    database.drain()
    assert database.admin("select count(*) from jobs_internal.task_run") == [(20,)]
    ran(database, "app.note", *[5e6] * 20)
    long = put(database, "app.note", {"n": 100}, queue="heavy")
    other = put(database, "app.echo", {"what": {}}, queue="heavy")
    database.drain()
    assert (state(database, other), waits(database)) == ("succeeded", [long])
    assert told(database, long) == "window_too_short"
    close(database)
    assert told(database, long) == "window_closed"
    open_for(database, "3 hours")
    database.drain()
    assert state(database, long) == "succeeded"


def test_a_job_and_its_queue_have_one(database: Database) -> None:
    """Both must be open."""
    make_window(database, "day")
    job = put(database, "app.note", {"n": 1}, queue="heavy", options=in_window("day"))
    open_for(database, name="day")
    work(database)
    assert (told(database, job), waits(database)) == ("window_closed", [job])
    assert "its queue's window night" in database.value(
        "select reason from jobs.explain(%s)", [job]
    )
    open_for(database)
    close(database, "day")
    database.drain()
    assert (told(database, job), waits(database)) == ("window_closed", [job])
    open_for(database, name="day")
    database.drain()
    assert state(database, job) == "succeeded"


def test_it_gets_another_one_or_none(database: Database) -> None:
    """What waits is looked at anew, in its lane or outside."""
    make_window(database, "day")
    tick(database)
    ran(database, "app.nap", 5e6)
    open_for(database)
    outside = put(database, "app.nap", {"seconds": 0, "n": 1}, queue="heavy")
    database.drain()
    assert waits(database) == [outside]
    alter = "select jobs.alter_queue('heavy', window_name => %s)"
    database.run(alter, ["day"], role="operator")
    assert waits(database) == []
    inside = put(database, "app.note", {"n": 2}, queue="heavy")
    tick(database)
    assert {told(database, job) for job in (inside, outside)} == {"queue_window"}
    database.run("select jobs.alter_queue('heavy', max_attempts => 2)", role="operator")
    assert told(database, inside) == "queue_window"
    database.run(alter, [""], role="operator")
    database.drain()
    assert ledger(database) == [1, 2]
    assert database.run("select window_name from jobs.queues where queue = 'heavy'") == [(None,)]
    assert sqlstate_of(lambda: database.run(alter, ["none"], role="operator")) == "PW111"
    assert (
        sqlstate_of(
            lambda: database.run(
                "select jobs.create_queue('q', window_name => 'none')", role="operator"
            )
        )
        == "PW111"
    )


def test_stop_in_a_queue(database: Database) -> None:
    """Its window stops what runs, which waits in the lane then."""
    database.run("select jobs.alter_window('night', on_close => 'stop')", role="operator")
    open_for(database)
    with gate_shut(database):
        job = put(database, "app.gate", {"n": 1}, queue="heavy")
        database.run("select jobs.start()")
        wait_at_gate(database)
        close(database)
        tick(database)
        database.admin("select jobs_internal.supervisor_send_stop_signals(0)")
        wait_until(lambda: not database.background())
    tick(database)
    assert (state(database, job), database.job(job)["attempt"]) == ("queued", 0)
    assert told(database, job) == "queue_window"
    open_for(database)
    database.drain()
    assert state(database, job) == "succeeded"


def test_a_queue_that_was_dropped_keeps_no_window(database: Database) -> None:
    """A job that comes to it late, of one that had not seen the drop, runs at any time."""
    database.run("select jobs.drop_queue('heavy')", role="operator")
    assert database.admin("select window_name from jobs_internal.queue where name = 'heavy'") == [
        (None,)
    ]
    database.run("select jobs.drop_window('night')", role="operator")

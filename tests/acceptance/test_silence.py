"""Silence is never the sign of a failure: whenever due jobs are not picked up,
jobs.health says critical.

Nobody waits 30 s here: the lane is made to look as if nobody had come for a minute.
"""

import subprocess
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

import pytest
from kit.daemon import Supervise
from psycopg import errors
from stage import make_lane, put, state, wait_for, wait_running
from support import Database, wait_until

HEALTH = 'select status, detail, remedy from jobs.health where "check" = %s'


@pytest.fixture
def lane(database: Database, monkeypatch: pytest.MonkeyPatch) -> Database:
    """A database in which `other` has a lane; supervisors speak of stuck jobs after a second."""
    make_lane(database, role="other")
    monkeypatch.setenv("PYWORKER_STUCK_AFTER", "1")
    return database


def a_minute_passes(database: Database) -> None:
    """Make it look as if all that is due had been due for a minute,
    and nobody had claimed since.
    """
    for (queue,) in database.admin(
        "update jobs_internal.lane set served_at = now() - interval '1 min' returning pgmq_queue"
    ):
        database.admin(
            f"update pgmq.q_{queue} set vt = vt - interval '1 min', enqueued_at = enqueued_at -"
            " interval '1 min'"
        )
    database.admin(
        "update jobs_internal.job set due_at = due_at - interval '1 min' where due_at <= now()"
    )


def due(database: Database) -> tuple[str, str, str | None]:
    """Give status, detail and remedy of the check of due jobs."""
    status, detail, remedy = database.admin(HEALTH, ["due jobs"])[0]
    return status, detail, remedy


def assert_alarm(database: Database) -> None:
    """jobs.health says critical, and whose jobs wait."""
    a_minute_passes(database)
    status, detail, remedy = due(database)
    assert (status, "other" in detail) == ("critical", True)
    assert remedy is not None
    assert "pyworker run" in remedy


def assert_calm(database: Database) -> None:
    assert due(database)[0] == "ok"


def test_no_supervisor(lane: Database) -> None:
    job = put(lane, "pg_catalog.now", role="other")
    assert_calm(lane)
    assert_alarm(lane)
    lane.drain(role="other")
    assert lane.job(job, role="other")["state"] == "succeeded"
    assert_calm(lane)


def test_jobs_that_are_due_and_in_no_lane(database: Database) -> None:
    put(database, "pg_catalog.now", role="other", queue="default")
    assert_alarm(database)
    database.drain(role="other")
    assert_calm(database)


@contextmanager
def altered(database: Database, what: str, back: str) -> Iterator[None]:
    database.admin(f"alter role other {what}")
    try:
        yield
    finally:
        database.admin(f"alter role other {back}")


@pytest.mark.parametrize(
    ("what", "back"), [("nologin", "login"), ("connection limit 0", "connection limit -1")]
)
def test_an_owner_that_cannot_connect(
    lane: Database, supervise: Supervise, what: str, back: str
) -> None:
    one = supervise(lane.dsn("supervisor"), "--owner", "other")
    with altered(lane, what, back):
        job = put(lane, "pg_catalog.now", role="other")
        assert one.wait_for("owner_unreachable")["owner"] == "other"
        assert one.wait_for("jobs_stuck")["owner"] == "other"
        assert_alarm(lane)
    wait_for(lane, job, timeout=60)
    assert_calm(lane)
    one.wait_for("jobs_moving")  # until then its exit code would say that it is stuck
    assert one.stop() == 0


def test_an_owner_whom_nobody_serves(lane: Database, supervise: Supervise) -> None:
    one = supervise(lane.dsn("supervisor"), "--owner", "app")
    put(lane, "pg_catalog.now", role="other")
    assert_alarm(lane)
    one.stop()
    lane.drain(role="other")


def test_no_free_worker_slot(lane: Database, supervise: Supervise) -> None:
    with ExitStack() as held:
        full = False
        while not full:
            # A session may hold so many background workers only.
            holder = held.enter_context(lane.server.connect("postgres", lane.name))
            try:
                for _ in range(15):
                    holder.execute("select pg_background_launch('select pg_sleep(300)')")
            except (errors.InsufficientResources, errors.ConfigurationLimitExceeded):
                full = True
        one = supervise(lane.dsn("supervisor"))
        job = put(lane, "pg_catalog.now", role="other")
        one.wait_for("no_worker_slot")
        one.wait_for("jobs_stuck")
        assert_alarm(lane)
        assert lane.admin(HEALTH, ["free worker slots"])[0][0] == "critical"
        lane.admin(
            "select pg_terminate_backend(pid) from pg_stat_activity"
            " where query like '%%pg_sleep(300)%%' and pid <> pg_backend_pid()"
        )
    wait_for(lane, job, timeout=30)
    assert_calm(lane)
    one.stop()


def test_workers_that_die_at_once(lane: Database, supervise: Supervise) -> None:
    source = lane.value(
        "select pg_get_functiondef('jobs_internal.open_session(integer)'::regprocedure)",
        role="postgres",
    )
    lane.admin(
        "create or replace function jobs_internal.open_session(p_version integer) returns bigint"
        " language plpgsql as"
        " $$ begin raise exception 'planted'; end $$"
    )
    one = supervise(lane.dsn("supervisor"))
    job = put(lane, "pg_catalog.now", role="other")
    assert "do not show up" in one.wait_for("jobs_stuck")["reason"]
    assert_alarm(lane)
    lane.admin(source)
    wait_for(lane, job, timeout=30)
    assert_calm(lane)
    one.stop()


def test_a_tick_that_fails(
    lane: Database, supervise: Supervise, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The server answers, with an error: the supervisor stays, goes on trying,
    and recovers by itself.
    """
    monkeypatch.setenv("PYWORKER_STALL_AFTER", "3")
    one = supervise(lane.dsn("supervisor"))
    good = lane.admin(
        "select pg_get_functiondef('jobs_internal.supervisor_tick(bigint)'::regprocedure)"
    )[0][0]
    lane.admin(
        "create or replace function jobs_internal.supervisor_tick(p_supervisor bigint)"
        " returns jsonb"
        " language plpgsql as $$ begin raise exception 'planted'; end $$"
    )
    # the last good one, which might see the job, is over
    assert one.wait_for("duty_failed")["duty"] == "tick"
    job = put(lane, "pg_catalog.now", role="other")
    assert_alarm(lane)
    with pytest.raises(subprocess.TimeoutExpired):
        one.process.wait(8)  # well past its patience
    lane.admin(good)
    wait_until(lambda: state(lane, job) == "succeeded")


def test_what_is_paused_is_shown_and_no_alarm(lane: Database) -> None:
    put(lane, "pg_catalog.now", role="other")
    lane.admin("select jobs.pause('default')")
    a_minute_passes(lane)
    assert_calm(lane)
    assert lane.admin(HEALTH, ["queues"])[0][:2] == ("warning", "paused: default")
    lane.admin("select jobs.resume('default')")
    assert due(lane)[0] == "critical"
    lane.drain(role="other")


def test_a_queue_whose_slots_all_work_is_no_alarm(lane: Database) -> None:
    lane.admin("select jobs.create_queue('narrow', 1)")
    put(lane, "pg_catalog.now", role="other", queue="narrow")
    lane.drain(role="other")
    long = put(lane, "pg_catalog.pg_sleep", {"$1": 60}, role="other", queue="narrow")
    lane.run("select jobs.start()", role="other")
    wait_running(lane, long)
    put(lane, "pg_catalog.now", role="other", queue="narrow")
    a_minute_passes(lane)
    assert_calm(lane)
    lane.run("select jobs.cancel(%s)", [long], role="other")
    wait_until(lambda: not lane.background(), 20)
    lane.drain(role="other")


def test_a_dead_session_and_nobody_to_rescue_it(lane: Database) -> None:
    fatal = "select set_config('transaction_timeout', '1', false), pg_sleep(5)"
    lane.admin("grant usage on schema app to other")
    job = put(lane, "app.run", {"what": fatal}, role="other", max_attempts=1)
    lane.run("select jobs.start()", role="other")
    wait_until(lambda: lane.admin(HEALTH, ["dead sessions"])[0][0] == "critical")
    assert lane.admin("select state from jobs_internal.job where id = %s", [job]) == [("running",)]
    lane.drain(role="other")
    assert lane.admin(HEALTH, ["dead sessions"])[0][0] == "ok"
    assert lane.job(job, role="other")["state"] == "failed"

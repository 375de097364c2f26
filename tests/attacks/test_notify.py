"""A20: NOTIFY has no access list. Whoever rings wakes a supervisor, and can do no more by it."""

import time
from threading import Event, Thread

import pytest
from kit.daemon import Supervise
from psycopg import sql
from stage import put, state, wait_for
from support import Database, wait_until

LIES = (
    "",
    "stop",
    '{"job": 1, "state": "cancelled"}',
    '{"event": "supervisor_stopping"}',
    "select jobs.cancel(1)",
    "'; drop schema jobs cascade; --",
    "\n{}\x1b[31m",
    "\u202e" + "x" * 7900,
)


def _ticks(database: Database) -> int:
    rows = database.admin(
        "select calls from pg_stat_user_functions where funcname = 'supervisor_tick'"
    )
    return int(rows[0][0]) if rows else 0


def _asleep(database: Database) -> bool:
    return database.admin("select asleep from jobs.supervisors") == [(True,)]


def test_a_spoofed_ring_is_no_command(watched: Database, supervise: Supervise) -> None:
    """A20: whatever its payload says, jobs and supervisor go on as they were, and nothing of it is
    logged.
    """
    database = watched
    waiting = put(database, "app.note", {"n": 1}, run_at="2100-01-01")
    one = supervise(database.dsn("supervisor"), "--owner", "app")
    wait_until(lambda: _asleep(database))
    line = database.connect("nobody")
    for lie in LIES:
        line.execute(sql.SQL("notify pyworker, {}").format(lie))
    job = put(database, "app.note", {"n": 2})
    assert wait_for(database, job)["state"] == "succeeded"
    assert state(database, waiting) == "scheduled"
    one.wait_for("job_succeeded")
    assert one.stop() == 0
    told = {line["event"] for line in one.lines}
    assert told == {
        *(
            "supervisor_started",
            "sessions_launched",
            "job_succeeded",
            "supervisor_stopping",
            "supervisor_stopped",
        )
    }
    assert one.complaints == []


@pytest.mark.parametrize("busy", [False, True], ids=["idle", "busy"])
def test_a_flood_of_rings_is_bounded(watched: Database, supervise: Supervise, busy: bool) -> None:
    """A20: a supervisor that is rung without end ticks some twenty times a second,
    and jobs go on beside it.
    """
    database = watched
    database.admin(f"alter database {database.name} set track_functions = 'pl'")
    supervise(database.dsn("supervisor"), "--owner", "app")
    wait_until(lambda: _asleep(database))
    if busy:
        job = put(database, "pg_catalog.pg_sleep", {"$1": 60}, settings={"work_mem": "1MB"})
        wait_for(database, job, "running")
    line = database.connect("nobody")
    before, begun = _ticks(database), time.monotonic()
    while time.monotonic() < begun + 2:
        line.execute("notify pyworker, 'x'")
    ticks = _ticks(database) - before
    # a busy machine takes longer, and ticks less often
    assert ticks < 50 * (time.monotonic() - begun)
    over = Event()

    def flood() -> None:
        while not over.is_set():
            line.execute("notify pyworker, 'y'")

    thread = Thread(target=flood)
    thread.start()
    try:
        jobs = [put(database, "app.note", {"n": n}) for n in range(3)]
        assert [wait_for(database, one)["state"] for one in jobs] == ["succeeded"] * 3
        if busy:
            database.run("select jobs.cancel(%s)", [job])
            assert wait_for(database, job)["state"] == "cancelled"
    finally:
        over.set()
        thread.join()


def test_who_listens_learns_nothing(watched: Database, supervise: Supervise) -> None:
    """A20: any role may listen; a ring carries no word of the job that it is for."""
    database = watched
    supervise(database.dsn("supervisor"), "--owner", "app")
    wait_until(lambda: _asleep(database))
    line = database.connect("nobody")
    line.execute("listen pyworker")
    job = put(database, "app.echo", {"what": "s3cret"}, note={"x": "s3cret"})
    assert [ring.payload for ring in line.notifies(timeout=5, stop_after=1)] == [""]
    assert wait_for(database, job)["state"] == "succeeded"

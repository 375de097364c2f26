"""A job starts only if it is expected to end before its window closes."""

from datetime import timedelta

import pytest
from stage import gate_shut, ledger, make_lane, put, put_sql, state, wait_at_gate
from support import Database, wait_until

from .snoozing import SETUP
from .windows import in_window, make_window, move, open_for, ran, tick, told, waits


@pytest.fixture(autouse=True)
def night(database: Database) -> None:
    """Make a window of an hour that is closed until a test opens it."""
    make_window(database)


def left(database: Database, minutes: float, of: float = 60) -> None:
    """Have the window open for some minutes more, of so many."""
    database.admin(
        "update jobs_internal.window_state set opened_at = clock_timestamp() - %s,"
        " closes_at = clock_timestamp() + %s",
        [timedelta(minutes=of - minutes), timedelta(minutes=minutes)],
    )


def test_the_ninth_of_ten_of_its_last_runs(database: Database) -> None:
    """1.2 times the time that nine in ten of its last twenty runs took at most: 20 minutes here,
    whatever one run in ten took, and whatever came before.
    """
    ran(database, "app.note", *[3e6] * 5, *[60_000] * 17, 1_000_000, 9e9, 9e9)
    left(database, 19.9)
    job = put(database, "app.note", {"n": 1}, options=in_window())
    database.drain()
    said = database.record("select * from jobs.explain(%s)", [job])
    assert (said["code"], waits(database)) == ("window_too_short", [job])
    assert "it needs 00:20:00 (1.2 times the 00:16:40 that nine in ten of" in said["reason"]
    left(database, 20.1)
    move(database)
    database.drain()
    assert state(database, job) == "succeeded"


def test_of_its_own_owner_and_task(database: Database) -> None:
    ran(database, "app.note", 3e6, owner="other")
    ran(database, "app.nap", 3e6)
    left(database, 50)
    job = put(database, "app.note", {"n": 1}, options=in_window())
    database.drain()
    assert state(database, job) == "succeeded"


@pytest.mark.parametrize(
    ("minutes", "timeout", "starts"),
    [
        (46, None, True),  # the first quarter
        (44, None, False),
        (44, "43 minutes", True),
        (44, "45 minutes", False),
        (46, "2 hours", True),
        (1, "30 s", True),
    ],
)
def test_one_that_has_never_run(
    database: Database, minutes: float, timeout: str | None, *, starts: bool
) -> None:
    """Where its timeout fits it starts, else in the first quarter of the window."""
    left(database, minutes)
    job = put(database, "app.note", {"n": 1}, timeout=timeout, options=in_window())
    database.drain()
    assert (state(database, job) == "succeeded") is starts
    if not starts:
        said = database.record("select code, reason from jobs.explain(%s)", [job])
        assert said["code"] == "window_too_short"
        assert "it has never run here" in said["reason"]
        assert "first quarter" in said["reason"]
        open_for(database, "10 hours")
        database.drain()
        assert state(database, job) == "succeeded"


def test_it_is_looked_at_again_at_its_start(database: Database) -> None:
    """It fitted when it entered its lane, and does not when its turn comes: it goes back to wait,
    nothing is charged, and comes in the next opening.
    """
    make_lane(database)
    ran(database, "app.note", 600_000)
    left(database, 30)
    job = put(database, "app.note", {"n": 1}, options=in_window())
    assert state(database, job) == "queued"
    left(database, 11)
    assert told(database, job) == "window_too_short"
    database.drain()
    assert (waits(database), ledger(database)) == ([job], [])
    # the same opening does not ask again and again
    assert (move(database), waits(database)) == (0, [job])
    open_for(database)
    database.drain()
    assert state(database, job) == "succeeded"
    assert database.job(job)["attempt"] == 1


def test_an_operation_by_what_such_ones_take(database: Database) -> None:
    """1.4 times what the last operations of its kind on that table took."""
    database.run("create table app.large (n integer)")
    first = put_sql(database, "vacuum app.large")
    database.drain()
    assert state(database, first) == "succeeded"
    database.admin(
        "update jobs_internal.finished set started_at = finished_at - interval '30 minutes'"
        " where id = %s",
        [first],
    )
    left(database, 41.9, of=42)
    job = put_sql(database, "vacuum app.large", timeout="1 minute", options=in_window())
    database.drain()
    said = database.record("select code, reason from jobs.explain(%s)", [job])
    assert said["code"] == "window_too_short"
    assert "it needs 00:42:00 (1.4 times the 00:30:00 that such an" in said["reason"]
    other = put_sql(database, "vacuum app.ledger", options=in_window())
    left(database, 42.1, of=43)
    tick(database)
    database.drain()
    assert (state(database, job), state(database, other)) == ("succeeded", "succeeded")


def test_runs_that_are_kept(database: Database) -> None:
    """Twenty of each owner and task, of jobs with a window alone; each run of one that snoozes, and
    each step, is a run.
    """
    database.run(SETUP)
    open_for(database)
    put(database, "app.note", {"n": 0})
    put(database, "app.naps", {"n": 1, "times": 2}, options=in_window())
    put(database, "app.fail", {"n": 0}, max_attempts=1, options=in_window())
    database.value(
        "select jobs.enqueue_steps(%s::jsonb, options => %s)",
        ['["select app.note(1)", "vacuum app.ledger"]', in_window()],
    )
    database.drain()
    kept = "select task, count(*) from jobs_internal.task_run group by 1 order by 1"
    assert {task.lower(): runs for task, runs in database.admin(kept)} == {
        "app.naps": 3,
        "select": 1,
        "vacuum app.ledger": 1,
    }
    ran(database, "app.naps", *range(1, 40))
    assert database.admin(
        "select count(*), min(ms) from jobs_internal.task_run where task = 'app.naps'"
    ) == [(20, 20.0)]


def test_sessions_that_keep_runs_at_once(database: Database) -> None:
    """Who ends a job waits for no other session that ends one of the same task."""
    ran(database, "app.note", *range(20))
    with database.connect("postgres") as first, first.transaction():
        first.execute("select jobs_internal.keep_runs('app'::regrole, '{app.note}', '{1}')")
        ran(database, "app.note", 2)
    ran(database, "app.note", 3)
    assert database.admin("select count(*) from jobs_internal.task_run") == [(20,)]


def test_one_that_fits_no_window(database: Database) -> None:
    """A health row names it, and the numbers; not to those who may not see it, and not any more
    when the window is long enough.
    """
    row = "select status, detail, remedy from jobs.health where \"check\" = 'windows'"
    ran(database, "app.note", 3_600_000)
    job = put(database, "app.note", {"n": 1}, options=in_window())
    open_for(database)
    database.drain()
    assert waits(database) == [job]
    assert "and the window is open for 01:00:00 only" in database.value(
        "select reason from jobs.explain(%s)", [job]
    )
    status, detail, remedy = database.run(row)[0]
    assert status == "warning"
    assert detail == f"job {job} (app.note) needs 01:12:00, and window night is open for 01:00:00"
    assert remedy == "select jobs.alter_window('night', duration => '01:19:12');"
    status, detail, remedy = database.run(row, role="other")[0]
    assert (status, detail) == ("warning", "1 job more that need longer than their window is open")
    database.run("select jobs.alter_window('night', duration => '01:19:12')", role="operator")
    assert database.run(row)[0][0] == "ok"
    open_for(database, "80 minutes")
    database.drain()
    assert state(database, job) == "succeeded"


def test_a_window_that_is_not_there_any_more(database: Database) -> None:
    """A job in history whose window was dropped waits when it is retried: a health row says so,
    and it goes on when there is one of that name.
    """
    open_for(database)
    job = put(database, "app.fail", {"n": 1}, max_attempts=1, options=in_window())
    database.drain()
    database.run("select jobs.drop_window('night')", role="operator")
    database.run("select jobs.retry(%s)", [job])
    database.drain()
    said = database.record("select code, reason, remedy from jobs.explain(%s)", [job])
    assert (said["code"], said["reason"]) == ("window_closed", "its window night was dropped")
    health = database.run("select status, detail from jobs.health where \"check\" = 'windows'")
    assert health == [("warning", "jobs wait for window night, which was dropped")]
    make_window(database)
    open_for(database)
    database.drain()
    assert database.job(job)["attempt"] == 2


def test_one_that_waits_in_the_gate_when_it_closes(database: Database) -> None:
    """Running jobs go on past the closing, where it lets them finish."""
    with gate_shut(database):
        open_for(database)
        job = put(database, "app.gate", options=in_window())
        database.run("select jobs.start()")
        wait_at_gate(database)
        database.admin("update jobs_internal.window_state set closes_at = clock_timestamp()")
        tick(database)
        assert not database.admin("select 1 from jobs_internal.stop_request")
    wait_until(lambda: not database.background())
    assert state(database, job) == "succeeded"

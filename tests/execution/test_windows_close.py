"""What becomes of the jobs of a window when it closes: finish, stop and park."""

from datetime import timedelta

import pytest
from psycopg.types.json import Jsonb
from stage import (
    attempts,
    gate_shut,
    know_as_short,
    ledger,
    put,
    put_sql,
    put_steps,
    state,
    wait_at_gate,
    wait_for_lock,
)
from support import Database, wait_until

from .snoozing import SETUP, done
from .windows import close, in_window, make_window, open_for, tick, told, waits


def stop(database: Database, *, by_a_round: bool = True) -> None:
    """Do rounds of a supervisor, with the signals that they ask for, until no session is left."""

    def over() -> bool:
        if by_a_round:
            tick(database)
        database.admin("select jobs_internal.supervisor_send_stop_signals(0)")
        return not database.background()

    wait_until(over)


def logged(database: Database, job: int) -> list[tuple[str, str, str]]:
    """Read what the log gets of a job: outcome, message, and what the hint names."""
    return [
        (one["outcome"], one["error"]["message"], one["error"]["hint"].partition(" says")[0])
        for (body,) in database.admin("select body from jobs_internal.outbox")
        for one in body["others"]
        if one["job_id"] == job
    ]


@pytest.mark.parametrize("kind", ["function", "short", "statement", "at top level"])
def test_stop(database: Database, kind: str) -> None:
    """What runs is stopped by the next round; nothing is charged, what it did is undone, and it
    runs again in the next opening.
    """
    make_window(database, on_close="stop")
    open_for(database)
    with gate_shut(database) as holder:
        if kind == "at top level":
            database.run("create table app.t (n integer)")
            holder.execute("begin")
            holder.execute("lock table app.t")
            job = put_sql(database, "vacuum app.t", options=in_window())
        elif kind == "statement":
            job = put_sql(database, "select app.gate(1)", options=in_window())
        else:
            job = put(database, "app.gate", {"n": 1}, options=in_window())
        if kind == "short":
            know_as_short(database)
        database.run("select jobs.start()")
        if kind == "at top level":
            wait_for_lock(database, "app.t")
        else:
            wait_at_gate(database)
        tick(database)
        assert not database.admin("select 1 from jobs_internal.stop_request"), "it is open"
        close(database)
        stop(database)
        tick(database)
        assert waits(database) == [job]
        assert told(database, job) == "window_closed"
        assert logged(database, job) == [
            ("interrupted", "its maintenance window has closed", f"select jobs.explain({job})")
        ]
        found = database.job(job)
        assert (found["attempt"], found["error"]) == (0, None)
        assert not database.admin("select 1 from jobs_internal.stop_request")
        if kind == "at top level":
            holder.execute("rollback")
    assert ledger(database) == []
    open_for(database)
    database.drain()
    assert state(database, job) == "succeeded"
    assert attempts(database, job) == [(1, "succeeded")]


def test_others_are_not_stopped(database: Database) -> None:
    """Of other windows, and of none."""
    make_window(database, on_close="stop")
    make_window(database, "day", on_close="stop")
    open_for(database)
    open_for(database, name="day")
    with gate_shut(database):
        jobs = [
            put(database, "app.gate", {"n": n}, options=Jsonb({"window": name} if name else {}))
            for n, name in enumerate(["night", "day", ""])
        ]
        database.run("select jobs.start(3)")
        wait_at_gate(database, 3)
        close(database)
        tick(database)
        assert database.admin("select job_id, reason from jobs_internal.stop_request") == [
            (jobs[0], "window_closed")
        ]
        database.admin("select jobs_internal.supervisor_send_stop_signals(0)")
        wait_until(lambda: state(database, jobs[0]) == "scheduled")
    wait_until(lambda: not database.background())
    assert [state(database, job) for job in jobs[1:]] == ["succeeded", "succeeded"]
    assert ledger(database) == [1, 2]


def test_a_start_that_the_round_has_not_seen(database: Database) -> None:
    """It is found by the round after: a round asks for all that runs, not for what it closed."""
    make_window(database, on_close="stop")
    open_for(database)
    with gate_shut(database):
        job = put(database, "app.gate", {"n": 1}, options=in_window())
        database.run("select jobs.start()")
        wait_at_gate(database)
        database.admin("update jobs_internal.window_state set closes_at = clock_timestamp()")
        database.admin("select jobs_internal.move_windows()")  # and this round sees no start
        stop(database)
    tick(database)
    assert waits(database) == [job]


def test_who_cancels_one_that_is_being_stopped(database: Database) -> None:
    """A cancel outranks the stop of a window: it does not come back."""
    make_window(database, on_close="stop")
    open_for(database)
    with gate_shut(database):
        job = put(database, "app.gate", {"n": 1}, options=in_window())
        database.run("select jobs.start()")
        wait_at_gate(database)
        close(database)
        tick(database)
        assert database.admin("select reason from jobs_internal.stop_request") == [
            ("window_closed",)
        ]
        assert database.value("select jobs.cancel(%s)", [job]) == "cancelling"
        stop(database, by_a_round=False)
    assert state(database, job) == "cancelled"


@pytest.mark.parametrize("on_close", ["finish", "stop", "park"])
def test_one_that_snoozes(database: Database, on_close: str) -> None:
    """Where the window lets jobs finish, one that has begun goes on after each snooze; else it
    waits for the window between two runs.
    """
    database.run(SETUP)
    make_window(database, on_close=on_close)
    open_for(database)
    job = put(database, "app.naps", {"n": 1, "times": 1, "pause": "1 hour"}, options=in_window())
    other = put(database, "app.note", {"n": 1}, run_at="2100-01-01", options=in_window())
    database.drain()
    assert (done(database), database.job(job)["snoozes"]) == ([1], 1)
    close(database)
    assert told(database, job) == "snoozed"
    assert database.value("select jobs.run_now(%s)", [other]) == "scheduled"
    assert database.value("select jobs.run_now(%s)", [job]) == (
        "queued" if on_close == "finish" else "scheduled"
    )
    database.drain()
    if on_close == "finish":
        assert (state(database, job), waits(database)) == ("succeeded", [other])
        return
    assert (done(database), waits(database)) == ([1], [job, other])
    assert told(database, job) == "window_closed"
    open_for(database)
    database.drain()
    assert (state(database, job), database.job(job)["attempt"]) == ("succeeded", 1)


def test_a_snooze_that_failed_since_is_a_new_start(database: Database) -> None:
    database.run(SETUP)
    make_window(database)
    open_for(database)
    job = put(database, "app.naps", {"n": 1, "times": 1, "pause": "1 hour"}, options=in_window())
    database.drain()
    close(database)
    database.admin('update jobs_internal.job set error = \'{"sqlstate": "40001"}\', attempt = 1')
    database.value("select jobs.run_now(%s)", [job])
    database.drain()
    assert waits(database) == [job]


@pytest.mark.parametrize("on_close", ["finish", "park"])
def test_the_next_step(database: Database, on_close: str) -> None:
    """A step of several is as a run of one that snoozes."""
    make_window(database, on_close=on_close)
    open_for(database)
    with gate_shut(database):
        job = put_steps(database, "select app.gate(1)", "select app.note(2)", options=in_window())
        database.run("select jobs.start()")
        wait_at_gate(database)
        close(database)
    wait_until(lambda: not database.background())
    if on_close == "finish":
        database.drain()
        assert (ledger(database), state(database, job)) == ([1, 2], "succeeded")
    else:
        assert (ledger(database), waits(database)) == ([1], [job])


def test_a_session_that_dies_while_it_is_stopped(database: Database) -> None:
    """It is ended instead of cancelled, with the request there: the job goes back, uncharged."""
    make_window(database, on_close="stop")
    open_for(database)
    with gate_shut(database):
        job = put(database, "app.gate", {"n": 1}, options=in_window())
        database.run("select jobs.start()")
        (pid,) = wait_at_gate(database)
        close(database)
        tick(database)
        assert database.admin("select count(*) from jobs_internal.stop_request") == [(1,)]
        database.admin("select pg_terminate_backend(%s)", [pid])
        wait_until(lambda: not database.background())
        stop(database)
    tick(database)
    assert (waits(database), database.job(job)["attempt"]) == ([job], 0)
    assert not database.admin("select 1 from jobs_internal.stop_request")
    open_for(database)
    database.drain()
    assert attempts(database, job) == [(1, "succeeded")]


def test_time_is_played(database: Database) -> None:
    """What a round asks to stop, at a moment: not a minute before the closing."""
    make_window(database, on_close="stop")
    at = open_for(database)
    minute = timedelta(minutes=1)
    with gate_shut(database):
        put(database, "app.gate", options=in_window())
        database.run("select jobs.start()")
        wait_at_gate(database)
        asks = "select jobs_internal.stop_outside_windows(%s)"
        assert database.admin(asks, [at - minute]) == [(0,)]
        assert database.admin(asks, [at]) == [(1,)]
        assert database.admin(asks, [at + minute]) == [(0,)]  # it was asked for
        database.admin("delete from jobs_internal.stop_request")
    wait_until(lambda: not database.background())

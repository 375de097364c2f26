"""Maintenance windows: a job that names one starts while it is open, and not otherwise."""

import pytest
from psycopg.types.json import Jsonb
from stage import (
    attempts,
    gate_shut,
    know_as_short,
    ledger,
    make_lane,
    put,
    put_many,
    put_sql,
    put_steps,
    quick_retries,
    state,
    wait_at_gate,
)
from support import Database, sqlstate_of, wait_until

from .windows import close, in_window, make_window, open_for, opening, tick, told, waits


@pytest.fixture(autouse=True)
def night(database: Database) -> None:
    """Make a window that is closed until a test opens it."""
    make_window(database)


def _all_kinds(database: Database) -> dict[str, int]:
    database.run("select jobs.publish('app.note', 'other')")
    options = {"options": in_window()}
    return {
        "function": put(database, "app.note", {"n": 1}, **options),
        "procedure": put(database, "app.watched", {"n": 1, "secret": ""}, **options),
        "statement": put_sql(database, "select app.note(1)", **options),
        "at top level": put_sql(database, "vacuum app.ledger", **options),
        "steps": put_steps(database, "select app.note(1)", "select app.note(2)", **options),
        "one of many": put_many(database, "app.note", [{"n": 1}], **options)[0],
        "published": database.value(
            "select jobs.enqueue_published('app.note', '{\"n\": 1}', options => %s)",
            [in_window()],
            role="other",
        ),
        "with a key": put(
            database, "app.note", {"n": 1}, priority="high", unique_key="x", **options
        ),
    }


@pytest.mark.parametrize("lanes", ["there", "not made yet"])
def test_closed_it_waits_and_open_it_runs(database: Database, lanes: str) -> None:
    """Every kind of job, from every enqueue function, with no supervisor and with one: it waits
    outside of its lane, says so, and runs when the window has opened.
    """
    if lanes == "there":
        make_lane(database)
    made = _all_kinds(database)
    database.drain()
    assert ledger(database) == []
    assert waits(database) == sorted(made.values())
    tick(database)
    for kind, job in made.items():
        assert (told(database, job), state(database, job)) == ("window_closed", "scheduled"), kind
        assert database.job(job)["waits_for"] == "its window night", kind
    assert database.value("select count(*) from jobs.queued where waits_for = 'its window night'")

    assert open_for(database) == opening(database)[1]
    database.drain()
    assert {kind: state(database, job) for kind, job in made.items()} == dict.fromkeys(
        made, "succeeded"
    )
    assert not database.admin("select 1 from jobs_internal.window_wait")


def test_others_do_not_wait(database: Database) -> None:
    """Jobs without a window, and of another window, go on; nothing stands before them."""
    make_window(database, "day")
    jobs = {
        name: put(database, "app.note", {"n": n}, options=in_window(name) if name else Jsonb({}))
        for n, name in enumerate(["night", "day", ""])
    }
    open_for(database, name="day")
    database.drain()
    assert ledger(database) == [1, 2]
    assert waits(database) == [jobs["night"]]


def test_a_retry_waits_for_the_window(database: Database) -> None:
    """A failed attempt is charged, and the next one is a start like any other; so is that of
    jobs.retry, and jobs.run_now opens no window.
    """
    quick_retries(database)
    open_for(database)
    job = put(database, "app.stumble", {"n": 1, "times": 1}, options=in_window())
    with gate_shut(database):
        gate = put(database, "app.gate")
        database.run("select jobs.start()")
        wait_at_gate(database)
        wait_until(lambda: database.job(job)["attempt"] == 1 or state(database, job) == "succeeded")
    wait_until(lambda: not database.background())
    database.admin(
        "update jobs_internal.job set due_at = clock_timestamp() + '1 hour' where id = %s"
        " and state = 'scheduled'",
        [job],
    )
    assert state(database, gate) == "succeeded"
    if state(database, job) == "scheduled":  # its session has not come to it again
        close(database)
        assert database.value("select jobs.run_now(%s)", [job]) == "scheduled"
        assert (told(database, job), waits(database)) == ("window_closed", [job])
        open_for(database)
    database.drain()
    assert attempts(database, job) == [(1, "failed"), (2, "succeeded")]
    close(database)
    failed = put(database, "app.fail", {"n": 2}, max_attempts=1, options=in_window())
    open_for(database)
    database.drain()
    assert state(database, failed) == "failed"
    close(database)
    database.run("select jobs.retry(%s)", [failed])
    assert waits(database) == [failed]
    assert database.value("select jobs.set_priority(%s, 'high')", [failed]) == "scheduled"
    assert database.value("select jobs.cancel(%s)", [failed]) == "cancelled"
    assert not database.admin("select 1 from jobs_internal.window_wait")


def test_after_others_and_until_a_deadline(database: Database) -> None:
    """A job that waits for another one waits for its window after that; and where its deadline
    passes while it waits, it is cancelled.
    """
    parent = put(database, "app.note", {"n": 1})
    child = put(database, "app.note", {"n": 2}, options=in_window(after=[parent]))
    late = put(database, "app.note", {"n": 3}, options=in_window(deadline="2100-01-01 00:00+00"))
    assert told(database, child) == "dependency"
    database.drain()
    assert state(database, parent) == "succeeded"
    assert waits(database) == [child, late]
    other = put(database, "app.note", {"n": 4}, options=Jsonb({"after": [child]}))
    assert told(database, child) == "window_closed"
    assert database.admin("select status from jobs.health where \"check\" = 'dependencies'") == [
        ("ok",)
    ]
    database.admin("update jobs_internal.job_deadline set at = clock_timestamp()")
    tick(database)
    assert (state(database, late), waits(database)) == ("cancelled", [child])
    open_for(database)
    database.drain()
    assert (state(database, child), state(database, other)) == ("succeeded", "succeeded")


def test_what_was_left_behind_releases_nothing(database: Database) -> None:
    """A row of a job that waits for others by now says nothing: that is not let go."""
    parent = put(database, "app.note", {"n": 1}, run_at="2100-01-01")
    child = put(database, "app.note", {"n": 2}, options=in_window(after=[parent]))
    database.admin(
        "insert into jobs_internal.window_wait (job_id, name) values (%s, 'night')", [child]
    )
    open_for(database)
    database.drain()
    assert (state(database, child), ledger(database)) == ("scheduled", [])


def test_a_number_of_jobs_in_a_row(database: Database) -> None:
    """Many of them, which share commits: each runs once, in the window."""
    make_lane(database)
    jobs = put_many(database, "app.note", [{"n": n} for n in range(300)], options=in_window())
    tick(database)
    assert waits(database) == jobs
    know_as_short(database)
    open_for(database)
    database.drain()
    assert ledger(database) == list(range(300))
    kept = database.admin(
        "select owner::regrole::text, task, count(*) from jobs_internal.task_run group by 1, 2"
    )
    assert kept == [("app", "app.note", 20)]


def test_who_names_what_is_not_there(database: Database) -> None:
    for function, arguments in (
        ("jobs.enqueue", "'app.note', '{\"n\": 1}'"),
        ("jobs.enqueue_many", "'app.note', array['{\"n\": 1}']::jsonb[]"),
        ("jobs.enqueue_sql", "'select 1'"),
        ("jobs.enqueue_steps", "'[\"select 1\"]'"),
        ("jobs.schedule", "'x', '@daily', 'app.note', '{\"n\": 1}'"),
        ("jobs.schedule_sql", "'x', '@daily', 'select 1'"),
    ):
        for name, code in (("day", "PW111"), ("", "PW111"), (1, "PW029")):
            query = f"select {function}({arguments}, options => %s)"
            refused = sqlstate_of(
                lambda q=query, n=name: database.run(q, [Jsonb({"window": n})])  # type: ignore[misc]
            )
            assert refused == code, (function, name)
    assert not database.admin("select 1 from jobs_internal.job")


def test_the_view_counts(database: Database) -> None:
    """What waits and runs, of the jobs that one may see."""
    with gate_shut(database):
        open_for(database)
        running = put(database, "app.gate", options=in_window())
        database.run("select jobs.start()")
        wait_at_gate(database)
        close(database)
        put(database, "app.note", {"n": 1}, options=in_window())
        tick(database)
        seen = "select open, opened_at, closes_at, jobs_waiting, jobs_running from jobs.windows"
        assert database.run(seen) == [(False, None, None, 1, 1)]
        assert database.run(seen, role="other") == [(False, None, None, 0, 0)]
        assert database.run(seen, role="operator") == [(False, None, None, 1, 1)]
    wait_until(lambda: not database.background())
    assert state(database, running) == "succeeded"


def test_a_key_is_not_held_by_one_that_waits(database: Database) -> None:
    """Window first, then key: who waits for a window holds no place, also where it closed while
    the job was in its lane.
    """
    make_lane(database)
    open_for(database)
    options = {"concurrency_key": "k"}
    outside = put(database, "app.note", {"n": 1}, options=in_window(**options))
    inside = put(database, "app.note", {"n": 2}, options=Jsonb(options))
    close(database)
    database.drain()
    assert (state(database, inside), waits(database)) == ("succeeded", [outside])
    assert not database.admin("select 1 from jobs_internal.key_held")
    held = put(database, "app.note", {"n": 3}, options=in_window(**options))
    assert waits(database) == [outside, held]
    open_for(database)
    database.drain()
    assert ledger(database) == [1, 2, 3]

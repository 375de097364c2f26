"""Occurrences that come while a job of an earlier one is unfinished, or that count from its end."""

from datetime import timedelta

import pytest
from stage import gate_shut, state, wait_at_gate, wait_for
from support import Database, wait_until

from .schedules import HOUR, MINUTE, START, fire, runs, schedule, set_clock


@pytest.mark.parametrize(
    ("overlap", "second", "third"),
    [
        ("skip", "skipped", "skipped"),
        ("queue", "queued", "queued"),
        ("queue_one", "skipped", "queued"),
        ("parallel", "fired", "fired"),
        ("replace", "fired", "fired"),
    ],
)
def test_overlap(database: Database, overlap: str, second: str, third: str) -> None:
    """While the first job runs two occurrences come."""
    schedule(database, "hourly", "@hourly", task="app.gate", args={"n": 1}, overlap=overlap)
    set_clock(database, START)
    with gate_shut(database):
        fire(database, START + HOUR)
        database.run("select jobs.start()")
        wait_at_gate(database)
        fire(database, START + 2 * HOUR)
        fire(database, START + 3 * HOUR)
        assert runs(database, "outcome") == [("fired",), (second,), (third,)]
        if overlap == "replace":
            (first,), (middle,), (last,) = runs(database, "job_id")
            assert state(database, middle) == "cancelled"
            assert database.admin("select job_id, reason from jobs_internal.stop_request") == [
                (first, "cancelled")
            ]
            assert state(database, last) == "scheduled"
    if overlap.startswith("queue"):
        (first,) = runs(database, "job_id")[0]
        wait_for(database, first)
        fire(database, START + 3 * HOUR + MINUTE)
        fired = [outcome for (outcome,) in runs(database, "outcome")].count("fired")
        assert fired == 2
        assert runs(database, "outcome, reason")[-1][0] == (
            "fired" if overlap == "queue_one" else "queued"
        )


def test_after_counts_from_the_end(database: Database) -> None:
    """Of the last run, however long it took."""
    schedule(database, "again", "after 10 minutes")
    at = database.admin("select next_at from jobs_internal.schedule_state")[0][0]
    fire(database, at)
    assert database.run("select next_at from jobs.schedules") == [(None,)]
    fire(database, at + HOUR)
    assert len(runs(database)) == 1  # its job has not ended
    database.drain()
    fire(database, at + HOUR)
    ended = database.admin("select max(finished_at) from jobs_internal.finished")[0][0]
    assert database.admin("select next_at from jobs_internal.schedule_state") == [
        (ended + timedelta(minutes=10),)
    ]
    fire(database, ended + timedelta(minutes=10))
    assert [outcome for _, outcome in runs(database)] == ["fired", "fired"]


def test_what_is_queued_waits_for_the_end_of_a_pause(database: Database) -> None:
    """But for what was asked for meanwhile."""
    schedule(database, "hourly", "@hourly", overlap="queue")
    set_clock(database, START)
    fire(database, START + HOUR)
    fire(database, START + 2 * HOUR)
    database.run("select jobs.pause_schedule('hourly')")
    database.drain()
    fire(database, START + 2 * HOUR)
    assert [outcome for _, outcome in runs(database)] == ["fired", "queued"]
    database.value("select jobs.rerun_schedule('hourly', %s, %s)", [START + HOUR, START + 2 * HOUR])
    fire(database, START + 2 * HOUR)
    assert runs(database, "rerun, outcome")[1] == (1, "fired")
    database.drain()
    database.run("select jobs.resume_schedule('hourly')")
    fire(database, START + 2 * HOUR)
    assert runs(database, "due_at, outcome")[:3] == [
        (START + HOUR, "fired"),
        (START + HOUR, "fired"),
        (START + 2 * HOUR, "fired"),
    ]


def test_after_comes_again_when_it_could_not_run(database: Database) -> None:
    """What is skipped has no end to count from: it counts from then."""
    schedule(database, "again", "after 10 minutes")
    at = database.admin("select next_at from jobs_internal.schedule_state")[0][0]
    database.run("select jobs.set_quota('app', pending => 0)", role="operator")
    fire(database, at)
    database.run("select jobs.set_quota('app')", role="operator")
    assert [outcome for _, outcome in runs(database)] == ["skipped"]
    fire(database, at + 10 * MINUTE)
    assert [outcome for _, outcome in runs(database)] == ["skipped", "fired"]


def test_after_rests_while_it_is_paused(database: Database) -> None:
    """Also when its job ends meanwhile; changed or resumed, it counts from that end."""
    schedule(database, "again", "after 10 minutes")
    at = database.admin("select next_at from jobs_internal.schedule_state")[0][0]
    fire(database, at)
    database.run("select jobs.pause_schedule('again')")
    database.drain()
    fire(database, at + HOUR)
    fire(database, at + 2 * HOUR)
    assert len(runs(database)) == 1
    database.run("select jobs.resume_schedule('again')")
    database.run("select jobs.alter_schedule('again', pause_after => 3)")
    ended = database.admin("select max(finished_at) from jobs_internal.finished")[0][0]
    assert database.admin("select next_at from jobs_internal.schedule_state") == [
        (ended + 10 * MINUTE,)
    ]


def test_what_is_queued_waits_for_a_run_by_hand(database: Database) -> None:
    """As for every other unfinished job of the schedule."""
    schedule(database, "hourly", "@hourly", task="app.gate", args={"n": 1}, overlap="queue")
    set_clock(database, START)
    with gate_shut(database):
        first = database.value("select jobs.run_schedule('hourly')")
        database.run("select jobs.start()")
        wait_at_gate(database)
        fire(database, START + HOUR)
        fire(database, START + HOUR)
        assert runs(database, "outcome")[0] == ("queued",)
    wait_for(database, first)
    fire(database, START + HOUR)
    assert runs(database, "outcome")[0] == ("fired",)


@pytest.mark.parametrize("overlap", ["skip", "replace"])
def test_what_was_asked_for_and_what_comes_take_turns(database: Database, overlap: str) -> None:
    """Neither is skipped or cancelled for the other."""
    schedule(database, "hourly", "@hourly", overlap=overlap)
    set_clock(database, START)
    database.run("select jobs.rerun_schedule('hourly', %s, %s)", [START - 2 * HOUR, START])
    fire(database, START + MINUTE)
    fire(database, START + HOUR)
    fire(database, START + 2 * HOUR)
    seen = "due_at, rerun, outcome"
    assert runs(database, seen) == [
        (START - 2 * HOUR, 1, "fired"),
        (START - HOUR, 1, "queued"),
        (START + HOUR, 0, "skipped"),
        (START + 2 * HOUR, 0, "queued"),
    ]
    for expected in ("queued", "fired"):
        database.drain()
        fire(database, START + 2 * HOUR)
        assert runs(database, seen)[1] == (START - HOUR, 1, expected)
        assert runs(database, seen)[3] == (START + 2 * HOUR, 0, "fired")
    database.drain()
    assert database.run("select state, count(*) from jobs.job group by 1") == [("succeeded", 3)]


def test_a_run_that_failed_and_was_replaced_has_failed(database: Database) -> None:
    """Its next attempt never comes: the schedule pauses itself all the same."""
    schedule(
        database,
        "hourly",
        "@hourly",
        task="app.fail",
        args={},
        overlap="replace",
        options={"pause_after": 2, "max_attempts": 5},
    )
    unfinished = "select state, attempt from jobs_internal.job"
    set_clock(database, START)
    for hour in (1, 2, 3):
        fire(database, START + hour * HOUR)
        database.run("select jobs.start()")
        wait_until(lambda: database.admin(unfinished) == [("scheduled", 1)])
    assert database.run("select failures_in_a_row from jobs.schedules") == [(2,)]
    fire(database, START + 4 * HOUR)
    assert database.run("select paused from jobs.schedules") == [(True,)]
    database.run("select jobs.cancel(id) from jobs.queued")

"""Schedules with a window: which of their occurrences come."""

from datetime import UTC, datetime, timedelta

import pytest
from stage import state
from support import Database, sqlstate_of

from .schedules import fire, runs, schedule
from .schedules import set_clock as set_schedules
from .windows import HOUR, MINUTE, START, make_window, move, open_for, set_clock, tick, told, waits


@pytest.fixture(autouse=True)
def night(database: Database) -> None:
    make_window(database)
    database.run("select jobs.create_queue('heavy', window_name => 'night')", role="operator")


def test_the_last_occurrence_before_it_opens_waits(database: Database) -> None:
    """Those before it are outside, each accounted for; in the window each is fired."""
    make_window(database, "late", schedule="0 22 * * *", duration="2 hours")
    set_clock(database, START, "late")
    schedule(database, "often", "0 */6 * * *", options={"window": "late"}, overlap="parallel")
    schedule(database, "nightly", "0 20 * * *", options={"window": "late"})
    set_schedules(database, START)
    for hour in range(1, 25):
        move(database, START + hour * HOUR)
        fire(database, START + hour * HOUR)
    found = runs(database, "name, due_at, outcome, job_id is not null")
    assert found == [
        ("often", START + 6 * HOUR, "outside window", False),
        ("often", START + 12 * HOUR, "outside window", False),
        ("often", START + 18 * HOUR, "fired", True),
        ("nightly", START + 20 * HOUR, "fired", True),
        ("often", START + 24 * HOUR, "outside window", False),
    ]
    assert runs(database, "reason")[0] == (
        "window late is closed until 2026-01-01 22:00:00+00, and a later occurrence comes by then",
    )
    assert not database.run(
        "select 1 from jobs.health where \"check\" = 'schedules' and status <> 'ok'"
    )


def test_in_the_window_each_is_fired(database: Database) -> None:
    make_window(database, "late", schedule="0 22 * * *", duration="2 hours")
    set_clock(database, START, "late")
    schedule(database, "often", "*/30 * * * *", options={"window": "late"}, overlap="parallel")
    set_schedules(database, START + 21 * HOUR)
    at = START + 21 * HOUR
    while at < START + 24 * HOUR + MINUTE:
        move(database, at)
        fire(database, at)
        at += 30 * MINUTE
    assert [row[0] for row in runs(database, "outcome")] == [
        "outside window",  # that of 22:00 comes when it opens
        *["fired"] * 4,
        "outside window",
    ]


def test_its_job_waits_for_the_window(database: Database) -> None:
    """In real time: the occurrence is fired, its job waits; one that a person asks for too."""
    schedule(database, "yearly", "@yearly", options={"window": "night"})
    job = database.value("select jobs.run_schedule('yearly')")
    tick(database)
    assert (waits(database), told(database, job)) == ([job], "window_closed")
    open_for(database)
    database.drain()
    assert state(database, job) == "succeeded"
    assert (
        sqlstate_of(lambda: database.run("select jobs.drop_window('night')", role="operator"))
        == "PW113"
    )


@pytest.mark.parametrize(
    ("day", "hours"), [((2026, 3, 28), 5), ((2026, 10, 24), 5), ((2026, 6, 1), 5)]
)
def test_a_night_in_which_the_clock_is_set(
    database: Database, day: tuple[int, int, int], hours: int
) -> None:
    """It opens at its time of the wall clock, once, and is open for its elapsed time."""
    make_window(
        database,
        "zurich",
        schedule="30 1 * * *",
        duration=f"{hours} hours",
        timezone="Europe/Zurich",
    )
    noon = datetime(*day, 12, tzinfo=UTC)
    set_clock(database, noon, "zurich")
    opened: list[tuple[datetime, datetime]] = []
    at = noon
    while at < noon + timedelta(days=1):
        at += timedelta(minutes=10)
        move(database, at)
        row = database.admin(
            "select opened_at, closes_at from jobs_internal.window_state where name = 'zurich'"
        )[0]
        if row[0] is not None:
            assert row[0] <= at < row[1]
            opened.append((row[0], row[1]))
        elif opened:
            assert at >= opened[-1][1]
    (night,) = set(opened)
    local = database.value("select (%s at time zone 'Europe/Zurich')::time::text", [night[0]])
    assert (local, night[1] - night[0]) == ("01:30:00", timedelta(hours=hours))


def test_an_opening_that_is_skipped_or_comes_twice(database: Database) -> None:
    """At 02:30 in the gap: at its end; in the hour that comes twice: the first time."""
    make_window(
        database, "zurich", schedule="30 2 * * *", duration="30 minutes", timezone="Europe/Zurich"
    )
    for noon, expected in (
        (datetime(2026, 3, 28, 12, tzinfo=UTC), datetime(2026, 3, 29, 1, 0, tzinfo=UTC)),
        (datetime(2026, 10, 24, 12, tzinfo=UTC), datetime(2026, 10, 25, 0, 30, tzinfo=UTC)),
    ):
        set_clock(database, noon, "zurich")
        assert database.admin(
            "select next_opens_at from jobs_internal.window_state where name = 'zurich'"
        ) == [(expected,)]
        assert move(database, expected + MINUTE) == 0
        assert database.admin(
            "select opened_at, closes_at - opened_at from jobs_internal.window_state"
            " where name = 'zurich'"
        ) == [(expected, timedelta(minutes=30))]

"""Absences, clocks and zones: every occurrence is accounted for once."""

import random
from datetime import UTC, datetime, timedelta

import pytest
from support import Database, sqlstate_of

from .schedules import HOUR, MINUTE, START, accounted, fire, runs, schedule, set_clock


@pytest.mark.parametrize(
    ("missed", "within", "expected"),
    [
        ("last", None, [("missed", 4), ("fired", 1)]),
        ("last", "2 hours", [("missed", 3), ("coalesced", 1), ("fired", 1)]),
        ("none", None, [("missed", 5)]),
        ("all", "3 hours", [("missed", 2), ("fired", 1), ("queued", 1), ("queued", 1)]),
    ],
)
def test_an_absence(
    database: Database, missed: str, within: str | None, expected: list[tuple[str, int]]
) -> None:
    """What is made up for of five missed hours; the rest is accounted for."""
    schedule(database, "hourly", "@hourly", missed=missed, missed_within=within)
    set_clock(database, START)
    fire(database, START + 5 * HOUR + 30 * MINUTE)
    assert runs(database, "outcome, occurrences") == expected
    assert accounted(database, START + HOUR, START + 5 * HOUR, HOUR) == []
    fire(database, START + 6 * HOUR)
    assert accounted(database, START + HOUR, START + 6 * HOUR, HOUR) == []


def test_what_is_made_up_for_runs_one_after_the_other(database: Database) -> None:
    """The oldest first, and never two at once."""
    schedule(database, "hourly", "@hourly", missed="all", missed_within="1 day")
    set_clock(database, START)
    fire(database, START + 3 * HOUR)
    for fired in (1, 2, 3):
        assert [outcome for (outcome,) in runs(database, "outcome")].count("fired") == fired
        database.drain()
        fire(database, START + 3 * HOUR + fired * MINUTE)
    assert database.run("select count(*) from app.ledger") == [(3,)]


def test_a_month_is_one_stretch(database: Database) -> None:
    """Of more than a thousand it is not said how many."""
    schedule(database, "often", "* * * * *")
    set_clock(database, START)
    fire(database, START + timedelta(days=30))
    assert runs(database, "outcome, occurrences, due_at, until") == [
        ("missed", None, START + MINUTE, START + timedelta(days=30) - 2 * MINUTE),
        ("coalesced", 1, START + timedelta(days=30) - MINUTE, None),
        ("fired", 1, START + timedelta(days=30), None),
    ]


@pytest.mark.parametrize(
    ("when", "hours"), [("0 0-11 * * *", 22), ("every 45 seconds", 1), ("*/7 1-3,9 * * *", 22)]
)
def test_the_last_one_before_a_gap_is_made_up_for(
    database: Database, when: str, hours: int
) -> None:
    """Of occurrences that do not come evenly, too; as the next ones of the hours before say."""
    schedule(database, "uneven", when, missed_within="1 day")
    set_clock(database, START)
    at = START + timedelta(hours=23, minutes=30)
    fire(database, at)
    due = database.value(
        "select max(n) from jobs.next_runs(%s, 'UTC', 1000, %s) as n where n <= %s",
        [when, at - hours * HOUR, at],
    )
    assert database.run("select due_at from jobs.schedule_runs where outcome = 'fired'") == [(due,)]


def test_a_clock_that_is_set_back_fires_nothing_twice(database: Database) -> None:
    """What was fired stays fired; what comes after the new time is fired as it comes."""
    schedule(database, "hourly", "@hourly")
    set_clock(database, START)
    for hour in (1, 2, 3):
        fire(database, START + hour * HOUR)
        database.drain()
    database.admin("select jobs_internal.follow_clock(%s)", [START])
    for hour in (1, 2, 3, 4):
        fire(database, START + hour * HOUR)
        database.drain()
    assert runs(database) == [(START + hour * HOUR, "fired") for hour in (1, 2, 3, 4)]
    assert database.run("select count(*) from jobs.job") == [(4,)]
    database.admin("update jobs_internal.schedule_state set next_due = %s", ["2100-01-01"])
    database.admin("select jobs_internal.follow_clock()")
    due = database.admin(
        "select next_due < now() + interval '2 hours' from jobs_internal.schedule_state"
    )
    assert due == [(True,)]


@pytest.mark.parametrize("missed", ["last", "all", "none"])
def test_a_year_with_absences(database: Database, missed: str) -> None:
    """Every occurrence of a year is accounted for once, though no round comes for hours or weeks,
    and the clock is set back at times.
    """
    rng = random.Random(missed)
    schedule(
        database,
        "daily",
        "30 2 * * *",
        timezone="Europe/Zurich",
        overlap="parallel",
        missed=missed,
        missed_within="3 days",
    )
    set_clock(database, START)
    at = START
    while at < START + timedelta(days=365):
        at += timedelta(hours=rng.choice([1, 5, 12, 30, 100, 400]))
        fire(database, at)
        if rng.random() < 0.3:
            back = at - timedelta(hours=rng.choice([1, 48]))
            database.admin("select jobs_internal.follow_clock(%s)", [back])
            fire(database, back)
            fire(database, at)
    expected = database.run(
        "select n from jobs.next_runs('30 2 * * *', 'Europe/Zurich', 400, %s) as n where n <= %s",
        [START, at],
    )
    rows = database.admin("select due_at, coalesce(until, due_at) from jobs_internal.schedule_run")
    for (due,) in expected:
        assert sum(first <= due <= last for first, last in rows) == 1, due


def test_a_copy_makes_up_for_nothing(database: Database) -> None:
    """What was due until it was taken into use is missed."""
    schedule(database, "rare", "every 10000 days", starts_at=START)
    set_clock(database, START - HOUR)
    database.admin("select jobs_internal.skip_schedules()")
    assert runs(database, "outcome, due_at") == [("missed", START)]
    assert database.admin("select next_due > now() from jobs_internal.schedule_state") == [(True,)]
    fire(database, datetime.now(UTC))
    assert len(runs(database)) == 1


def test_a_copy_fires_nothing_until_it_is_taken_into_use(database: Database) -> None:
    """And what was due before is missed then: the original fired it."""
    due = datetime.now(UTC) - MINUTE  # the original would make up for it
    schedule(database, "rare", "every 10000 days", starts_at=due)
    set_clock(database, due - HOUR)
    database.admin("update jobs_internal.installation set table_oid = 0")
    tick = "select jobs_internal.supervisor_tick(0)"
    assert sqlstate_of(lambda: database.run(tick, role="supervisor")) == "PW060"
    assert runs(database, role="operator") == []
    database.run("select jobs.reconcile()", role="operator")
    database.run(tick, role="supervisor")
    assert runs(database, role="operator") == [(due, "missed")]


def test_zones_that_changed_move_what_is_to_come(database: Database) -> None:
    """When a supervisor starts."""
    schedule(database, "leap days", "0 12 29 2 *", timezone="Europe/Zurich")
    due = database.admin("select next_due from jobs_internal.schedule_state")
    wrong = "update jobs_internal.schedule_state set next_due = next_due + interval '1 hour'"
    database.admin("select jobs_internal.follow_zones()")
    database.admin(wrong)
    database.admin("select jobs_internal.follow_zones()")
    assert database.admin("select next_due from jobs_internal.schedule_state") != due
    database.admin("update jobs_internal.zones_seen set hash = 'of before'")
    database.value("select jobs_internal.supervisor_open('s', 'here', 1, '1')", role="supervisor")
    assert database.admin("select next_due from jobs_internal.schedule_state") == due


def test_a_clock_that_is_set_back_finds_a_zone_gone(database: Database) -> None:
    """That schedule is a failure; the others follow."""
    for name in ("one", "two"):
        schedule(database, name, "0 * * * *", timezone="Europe/Zurich")
    database.admin("update jobs_internal.schedule_state set next_due = '2100-01-01'")
    database.admin("update jobs_internal.schedule set timezone = 'No/Where' where name = 'one'")
    database.admin("select jobs_internal.follow_clock()")
    assert database.admin(
        "select s.name from jobs_internal.schedule as s join jobs_internal.schedule_state as t"
        " on t.schedule_id = s.id and t.next_due < now() + interval '2 hours'"
    ) == [("two",)]
    assert database.admin("select duty from jobs_internal.duty_failure") == [("schedule",)]

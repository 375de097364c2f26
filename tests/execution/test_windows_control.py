"""Windows are made, changed, opened, closed and dropped by operators."""

from typing import Any

import psycopg
import pytest
from support import Database, sqlstate_of

from .windows import HOUR, MINUTE, START, make_window, move, open_for, opening, set_clock


def create(database: Database, **options: Any) -> str | None:
    """Try to make a window; give the SQLSTATE of the refusal."""
    given = {"name": "night", "schedule": "0 22 * * *", "duration": "1 hour", **options}
    names = ", ".join(f"{name} => %({name})s" for name in given)
    return sqlstate_of(
        lambda: database.run(f"select jobs.create_window({names})", given, role="operator")
    )


def test_one_that_exists_stays_and_the_notice_says_what_changes_it(database: Database) -> None:
    said: list[tuple[str | None, str | None]] = []
    with psycopg.connect(database.dsn("operator"), autocommit=True) as line:
        line.add_notice_handler(lambda one: said.append((one.message_primary, one.message_hint)))
        made = [
            line.execute(
                f"select jobs.create_window('night', '@daily', '{hours} hours')"
            ).fetchone()
            for hours in (1, 2)
        ]
    assert made == [(True,), (False,)]
    assert said == [
        ('window "night" exists already: nothing was changed', "jobs.alter_window changes it.")
    ]
    assert database.admin("select duration from jobs_internal.run_window") == [(HOUR,)]


@pytest.mark.parametrize(
    ("options", "code"),
    [
        ({"duration": "0"}, "PW112"),
        ({"duration": "-1 hour"}, "PW112"),
        ({"duration": "1 day -25 hours"}, "PW112"),
        ({"duration": "infinity"}, "PW112"),
        ({"duration": None}, "PW112"),
        ({"duration": "24:00:01"}, "PW112"),
        ({"duration": "24 hours"}, None),
        ({"schedule": "0 1,5 * * *", "duration": "4 hours"}, None),
        ({"schedule": "0 1,5 * * *", "duration": "4 hours 1 second"}, "PW112"),
        ({"schedule": "every 10 minutes", "duration": "10 minutes"}, None),
        ({"schedule": "every 10 minutes", "duration": "11 minutes"}, "PW112"),
        ({"schedule": "0 0 29 2 *", "duration": "1400 days"}, None),
        ({"schedule": "0 0 29 2 *", "duration": "1462 days"}, "PW112"),
        ({"schedule": "after 10 minutes"}, "PW112"),
        ({"schedule": "0 0 30 2 *"}, "PW100"),
        ({"schedule": "nonsense"}, "PW100"),
        ({"schedule": None}, "PW100"),
        ({"timezone": "CET"}, "PW101"),
        ({"on_close": "wait"}, "PW112"),
        ({"on_close": None}, "PW112"),
        ({"name": ""}, "PW112"),
        ({"name": None}, "PW112"),
        ({"name": "a b"}, "PW112"),
        ({"name": "x" * 64}, "PW112"),
    ],
)
def test_what_cannot_be(database: Database, options: dict[str, Any], code: str | None) -> None:
    """Refused with one error, and nothing is there."""
    assert create(database, **options) == code
    assert len(database.run("select 1 from jobs.windows")) == (code is None)


def test_made_once_changed_and_dropped(database: Database) -> None:
    """Each is audited; a name that is there is left as it is."""
    assert create(database) is None
    assert create(database, duration="2 hours") is None
    seen = "select schedule, in_words, timezone, duration, on_close from jobs.windows"
    assert database.run(seen) == [("0 22 * * *", "at 22:00, UTC", "UTC", HOUR, "finish")]
    database.run(
        "select jobs.alter_window('night', duration => '1 day', on_close => 'park',"
        " timezone => 'Europe/Zurich')",
        role="operator",
    )
    assert database.run(seen) == [
        ("0 22 * * *", "at 22:00, Europe/Zurich", "Europe/Zurich", 24 * HOUR, "park")
    ]
    assert (
        sqlstate_of(
            lambda: database.run(
                "select jobs.alter_window('night', duration => '25 hours')", role="operator"
            )
        )
        == "PW112"
    )
    database.run(
        "select jobs.open_window('night', '1 hour'), jobs.close_window('night')", role="operator"
    )
    database.run("select jobs.drop_window('night')", role="operator")
    assert not database.run(seen)
    assert database.run("select action, object from jobs.audit order by id", role="operator") == [
        (f"{what}_window", "window night") for what in ("create", "alter", "open", "close", "drop")
    ]


@pytest.mark.parametrize("name", ["none", "", None])
def test_one_that_is_not_there(database: Database, name: str | None) -> None:
    for call in (
        "alter_window(%s)",
        "drop_window(%s)",
        "close_window(%s)",
        "open_window(%s, '1 hour')",
    ):
        refused = sqlstate_of(
            lambda c=call: database.run(f"select jobs.{c}", [name], role="operator")  # type: ignore[misc]
        )
        assert refused == "PW111", call


def test_only_operators(database: Database) -> None:
    make_window(database)
    for call in (
        "create_window('x', '@daily', '1 hour')",
        "alter_window('night')",
        "drop_window('night')",
        "close_window('night')",
        "open_window('night', '1 hour')",
    ):
        for role in ("app", "reader", "supervisor"):
            refused = sqlstate_of(
                lambda c=call, r=role: database.run(f"select jobs.{c}", role=r)  # type: ignore[misc]
            )
            assert refused == "42501", (call, role)
    assert database.run("select name from jobs.windows", role="reader") == [("night",)]


def test_open_by_hand(database: Database) -> None:
    """It closes after that time; a shorter one does not shorten it, and an occurrence of its
    schedule in between does not either.
    """
    make_window(database, schedule="0 22 * * *", duration="1 hour")
    assert (
        sqlstate_of(lambda: database.run("select jobs.open_window('night', '0')", role="operator"))
        == "PW112"
    )
    at = open_for(database, "3 days")
    assert open_for(database, "1 hour") == at
    was, closes, following = opening(database)
    assert was is not None
    assert following is not None
    move(database, following + MINUTE)
    assert opening(database) == (following, closes, following + 24 * HOUR)
    move(database, at)
    state_then = opening(database)
    assert state_then[2] is not None
    assert state_then[2] > at


def test_closed_by_hand_until_the_next_occurrence(database: Database) -> None:
    make_window(database, schedule="0 22 * * *", duration="4 hours")
    set_clock(database, START)
    move(database, START + 22 * HOUR)
    assert opening(database)[:2] == (START + 22 * HOUR, START + 26 * HOUR)
    # what the function does, at that moment
    database.admin(
        "update jobs_internal.window_state set opened_at = null, closes_at = null,"
        " next_opens_at = %s",
        [START + 46 * HOUR],
    )
    move(database, START + 23 * HOUR)
    assert opening(database) == (None, None, START + 46 * HOUR)
    move(database, START + 46 * HOUR)
    assert opening(database)[0] == START + 46 * HOUR
    open_for(database)
    assert database.value("select jobs.close_window('night')", role="operator") is True
    assert opening(database)[:2] == (None, None)
    assert database.value("select jobs.close_window('night')", role="operator") is False


@pytest.mark.parametrize("away", [1, 23, 24 * 9 + 1, 24 * 9 + 3, 24 * 9 + 23])
def test_a_supervisor_that_was_away(database: Database, away: int) -> None:
    """What was missed is missed: it is open as the schedule says now."""
    make_window(database, schedule="0 22 * * *", duration="4 hours")
    set_clock(database, START)
    now = START + away * HOUR
    move(database, now)
    opened, closes, following = opening(database)
    if away % 24 == 23:
        assert (opened, closes) == (now - HOUR, now + 3 * HOUR)
    elif away % 24 == 1 and away > 24:  # that of 22:00 is open still
        assert (opened, closes) == (now - 3 * HOUR, now + HOUR)
    else:
        assert (opened, closes) == (None, None)
    assert following is not None
    assert now < following <= now + 24 * HOUR


def test_a_clock_that_was_set_back(database: Database) -> None:
    """It opens at its time by the clock of now, and does not wait for the day that was seen."""
    make_window(database, schedule="0 22 * * *", duration="4 hours")
    set_clock(database, START)
    move(database, START + 100 * 24 * HOUR + 23 * HOUR)
    assert opening(database)[0] == START + 100 * 24 * HOUR + 22 * HOUR
    now = START + 23 * HOUR
    database.admin("select jobs_internal.follow_clock(%s)", [now])
    move(database, now)
    assert opening(database) == (START + 22 * HOUR, START + 26 * HOUR, START + 46 * HOUR)

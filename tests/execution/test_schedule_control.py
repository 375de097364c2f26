"""Changing, pausing and seeing schedules: who may, and what holds afterwards."""

from datetime import timedelta

import psycopg
import pytest
from support import Database, sqlstate_of, wait_until

from .schedules import HOUR, MINUTE, START, fire, runs, schedule, set_clock


def test_pause_and_resume(database: Database) -> None:
    """What was due meanwhile is kept as paused, and not made up for; unless it is asked for."""
    schedule(database, "often", "every 1 second")
    set_clock(database, START)
    fire(database, START + timedelta(seconds=1))
    assert database.value("select jobs.pause_schedule('often')") is True
    assert database.value("select jobs.pause_schedule('often')") is False
    fire(database, START + HOUR)
    assert len(runs(database)) == 1
    assert database.run("select paused, next_at from jobs.schedules") == [(True, None)]
    assert database.value("select jobs.resume_schedule('often')") is True
    assert database.value("select jobs.resume_schedule('often')") is False
    assert runs(database, "outcome, occurrences")[-1] == ("paused", None)
    count = database.value(
        "select jobs.rerun_schedule('often', %s, %s)",
        [START + timedelta(seconds=5), START + timedelta(seconds=7)],
    )
    assert count == 2
    assert runs(database, "due_at, outcome, rerun")[-2:] == [
        (START + timedelta(seconds=5), "queued", 1),
        (START + timedelta(seconds=6), "queued", 1),
    ]


def test_failures_pause_it(database: Database) -> None:
    """After as many in a row as it says; they are counted in the view."""
    schedule(
        database,
        "hourly",
        "@hourly",
        task="app.fail",
        args={},
        options={"pause_after": 2, "max_attempts": 1},
    )
    set_clock(database, START)
    for hour in (1, 2, 3):
        fire(database, START + hour * HOUR)
        database.drain()
    assert len(runs(database)) == 2
    assert database.run("select failed from jobs.schedule_list") == database.run(
        "select failures_in_a_row from jobs.schedules"
    )
    assert database.run("select paused, paused_by, failures_in_a_row from jobs.schedules") == [
        (True, "2 runs failed one after the other", 2)
    ]


def test_a_name_that_is_there_is_replaced(database: Database) -> None:
    """With a NOTICE; its history stays, and one of another owner is another."""
    first = schedule(database, "hourly", "@hourly")
    set_clock(database, START)
    fire(database, START + HOUR)
    told: list[str] = []
    line = database.line("app")
    line.add_notice_handler(lambda notice: told.append(notice.message_primary or ""))
    assert schedule(database, "hourly", "@daily", timezone="Europe/Zurich") == first
    assert told == ['the schedule "hourly" was there: it is replaced, and keeps its history']
    assert runs(database)[0] == (START + HOUR, "fired")
    assert database.run("select schedule, timezone from jobs.schedules") == [
        ("@daily", "Europe/Zurich")
    ]
    database.run("select jobs.unschedule('hourly')")
    assert database.run("select * from jobs.schedules") == []
    assert runs(database)[0] == (START + HOUR, "fired")
    assert schedule(database, "hourly", "@hourly") != first


def test_one_that_is_replaced_while_it_is_paused_stays_so(database: Database) -> None:
    """A script that makes all schedules anew starts none that a person stopped."""
    schedule(database, "hourly", "@hourly")
    database.run("select jobs.pause_schedule('hourly', 'app')", role="operator")
    told: list[str] = []
    database.line("app").add_notice_handler(lambda n: told.append(n.message_primary or ""))
    schedule(database, "hourly", "@daily")
    assert told[0].endswith("it is replaced, and keeps its history; it stays paused")
    seen = "select schedule, paused, paused_by, next_at from jobs.schedules"
    assert database.run(seen) == [("@daily", True, "operator", None)]
    database.run("select jobs.resume_schedule('hourly')")
    assert database.run(seen)[0][1] is False


def test_what_was_given_is_taken_back(database: Database) -> None:
    """Its start, its end, and its pause after failures."""
    schedule(
        database,
        "hourly",
        "@hourly",
        starts_at=START,
        ends_at=START.replace(year=2036),
        options={"pause_after": 2},
    )
    given = "select starts_at, ends_at, pause_after from jobs_internal.schedule"
    assert database.admin(given) == [(START, START.replace(year=2036), 2)]
    database.run("select jobs.alter_schedule('hourly', starts_at => '-infinity')")
    database.run("select jobs.alter_schedule('hourly', ends_at => 'infinity', pause_after => 0)")
    assert database.admin(given) == [(None, None, None)]
    for wrong in ("starts_at => 'infinity'", "ends_at => '-infinity'", "pause_after => -1"):
        query = f"select jobs.alter_schedule('hourly', {wrong})"
        assert sqlstate_of(lambda query=query: database.run(query)) == "PW102"


def test_words_for_days_are_read_once(database: Database) -> None:
    """As an argument "today" is the day on which the schedule is made, which is said."""
    database.run("create function app.days(day date, word text) returns void return null")
    told: list[tuple[str, str]] = []
    database.line("app").add_notice_handler(
        lambda n: told.append((n.message_primary or "", n.message_hint or ""))
    )
    schedule(database, "days", "@daily", task="app.days", args={"day": "Today", "word": "today"})
    today = database.value("select current_date::text")
    assert told[0][0] == f"arguments are read now, and are the same in all runs: day is {today}"
    assert "jobs.current_run()" in told[0][1]
    told.clear()
    schedule(
        database, "other", "@daily", task="app.days", args={"day": "2026-01-01", "word": "now"}
    )
    assert not [text for text, _ in told if "read now" in text]


def test_others_see_and_change_nothing(database: Database) -> None:
    """An operator does, by the owner's name, and that is audited."""
    schedule(database, "hourly", "@hourly")
    assert database.run("select * from jobs.schedules", role="other") == []
    for call in (
        "jobs.pause_schedule('hourly')",
        "jobs.pause_schedule('hourly', 'app')",
        "jobs.unschedule('hourly', 'app')",
        "jobs.run_schedule('hourly', 'app')",
        "jobs.alter_schedule('hourly', '@daily', owner => 'app')",
        "jobs.rerun_schedule('hourly', now() - interval '1 day', now(), 'app')",
    ):
        code = sqlstate_of(lambda call=call: database.run(f"select {call}", role="other"))
        assert code == "PW103", call
    assert database.value("select jobs.pause_schedule('hourly', 'app')", role="operator") is True
    assert database.run("select action, object from jobs.audit", role="operator") == [
        ("pause_schedule", "schedule hourly of app")
    ]
    assert database.run("select name, owner, paused_by from jobs.schedules", role="operator") == [
        ("hourly", "app", "operator")
    ]


@pytest.mark.parametrize(
    ("given", "code"),
    [
        ({"overlap": "never"}, "PW102"),
        ({"missed": "some"}, "PW102"),
        ({"missed_within": "-1 s"}, "PW102"),
        ({"jitter": "2 days"}, "PW102"),
        ({"starts_at": "2026-01-02", "ends_at": "2026-01-01"}, "PW102"),
        ({"ends_at": "2020-01-01"}, "PW102"),
        ({"options": {"pause_after": 0}}, "PW102"),
        ({"options": {"timeout": "soon"}}, "PW102"),
        ({"options": {"nonsense": 1}}, "PW029"),
        ({"options": {"queue": "none"}}, "PW007"),
        ({"timezone": "CET"}, "PW101"),
        ({"task": "app.no_such"}, "PW001"),
        ({"args": {"m": 1}}, "PW003"),
    ],
    ids=str,
)
def test_bad_input(database: Database, given: dict[str, object], code: str) -> None:
    """Each has its SQLSTATE, and nothing is kept."""
    with pytest.raises(psycopg.Error) as caught:
        schedule(database, "hourly", "@hourly", **given)
    assert caught.value.sqlstate == code, caught.value
    assert caught.value.diag.message_detail
    assert caught.value.diag.message_hint
    assert database.run("select * from jobs.schedules") == []


def test_health_names_what_does_not_run(database: Database) -> None:
    """Missed occurrences, failures in a row, and what paused itself; the owner's and an
    operator's, not another's.
    """
    look = "select status, detail from jobs.health where \"check\" = 'schedules'"
    schedule(database, "missed", "@hourly", missed="none")
    schedule(database, "fails", "@hourly", task="app.fail", args={}, options={"max_attempts": 1})
    set_clock(database, START)
    assert database.run(look) == [("ok", "all run")]
    fire(database, START + HOUR + 30 * MINUTE)
    for hour in (2, 3, 4):
        fire(database, START + hour * HOUR)
        database.drain()
    ((status, detail),) = database.run(look)
    assert status == "warning"
    assert "fails: its last 3 runs failed" in detail
    assert "missed: missed since 2026-01-01 01:00:00" in detail
    ((status, detail, remedy),) = database.run(
        "select status, detail, remedy from jobs.health where \"check\" = 'schedules'",
        role="operator",
    )
    assert status == "warning"
    assert "fails of app: its last 3 runs failed" in detail
    assert "missed of app: missed since 2026-01-01 01:00:00" in detail
    (query,) = [part for part in remedy.split(";") if "schedule_runs" in part]
    found = database.run(query.replace("*", "distinct name, owner"), role="operator")
    assert found == [("missed", "app")]
    assert database.run(look, role="other") == [("ok", "all run")]


def test_a_schedule_that_was_resumed_runs(database: Database) -> None:
    """The failures that paused it are over: it is paused anew after as many."""
    schedule(
        database,
        "hourly",
        "@hourly",
        task="app.fail",
        args={},
        options={"pause_after": 1, "max_attempts": 1},
    )
    set_clock(database, START)
    for hour in (1, 2):
        fire(database, START + hour * HOUR)
        database.drain()
    assert database.run("select paused from jobs.schedules") == [(True,)]
    database.run("select jobs.resume_schedule('hourly')")
    # the pause ended by another clock than the one that is played here
    database.admin("delete from jobs_internal.schedule_run where outcome = 'paused'")
    set_clock(database, START + 2 * HOUR)
    fire(database, START + 3 * HOUR)
    assert database.run(
        "select outcome from jobs.schedule_runs where due_at = %s", [START + 3 * HOUR]
    ) == [("fired",)]


def test_one_that_was_changed_while_paused_keeps_its_pause(database: Database) -> None:
    """What was due meanwhile is paused, before and after the change."""
    schedule(database, "hourly", "@hourly")
    set_clock(database, START)
    database.run("select jobs.pause_schedule('hourly')")
    database.run("select jobs.alter_schedule('hourly', schedule => 'every 1 second')")
    wait_until(
        lambda: database.admin(
            "select 1 from jobs_internal.schedule_state where next_due < clock_timestamp()"
        )
    )
    database.run("select jobs.resume_schedule('hourly')")
    assert [outcome for _, outcome in runs(database)] == ["paused", "paused"]


def test_a_row_that_a_producer_makes_up_is_checked(database: Database) -> None:
    """What is kept is what the options say, whatever else the row says."""
    schedule(database, "s", "@daily")
    database.run(
        "select jobs_internal.store_schedule(jsonb_populate_record("
        "null::jobs_internal.schedule, jsonb_build_object('name', 'x', 'expression', '@daily',"
        " 'overlap', 'skip', 'missed', 'last', 'jitter', '0', 'priority', 99, 'bytes', -5,"
        " 'max_attempts', 2147483647, 'owner', 10, 'call_template_id',"
        " (select jobs_internal.resolve('app.note', '{\"n\": 1}')).id,"
        " 'args', '{\"n\": 1}'::jsonb)), '{}', null, null)"
    )
    assert database.admin(
        "select owner::regrole::text, priority, bytes > 0, max_attempts from"
        " jobs_internal.schedule where name = 'x'"
    ) == [("app", 1, True, None)]

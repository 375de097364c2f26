"""Schedules: each occurrence is accounted for once, whoever fires it and whatever happens."""

import random
import threading
from contextlib import suppress
from datetime import UTC, datetime, timedelta

import psycopg
import pytest
from stage import gate_shut, state, wait_at_gate, wait_for
from support import Database, sqlstate_of, wait_until

from .schedules import START, accounted, fire, runs, schedule, set_clock

HOUR = timedelta(hours=1)
MINUTE = timedelta(minutes=1)


def test_an_occurrence_is_one_job(database: Database) -> None:
    """Enqueued with what the schedule says, by whichever supervisor comes first; it runs, and knows
    its occurrence.
    """
    database.run(
        "create function app.tell() returns timestamptz language sql as"
        " 'select due_at from jobs.current_run()'"
    )
    schedule(
        database,
        "hourly",
        "@hourly",
        task="app.tell",
        args={},
        options={"priority": "low", "title": "on the hour", "timeout": "5 min", "note": {"a": 1}},
    )
    set_clock(database, START)
    with database.connect("postgres") as first, first.transaction():
        first.execute("select jobs_internal.fire_schedules(%s)", [START + HOUR])
        fire(database, START + HOUR)  # another supervisor passes it by
    fire(database, START + HOUR)

    assert runs(database, "name, due_at, outcome, reason") == [
        ("hourly", START + HOUR, "fired", None)
    ]
    (job,) = runs(database, "job_id")[0]
    found = database.job(job)
    assert (found["priority"], found["title"], found["note"]) == ("low", "on the hour", {"a": 1})
    assert found["timeout"] == timedelta(minutes=5)
    database.drain()
    assert database.job(job)["result"] == "2026-01-01T01:00:00+00:00"
    seen = database.record(
        "select name, owner, next_at, last_at, last_job, last_state, paused from jobs.schedules"
    )
    assert seen == {
        "name": "hourly",
        "owner": "app",
        "next_at": START + 2 * HOUR,
        "last_at": START + HOUR,
        "last_job": job,
        "last_state": "succeeded",
        "paused": False,
    }


def test_what_is_undone_is_fired_again(database: Database) -> None:
    """Occurrence, job and next time are one commit."""
    schedule(database, "hourly", "@hourly")
    set_clock(database, START)
    with database.connect("postgres") as line:
        line.execute("begin")
        line.execute("select jobs_internal.fire_schedules(%s)", [START + HOUR])
        line.execute("rollback")
    assert runs(database) == []
    fire(database, START + HOUR)
    assert runs(database) == [(START + HOUR, "fired")]
    assert database.run("select count(*) from jobs.job") == [(1,)]


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
    assert database.run("select paused, paused_by, failures_in_a_row from jobs.schedules") == [
        (True, "2 runs failed one after the other", 2)
    ]


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


def test_what_cannot_be_enqueued_is_skipped(database: Database) -> None:
    """With its reason: a queue that takes none, one that was dropped, a quota that is full, an
    unfinished job with its unique key, an owner that is privileged.
    """
    database.run("select jobs.create_queue('nights')", role="operator")
    schedule(database, "hourly", "@hourly", overlap="parallel", options={"queue": "nights"})
    set_clock(database, START)

    def reason(hour: int) -> str:
        fire(database, START + hour * HOUR)
        outcome, why = database.run(
            "select outcome, reason from jobs.schedule_runs where due_at = %s",
            [START + hour * HOUR],
        )[0]
        assert outcome == "skipped"
        return str(why)

    database.run("select jobs.alter_queue('nights', accepting => false)", role="operator")
    assert reason(1) == "its queue takes no jobs (PW008)"
    database.run("select jobs.alter_queue('nights', accepting => true)", role="operator")
    database.run("select jobs.set_quota('app', pending => 0)", role="operator")
    assert reason(2).endswith("(PW071)")
    database.run("select jobs.set_quota('app')", role="operator")
    database.run("select jobs.drop_queue('nights')", role="operator")
    assert reason(3) == "its queue was dropped (PW007)"
    database.run("select jobs.unschedule('hourly')")
    schedule(database, "unique", "@hourly", overlap="parallel", options={"unique_key": "k"})
    set_clock(database, START + 3 * HOUR)
    fire(database, START + 4 * HOUR)
    database.run("select jobs.set_quota('app')", role="operator")
    assert reason(5) == "an unfinished job has the unique key k"


def test_a_function_that_is_gone_fails_its_job(database: Database) -> None:
    """The occurrence is fired: that it cannot run is seen where it would run."""
    database.run("create function app.passing() returns integer language sql return 1")
    schedule(database, "hourly", "@hourly", task="app.passing", args={})
    database.run("drop function app.passing()")
    set_clock(database, START)
    fire(database, START + HOUR)
    database.drain()
    (job,) = runs(database, "job_id")[0]
    assert database.job(job)["error"]["sqlstate"] == "PW042"


def test_statements_and_their_conditions(database: Database) -> None:
    """As jobs.enqueue_sql: long operations, too, with the path of their maker."""
    with database.connect("app", search_path="app") as line:
        line.execute(
            "select jobs.schedule_sql('vacuum', '@hourly', 'vacuum ledger',"
            """ options => '{"title": "clean", "yield": false}')"""
        )
    set_clock(database, START)
    fire(database, START + HOUR)
    database.drain()
    (job,) = runs(database, "job_id")[0]
    assert state(database, job) == "succeeded"
    assert database.run("select kind, object from jobs.operations where id = %s", [job]) == [
        ("vacuum", "app.ledger")
    ]


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


@pytest.mark.parametrize(
    ("when", "jitter", "step", "most"),
    [
        # less than half of the time to the next one
        ("* * * * *", HOUR, MINUTE, MINUTE / 2),
        ("@hourly", 10 * MINUTE, HOUR, 10 * MINUTE),
    ],
)
def test_jitter_is_bounded_and_the_same_for_all(
    database: Database, when: str, jitter: timedelta, step: timedelta, most: timedelta
) -> None:
    """Whichever supervisor asks, it puts an occurrence off by the same time."""
    schedule(database, "often", when, jitter=jitter, overlap="parallel")
    set_clock(database, START)
    look = "select next_at from jobs.schedules"
    offsets = []
    for n in range(20):
        at = database.value(look) + timedelta(seconds=1)  # it is shown in whole seconds
        with database.connect("postgres") as other:
            other.execute("begin")
            other.execute("select jobs_internal.fire_schedules(%s)", [at])
            said = other.execute(look).fetchone()
            other.execute("rollback")
        fire(database, at)
        ((after,),) = database.run(look)
        assert said == (after,)
        offsets.append(after - (START + (n + 2) * step))
    assert {outcome for _, outcome in runs(database)} == {"fired"}
    assert all(timedelta() <= offset < most for offset in offsets), offsets
    assert max(offsets) > most / 2
    assert len(set(offsets)) > 10


def test_an_error_of_one_schedule_costs_the_others_nothing(database: Database) -> None:
    """It is noted, and tried again later."""
    for name in ("one", "two", "three"):
        schedule(database, name, "@hourly")
    set_clock(database, START)
    database.admin("update jobs_internal.schedule set timezone = 'No/Where' where name = 'two'")
    fire(database, START + HOUR)
    assert {name for (name,) in runs(database, "name")} == {"one", "three"}
    assert database.admin("select duty from jobs_internal.duty_failure") == [("schedule",)]


def test_a_supervisor_fires_them(database: Database) -> None:
    """Its round does, and says when the next one is due."""
    schedule(database, "rare", "every 10000 days", starts_at=datetime.now(UTC) - MINUTE)
    seconds = "select extract(epoch from next_at - now()) from jobs.schedules"
    before = database.run(seconds)[0][0]
    said = database.value("select jobs_internal.supervisor_tick(0)", role="supervisor")
    after = database.run(seconds)[0][0]
    assert after <= said["next_due_ms"] / 1000 <= before + 1
    database.admin(
        "update jobs_internal.schedule_state as t set next_due = s.starts_at, next_at = now()"
        " from jobs_internal.schedule as s"
    )
    database.value("select jobs_internal.supervisor_tick(0)", role="supervisor")
    assert runs(database, "outcome") == [("fired",)]
    (job,) = runs(database, "job_id")[0]
    assert state(database, job) in ("queued", "running", "succeeded")


def test_a_call_template_of_a_schedule_stays(database: Database) -> None:
    """Also when no job has it for long."""
    schedule(database, "hourly", "@hourly")
    database.admin("update jobs_internal.call_template set retired_by = '3', horizon_xid = '3'")
    database.admin("select jobs_internal.sweep_call_templates()")
    set_clock(database, START)
    fire(database, START + HOUR)
    database.drain()
    (job,) = runs(database, "job_id")[0]
    assert state(database, job) == "succeeded"


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


def test_an_owner_that_is_gone_or_privileged(database: Database) -> None:
    """Its occurrences are skipped, with the reason; those of others come."""
    schedule(database, "ours", "@hourly")
    schedule(
        database,
        "theirs",
        "@hourly",
        role="other",
        task="pg_catalog.now",
        args={},
        overlap="parallel",
    )
    set_clock(database, START)
    database.admin("update jobs_internal.schedule set owner = 4294960001 where name = 'ours'")
    fire(database, START + HOUR)
    assert sorted(runs(database, "name, outcome, reason", role="operator")) == [
        ("ours", "skipped", "its owner is gone (PW019)"),
        ("theirs", "fired", None),
    ]
    with database.server.administrate() as line:
        line.execute("alter role other createrole")
        try:
            fire(database, START + 2 * HOUR)
        finally:
            line.execute("alter role other nocreaterole")
    assert runs(database, "outcome, reason", role="other")[-1] == (
        "skipped",
        "jobs of other are refused (PW019)",
    )


def test_a_session_that_dies_in_the_middle_leaves_no_half(database: Database) -> None:
    """Whatever it had done of a round is undone, and done by the next one."""
    for name in ("a", "b", "c"):
        schedule(database, name, "@hourly")
    set_clock(database, START)
    database.admin(
        "create function app.stop() returns trigger language plpgsql as"
        " $$ begin perform pg_advisory_xact_lock(99); return new; end $$;"
        " create trigger stop before insert on jobs_internal.schedule_run for each row"
        " when (new.schedule_id % 2 = 0) execute function app.stop()"
    )
    with database.connect("postgres") as gate:
        gate.execute("select pg_advisory_lock(99)")
        with database.connect("postgres") as line:
            firing = threading.Thread(target=end_quietly, args=[line, START + HOUR])
            firing.start()
            wait_until(
                lambda: database.admin(
                    "select 1 from pg_locks where locktype = 'advisory' and not granted"
                )
            )
            database.admin("select pg_terminate_backend(%s)", [line.info.backend_pid])
            firing.join()
    assert runs(database) == []
    fire(database, START + HOUR)
    assert [name for (name,) in runs(database, "name")] == ["a", "b", "c"]
    assert database.run("select count(*) from jobs.job") == [(3,)]


def end_quietly(line: psycopg.Connection[tuple[object, ...]], at: datetime) -> None:
    """Fire, and be ended meanwhile."""
    with suppress(psycopg.Error):
        line.execute("select jobs_internal.fire_schedules(%s)", [at])


def test_a_copy_makes_up_for_nothing(database: Database) -> None:
    """What was due until it was taken into use is missed."""
    schedule(database, "rare", "every 10000 days", starts_at=START)
    set_clock(database, START - HOUR)
    database.admin("select jobs_internal.skip_schedules()")
    assert runs(database, "outcome, due_at") == [("missed", START)]
    assert database.admin("select next_due > now() from jobs_internal.schedule_state") == [(True,)]
    fire(database, datetime.now(UTC))
    assert len(runs(database)) == 1


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


def test_jitter_is_no_delay_of_the_supervisor(database: Database) -> None:
    """An occurrence that was put off by chance is not missed."""
    schedule(database, "hourly", "@hourly", jitter="30 minutes", missed="none", overlap="parallel")
    set_clock(database, START)
    database.admin(
        "update jobs_internal.schedule_state as t"
        " set next_at = t.next_due + jobs_internal.jitter_of(s, t.next_due)"
        " from jobs_internal.schedule as s where s.id = t.schedule_id"
    )
    for _ in range(5):
        at = database.admin("select next_at from jobs_internal.schedule_state")[0][0]
        fire(database, at)
    assert {outcome for _, outcome in runs(database)} == {"fired"}


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


def test_a_skipped_duplicate_is_not_charged(database: Database) -> None:
    """An unfinished job has its unique key: the quota for each minute is untouched."""
    schedule(database, "hourly", "@hourly", overlap="parallel", options={"unique_key": "k"})
    set_clock(database, START)
    database.run("select jobs.set_quota('app', per_minute => 2)", role="operator")
    for hour in (1, 2, 3, 4):
        fire(database, START + hour * HOUR)
    assert {reason for (reason,) in runs(database, "reason")} == {
        None,
        "an unfinished job has the unique key k",
    }


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

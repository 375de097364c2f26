"""Firing: an occurrence is one job, whichever supervisor fires it and whatever happens."""

import threading
from contextlib import suppress
from datetime import UTC, datetime, timedelta

import psycopg
import pytest
from stage import state
from support import Database, wait_until

from .schedules import HOUR, MINUTE, START, fire, runs, schedule, set_clock


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


#: The first occurrence, a minute ago, is due.
DUE = (
    "update jobs_internal.schedule_state as t set next_due = s.starts_at, next_at = now()"
    " from jobs_internal.schedule as s"
)


def test_a_supervisor_fires_them(database: Database) -> None:
    """Its round does, and says when the next one is due."""
    schedule(database, "rare", "every 10000 days", starts_at=datetime.now(UTC) - MINUTE)
    seconds = "select extract(epoch from next_at - now()) from jobs.schedules"
    before = database.run(seconds)[0][0]
    said = database.value("select jobs_internal.supervisor_tick(0)", role="supervisor")
    after = database.run(seconds)[0][0]
    assert after <= said["next_due_ms"] / 1000 <= before + 1
    database.admin(DUE)
    database.value("select jobs_internal.supervisor_tick(0)", role="supervisor")
    assert runs(database, "outcome") == [("fired",)]
    (job,) = runs(database, "job_id")[0]
    assert state(database, job) in ("queued", "running", "succeeded")


def test_a_supervisor_does_not_fall_asleep_over_what_is_due(database: Database) -> None:
    """What came due since its last look is seen when it falls asleep; not while all is paused."""
    opened = "select jobs_internal.supervisor_open('s', 'here', 1, '1')"
    number = database.value(opened, role="supervisor")
    schedule(database, "rare", "every 10000 days", starts_at=datetime.now(UTC) - MINUTE)

    def is_due() -> bool:
        sleep = "select jobs_internal.supervisor_sleep(%s, true)"
        return bool(database.value(sleep, [number], role="supervisor"))

    assert not is_due()
    database.admin(DUE)
    assert is_due()
    database.run("select jobs.pause()", role="operator")
    assert not is_due()


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

"""Queues, the switch, settings and retry rules, as an operator makes and changes them."""

from datetime import timedelta

import psycopg
import pytest
from support import Database

from .conftest import Enqueue, enqueue_on


def _queue(database: Database, queue: str, columns: str) -> tuple[object, ...]:
    return database.run(f"select {columns} from jobs.queues where queue = %s", [queue])[0]


def test_create(database: Database) -> None:
    """A queue has the options that it was made with, and its jobs have its defaults."""
    made = database.value(
        "select jobs.create_queue('mail', concurrency => 2, timeout => '1 min', max_attempts => 5,"
        " retention => '1 day', batch => false)",
        role="operator",
    )
    job = enqueue_on(database.line(), "pg_catalog.now", queue="mail")

    assert made is True
    assert _queue(database, "mail", "concurrency, timeout, max_attempts, retention, batch, paused, accepting") == (
        *(2, timedelta(minutes=1), 5, timedelta(days=1), False, False, True),
    )
    assert (database.job(job)["timeout"], database.job(job)["max_attempts"]) == (timedelta(minutes=1), 5)


@pytest.mark.parametrize("name", ["a", "A.b:c-d_9", "9", "_x", "q" * 63, "select"])
def test_names(database: Database, name: str) -> None:
    """Letters, digits and some marks make a name, up to 63 bytes; jobs of it run."""
    database.run("select jobs.create_queue(%s)", [name], role="operator")
    job = enqueue_on(database.line(), "app.add", {"a": 1}, queue=name)
    database.drain()

    assert database.result(job) == 11
    assert database.job(job)["queue"] == name


def test_create_again(database: Database) -> None:
    """Making a queue that exists changes nothing and returns false, with a NOTICE."""
    notices: list[str] = []
    line = database.line("operator")
    line.add_notice_handler(lambda said: notices.append(str(said.message_primary)))
    database.run("select jobs.create_queue('mail', concurrency => 2)", role="operator")
    again = database.value("select jobs.create_queue('mail', concurrency => 3)", role="operator")

    assert again is False
    assert len(notices) == 1
    assert _queue(database, "mail", "concurrency") == (2,)


def test_alter(database: Database) -> None:
    """What is given changes, what is not stays; 0 and infinity take a limit away."""
    database.run("select jobs.create_queue('mail', concurrency => 2, timeout => '1 min')", role="operator")
    database.run("select jobs.alter_queue('mail', max_attempts => 9)", role="operator")
    one = _queue(database, "mail", "concurrency, timeout, max_attempts")
    database.run("select jobs.alter_queue('mail', concurrency => 0, timeout => 'infinity')", role="operator")
    two = _queue(database, "mail", "concurrency, timeout, max_attempts")

    assert one == (2, timedelta(minutes=1), 9)
    assert two == (None, None, 9)


def test_closed_for_enqueue(database: Database, put: Enqueue) -> None:
    """A queue that is closed refuses new jobs and runs those that it has."""
    job = put("app.add", {"a": 1})
    database.run("select jobs.alter_queue('default', accepting => false)", role="operator")
    with pytest.raises(psycopg.Error) as caught:
        put("app.nothing")
    database.drain()
    database.run("select jobs.alter_queue('default', accepting => true)", role="operator")
    later = put("app.nothing")

    assert caught.value.sqlstate == "PW008"
    assert database.result(job) == 11
    assert later > job


def test_paused_queue(database: Database, put: Enqueue) -> None:
    """Jobs of a paused queue are enqueued and do not start; the others do."""
    database.run("select jobs.create_queue('second')", role="operator")
    held, free = put("app.nothing", queue="second"), put("app.nothing")
    changes = [database.value("select jobs.pause('second')", role="operator") for _ in range(2)]
    database.run("select jobs.start()")
    database.run("select jobs.wait(%s, '10 s')", [free])
    later = put("app.nothing", queue="second")
    seen = _queue(database, "second", "paused")
    states = database.job(held)["state"], database.job(later)["state"]
    resumed = [database.value("select jobs.resume('second')", role="operator") for _ in range(2)]
    database.drain()

    assert changes == resumed == [True, False]
    assert seen == (True,)
    assert not {"running", "succeeded"} & set(states)
    assert database.job(held)["state"] == database.job(later)["state"] == "succeeded"


def test_pause_everything(database: Database, put: Enqueue) -> None:
    """jobs.pause() stops every queue; jobs.health says so, and by whom."""
    job = put("app.nothing")
    database.run("select jobs.pause()", role="operator")
    database.run("select jobs.start()")
    database.run("select jobs.start()")
    health = database.run("""select status, detail from jobs.health where "check" = 'switch'""")
    paused = database.run("select distinct paused from jobs.queues")
    state = database.job(job)["state"]
    database.run("select jobs.resume()", role="operator")
    database.drain()

    assert health[0][0] == "warning"
    assert "operator" in health[0][1]
    assert paused == [(True,)]
    assert state in ("queued", "scheduled")
    assert database.job(job)["state"] == "succeeded"


def test_drop(database: Database) -> None:
    """A queue with unfinished jobs is not dropped (PW028); without, it goes, and its history stays."""
    database.run("select jobs.create_queue('mail')", role="operator")
    job = enqueue_on(database.line(), "app.add", {"a": 1}, queue="mail")
    with pytest.raises(psycopg.Error) as caught:
        database.run("select jobs.drop_queue('mail')", role="operator")
    database.drain()
    dropped = database.value("select jobs.drop_queue('mail')", role="operator")
    with pytest.raises(psycopg.Error) as gone:
        enqueue_on(database.line(), "app.add", {"a": 1}, queue="mail")

    assert caught.value.sqlstate == "PW028"
    assert caught.value.diag.message_detail
    assert caught.value.diag.message_hint
    assert dropped is True
    assert gone.value.sqlstate == "PW007"
    assert (database.job(job)["queue"], database.result(job)) == ("mail", 11)
    assert database.run("select queue from jobs.queues") == [("default",)]
    assert database.admin("select count(*) from pgmq.list_queues()") == [(0,)]


def test_same_name_again(database: Database) -> None:
    """A name is free again after a drop; a failed job of the dropped queue is not retried into the new one."""
    database.run("select jobs.create_queue('mail')", role="operator")
    job = enqueue_on(database.line(), "app.nothing", queue="mail")
    database.run("select jobs.cancel(%s)", [job])
    database.run("select jobs.drop_queue('mail')", role="operator")
    again = database.value("select jobs.create_queue('mail')", role="operator")
    with pytest.raises(psycopg.Error) as caught:
        database.run("select jobs.retry(%s)", [job])

    assert again is True
    assert caught.value.sqlstate == "PW007"
    assert caught.value.diag.message_detail
    assert caught.value.diag.message_hint


def test_configure(database: Database) -> None:
    """A setting gives back its old value and shows the new one."""
    old = database.value("select jobs.configure('result_rows', '5')", role="operator")

    assert old == "1000"
    assert database.run("select value, unit from jobs.settings where name = 'result_rows'") == [("5", "rows")]


def test_superuser_jobs_can_be_allowed(database: Database) -> None:
    """Jobs of superusers are refused until an operator allows them."""
    database.run("select jobs.configure('superuser_jobs', 'on')", role="operator")
    job = database.value("select jobs.enqueue('pg_catalog.now')", role="postgres")
    database.drain(role="postgres")

    assert database.job(job, role="postgres")["state"] == "succeeded"


def test_retry_rules(database: Database) -> None:
    """The longest pattern that fits decides; a rule can be made, changed and removed."""
    rule = "select retry from jobs.retry_rules where pattern = 'P0002'"
    database.run("select jobs.set_retry_rule('P0002', false, 'gone is gone')", role="operator")
    one = database.run(rule)
    database.run("select jobs.set_retry_rule('P0002', true)", role="operator")
    two = database.run(rule)
    database.run("select jobs.set_retry_rule('P0002', null)", role="operator")

    assert (one, two, database.run(rule)) == ([(False,)], [(True,)], [])


@pytest.mark.parametrize(("code", "attempts"), [("P0001", 2), ("40001", 2), ("23505", 1), ("42601", 1), ("PW123", 1)])
def test_which_errors_are_retried(database: Database, put: Enqueue, code: str, attempts: int) -> None:
    """An error that may pass is tried again up to max_attempts; one that cannot, once. Each attempt is kept."""
    database.run(
        "create function app.fail(code text) returns void language plpgsql as $$ begin"
        " raise exception using errcode = code, message = 'it failed'; end $$"
    )
    database.run("select jobs.alter_queue('default', backoff => '0')", role="operator")
    job = put("app.fail", {"code": code}, max_attempts=2)
    database.drain()

    assert (database.job(job)["state"], database.job(job)["attempt"]) == ("failed", attempts)
    assert database.job(job)["error"]["sqlstate"] == code
    outcomes = database.run("select attempt, outcome from jobs.attempts where job_id = %s order by attempt", [job])
    assert outcomes == [(n, "failed") for n in range(1, attempts + 1)]

"""The switch, settings and retry rules, as an operator changes them."""

import psycopg
import pytest
from support import Database

from .conftest import Enqueue


def _queue(database: Database, queue: str, columns: str) -> tuple[object, ...]:
    return database.run(f"select {columns} from jobs.queues where queue = %s", [queue])[0]


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


def test_configure(database: Database) -> None:
    """A setting gives back its old value and shows the new one."""
    old = database.value("select jobs.configure('result_rows', '5')", role="operator")

    assert old == "1000"
    assert database.run("select value, unit from jobs.settings where name = 'result_rows'") == [
        ("5", "rows")
    ]


@pytest.mark.parametrize(
    ("name", "value", "reach"),
    [
        ("chunk_jobs", "1001", "a whole number from 1 to 1000"),
        ("claim_jobs", "0", "a whole number from 1 to 999999999"),
        ("result_rows", "-1", "a whole number from 0 to 999999999"),
        ("result_rows", "1000000000", "a whole number from 0 to 999999999"),
        ("lease_seconds", "1 min", "a whole number from 1 to 999999999"),
        ("measure_cost", "true", "on or off"),
        ("chunk_jobs", None, "a whole number from 1 to 1000"),
    ],
)
def test_the_range_of_a_setting_is_told(
    shared: Database, name: str, value: str | None, reach: str
) -> None:
    """The hint names the range of that setting, and of no other."""
    with pytest.raises(psycopg.Error) as caught:
        shared.run("select jobs.configure(%s, %s)", [name, value], role="operator")

    assert caught.value.sqlstate == "PW026"
    assert f"The range of {name}: {reach}." in str(caught.value.diag.message_hint)


def test_retry_rules(database: Database) -> None:
    """The longest pattern that fits decides; a rule can be made, changed and removed."""
    rule = "select retry from jobs.retry_rules where pattern = 'P0002'"
    database.run("select jobs.set_retry_rule('P0002', false, 'gone is gone')", role="operator")
    one = database.run(rule)
    database.run("select jobs.set_retry_rule('P0002', true)", role="operator")
    two = database.run(rule)
    database.run("select jobs.set_retry_rule('P0002', null)", role="operator")

    assert (one, two, database.run(rule)) == ([(False,)], [(True,)], [])


@pytest.mark.parametrize(
    ("code", "attempts"), [("P0001", 2), ("40001", 2), ("23505", 1), ("42601", 1), ("PW123", 1)]
)
def test_which_errors_are_retried(
    database: Database, put: Enqueue, code: str, attempts: int
) -> None:
    """An error that may pass is tried again up to max_attempts; one that cannot, once.
    Each attempt is kept.
    """
    database.run(
        "create function app.fail(code text) returns void language plpgsql as $$ begin"
        " raise exception using errcode = code, message = 'it failed'; end $$"
    )
    database.run("select jobs.alter_queue('default', backoff => '0')", role="operator")
    job = put("app.fail", {"code": code}, max_attempts=2)
    database.drain()

    assert (database.job(job)["state"], database.job(job)["attempt"]) == ("failed", attempts)
    assert database.job(job)["error"]["sqlstate"] == code
    outcomes = database.run(
        "select attempt, outcome from jobs.attempts where job_id = %s order by attempt", [job]
    )
    assert outcomes == [(n, "failed") for n in range(1, attempts + 1)]

"""Queues, as an operator makes, changes and drops them."""

import re
from datetime import timedelta

import psycopg
import pytest
from support import Database

from .conftest import Enqueue, enqueue_on

CREATE, ALTER = "select jobs.create_queue('mail', {})", "select jobs.alter_queue('default', {})"


def _queue(database: Database, queue: str, columns: str) -> tuple[object, ...]:
    return database.run(f"select {columns} from jobs.queues where queue = %s", [queue])[0]


def test_create(database: Database) -> None:
    """A queue has the options that it was made with, and its jobs have its defaults."""
    made = database.value(
        "select jobs.create_queue('mail', concurrency => 2, timeout => '1 min', max_attempts => 5,"
        " retention => '1 day', share_commits => false, retention_rows => 1000)",
        role="operator",
    )
    job = enqueue_on(database.line(), "pg_catalog.now", queue="mail")

    assert made is True
    assert _queue(
        database,
        "mail",
        "concurrency, timeout, max_attempts, retention, share_commits, retention_rows, paused,"
        " accepting",
    ) == (*(2, timedelta(minutes=1), 5, timedelta(days=1), False, 1000, False, True),)
    assert (database.job(job)["timeout"], database.job(job)["max_attempts"]) == (
        timedelta(minutes=1),
        5,
    )


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
    database.run(
        "select jobs.create_queue('mail', concurrency => 2, timeout => '1 min',"
        " retention_rows => 5)",
        role="operator",
    )
    database.run("select jobs.alter_queue('mail', max_attempts => 9)", role="operator")
    one = _queue(database, "mail", "concurrency, timeout, max_attempts, retention_rows")
    database.run(
        "select jobs.alter_queue('mail', concurrency => 0, timeout => 'infinity',"
        " retention_rows => 0)",
        role="operator",
    )
    two = _queue(database, "mail", "concurrency, timeout, max_attempts, retention_rows")

    assert one == (2, timedelta(minutes=1), 9, 5)
    assert two == (None, None, 9, None)


@pytest.mark.parametrize("call", [CREATE, ALTER])
@pytest.mark.parametrize(
    ("given", "said", "reach"),
    [
        ("concurrency => -1", "concurrency of queue", "1 to 1000"),
        ("concurrency => 1001", "1001", "1 to 1000"),
        ("timeout => '0'", "00:00:00", "over zero"),
        ("timeout => '-1 s'", "-00:00:01", "over zero"),
        ("timeout => '-1 year 361 days'", "-1 years +361 days", "over zero, in seconds"),
        ("max_attempts => 0", "max_attempts", "1 to 2147483647"),
        ("backoff => '-1 s'", "backoff of queue", "0 to 1000 years"),
        ("backoff => '-1 year 361 days'", "backoff of queue", "0 to 1000 years"),
        (
            "backoff => '2 hours'",
            "backoff_cap of queue",
            "not less than backoff, which is 02:00:00",
        ),
        ("backoff => '2 s', backoff_cap => '1 s'", "cannot be 00:00:01", "not less than backoff"),
        ("backoff_cap => '1001 years'", "1001 years", "0 to 1000 years"),
        ("retention => '-1 day'", "-1 days", "0 to 1000 years"),
        (
            "retention_rows => -1",
            "retention_rows of queue",
            "1 to 9223372036854775807; for no limit null in",
        ),
    ],
)
def test_an_option_out_of_range(
    shared: Database, call: str, given: str, said: str, reach: str
) -> None:
    """The error names the option, its value and its range; nothing is made or changed."""
    before = shared.admin("select * from jobs_internal.queue")
    with pytest.raises(psycopg.Error) as caught:
        shared.run(call.format(given).encode(), role="operator")
    diagnostic = caught.value.diag

    assert diagnostic.sqlstate == "PW026"
    assert said in str(diagnostic.message_primary)
    assert re.search(reach, str(diagnostic.message_detail))
    assert "constraint" not in f"{diagnostic.message_primary} {diagnostic.message_detail}"
    assert shared.admin("select * from jobs_internal.queue") == before


@pytest.mark.parametrize("call", [CREATE, ALTER])
@pytest.mark.parametrize(
    ("given", "kept"),
    [
        ("-1 month 31 days", "24:00:00"),
        ("1 day -1 hour", "23:00:00"),
        ("1 month", "720:00:00"),
        ("0.000001 s", "00:00:00.000001"),
        ("infinity", None),
        ("178000000 years", None),
    ],
)
def test_a_timeout_is_kept_in_seconds(
    shared: Database, call: str, given: str, kept: str | None
) -> None:
    """Whatever units it was given in; what no job lives to see is none."""
    operator = shared.line("operator")
    with operator.transaction(force_rollback=True):
        operator.execute(call.format(f"timeout => '{given}'").encode())

        query = "select timeout::text from jobs.queues where queue = %s"
        assert operator.execute(query, ["mail" if call == CREATE else "default"]).fetchall() == [
            (kept,)
        ]


def test_held_slots_outlive_a_lower_number(database: Database) -> None:
    """Slots beyond the number go when they are free; one that is held or locked stays,
    and counts.
    """

    def slots() -> list[tuple[object, ...]]:
        return database.admin(
            "select n, session_id from jobs_internal.slot where queue_id = 1 order by n"
        )

    def limit(concurrency: int) -> None:
        database.run(
            "select jobs.alter_queue('default', concurrency => %s)", [concurrency], role="operator"
        )

    limit(6)
    database.admin(
        "update jobs_internal.slot set session_id = n where queue_id = 1 and n in (1, 3, 4)"
    )
    with database.connect("postgres").transaction() as other:
        other.connection.execute(
            "select from jobs_internal.slot where queue_id = 1 and n = 6 for update"
        )
        limit(1)
    assert slots() == [(1, 1), (3, 3), (4, 4), (6, None)]
    limit(4)
    assert slots() == [(1, 1), (2, None), (3, 3), (4, 4)]
    limit(0)
    assert slots() == [(1, 1), (3, 3), (4, 4)]


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


def test_drop(database: Database) -> None:
    """A queue with unfinished jobs is not dropped (PW028); without, it goes,
    and its history stays.
    """
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
    database.run("select jobs_internal.maintain()", role="supervisor")
    database.run("select jobs_internal.maintain()", role="supervisor")
    assert (
        database.admin(
            "select p.queue_name from pgmq.list_queues() as p"
            " left join jobs_internal.lane as l on l.pgmq_queue = p.queue_name"
            " left join jobs_internal.queue as q on q.id = l.queue_id"
            " where q.name is distinct from 'default'"
        )
        == []
    )


def test_same_name_again(database: Database) -> None:
    """A name is free again after a drop; a failed job of the dropped queue is not retried into the
    new one.
    """
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

"""Option notify: the end of a job is told on a channel, in the transaction that writes it,
whoever writes it.
"""

import json
from collections.abc import Iterator
from typing import Any

import pytest
from psycopg import Connection
from stage import (
    gate_shut,
    know_as_short,
    put,
    put_many,
    put_sql,
    quick_retries,
    state,
    wait_at_gate,
    wait_running,
)
from support import Database, Row, wait_until

TOLD = {"notify": "told"}


@pytest.fixture
def listener(database: Database) -> Iterator[Connection[Row]]:
    """A session that listens, of a role that may nothing else."""
    with database.server.connect("nobody", database.name) as connection:
        connection.execute('listen told; listen "An odd ""name"; listen pyworker_quiet')
        yield connection


def heard(listener: Connection[Row]) -> list[dict[str, Any]]:
    """What has been told so far: a message of one's own comes after all of them."""
    listener.execute("notify told, 'end'")
    found = []
    for message in listener.notifies(timeout=10):
        if message.payload == "end":
            return found
        found.append(json.loads(message.payload))
    raise AssertionError("the listener does not hear itself")


def _end(job: int, how: str, task: str) -> dict[str, Any]:
    return {"id": job, "state": how, "task": task}


def test_every_kind_of_end_is_told_once(database: Database, listener: Connection[Row]) -> None:
    """In a chunk, alone, failed, retried, cancelled, of a statement and of a procedure;
    and none that did not ask.
    """
    quick_retries(database)
    put(database, "app.note", {"n": 1})
    ends = {
        put(database, "app.note", {"n": 2}, options=TOLD): ("succeeded", "app.note"),
        put(database, "app.note", {"n": 3}, options=TOLD, settings={"work_mem": "1MB"}): (
            "succeeded",
            "app.note",
        ),
        put(database, "app.fail", {"state": "22023"}, options=TOLD): ("failed", "app.fail"),
        put(database, "app.stumble", {"n": 4}, options=TOLD): ("succeeded", "app.stumble"),
        put_sql(database, "insert into app.ledger (n) values (5)", options=TOLD): (
            "succeeded",
            "insert app.ledger",
        ),
        put_sql(database, "vacuum app.ledger", options=TOLD): ("succeeded", "vacuum app.ledger"),
        put_sql(database, "vacuum no_such", options=TOLD): ("failed", "vacuum no_such"),
        put(database, "app.two_commits", {"n": 6}, options=TOLD): ("succeeded", "app.two_commits"),
    }
    put(database, "app.note", {"n": 8}, options={"title": "says nothing"})
    gone = put(database, "app.note", {"n": 9}, run_at="infinity", options=TOLD)
    assert heard(listener) == []
    database.run("select jobs.cancel(%s)", [gone])
    assert heard(listener) == [_end(gone, "cancelled", "app.note")]
    database.drain()
    assert sorted(heard(listener), key=lambda end: end["id"]) == [
        _end(job, *end) for job, end in ends.items()
    ]


def test_jobs_of_a_chunk_are_told_each(database: Database, listener: Connection[Row]) -> None:
    """Short jobs that share a transaction: one message for each that asks, with the one that fails
    among them.
    """
    put_many(database, "app.note", [{"n": 0}])
    database.drain()
    know_as_short(database)
    asking = put_many(
        database, "app.note", [{"n": n} for n in range(30)], options='{"notify": "told"}'
    )
    put_many(database, "app.note", [{"n": n} for n in range(30)])
    failing = put(database, "app.fail", {"state": "22023"}, options=TOLD, max_attempts=1)
    database.drain()
    told = sorted(heard(listener), key=lambda end: end["id"])
    assert told == [_end(job, "succeeded", "app.note") for job in asking] + [
        _end(failing, "failed", "app.fail")
    ]


def test_it_is_there_when_it_is_told(database: Database, listener: Connection[Row]) -> None:
    """Who hears of an end sees it."""
    job = put(database, "app.note", {"n": 1}, options=TOLD)
    database.run("select jobs.start()")
    (message,) = listener.notifies(timeout=20, stop_after=1)
    assert json.loads(message.payload)["id"] == job
    assert state(database, job) == "succeeded"
    database.drain()


def test_a_cancel_that_is_rolled_back_tells_nothing(
    database: Database, listener: Connection[Row]
) -> None:
    """The end and its message are one commit."""
    job = put(database, "app.note", {"n": 1}, run_at="infinity", options=TOLD)
    with database.connect() as connection, connection.transaction(force_rollback=True):
        assert connection.execute("select jobs.cancel(%s)", [job]).fetchone() == ("cancelled",)
    assert heard(listener) == []
    assert database.value("select jobs.retry(%s)", [job]) == "scheduled"


def test_ends_that_others_write(database: Database, listener: Connection[Row]) -> None:
    """A running job that is cancelled, one that is rescued as in doubt, and the person who leaves
    it at that.
    """
    stopped = put(database, "app.nap", {"seconds": 60}, options=TOLD)
    database.run("select jobs.start()")
    wait_running(database, stopped)
    assert database.value("select jobs.cancel(%s)", [stopped]) == "cancelling"
    wait_until(lambda: state(database, stopped) == "cancelled")
    wait_until(lambda: not database.background())
    assert heard(listener) == [_end(stopped, "cancelled", "app.nap")]

    unseen = put_sql(database, "call app.watched(1, 'x')", options=TOLD)
    with gate_shut(database):
        database.run("select jobs.start()")
        wait_at_gate(database)
        database.admin("select pg_terminate_backend(%s)", [wait_running(database, unseen)["pid"]])
        wait_until(lambda: len(database.background()) == 1)
    wait_until(lambda: not database.background())
    assert heard(listener) == []
    database.drain()
    assert heard(listener) == [_end(unseen, "in_doubt", "call app.watched")]
    database.run("select jobs.cancel(%s)", [unseen])
    assert heard(listener) == [_end(unseen, "cancelled", "call app.watched")]


def test_of_a_published_function(database: Database, listener: Connection[Row]) -> None:
    """The role that enqueued it chooses the channel; a revocation is an end as well."""
    publication = database.value("select jobs.publish('app.note', 'other')")
    query = (
        "select jobs.enqueue_published('app.note', '{\"n\": 1}',"
        ' options => \'{"notify": "told"}\')'
    )
    first = database.value(query, role="other")
    database.drain()
    second = database.value(query, role="other")
    database.run("select jobs.unpublish(%s)", [publication])
    assert heard(listener) == [
        _end(first, "succeeded", "app.note"),
        _end(second, "cancelled", "app.note"),
    ]


def test_any_name_of_a_channel(database: Database, listener: Connection[Row]) -> None:
    """A channel is a name and not SQL."""
    job = put(database, "app.note", {"n": 1}, options={"notify": 'An odd "name'})
    database.drain()
    (message,) = listener.notifies(timeout=10, stop_after=1)
    assert (message.channel, json.loads(message.payload)) == (
        'An odd "name',
        _end(job, "succeeded", "app.note"),
    )


def test_a_listener_that_does_not_read_stops_no_job(
    database: Database, listener: Connection[Row]
) -> None:
    """While the server's queue of messages is half full, jobs end without a word."""
    database.admin(
        "create function public.half_full() returns double precision"
        " language sql as 'select 0.5::double precision'"
    )
    definition = str(
        database.admin(
            "select"
            " pg_get_functiondef('jobs_internal.notify_of_end(jsonb,bigint,text,"
            "text)'::regprocedure)"
        )[0][0]
    )
    assert definition.count("pg_notification_queue_usage()") == 1
    database.admin(definition.replace("pg_notification_queue_usage()", "public.half_full()"))
    job = put(database, "app.note", {"n": 1}, options=TOLD)
    database.drain()
    assert state(database, job) == "succeeded"
    assert heard(listener) == []

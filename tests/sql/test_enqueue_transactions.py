"""Enqueue is part of the caller's transaction, whatever that is."""

import psycopg
import pytest
from psycopg import Connection
from support import Database, Row

from .conftest import enqueue_on


def _count(sql: Connection[Row]) -> int:
    row = sql.execute("select count(*) from jobs.job").fetchone()
    assert row is not None
    return int(row[0])


def test_rolled_back(database: Database) -> None:
    """Rolled back = never happened: no job, no message, nothing to run."""
    with database.connect() as connection:
        connection.autocommit = False
        enqueue_on(connection, "app.mark", {"tag": "a"})
        connection.execute("select jobs.enqueue_sql('insert into app.marks values (''b'')')")
        connection.execute(
            "select jobs.enqueue_many('app.mark', array['{\"tag\": \"c\"}']::jsonb[])"
        )
        connection.rollback()
    database.drain()

    assert database.value("select count(*) from jobs.job") == 0
    assert database.value("select count(*) from app.marks") == 0


def test_savepoint(database: Database) -> None:
    """What a savepoint takes back was never enqueued; the rest of the transaction is."""
    with database.connect() as connection, connection.transaction():
        enqueue_on(connection, "app.mark", {"tag": "kept"})
        with connection.transaction(force_rollback=True):
            enqueue_on(connection, "app.mark", {"tag": "taken back"})
        with pytest.raises(psycopg.errors.DivisionByZero), connection.transaction():
            connection.execute("select jobs.enqueue('app.mark', '{\"tag\": \"failed\"}'), 1 / 0")
    database.drain()

    assert database.run("select tag from app.marks") == [("kept",)]


def test_not_before_commit(database: Database) -> None:
    """No worker session sees a job before its transaction commits."""
    with database.connect() as connection:
        connection.autocommit = False
        job = enqueue_on(connection, "app.mark", {"tag": "x"})
        database.drain()
        seen = (
            database.value("select count(*) from app.marks"),
            database.value("select count(*) from jobs.job"),
        )
        connection.commit()
    database.drain()

    assert seen == (0, 0)
    assert database.job(job)["state"] == "succeeded"


def test_enqueue_and_start_in_one_transaction(database: Database) -> None:
    """jobs.start in the transaction that enqueued runs those jobs after its commit,
    and needs no second call.
    """
    with database.connect() as connection, connection.transaction():
        job = enqueue_on(connection, "app.mark", {"tag": "x"})
        connection.execute("select jobs.start()")

    assert database.value("select jobs.wait(%s, '10 s')", [job]) == "succeeded"


def test_in_a_trigger(database: Database) -> None:
    """A trigger enqueues as part of the statement that fired it: a row that fails takes its job
    with it.
    """
    database.run("create table app.orders (id integer check (id < 10))")
    database.run(
        """create function app.on_order() returns trigger language plpgsql as $$ begin
        perform jobs.enqueue('app.mark', jsonb_build_object('tag', new.id)); return new; end $$"""
    )
    database.run(
        "create trigger enqueue before insert on app.orders for each row execute function"
        " app.on_order()"
    )
    database.run("insert into app.orders values (1), (2)")
    with pytest.raises(psycopg.errors.CheckViolation):
        database.run("insert into app.orders values (3), (11)")
    database.drain()

    assert sorted(database.run("select tag from app.marks")) == [("1",), ("2",)]


def test_open_transaction_blocks_nobody(database: Database) -> None:
    """A transaction that enqueued and stays open does not make another enqueuer wait."""
    with database.connect() as slow, database.connect(lock_timeout="500ms") as quick:
        slow.autocommit = False
        enqueue_on(slow, "app.add", {"a": 1})
        slow.execute(
            "select jobs.enqueue_many('app.add', array['{\"a\": 1}', '{\"a\": 2}']::jsonb[])"
        )
        slow.execute("select jobs.enqueue_sql('select 1')")
        enqueue_on(quick, "app.add", {"a": 1})
        enqueue_on(quick, "app.add", {"a": 1, "b": 1})
        enqueue_on(quick, "app.add", {"a": 1}, unique_key="k")
        quick.execute(
            "select jobs.enqueue_many('app.add', array['{\"a\": 1}', '{\"a\": 2}']::jsonb[])"
        )
        quick.execute("select jobs.enqueue_sql('select 1')")
        committed = quick.execute("select count(*) from jobs.job").fetchone()
        slow.rollback()

    assert committed == (6,)


def test_repeatable_read(database: Database) -> None:
    """An enqueuer with an old snapshot enqueues, also into a lane that its snapshot cannot see."""
    with database.connect() as old:
        old.isolation_level = psycopg.IsolationLevel.REPEATABLE_READ
        old.autocommit = False
        old.execute("select count(*) from jobs.job")
        database.value("select jobs.enqueue('pg_catalog.now')")
        database.drain()  # makes the lane
        job = enqueue_on(old, "app.add", {"a": 1})
        old.commit()
    database.drain()

    assert database.result(job) == 11


def test_serializable(database: Database) -> None:
    """Two serializable enqueuers do not fail each other."""
    enqueue_on(database.line(), "app.add", {"a": 1})  # the function is known
    connections = [database.connect() for _ in range(2)]
    for connection in connections:
        connection.isolation_level = psycopg.IsolationLevel.SERIALIZABLE
        connection.autocommit = False
    ids = [enqueue_on(connection, "app.add", {"a": 1}) for connection in connections]
    for connection in connections:
        connection.commit()
    database.drain()

    assert [database.result(job) for job in ids] == [11, 11]


def test_read_only_transaction(database: Database) -> None:
    """In a read-only transaction nothing is enqueued, and the refusal says what to do."""
    with database.connect() as connection:
        connection.read_only = True
        connection.autocommit = False
        with pytest.raises(psycopg.errors.ReadOnlySqlTransaction) as caught:
            enqueue_on(connection, "app.nothing")
        assert (
            caught.value.diag.message_primary
            == "jobs.enqueue writes, and this transaction is read-only"
        )
        assert "begin read write" in str(caught.value.diag.message_hint)

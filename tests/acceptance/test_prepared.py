"""Two-phase commit: what enqueued something can be prepared always, whoever sleeps and whoever
listens.
"""

from collections.abc import Iterator

import psycopg
import pytest
from kit.daemon import Supervise
from stage import ledger, put, wait_for, wait_running
from support import Database, Server, wait_until


@pytest.fixture(scope="module", autouse=True)
def _prepared_transactions(server: Server) -> Iterator[None]:
    """The server allows some."""

    def restarted(statement: bytes) -> None:
        with server.connect() as connection:
            connection.execute(statement)
        assert server.private is not None
        server.private.restart()

    restarted(b"alter system set max_prepared_transactions = 5")
    yield
    restarted(b"alter system reset max_prepared_transactions")


def test_an_enqueue_is_prepared_while_the_supervisor_sleeps(
    database: Database, supervise: Supervise
) -> None:
    """It is refused in no state of supervisor, lane and session; and it is found soon after it was
    committed.
    """
    supervise(database.dsn("supervisor"), "--owner", "app")
    wait_for(database, put(database, "app.note", {"n": 0}))
    asleep = "select count(*) from jobs.supervisors where asleep"
    wait_until(lambda: database.admin(asleep) == [(1,)], 20)
    with database.connect() as connection:
        connection.execute("listen something")
        connection.execute("begin")
        connection.execute("select jobs.enqueue('app.note', '{\"n\": 1}')")
        connection.execute("select jobs.enqueue_many('app.note', array['{\"n\": 2}']::jsonb[])")
        connection.execute("select jobs.enqueue_sql('insert into app.ledger (n) values (3)')")
        later = connection.execute(
            "select jobs.enqueue('app.note', '{\"n\": 4}', run_at => 'infinity')"
        ).fetchone()
        assert later is not None
        assert connection.execute("select jobs.run_now(%s)", later).fetchone() == ("queued",)
        for view in ("job", "queued", "health", "supervisors"):
            connection.execute(f"select * from jobs.{view}".encode())
        connection.execute("prepare transaction 'first'")
        assert ledger(database) == [0]
        connection.execute("commit prepared 'first'")
    wait_until(lambda: ledger(database) == [0, 1, 2, 3, 4], 10)

    # Nothing of one that is rolled back is ever there.
    wait_until(lambda: database.admin(asleep) == [(1,)], 20)
    with database.connect() as connection:
        connection.execute("begin isolation level repeatable read")
        connection.execute("select jobs.enqueue('app.note', '{\"n\": 5}')")
        connection.execute("prepare transaction 'second'")
        connection.execute("rollback prepared 'second'")
    wait_for(database, put(database, "app.note", {"n": 6}))
    assert ledger(database) == [0, 1, 2, 3, 4, 6]


def test_every_other_door_can_be_prepared(database: Database, supervise: Supervise) -> None:
    """Steering, publications, queues, and the cancel of what runs, which a session of its own does
    at once.
    """
    supervise(database.dsn("supervisor"), "--owner", "app")
    running = put(database, "app.nap", {"seconds": 60})
    wait_running(database, running)
    failed = put(database, "app.fail", {"state": "22023"})
    wait_for(database, failed)
    waiting = put(database, "app.note", {"n": 1}, run_at="infinity")
    for role, queries in {
        "app": (
            f"select jobs.cancel({running})",
            f"select jobs.retry({failed})",
            f"select jobs.set_priority({waiting}, 'high')",
            "select jobs.publish('app.note', 'other')",
            (
                "select jobs.enqueue('app.note', '{\"n\": 2}', unique_key => 'k',"
                ' options => \'{"notify": "told"}\')'
            ),
        ),
        "operator": (
            "select jobs.create_queue('new')",
            "select jobs.pause('new')",
            "select jobs.resume('new')",
            "select jobs.configure('log_lines', '999')",
            "select jobs.set_quota('app', pending => 1000)",
            "select * from jobs.health",
        ),
    }.items():
        with database.connect(role) as connection:
            connection.execute("listen told")
            connection.execute("begin")
            for query in queries:
                connection.execute(query.encode())
            connection.execute(f"prepare transaction 'doors of {role}'".encode())
            connection.execute(f"commit prepared 'doors of {role}'".encode())
    assert wait_for(database, running)["state"] == "cancelled"
    wait_until(lambda: 2 in ledger(database))
    published = "select jobs.enqueue_published('app.note', '{\"n\": 3}')"
    with database.connect("other") as connection:
        connection.execute("listen told")
        connection.execute("begin")
        connection.execute(published)
        connection.execute("prepare transaction 'published'")
        connection.execute("commit prepared 'published'")
    wait_until(lambda: 3 in ledger(database))


def test_a_cancel_that_tells_its_end_is_not_prepared(database: Database) -> None:
    """A NOTIFY cannot be prepared: so a cancel of a job with option notify cannot,
    and PostgreSQL says why.
    """
    quiet = put(database, "app.note", {"n": 1}, run_at="infinity")
    telling = put(database, "app.note", {"n": 1}, run_at="infinity", options={"notify": "told"})
    with database.connect() as connection:
        connection.execute("begin")
        connection.execute("select jobs.cancel(%s)", [quiet])
        connection.execute("prepare transaction 'third'")
        connection.execute("rollback prepared 'third'")
        connection.execute("begin")
        connection.execute("select jobs.cancel(%s)", [telling])
        with pytest.raises(psycopg.errors.FeatureNotSupported, match="NOTIFY"):
            connection.execute("prepare transaction 'fourth'")

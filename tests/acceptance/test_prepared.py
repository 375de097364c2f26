"""Two-phase commit: what enqueued something can be prepared always, whoever sleeps and whoever listens."""

from collections.abc import Iterator

import psycopg
import pytest
from stage import ledger, put, wait_for
from support import Database, Server, wait_until

from .conftest import Supervise


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


def test_an_enqueue_is_prepared_while_the_supervisor_sleeps(database: Database, supervise: Supervise) -> None:
    """It is refused in no state of supervisor, lane and session; and it is found soon after it was committed."""
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
        later = connection.execute("select jobs.enqueue('app.note', '{\"n\": 4}', run_at => 'infinity')").fetchone()
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


def test_a_cancel_that_tells_its_end_is_not_prepared(database: Database) -> None:
    """A NOTIFY cannot be prepared: so a cancel of a job with option notify cannot, and PostgreSQL says why."""
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

"""Batches, and what may come in between: each moment is held by a lock."""

from concurrent.futures import ThreadPoolExecutor

import pytest
from psycopg.types.json import Jsonb
from support import Database, sqlstate_of

from .batch_races import ADD, wait_for_lock, was_called
from .batches import add, calls, close, counts, finish, fold, make, stage


@pytest.fixture(autouse=True)
def _staged(database: Database) -> None:
    stage(database)


def test_the_last_two_jobs_end_at_once(database: Database) -> None:
    """Neither end sees the other; who folds last sees both, and two fold at once."""
    batch = make(database)
    jobs = [add(database, batch) for _ in range(2)]
    close(database, batch)
    fold(database)
    with database.connect("app") as one, database.connect("app") as two:
        for line, job in ((one, jobs[0]), (two, jobs[1])):
            line.execute("begin")
            line.execute("select jobs.cancel(%s)", [job])
        one.execute("commit")
        fold(database)
        assert not was_called(database, batch)
        with database.connect("postgres") as first, first.transaction():
            two.execute("commit")
            first.execute("select jobs_internal.fold_batches()")
            fold(database)  # passes it by
            assert not was_called(database, batch)
    assert was_called(database, batch)
    finish(database)
    assert calls(database, batch) == ["finish", "failure"]


def test_the_last_end_while_it_is_being_closed(database: Database) -> None:
    """Whichever commits first."""
    for closes_first in (True, False):
        batch = make(database)
        job = add(database, batch)
        with database.connect("app") as one, database.connect("app") as two:
            for line, query in (
                (one, f"select jobs.close_batch({batch})"),
                (two, f"select jobs.cancel({job})"),
            ):
                line.execute("begin")
                line.execute(query)
            fold(database)
            (one if closes_first else two).execute("commit")
            fold(database)
            assert not was_called(database, batch)
            (two if closes_first else one).execute("commit")
        finish(database)
        assert calls(database, batch) == ["finish", "failure"]


@pytest.mark.parametrize("end", ["commit", "rollback"])
def test_one_adds_while_another_closes(database: Database, end: str) -> None:
    """Who closes does not wait; the batch does not end before the other transaction has."""
    batch = make(database)
    add(database, batch)
    with database.connect("app") as line:
        line.execute("begin")
        late = line.execute(ADD, [Jsonb({"batch": batch})]).fetchone()[0]
        close(database, batch)
        finish(database)
        assert counts(database, batch)[:4] == ("calling", 1, 0, 1)
        assert not was_called(database, batch)
        assert database.run("select waits_for from jobs.batches") == [
            ("an open transaction that may add to it, or jobs that may come back",)
        ]
        line.execute(end)
    fold(database)
    assert was_called(database, batch) is (end == "rollback")
    finish(database)
    assert calls(database, batch) == ["finish", "success"]
    if end == "commit":
        assert database.admin(
            "select f.finished_at < b.finished_at from jobs_internal.finished as f,"
            " jobs_internal.batch as b where f.id = %s",
            [late],
        ) == [(True,)]


def test_one_adds_while_the_closing_is_not_committed(database: Database) -> None:
    """It is in time, and counted."""
    batch = make(database)
    with database.connect("app") as line:
        line.execute("begin")
        line.execute("select jobs.close_batch(%s)", [batch])
        assert sqlstate_of(lambda: line.execute(ADD, [Jsonb({"batch": batch})])) == "PW116"
        line.execute("rollback")
        line.execute("begin")
        line.execute("select jobs.close_batch(%s)", [batch])
        with database.connect("app") as other:
            other.execute("begin")
            other.execute(ADD, [Jsonb({"batch": batch})])
            line.execute("commit")
            fold(database)
            assert not was_called(database, batch)
            other.execute("commit")
    fold(database)
    assert not was_called(database, batch)
    finish(database)
    assert calls(database, batch) == ["finish", "success"]
    assert counts(database, batch)[1] == 1


def test_one_adds_while_its_end_is_not_committed(database: Database) -> None:
    """It waits for that, and is refused."""
    batch = make(database)
    with (
        database.connect("postgres") as folder,
        database.connect("app") as late,
        ThreadPoolExecutor(1) as pool,
    ):
        folder.execute("begin")
        folder.execute("update jobs_internal.batch set closed_at = now() where id = %s", [batch])
        folder.execute(
            "select jobs_internal.fold_once(owner, id) from jobs_internal.batch where id = %s",
            [batch],
        )
        pid = late.execute("select pg_backend_pid()").fetchone()[0]
        refused = pool.submit(
            lambda: sqlstate_of(lambda: late.execute(ADD, [Jsonb({"batch": batch})]))
        )
        wait_for_lock(database, pid)
        folder.execute("commit")
        assert refused.result() == "PW116"
    finish(database)
    assert calls(database, batch) == ["finish", "success"]


def test_an_old_snapshot_adds(database: Database) -> None:
    """Above READ COMMITTED it cannot see that the batch was closed: the server says so."""
    batch = make(database)
    with database.connect("app") as line:
        line.execute("begin isolation level repeatable read")
        line.execute("select 1")
        close(database, batch)
        finish(database)
        assert sqlstate_of(lambda: line.execute(ADD, [Jsonb({"batch": batch})])) == "40001"
        line.execute("rollback")
    assert calls(database, batch) == ["finish", "success"]

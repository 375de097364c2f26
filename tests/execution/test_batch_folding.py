"""Folding what is counted of batches, while others add, retry, fold, or die."""

from concurrent.futures import ThreadPoolExecutor

import pytest
from psycopg.types.json import Jsonb
from stage import put, put_many, state
from support import Database, sqlstate_of

from .batch_races import ADD, WRITES, hold_writes, wait_for_lock, was_called
from .batches import add, calls, close, counts, finish, fold, make, stage
from .dependents import follow


@pytest.fixture(autouse=True)
def _staged(database: Database) -> None:
    stage(database)


def test_one_commits_what_it_added_while_another_folds(database: Database) -> None:
    """After the sum was made, and before the batch is locked for its end: it is seen."""
    batch = make(database)
    with (
        database.connect("app") as line,
        database.connect("postgres") as folder,
        database.connect("postgres") as gate,
        ThreadPoolExecutor(1) as pool,
    ):
        line.execute("begin")
        line.execute(ADD, [Jsonb({"batch": batch})])
        close(database, batch)
        hold_writes(database, "batch_count", "update", after=True)
        gate.execute("select pg_advisory_lock(4711)")
        pid = folder.execute("select pg_backend_pid()").fetchone()[0]
        folded = pool.submit(lambda: folder.execute("select jobs_internal.fold_batches()"))
        wait_for_lock(database, pid)
        line.execute("commit")
        gate.execute("select pg_advisory_unlock(4711)")
        folded.result()
    assert not was_called(database, batch)
    finish(database)
    assert calls(database, batch) == ["finish", "success"]
    assert counts(database, batch)[1] == 1


def test_a_retry_while_its_end_is_found(database: Database) -> None:
    """What was found first counts: a retry of one job after it makes no other end."""
    batch = make(database)
    job = add(database, batch, "app.stumble", {"n": 1}, max_attempts=1)
    close(database, batch)
    with database.connect("postgres") as held, held.transaction():
        held.execute("select from jobs_internal.batch where id = %s for update", [batch])
        database.drain()
    with database.connect("app") as line:
        line.execute("begin")
        line.execute("select jobs.retry(%s)", [job])
        fold(database)
        assert was_called(database, batch)
        line.execute("commit")
    finish(database)
    assert state(database, job) == "succeeded"
    assert calls(database, batch) == ["finish", "failure"]


def test_retry_batch_while_it_is_folded(database: Database) -> None:
    """It waits for that, and the end that was found stays one."""
    batch = make(database)
    add(database, batch, "app.stumble", {"n": 1}, max_attempts=1)
    close(database, batch)
    with database.connect("postgres") as held, held.transaction():
        held.execute("select from jobs_internal.batch where id = %s for update", [batch])
        database.drain()
    with database.connect("app") as line, line.transaction():
        line.execute("select jobs.retry_batch(%s)", [batch])
        fold(database)
        assert not was_called(database, batch)
    finish(database)
    assert calls(database, batch) == ["finish", "success"]


def test_children_that_have_not_come_back_yet(database: Database) -> None:
    """The batch waits until what became of their parents is followed."""
    batch = make(database)
    parent = add(database, batch, "app.stumble", {"n": 1}, max_attempts=1)
    child = add(database, batch, options={"after": [parent]})
    close(database, batch)
    database.drain()
    follow(database)
    finish(database)
    assert (state(database, child), calls(database, batch)) == ("cancelled", ["finish", "failure"])
    with database.connect("postgres") as held, held.transaction():
        held.execute("select jobs_internal.become_follower('app'::regrole)")
        database.run("select jobs.retry_batch(%s)", [batch])
        database.drain()
        assert state(database, parent) == "succeeded"
        fold(database)
        assert not was_called(database, batch)
    follow(database)
    finish(database)
    assert state(database, child) == "succeeded"
    assert calls(database, batch) == ["finish", "failure", "finish", "success"]


def test_what_others_wait_for_delays_no_end(database: Database) -> None:
    """An owner may always have ends that are not followed yet: only those count of which jobs were
    cancelled that may come back.
    """
    batch = make(database)
    add(database, batch)
    close(database, batch)
    parent = put(database, "app.note", {"n": 2})
    child = put(database, "app.note", {"n": 3}, options=Jsonb({"after": [parent]}))
    with database.connect("postgres") as held, held.transaction():
        held.execute("select jobs_internal.become_follower('app'::regrole)")
        database.drain()
        fold(database)
        database.drain()
        assert state(database, child) == "scheduled"
        assert database.admin("select exists (select from jobs_internal.parent_event)") == [(True,)]
        assert calls(database, batch) == ["finish", "success"]


@pytest.mark.parametrize("table", WRITES)
@pytest.mark.parametrize("after", [False, True])
def test_a_folder_dies(database: Database, table: str, after: bool) -> None:
    """At each write, before it and after it: all of it comes again, once."""
    batch = make(database)
    put_many(database, "app.note", [{"n": 1}] * 3, options=Jsonb({"batch": batch}))
    with database.connect("postgres") as held, held.transaction():
        held.execute("select from jobs_internal.batch where id = %s for update", [batch])
        database.drain()
    close(database, batch)
    how = {"batch_delta": "delete", "batch": "update", "batch_count": "update"}.get(table, "insert")
    hold_writes(database, table, how, after=after)
    with (
        database.connect("postgres") as gate,
        database.connect("postgres") as folder,
        ThreadPoolExecutor(1) as pool,
    ):
        gate.execute("select pg_advisory_lock(4711)")
        pid = folder.execute("select pg_backend_pid()").fetchone()[0]
        died = pool.submit(
            lambda: sqlstate_of(lambda: folder.execute("select jobs_internal.fold_batches()"))
        )
        wait_for_lock(database, pid)
        database.admin("select pg_terminate_backend(%s)", [pid])
        assert died.result() == "57P01"
        gate.execute("select pg_advisory_unlock(4711)")
    database.admin(f"drop trigger hold on jobs_internal.{table}; drop function public.hold()")
    finish(database)
    assert calls(database, batch) == ["finish", "success"]
    assert counts(database, batch) == ("finished", 3, 0, 3, 0, 0, 0)


def test_fifty_batches_in_eight_sessions(database: Database) -> None:
    """Each calls back once, whoever folds, and after its last job."""
    batches = [make(database) for _ in range(50)]
    for n in range(40):
        for batch in batches:
            add(database, batch, args={"n": n})
    for batch in batches[:25]:
        close(database, batch)
    database.drain(sessions=8)
    for batch in batches[25:]:
        close(database, batch)
    finish(database)
    for batch in batches:
        assert sorted(calls(database, batch)) == ["finish", "success"]
        assert counts(database, batch) == ("finished", 40, 0, 40, 0, 0, 0)
    assert database.admin(
        "select count(*) from jobs_internal.batch as b join jobs_internal.finished as f"
        " on f.options ->> 'batch' = b.id::text and f.finished_at > b.finished_at"
    ) == [(0,)]
    assert database.admin("select count(*) from jobs_internal.batch_delta") == [(0,)]

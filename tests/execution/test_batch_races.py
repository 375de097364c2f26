"""Batches, and what may come in between: each moment is held by a lock."""

from concurrent.futures import ThreadPoolExecutor

import pytest
from psycopg.types.json import Jsonb
from stage import put, put_many, state
from support import Database, sqlstate_of, wait_until

from .batches import add, calls, close, counts, finish, fold, make, stage
from .dependents import follow

ADD = "select jobs.enqueue('app.note', '{\"n\": 2}', options => %s)"


@pytest.fixture(autouse=True)
def _staged(database: Database) -> None:
    stage(database)


def _called(database: Database, batch: int) -> bool:
    found: bool = database.admin("select called from jobs_internal.batch where id = %s", [batch])[
        0
    ][0]
    return found


def _wait_for_lock(database: Database, pid: int) -> None:
    wait_until(
        lambda: database.admin("select 1 from pg_locks where pid = %s and not granted", [pid])
    )


def _hold(database: Database, table: str, verb: str, *, after: bool) -> None:
    """Let who writes a table wait for the advisory lock 4711, for each row."""
    database.admin(
        "create function public.hold() returns trigger language plpgsql as $$ begin"
        " perform pg_advisory_xact_lock(4711); return coalesce(new, old); end $$;"
        f" create trigger hold {'after' if after else 'before'} {verb}"
        f" on jobs_internal.{table} for each row execute function public.hold()"
    )


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
        assert not _called(database, batch)
        with database.connect("postgres") as first, first.transaction():
            two.execute("commit")
            first.execute("select jobs_internal.fold_batches()")
            fold(database)  # passes it by
            assert not _called(database, batch)
    assert _called(database, batch)
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
            assert not _called(database, batch)
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
        assert not _called(database, batch)
        assert database.run("select waits_for from jobs.batches") == [
            ("an open transaction that may add to it, or jobs that may come back",)
        ]
        line.execute(end)
    fold(database)
    assert _called(database, batch) is (end == "rollback")
    finish(database)
    assert calls(database, batch) == ["finish", "success"]
    if end == "commit":
        assert database.admin(
            "select f.finished_at < b.finished_at from jobs_internal.finished as f,"
            " jobs_internal.batch as b where f.id = %s",
            [late],
        ) == [(True,)]


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
        _hold(database, "batch_count", "update", after=True)
        gate.execute("select pg_advisory_lock(4711)")
        pid = folder.execute("select pg_backend_pid()").fetchone()[0]
        folded = pool.submit(lambda: folder.execute("select jobs_internal.fold_batches()"))
        _wait_for_lock(database, pid)
        line.execute("commit")
        gate.execute("select pg_advisory_unlock(4711)")
        folded.result()
    assert not _called(database, batch)
    finish(database)
    assert calls(database, batch) == ["finish", "success"]
    assert counts(database, batch)[1] == 1


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
            assert not _called(database, batch)
            other.execute("commit")
    fold(database)
    assert not _called(database, batch)
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
        _wait_for_lock(database, pid)
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
        assert _called(database, batch)
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
        assert not _called(database, batch)
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
        assert not _called(database, batch)
    follow(database)
    finish(database)
    assert state(database, child) == "succeeded"
    assert calls(database, batch) == ["finish", "failure", "finish", "success"]


#: What a folder writes, one after the other: it is cut off when it is about to.
WRITES = ("batch_delta", "batch_jobs", "batch_count", "job", "batch_call", "batch")


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
    _hold(database, table, how, after=after)
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
        _wait_for_lock(database, pid)
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

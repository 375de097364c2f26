"""Short ways to make batches, and to see what became of them."""

from typing import Any

from psycopg.types.json import Jsonb
from stage import put, put_many
from support import Database

#: One callback for each end, which says what it was called for in the ledger.
CALLS = "on_finish => 'app.finished', on_success => 'app.went_well', on_failure => 'app.went_ill'"
#: Functions for callbacks: they leave the number of their batch.
STAGE = """
create table app.calls (
  batch bigint, kind text, job bigint default jobs.current_id(), at timestamptz default now());
create function app.finished() returns void language sql begin atomic
  insert into app.calls select r.batch, 'finish' from jobs.current_run() as r; end;
create function app.went_well() returns void language sql begin atomic
  insert into app.calls select r.batch, 'success' from jobs.current_run() as r; end;
create function app.went_ill() returns void language sql begin atomic
  insert into app.calls select r.batch, 'failure' from jobs.current_run() as r; end;
create function app.add_to(batch bigint, task text default 'app.note') returns bigint
language sql return jobs.enqueue(task, '{"n": 5}',
  options => jsonb_build_object('batch', batch));
"""


def stage(database: Database) -> None:
    """Make the functions that batches call."""
    database.run(STAGE)


def make(database: Database, calls: str = CALLS, role: str = "app") -> int:
    """Make a batch with a callback of each kind."""
    made: int = database.value(f"select jobs.create_batch('a batch', {calls})", role=role)
    return made


def add(
    database: Database,
    batch: int,
    task: str = "app.note",
    args: dict[str, Any] | None = None,
    *,
    options: dict[str, Any] | None = None,
    **more: Any,
) -> int:
    """Enqueue a job of a batch."""
    args = {"n": 1} if args is None and task in ("app.note", "app.gate") else args
    given = Jsonb({"batch": batch, **(options or {})})
    return put(database, task, args, options=given, **more)


def add_many(database: Database, batch: int, count: int) -> list[int]:
    """Enqueue many jobs of a batch at once."""
    return put_many(
        database, "app.note", [{"n": n} for n in range(count)], options=Jsonb({"batch": batch})
    )


def close(database: Database, batch: int) -> None:
    """Close a batch."""
    assert database.value("select jobs.close_batch(%s)", [batch]) is True


def fold(database: Database) -> None:
    """Play the part of a supervisor's round that folds, however soon it comes."""
    database.admin("update jobs_internal.batch set retry_at = now() where retry_at is not null")
    database.admin("select jobs_internal.fold_batches()")


def finish(database: Database) -> None:
    """Run all there is, and the callbacks that come of it."""
    database.drain()
    fold(database)
    database.drain()


def calls(database: Database, batch: int) -> list[str]:
    """List the callbacks of a batch that ran, in order."""
    return [
        kind
        for (kind,) in database.run(
            "select kind from app.calls where batch = %s order by job", [batch]
        )
    ]


def counts(database: Database, batch: int) -> tuple[Any, ...]:
    """Give state, total, queued, succeeded, failed, cancelled, in doubt."""
    return database.run(
        "select state, total, queued, succeeded, failed, cancelled, in_doubt"
        " from jobs.batches where id = %s",
        [batch],
    )[0]

"""Moments of a batch that are held by a lock."""

from support import Database, wait_until

ADD = "select jobs.enqueue('app.note', '{\"n\": 2}', options => %s)"


def was_called(database: Database, batch: int) -> bool:
    found: bool = database.admin("select called from jobs_internal.batch where id = %s", [batch])[
        0
    ][0]
    return found


def wait_for_lock(database: Database, pid: int) -> None:
    wait_until(
        lambda: database.admin("select 1 from pg_locks where pid = %s and not granted", [pid])
    )


def hold_writes(database: Database, table: str, verb: str, *, after: bool) -> None:
    """Let who writes a table wait for the advisory lock 4711, for each row."""
    database.admin(
        "create function public.hold() returns trigger language plpgsql as $$ begin"
        " perform pg_advisory_xact_lock(4711); return coalesce(new, old); end $$;"
        f" create trigger hold {'after' if after else 'before'} {verb}"
        f" on jobs_internal.{table} for each row execute function public.hold()"
    )


#: What a folder writes, one after the other: it is cut off when it is about to.
WRITES = ("batch_delta", "batch_jobs", "batch_count", "job", "batch_call", "batch")

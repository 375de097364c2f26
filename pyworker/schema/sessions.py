"""Sends the worker sessions of an older schema home before an upgrade changes its tables.

A session keeps the body of the procedure that it runs, and would go on with helpers that it was not
written for. So everything is paused, sessions leave after the job that they have, and none is
started; then the upgrade applies, and everything goes on. No job is ended for it. An upgrade asks
the schema that is there, so `jobs_internal.pause`, `resume` and the table of sessions keep names.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from time import monotonic, sleep

from psycopg import Connection
from psycopg.errors import InsufficientPrivilege
from psycopg.rows import TupleRow

from pyworker.errors import SchemaError

__all__ = ["sessions_sent_home"]

_STEP = 0.1  # seconds between two looks
_THERE = (
    "select exists (select from pg_catalog.pg_class as c"
    " join pg_catalog.pg_namespace as n on n.oid = c.relnamespace"
    " where n.nspname = 'jobs_internal' and c.relname = 'session')"
)
_VERSION = "select max(version) from jobs_internal.schema_migration"
#: Those that live: what the dead ones left is seen to by a supervisor of any version.
_AT_WORK = """
select pg_catalog.format('process %s of role %s', s.pid, pg_catalog.pg_get_userbyid(s.owner))
  || coalesce(', job ' || s.job_id, '')
from jobs_internal.session as s
join pg_catalog.pg_stat_get_activity(s.pid) as a on a.backend_start = s.backend_start
order by s.id
"""


@contextmanager
def _as_owner(connection: Connection[TupleRow]) -> Iterator[None]:
    """Read and change what belongs to jobs_owner, as the installer does."""
    there = connection.execute("select pg_catalog.pg_has_role('jobs_owner', 'SET')").fetchone()
    if not (there and there[0]):
        connection.execute("grant jobs_owner to current_user with set true, inherit false")
    connection.execute("set role jobs_owner")
    try:
        yield
    finally:
        connection.execute("set role none")


def _older(connection: Connection[TupleRow], version: int) -> bool:
    there = connection.execute(_THERE).fetchone()
    if not version or not (there and there[0]):
        return False
    try:
        with _as_owner(connection):
            found = connection.execute(_VERSION).fetchone()
    except InsufficientPrivilege:
        return False  # the upgrade itself says which rights are missing, before it touches anything
    return found is not None and found[0] < version


def _at_work(connection: Connection[TupleRow]) -> list[str]:
    with _as_owner(connection):
        return [str(row[0]) for row in connection.execute(_AT_WORK)]


def _switch(connection: Connection[TupleRow], function: str) -> bool:
    with _as_owner(connection):
        row = connection.execute(f"select jobs_internal.{function}(null)".encode()).fetchone()
    return bool(row and row[0])


def _wait(connection: Connection[TupleRow], patience: float, tell: Callable[[str], None]) -> None:
    until, told = monotonic() + patience, False
    while left := _at_work(connection):
        if not told:
            tell(f"everything is paused; {len(left)} worker sessions end their jobs first")
            told = True
        if monotonic() > until:
            raise SchemaError(
                f"worker sessions are still at work after {patience:g} s",
                detail=f"They run: {'; '.join(left)}. Nothing was changed, and jobs go on.",
                hint="Wait for their jobs (jobs.running), or cancel them with jobs.cancel(id); "
                "or run this again with a longer --wait.",
                sqlstate="PW088",
            )
        sleep(_STEP)


@contextmanager
def sessions_sent_home(
    connection: Connection[TupleRow], version: int, patience: float, tell: Callable[[str], None]
) -> Iterator[None]:
    """Keep worker sessions away for as long as an upgrade to `version` takes.

    What was paused before stays paused. Where the process dies in between, everything stays paused,
    and jobs.health says so.
    """
    if not _older(connection, version):
        yield
        return
    paused = _switch(connection, "pause")
    try:
        _wait(connection, patience, tell)
        yield
    finally:
        if paused and not connection.closed:
            _switch(connection, "resume")

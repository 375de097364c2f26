"""A build that stops where a test wants, and sessions that stand beside it."""

from collections.abc import Iterator
from contextlib import contextmanager
from threading import Thread
from typing import Any

import psycopg
from psycopg import Connection
from stage import put_sql
from support import ADMINISTRATOR, Database, Row, wait_until

GATE = 4711

#: While the gate is shut, an index over app.gated(n) is built up to the row 500, and no further.
_SCENE = """
create table app.points (n integer, filler text);
insert into app.points select generate_series(1, 1000);
create function app.gated(n integer) returns integer language plpgsql immutable as $$
begin
  if n = 500 then
    perform pg_advisory_xact_lock_shared(4711);
  end if;
  return n;
end $$;
"""

BUILD = "create index concurrently points_gated on app.points (app.gated(n))"


def set_scene(database: Database) -> None:
    """Make the table and the function of the build."""
    database.run(_SCENE)


@contextmanager
def gate(database: Database) -> Iterator[Connection[Row]]:
    """Hold the build in its first scan for as long as the block lasts; gives who holds it."""
    with database.server.connect("other", database.name) as holder:
        holder.execute("select pg_advisory_lock(%s)", [GATE])
        yield holder


def child_of(database: Database, job: int) -> int:
    """Wait until a job runs in a child session; gives its process."""
    query = "select child_pid from jobs.running where id = %s and child_pid is not null"
    return int(wait_until(lambda: database.admin(query, [job]))[0][0])


def wait_waiting(database: Database, pid: int, event: str | None = None) -> None:
    """Wait until a process waits for a lock, of that kind if one is named."""
    query = (
        "select 1 from pg_stat_activity where pid = %s and wait_event_type = 'Lock'"
        " and wait_event = coalesce(%s, wait_event)"
    )
    wait_until(lambda: database.admin(query, [pid, event]))


def start_build(database: Database, statement: str = BUILD, **options: Any) -> tuple[int, int]:
    """Start a build that comes to the gate; gives its job and its process."""
    job = put_sql(database, statement, **options)
    database.run("select jobs.start()")
    child = child_of(database, job)
    wait_waiting(database, child, "advisory")
    return job, child


class Bystander:
    """A session that runs a statement which waits; `error` is what came of it, once it is over."""

    def __init__(self, database: Database, statement: str, *, role: str = ADMINISTRATOR) -> None:
        self.connection = database.connect(role, statement_timeout="60s")
        self.pid = self.connection.info.backend_pid
        self.error: str | None = None
        self.done = False
        self._statement = statement
        self._thread = Thread(target=self._run, daemon=True)

    def first(self, statement: str) -> "Bystander":
        """Run something before, in the same session."""
        self.connection.execute(statement.encode())
        return self

    def start(self, database: Database) -> "Bystander":
        """Send the statement, and wait until it waits."""
        self._thread.start()
        wait_waiting(database, self.pid)
        return self

    def _run(self) -> None:
        try:
            self.connection.execute(self._statement.encode())
        except psycopg.Error as error:
            self.error = error.sqlstate
        self.done = True

    def join(self) -> "Bystander":
        """Wait for the end of the statement."""
        self._thread.join(30)
        assert self.done, self._statement
        return self

"""A real supervisor beside the measurement, as the command line starts it."""

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager

from bench.database import APPLICATION, Database
from bench.drain import Batch, check
from bench.waiting import wait_until

__all__ = ["BRIEFLY", "supervisor", "wait_done", "wait_idle"]

#: Sessions that have nothing to do leave soon: one need not wait for them to see an idle system.
BRIEFLY = 0.2
_AT_REST = """
select not exists (select from jobs.sessions)
  and coalesce((select bool_and(s.asleep) from jobs.supervisors as s), false)
  and not exists (select from jobs_internal.job as j where j.state <> 'scheduled')
  and not exists (select from pg_stat_activity as a
    where a.datname = current_database() and a.usename = 'app'
    and a.backend_type = 'client backend' and a.application_name <> %s)
"""


@contextmanager
def supervisor(
    database: Database, *, linger: float | None = None, owners: tuple[str, ...] = ("app",)
) -> Iterator[int]:
    """Run a supervisor; gives its process id. `linger`: seconds that idle sessions stay; default:
    as delivered.
    """
    environment = {
        name: value for name, value in os.environ.items() if not name.startswith("PYWORKER_")
    }
    if linger is not None:
        environment["PYWORKER_SESSION_LINGER"] = str(linger)
    environment["PYWORKER_DSN"] = database.dsn("supervisor")  # argv is no database for a DSN
    argv = [sys.executable, "-m", "pyworker", "run"]
    argv += [flag for owner in owners for flag in ("--owner", owner)]
    process = subprocess.Popen(argv, env=environment, stdout=subprocess.DEVNULL)
    try:
        wait_until(
            lambda: database.value("select count(*) from jobs.supervisors"),
            30,
            what="the supervisor",
        )
        yield process.pid
    finally:
        process.terminate()
        process.wait(30)
    # Sessions that wait for work would work on in the next measurement: sent away, they leave.
    database.rows("select pg_terminate_backend(pid) from jobs.sessions")
    wait_until(
        lambda: not database.value("select count(*) from jobs.sessions"),
        60,
        what="the sessions to end",
    )


def wait_idle(database: Database, seconds: float = 60) -> None:
    """Wait until nothing is going on: no session, no connection of the owner, the supervisor
    asleep.
    """
    wait_until(
        lambda: database.value(_AT_REST, (APPLICATION,)), seconds, what="an idle system", step=0.25
    )


def wait_done(database: Database, batch: Batch, seconds: float) -> None:
    """Wait until a supervisor's sessions have done a batch, and check that it was exactly once."""
    query = "select not exists (select from jobs_internal.job where id between %s and %s)"
    wait_until(
        lambda: database.value(query, (batch.first, batch.last)),
        seconds,
        what="the jobs to end",
        step=0.2,
    )
    check(database, batch)

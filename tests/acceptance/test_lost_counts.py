"""VACUUM and ANALYZE are seen by counts, which a crash of the server or an administrator resets."""

import os
import signal
from contextlib import closing

import pytest
from kit.daemon import Supervise
from psycopg import Connection
from stage import state
from support import Database, Row, wait_until

from .test_crashes import reconnect, wait_finished
from .test_step_crashes import WAITING, broken


def put_behind_lock(
    database: Database, holder: Connection[Row], statement: str, *, times: int
) -> tuple[int, int]:
    """Enqueue the statement on a table where it was run some times, and that `holder` locks: gives
    the number of the job, and the pid of the session that waits.
    """
    database.run("create table app.points (n integer); insert into app.points values (1)")
    for _ in range(times):
        database.run(statement)
    holder.execute("begin")
    holder.execute("lock table app.points in access exclusive mode")
    job = database.value(
        "select jobs.enqueue_sql(%s, settings => %s)", [statement, '{"lock_timeout": "60s"}']
    )
    return int(job), int(wait_until(lambda: database.admin(WAITING))[0][0])


@pytest.mark.parametrize("statement", ["vacuum app.points", "analyze app.points"])
def test_after_a_crash_it_counts_anew(
    database: Database, supervise: Supervise, statement: str
) -> None:
    """It ran once before, and once after the crash."""
    supervise(database.dsn("supervisor"))
    with closing(database.server.connect("postgres", database.name)) as holder:
        job, waiting = put_behind_lock(database, holder, statement, times=1)
        os.kill(waiting, signal.SIGKILL)
        wait_until(lambda: broken(holder), 60)
    reconnect(database)
    wait_finished(database, job)
    assert state(database, job) == "succeeded", database.job(job)
    assert database.job(job)["result"]["verified"] is True


@pytest.mark.parametrize("statement", ["vacuum app.points", "analyze app.points"])
def test_counts_that_are_reset_while_it_runs(
    database: Database, supervise: Supervise, statement: str
) -> None:
    """Fewer than there were: they count from zero."""
    supervise(database.dsn("supervisor"))
    with closing(database.server.connect("postgres", database.name)) as holder:
        job, _ = put_behind_lock(database, holder, statement, times=3)
        holder.execute("select pg_stat_reset()")
        holder.execute("rollback")
    wait_finished(database, job)
    assert state(database, job) == "succeeded", database.job(job)
    assert database.job(job)["result"]["verified"] is True

"""A session that outlives its postmaster for a moment."""

import os
import signal
import threading
from pathlib import Path

import psycopg
import pytest
from stage import put, put_sql, wait_for
from support import Database, wait_until

from pyworker.errors import ServerError

from .test_crashes import reconnect


def test_a_launch_without_a_postmaster_is_no_missing_slot(database: Database) -> None:
    """A supervisor would wait for a free slot, and tell of slots that nothing has used up."""
    private = database.server.private
    assert private is not None
    # All pages that a launch reads are in memory by now: to read one is to wait,
    # where other processes do it.
    put(database, "pg_catalog.now")
    database.drain()
    job = put(database, "pg_catalog.now")
    # It computes until it is told that the postmaster is gone: a session that waits would end by
    # itself.
    database.admin(
        "create function app.compute() returns void language plpgsql security definer as $$ begin"
        " loop exit when (pg_stat_file('postmaster.gone', true)).size is not null; end loop; end $$"
    )
    gone = private.dir / "data" / "postmaster.gone"
    said: list[psycopg.Error] = []

    def launch() -> None:
        try:
            line.execute("select app.compute(), jobs.start()")
        except psycopg.Error as error:
            said.append(error)

    line = database.connect("app")
    thread = threading.Thread(target=launch)
    thread.start()
    try:
        wait_until(
            lambda: database.admin(
                "select 1 from pg_stat_activity where query = 'select app.compute(), jobs.start()'"
            )
        )
        pid = int((private.dir / "data" / "postmaster.pid").read_text(encoding="utf-8").split()[0])
        os.kill(pid, signal.SIGKILL)
        wait_until(lambda: not Path(f"/proc/{pid}").exists())
        gone.touch()
        thread.join(30)
    finally:
        wait_until(lambda: _started(database), 60)
        gone.unlink(missing_ok=True)
    reconnect(database)
    assert [error.sqlstate for error in said] == ["57P02"], said
    assert said[0].diag.message_primary == "the server is ending: no session was started"
    database.drain()
    assert wait_for(database, job)["state"] == "succeeded"


WAITS = (
    "select 1 from pg_stat_activity where backend_type = 'pg_background'"
    " and wait_event = 'PgSleep' and query ~ 'app[.]rest|measure_job'"
)


@pytest.mark.parametrize(
    ("statement", "options"),
    [
        ("call app.rest()", {}),
        ("analyze app.points", {"measure": ["select pg_sleep(25)"]}),
    ],
    ids=["statement", "measure"],
)
def test_a_session_that_waits_for_its_child_leaves_with_the_postmaster(
    database: Database, statement: str, options: dict[str, object]
) -> None:
    """Its child dies with the postmaster, and the session that waits for it is not told: no other
    server could start beside it.
    """
    private = database.server.private
    assert private is not None
    database.run(
        "create table app.points (n integer);"
        " create procedure app.rest() language plpgsql as"
        " $$ begin perform pg_sleep(600); end $$"
    )
    put_sql(database, statement, options=options)
    database.run("select jobs.start()")
    wait_until(lambda: database.admin(WAITS))
    pid = int((private.dir / "data" / "postmaster.pid").read_text(encoding="utf-8").split()[0])
    os.kill(pid, signal.SIGKILL)
    wait_until(lambda: not Path(f"/proc/{pid}").exists())
    wait_until(lambda: _started(database), 30)
    reconnect(database)


def _started(database: Database) -> bool:
    """Start it again, once the children of the old postmaster have left."""
    assert database.server.private is not None
    try:
        database.server.private.start()
    except ServerError:
        return False
    return True

"""A synchronous standby that is gone: no commit of a job ends, a supervisor goes on and what waits
is named.
"""

from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from kit.daemon import Supervise
from stage import gate_shut, ledger, make_lane, put, state, wait_at_gate
from support import Database, wait_until

CHECK = "select status, detail, remedy from jobs.health where \"check\" = 'commits'"


@contextmanager
def without_standby(database: Database) -> Iterator[None]:
    """Have every commit of the server wait for a standby that is not there;
    in the end none does.
    """
    administrator = database.connect("postgres", synchronous_commit="local")

    def say(names: str) -> None:
        administrator.execute(f"alter system set synchronous_standby_names = '{names}'".encode())
        administrator.execute("select pg_reload_conf()")
        wait_until(
            lambda: administrator.execute("show synchronous_standby_names").fetchone() == (names,)
        )

    say("gone")
    try:
        yield
    finally:
        say("")


@pytest.fixture
def no_standby(database: Database) -> Iterator[None]:
    """All the while."""
    make_lane(database)
    with without_standby(database):
        yield


def test_a_job_whose_own_commit_waits_says_so(database: Database) -> None:
    """It has run, and what it did is not committed: jobs.explain says what it waits for."""
    with gate_shut(database) as holder:
        job = put(database, "app.gate")
        database.run("select jobs.start()")
        wait_at_gate(database)
        with without_standby(database):
            holder.execute("select pg_advisory_unlock(1)")
            wait_until(
                lambda: (
                    database.record("select * from jobs.explain(%s)", [job])["code"] == "standby"
                ),
                30,
            )
            told = database.record("select * from jobs.explain(%s)", [job])
            assert told["state"] == "running"
            assert "synchronous_standby_names" in told["remedy"]
    wait_until(lambda: state(database, job) == "succeeded", 30)


def test_a_supervisor_goes_on_and_says_what_waits(
    database: Database, supervise: Supervise, no_standby: None
) -> None:
    one = supervise(database.dsn("supervisor"), environment={"PYWORKER_STALL_AFTER": "3"})
    with database.server.connect("app", database.name, synchronous_commit="local") as line:
        row = line.execute("select jobs.enqueue('app.note', '{\"n\": 1}')").fetchone()
    assert row is not None
    waits = wait_until(
        lambda: [found for found in database.admin(CHECK) if "SyncRep" in found[1]], 20
    )
    assert "synchronous_standby_names (now: gone)" in waits[0][2]
    # far beyond the patience of 3 s
    wait_until(lambda: database.admin(CHECK)[0][0] == "critical", 30)
    told = database.record("select * from jobs.explain(%s)", [row[0]])
    assert (told["code"], told["state"]) == ("standby_session", "queued"), told
    assert "synchronous_standby_names" in told["remedy"]
    assert told["since"] is not None
    assert database.run("select waits_for from jobs.queued") == [(told["reason"],)]
    # no session after the other that hangs
    assert len(database.background()) <= 2, database.background()
    assert one.process.poll() is None
    assert one.events("server_stalled") == []
    with database.server.connect(database=database.name, synchronous_commit="local") as line:
        line.execute("alter system set synchronous_standby_names = ''")
        line.execute("select pg_reload_conf()")
    wait_until(lambda: state(database, row[0]) == "succeeded", 20)
    assert ledger(database) == [1]
    later = put(database, "app.note", {"n": 2})
    wait_until(lambda: state(database, later) == "succeeded", 20)
    assert one.stop() == 0

"""Crashes of the server: whom they cost an attempt, and whom they do not."""

import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

import psycopg
import pytest
from kit.daemon import Supervise
from stage import (
    attempts,
    know_as_short,
    ledger,
    put,
    put_many,
    put_sql,
    quick_retries,
    state,
    wait_for,
    wait_running,
)
from support import Database, wait_until


class Assassin:
    """Kills the server process that runs a certain job, each time it starts: such a job crashes the
    server.
    """

    def __init__(self, database: Database, job: int) -> None:
        self._database, self._job = database, job
        self._over = threading.Event()
        self.killed: list[float] = []
        self._thread = threading.Thread(target=self._hunt, daemon=True)

    def _hunt(self) -> None:
        look = f"select pid from pg_stat_activity where application_name like 'pw {self._job}/%'"
        while not self._over.is_set():
            with (
                suppress(psycopg.Error),
                self._database.server.connect("postgres", self._database.name) as eye,
            ):
                while not self._over.is_set():
                    found = eye.execute(look).fetchone()
                    if found:
                        self.killed.append(time.monotonic())
                        os.kill(found[0], signal.SIGKILL)
                        break
                    time.sleep(0.005)
            time.sleep(0.05)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        self._over.set()
        self._thread.join(30)


@contextmanager
def poisonous(database: Database, job: int) -> Iterator[Assassin]:
    assassin = Assassin(database, job)
    assassin.start()
    try:
        yield assassin
    finally:
        assassin.stop()
        reconnect(database)


def through_crashes(database: Database, fact: Callable[[], bool], timeout: float = 60.0) -> None:
    """Wait for something to become true, while the server comes and goes."""

    def holds() -> bool:
        try:
            return fact()
        except psycopg.Error:
            database.close()
            return False

    wait_until(holds, timeout, step=0.05)


def reconnect(database: Database) -> None:
    """Wait until the server takes connections again."""
    through_crashes(database, lambda: bool(database.admin("select 1")))


def wait_finished(database: Database, job: int) -> None:
    """Wait for the end of a job."""
    through_crashes(
        database, lambda: state(database, job) in ("succeeded", "failed", "cancelled", "in_doubt")
    )


def test_a_restart_charges_nobody(database: Database, supervise: Supervise) -> None:
    private = database.server.private
    assert private is not None
    one = supervise(database.dsn("supervisor"))
    slow = put_sql(database, "insert into app.ledger (n) select 1 from pg_sleep(5)", max_attempts=1)
    many = put_many(
        database, "app.nap", [{"seconds": 0.005, "n": n} for n in range(2, 200)], max_attempts=1
    )
    child = put_sql(
        database,
        "do $$ begin perform pg_sleep(5); insert into app.ledger (n) values (1000); commit; end $$",
        done_when="exists (select from app.ledger where n = 1000)",
        max_attempts=1,
    )
    for _ in range(3):
        wait_running(database, slow)
        wait_running(database, child)
        private.stop(mode="immediate")
        private.start()
        database.close()
    wait_until(lambda: not database.admin("select 1 from jobs_internal.job"), 40)
    for job in (slow, child, *many):
        assert attempts(database, job) == [(1, "succeeded")]
    assert ledger(database) == [*range(1, 200), 1000]
    assert database.admin("select crashes from jobs_internal.job") == []
    assert one.stop() == 0


@pytest.mark.parametrize("most", [1, 3])
def test_a_job_that_crashes_the_server_is_set_aside_alone(
    database: Database, supervise: Supervise, *, most: int
) -> None:
    quick_retries(database)
    one = supervise(database.dsn("supervisor"))
    beside = put(database, "app.nap", {"seconds": 8, "n": 1}, max_attempts=1)
    wait_running(database, beside)
    poison = put(database, "app.nap", {"seconds": 30, "n": 2}, max_attempts=most)
    with poisonous(database, poison) as assassin:
        wait_finished(database, poison)
    # With another job beside it, nobody can know sooner.
    assert len(assassin.killed) == 3
    job = database.job(poison)
    assert (job["state"], job["error"]["sqlstate"]) == ("failed", "PWL02")
    assert attempts(database, poison)[-1][1] == "lost"
    assert job["error"]["message"] == f"the server crashed {3} times while it ran"
    assert wait_for(database, beside, timeout=30)["attempt"] == 1
    assert attempts(database, beside) == [(1, "succeeded")]
    assert ledger(database) == [1]
    assert one.stop() == 0


def test_the_only_job_with_one_attempt_is_set_aside_at_once(
    database: Database, supervise: Supervise
) -> None:
    one = supervise(database.dsn("supervisor"))
    poison = put(database, "app.nap", {"seconds": 30}, max_attempts=1)
    with poisonous(database, poison) as assassin:
        wait_finished(database, poison)
    assert len(assassin.killed) == 1
    assert attempts(database, poison) == [(1, "lost")]
    assert one.stop() == 0


@pytest.mark.parametrize(
    ("sessions", "crashes"), [(1, {2}), (8, {2, 3})], ids=["alone at work", "beside others"]
)
def test_a_poison_job_in_a_chunk_drags_nobody_along(
    database: Database, supervise: Supervise, sessions: int, crashes: set[int]
) -> None:
    quick_retries(database)
    with database.server.connect("app", database.name) as app:
        app.execute("select jobs.enqueue('app.nap', '{\"seconds\": 0, \"n\": 0}')")
    database.drain()
    know_as_short(database)
    # Where a second session is at work, there may be a second suspect at a crash.
    database.run("select jobs.set_quota('app', running => %s)", [sessions], role="operator")
    first = put_many(
        database, "app.nap", [{"seconds": 0, "n": n} for n in range(1, 20)], max_attempts=2
    )
    poison = put(database, "app.nap", {"seconds": 5, "n": 20}, max_attempts=2)
    after = put_many(
        database, "app.nap", [{"seconds": 0, "n": n} for n in range(21, 60)], max_attempts=2
    )
    with poisonous(database, poison) as assassin:
        one = supervise(database.dsn("supervisor"))
        wait_until(lambda: assassin.killed, 20)
        reconnect(database)
        through_crashes(database, lambda: len(ledger(database)) > len(first) + len(after), 60)
        wait_finished(database, poison)
    assert len(assassin.killed) in crashes
    assert database.job(poison)["error"]["sqlstate"] == "PWL02"
    assert ledger(database) == [*range(20), *range(21, 60)]
    for job in (*first, *after):
        assert attempts(database, job) == [(1, "succeeded")]
    assert one.stop() == 0


def test_a_new_poison_job_does_not_convict_a_suspect(
    database: Database, supervise: Supervise
) -> None:
    """The one on trial is not to blame for a crash at which somebody ran whom nobody had
    suspected yet.
    """
    one = supervise(database.dsn("supervisor"))
    innocent = put(database, "app.nap", {"seconds": 12, "n": 1}, max_attempts=1)
    wait_running(database, innocent)
    for _ in range(2):
        poison = put(database, "app.nap", {"seconds": 30, "n": 2}, max_attempts=1)
        with poisonous(database, poison):
            wait_finished(database, poison)
        assert database.job(poison)["error"]["sqlstate"] == "PWL02"
        through_crashes(database, lambda: database.job(innocent)["state"] == "running", 10)
    assert wait_for(database, innocent, timeout=30)["state"] == "succeeded"
    assert attempts(database, innocent) == [(1, "succeeded")]
    assert ledger(database) == [1]
    assert one.stop() == 0

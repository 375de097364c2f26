"""A standby takes over: what was confirmed is there, each job takes effect once,
and nobody is charged for it.
"""

import shutil
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field

import psycopg
import pytest
from kit.daemon import Supervise
from kit.server import furnish, open_directory
from psycopg.conninfo import make_conninfo
from stage import (
    attempts,
    gate_shut,
    know_as_short,
    ledger,
    put,
    put_many,
    put_sql,
    wait_at_gate,
    wait_for,
)
from support import Database, Server, wait_until

from pyworker.server import PrivateServer

JOBS = 1500
# seconds from the promotion on in which all runs again: before a lease ends, or its own patience
SOON = 25.0


@contextmanager
def standby_of(primary: PrivateServer) -> Iterator[Server]:
    """Make a standby that has all that the primary confirms; at the end it goes,
    and the primary stands alone again.
    """
    top = open_directory("pw-standby-")
    standby = furnish(top / "s")
    data = standby.dir / "data"
    for entry in data.iterdir():
        shutil.rmtree(entry) if entry.is_dir() else entry.unlink()
    copied = standby.run_as_server_user(
        [
            standby.bin("pg_basebackup"),
            "-D",
            data,
            "-d",
            primary.dsn("postgres", "postgres"),
            "-R",
            "-c",
            "fast",
        ]
    )
    assert copied.returncode == 0, copied.stdout
    standby.start()
    with psycopg.connect(primary.dsn("postgres", "postgres"), autocommit=True) as line:
        line.execute("alter system set synchronous_standby_names = '*'")
        line.execute("alter system set synchronous_commit = remote_apply")
        line.execute("select pg_reload_conf()")
    try:
        yield Server(conninfo=standby.dsn("postgres", "postgres"), private=standby)
    finally:
        standby.destroy()
        shutil.rmtree(top)
        primary.start()
        with psycopg.connect(primary.dsn("postgres", "postgres"), autocommit=True) as line:
            line.execute("alter system reset synchronous_standby_names")
            line.execute("alter system reset synchronous_commit")
            line.execute("select pg_reload_conf()")


@dataclass
class Enqueuer:
    """Enqueues one job after the other, wherever the primary is, and remembers what it was told."""

    dsn: str
    confirmed: set[int] = field(default_factory=set)
    unknown: set[int] = field(default_factory=set)

    def __post_init__(self) -> None:
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def _run(self) -> None:
        n = 100_000
        while not self._over.is_set():
            with (
                suppress(psycopg.OperationalError),
                psycopg.connect(self.dsn, autocommit=True) as line,
            ):
                while not self._over.wait(0.005):
                    n += 1
                    self.unknown.add(n)
                    line.execute(
                        "select jobs.enqueue('app.note', jsonb_build_object('n', %s::integer))", [n]
                    )
                    self.unknown.remove(n)
                    self.confirmed.add(n)

    def end(self) -> None:
        self._over.set()
        self._thread.join(30)


@pytest.mark.timeout(300)
def test_a_failover_loses_nothing_and_charges_nobody(
    database: Database, supervise: Supervise
) -> None:
    """The primary dies under load. Every job has one attempt: one that is charged for it fails,
    and shows.
    """
    primary = database.server.private
    assert primary is not None
    database.run("create table app.large as select g as n from generate_series(1, 1000) as g")
    database.run("create procedure app.unseen() language sql as 'select app.gate(900001)'")
    put(database, "app.nap", {"seconds": 0, "n": -1})
    put(database, "app.note", {"n": -2})
    database.drain()
    know_as_short(database)
    database.close()

    with standby_of(primary) as server:
        assert server.private is not None
        places = [str(one.status().socket) for one in (primary, server.private)]
        both = make_conninfo(database.dsn("supervisor"), host=",".join(places))
        after = Database(server=server, name=database.name)
        waiting = supervise(after.dsn("supervisor"), started=False)
        assert "standby" in waiting.wait_for("server_lost")["reason"]
        with pytest.raises(psycopg.errors.ReadOnlySqlTransaction) as caught:
            put(after, "app.note", {"n": 0})
        assert (
            caught.value.diag.message_primary == "jobs.enqueue writes, and this server is a standby"
        )
        assert "target_session_attrs" in str(caught.value.diag.message_hint)
        assert after.run("select distinct state from jobs.job") == [("succeeded",)]
        assert after.admin("select status from jobs.health where \"check\" = 'installation'") == [
            ("ok",)
        ]

        one = supervise(both)
        enqueuer = Enqueuer(make_conninfo(both, user="app", target_session_attrs="read-write"))
        with gate_shut(database):
            lone = put(database, "app.gate", {"n": 900_000}, max_attempts=1)
            unseen = put_sql(database, "call app.unseen()", max_attempts=1)
            wait_at_gate(database, 2)
            index = put_sql(
                database, "create index concurrently large_n on app.large (n)", max_attempts=1
            )
            many = put_many(
                database,
                "app.nap",
                [{"seconds": 0.004, "n": n} for n in range(JOBS)],
                max_attempts=1,
            )
            begun = len(ledger(database))
            wait_until(lambda: len(ledger(database)) > begun + 100, 30)
            primary.stop("immediate")
        database.close()
        confirmed = set(enqueuer.confirmed)

        assert after.admin("select pg_promote()") == [(True,)]
        effects = len(ledger(after))
        wait_until(lambda: len(ledger(after)) > effects, SOON)
        wait_until(lambda: enqueuer.confirmed - confirmed, 30)
        enqueuer.end()
        one.wait_for("server_back")
        waiting.wait_for("supervisor_started")
        wait_until(lambda: after.admin("select count(*) from jobs_internal.job") == [(0,)], 60)
        print(f"\n{effects} effects before, {len(ledger(after)) - effects} after")

        done = [n for n in ledger(after) if n is not None]
        assert len(done) == len(set(done)), "an effect twice"
        assert enqueuer.confirmed | set(range(JOBS)) | {900_000, -1, -2} <= set(done)
        assert set(done) <= enqueuer.confirmed | enqueuer.unknown | set(range(JOBS)) | {
            900_000,
            -1,
            -2,
        }
        assert wait_for(after, unseen)["state"] == "in_doubt"
        assert wait_for(after, index)["state"] == "succeeded"
        assert after.admin(
            "select indisvalid from pg_index where indexrelid = 'app.large_n'::regclass"
        ) == [(True,)]
        assert attempts(after, lone) == [(1, "succeeded")]
        charged = (
            "select job_id, outcome from jobs.attempts where outcome <> 'succeeded'"
            " and job_id <> %s"
        )
        assert after.admin(charged, [unseen]) == []
        assert after.admin("select distinct attempt from jobs.job where id = any (%s)", [many]) == [
            (1,)
        ]
        assert one.stop() == 0
        assert waiting.stop() == 0
        wait_until(lambda: not after.background(), 20)
        after.close()

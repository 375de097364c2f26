"""pyworker as it is shipped: `pyworker run` with its defaults, an ordinary owner, history kept.

PEER_VARIANT: `first` leaves out that the owner has run jobs before, a supervisor only knows it;
`unserved` leaves that out too; `start` runs the jobs by `jobs.start`, a session to each processor,
without a supervisor.
"""

import os
import subprocess
import sys
import time
from collections.abc import Sequence

import psycopg
from psycopg.conninfo import make_conninfo
from psycopg.types.json import Jsonb

from bench.peers.protocol import DSN, Args, ready, speak
from pyworker.cli import main
from pyworker.schema import apply_schema

_VARIANT = os.environ.get("PEER_VARIANT", "")
_SUPERVISOR = make_conninfo(DSN, user="supervisor")
_ADMINISTRATOR = make_conninfo(DSN, user="postgres")
_ROLES = """
grant jobs_producer, jobs_runner to app;
grant jobs_supervisor to supervisor;
"""
#: The jobs of the latency return when they started: what others write down, their result tells.
_FUNCTIONS = """
create schema peer;
create function peer.noop(i bigint, t double precision) returns void
language plpgsql as $$ begin end $$;
create function peer.started(i bigint, t double precision) returns double precision
language plpgsql as $$ begin return extract(epoch from clock_timestamp()); end $$;
"""
_RUN = [sys.executable, "-m", "pyworker", "run", "--owner", "app"]
_KNOWN = "select exists (select from jobs_internal.lane)"
_EMPTY = "select not exists (select from jobs_internal.job)"
_TURN = 0.05  # seconds between two looks


class Shipped:
    """pyworker, of the checkout that this file lies in."""

    async def setup(self) -> None:
        """Install it, and let a supervisor run some jobs of each function."""
        apply_schema(_ADMINISTRATOR, "install")
        with psycopg.connect(_ADMINISTRATOR, autocommit=True) as administrator:
            administrator.execute(_ROLES)
            with psycopg.connect(DSN, autocommit=True) as app:
                app.execute(_FUNCTIONS)
                if _VARIANT != "unserved":
                    _work_before(app, administrator, jobs=0 if _VARIANT == "first" else 50)

    async def open(self) -> None:
        """Connect."""
        self.connection = psycopg.connect(DSN, autocommit=True)
        self.task = "peer.started" if sys.argv[1] == "send" else "peer.noop"

    async def one(self, args: Args) -> object:
        """Enqueue one job."""
        return self.connection.execute("select jobs.enqueue(%s, %s)", (self.task, Jsonb(args)))

    async def many(self, args: Sequence[Args]) -> object:
        """Enqueue many."""
        return self.connection.execute(
            "select count(*) from jobs.enqueue_many(%s, %s)",
            (self.task, [Jsonb(one) for one in args]),
        )

    async def work(self) -> None:
        """Run the supervisor in this process, its log thrown away; or start sessions by SQL."""
        ready()
        if _VARIANT == "start":
            _start()
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        os.environ["PYWORKER_DSN"] = _SUPERVISOR
        main(_RUN[3:])


def _work_before(app: psycopg.Connection, administrator: psycopg.Connection, *, jobs: int) -> None:
    """Run a supervisor until it knows the owner, and so many jobs twice, as in a system that has
    been at work: lane and durations are known then.
    """
    environment = os.environ | {"PYWORKER_DSN": _SUPERVISOR}
    supervisor = subprocess.Popen(_RUN, env=environment, stdout=subprocess.DEVNULL)
    try:
        _wait_until(administrator, _KNOWN)
        for _ in range(2 if jobs else 0):
            for task in ("peer.noop", "peer.started"):
                args = [Jsonb({"i": -1, "t": 0}) for _ in range(jobs)]
                app.execute("select count(*) from jobs.enqueue_many(%s, %s)", (task, args))
            _wait_until(administrator, _EMPTY)
    finally:
        supervisor.terminate()
        supervisor.wait(30)
    administrator.execute("select pg_terminate_backend(pid) from jobs.sessions")
    _wait_until(administrator, "select not exists (select from jobs.sessions)")


def _wait_until(administrator: psycopg.Connection, condition: str) -> None:
    for _ in range(1200):
        row = administrator.execute(condition.encode()).fetchone()
        if row and row[0]:
            return
        time.sleep(_TURN)
    raise TimeoutError(condition)


def _start() -> None:
    """Keep as many sessions at work as there are processors, until this process is terminated."""
    wanted = os.cpu_count() or 1
    with psycopg.connect(DSN, autocommit=True) as app:
        while True:
            row = app.execute("select count(*) from jobs.sessions").fetchone()
            missing = wanted - int(row[0] if row else 0)
            if missing > 0:
                app.execute("select jobs.start(%s)", (missing,))
            time.sleep(2 * _TURN)


if __name__ == "__main__":
    speak(Shipped())

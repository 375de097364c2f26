"""What a scenario may touch: the server, the database, the supervisors, the journal;
and the one place that waits.
"""

import json
import os
import random
import signal
import threading
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

import psycopg
from psycopg import Connection
from psycopg.conninfo import make_conninfo

from pyworker.server import PrivateServer
from pyworker.server.process import processes_in, read_postmaster
from tests.torture.enqueues import Call
from tests.torture.journal import Journal
from tests.torture.kinds import KINDS
from tests.torture.load import enqueue
from tests.torture.scenario import Scenario
from tests.torture.supervisors import Supervisors

__all__ = ["ADMINISTRATOR", "World"]

ADMINISTRATOR = "postgres"
_STEP = 0.02
_BACK = 60.0  # seconds within which a server is expected to be back

Row = tuple[Any, ...]
Fact = TypeVar("Fact")


class World:
    """One scenario's world. The fault thread uses it; `connect` and the journal are for any
    thread.
    """

    def __init__(
        self, scenario: Scenario, server: PrivateServer, base: str, database: str, directory: Path,
        *, seed: int, seconds: float, say: Callable[[str], None],
    ) -> None:  # fmt: skip
        """`base`: a DSN of the server, which is good while it is down as well; `directory`:
        where the logs go.
        """
        self.scenario = scenario
        self.server = server
        self.database = database
        self.directory = directory
        self.seconds = seconds
        self.seed = seed
        self.say = say
        self.rng = random.Random(f"{seed}/{scenario.name}/world")
        self.journal = Journal(directory / "journal.jsonl")
        self.counts: Counter[str] = Counter()  #: faults by kind, for what they may cost
        self.killed: set[int] = set()  #: server processes that we ended the hard way
        self.standstill = 30.0  #: seconds without any progress after which the drain gives up
        self.longest = 180.0  #: seconds after which it gives up in any case
        self.slow_stops: list[str] = []
        self.supervisor_ends: list[str] = []
        self.proc = Path("/proc")
        self.log_from = server.log_file.stat().st_size
        self._base = base
        self._faults = (directory / "faults.jsonl").open("w", encoding="utf-8")
        self._begun = time.monotonic()
        self._lock = threading.Lock()
        self._admin: Connection[Row] | None = None
        self._numbers = iter(range(10**9))
        #: what the enqueuers' DSN has instead, such as a proxy's host and port
        self.detour: dict[str, str] = {}
        self.supervisors = Supervisors(self.dsn("supervisor"), directory, self.note_fault)

    # The database

    def dsn(self, role: str = "app") -> str:
        """Render the DSN of the database for a role."""
        return make_conninfo(self._base, user=role, dbname=self.database)

    def connect(self, role: str = "app", **options: Any) -> Connection[Row]:
        """Connect, each statement a transaction of its own; options are settings of the session."""
        settings = " ".join(
            f"-c {name}={str(value).replace(' ', chr(92) + ' ')}" for name, value in options.items()
        )
        dsn = make_conninfo(
            self.dsn(role), options=settings, application_name="torture", connect_timeout="5"
        )
        return psycopg.connect(dsn, autocommit=True)

    def connect_client(self, role: str) -> Connection[Row]:
        """Connect as an enqueuer does: on the detour, where there is one."""
        dsn = make_conninfo(
            self.dsn(role), application_name="torture client", connect_timeout="5", **self.detour
        )
        return psycopg.connect(dsn, autocommit=True)

    def admin(self) -> Connection[Row]:
        """Give the administrator's connection; a new one when it has broken."""
        if self._admin is None or self._admin.closed or self._admin.broken:
            self._admin = self.connect(ADMINISTRATOR)
        return self._admin

    def rows(
        self,
        query: str,
        arguments: Sequence[Any] | Mapping[str, Any] = (),
        *,
        within: float = _BACK,
    ) -> list[Row]:
        """Query as the administrator, and again when the connection breaks."""
        until = time.monotonic() + within
        while True:
            try:
                cursor = self.admin().execute(query.encode(), arguments or None)
                return cursor.fetchall() if cursor.description else []
            except (psycopg.OperationalError, psycopg.InterfaceError):
                if time.monotonic() > until or not (
                    self._admin is None or self._admin.closed or self._admin.broken
                ):
                    raise
                time.sleep(_STEP)

    def enqueue(self, kind: str, *, owner: str = "app") -> tuple[int, ...]:
        """Enqueue one call of a kind of load, journalled; returns the ids, none when it was not
        confirmed.
        """
        tag = f"w_{next(self._numbers)}"
        call = Call(tag=tag, secret=f"canary-{tag}", rng=random.Random(f"{self.seed}/{tag}"))
        try:
            with self.connect(owner) as line:
                return enqueue(line, self.journal, owner, KINDS[kind], call)
        except psycopg.OperationalError:
            return ()

    # Faults

    def note_fault(self, kind: str, **facts: Any) -> None:
        """Write down what is done to the world, as it is done."""
        with self._lock:
            at = round(time.monotonic() - self._begun, 3)
            self._faults.write(json.dumps({"at": at, "kind": kind, **facts}, default=str) + "\n")
            self._faults.flush()

    def kill_backend(self, pid: int) -> bool:
        """End a server process the hard way: the server restarts as a whole.
        False: it was gone already.
        """
        self.killed.add(pid)
        try:
            os.kill(pid, signal.SIGKILL)
        except ProcessLookupError:
            return False
        self.counts["crash"] += 1
        self.note_fault("backend_killed", pid=pid)
        return True

    def allow_crashes(self, count: int = 1) -> None:
        """Say that the server may crash so often without a signal of ours: a job does it."""
        self.counts["crash"] += count

    def stop_server(self, mode: str = "fast", seconds: float = 60.0) -> None:
        """Stop the server, and note how long it took."""
        self.counts["stop"] += 1
        begun = time.monotonic()
        self.server.stop(mode, timeout=seconds)  # type: ignore[arg-type]  # the modes of pg_ctl
        took = time.monotonic() - begun
        self.note_fault("server_stopped", mode=mode, seconds=round(took, 2))
        if mode == "fast" and took > 10 and not self.scenario.stubborn:
            self.slow_stops.append(f"pg_ctl stop -m fast took {took:.1f} s")

    def start_server(self) -> None:
        """Start the server, and wait until it takes connections."""
        self.server.start()
        self.wait_ready()
        self.note_fault("server_started")

    def restart(self, mode: str = "fast") -> None:
        """Stop and start."""
        self.stop_server(mode)
        self.start_server()

    def signal_session(self, pid: int, how: str = "terminate") -> bool:
        """Signal a session by hand, as an administrator would: `terminate` or `cancel`.
        False: it was gone.
        """
        self.counts["terminate"] += 1
        (done,) = self.rows(f"select pg_{how}_backend(%s)", [pid])[0]
        self.note_fault("session_signalled", pid=pid, how=how, done=done)
        return bool(done)

    def postmaster(self) -> int:
        """Give the pid of the postmaster."""
        running = read_postmaster(self.server.dir / "data")
        assert running is not None, "no postmaster"
        return running.pid

    def wait_ready(self, seconds: float = _BACK) -> None:
        """Wait until the server takes connections."""
        if self._admin is not None:
            self._admin.close()  # it may lead to a process that outlived its server
        self.rows("select 1", within=seconds)

    def log(self) -> str:
        """Read the server's log since the beginning of this scenario."""
        with self.server.log_file.open("rb") as file:
            file.seek(self.log_from)
            return file.read().decode("utf-8", errors="replace")

    def processes(self) -> list[int]:
        """List the processes of the server: those that work in its cluster."""
        return list(processes_in(self.server.dir / "data"))

    # Waiting

    def until(self, condition: Callable[[], Fact], seconds: float, what: str = "") -> Fact:
        """Wait for something to become true, and return it; returns what is false when the time
        is over.
        """
        deadline = time.monotonic() + seconds
        while True:
            found = condition()
            if found or time.monotonic() > deadline:
                if not found and what:
                    self.note_fault("waited_in_vain", what=what, seconds=seconds)
                return found
            time.sleep(_STEP)

    def pause(self, seconds: float) -> None:
        """Let the world go on for so long: for faults that last, never for something to
        become true.
        """
        threading.Event().wait(seconds)

    def background(self, query: str = "") -> list[int]:
        """List the pids of the pg_background sessions in this database whose query begins so."""
        found = self.rows(
            "select pid from pg_stat_activity where datname = current_database()"
            " and backend_type not in"
            " ('client backend', 'autovacuum worker', 'parallel worker') and starts_with(query,"
            " %s) order by pid",
            [query],
        )
        return [int(row[0]) for row in found]

    def workers(self) -> list[int]:
        """List the pids of the worker sessions."""
        return self.background("call jobs_internal.work(")

    def children(self) -> list[int]:
        """List the pids of the child sessions that the running jobs have noted."""
        found = self.rows(
            "select j.child_pid from jobs_internal.job as j join pg_stat_activity as a"
            " on a.pid = j.child_pid and a.backend_start = j.child_start order by 1"
        )
        return [int(row[0]) for row in found]

    def close(self) -> None:
        """Give everything back."""
        self.supervisors.close()
        if self._admin is not None:
            self._admin.close()
        self.journal.close()
        self._faults.close()

"""A server for the daemon's tests, a database that does as a test tells it,
and the daemon as a process of its own.
"""

import contextlib
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest
from kit import warm
from kit.functions import counting, note_calls
from kit.server import private_server

from pyworker.server import PrivateServer

SCRIPT = Path(__file__).with_name("scripted.sql")
REAL = Path(__file__).with_name("real.sql")


#: Python that runs the daemon with no look of its own while nothing is there:
#: only a ring or a signal ends its rest.
_NEVER_LOOKS = """
from pyworker.cli import main
from pyworker.supervisor import decisions
decisions.IDLE = decisions.QUEUED = decisions.FIRST_POLL = 3600.0
main()
"""
#: The same, for one that waits an hour for a session that it launched to be seen.
_NEVER_COUNTS_AS_LOST = """
from pyworker.cli import main
from pyworker.supervisor import pending_launches
pending_launches.SEEN_WITHIN = 3600.0
main()
"""
#: Whether its process in the server does nothing just now.
RESTS = (
    "exists (select from pg_stat_activity where application_name = 'pyworker supervisor'"
    " and datname = current_database() and state = 'idle')"
)


def wait_until(fact: Callable[[], Any], timeout: float = 60.0) -> Any:
    """Wait for something to become true, and return it; a busy machine takes its time."""
    until = time.monotonic() + timeout
    while True:
        found = fact()
        if found:
            return found
        if time.monotonic() > until:
            raise AssertionError("it did not become true in time")
        time.sleep(0.01)


def statements_a_second(sql: Callable[[str], list[tuple[Any, ...]]], *roles: str) -> float:
    """Measure how many statements a supervisor at rest sends, the first looks after it fell asleep
    among them.

    A busy machine makes the looks later, and the figure smaller.
    """
    names = ", ".join(f"'{role}'" for role in roles)
    count = (
        "select coalesce(sum(calls), 0) from pg_stat_statements s"
        " join pg_roles r on r.oid = s.userid "
        f"where rolname in ({names}) and toplevel "
        "and dbid = (select oid from pg_database where datname = current_database())"
    )
    before, begun = sql(count)[0][0], time.monotonic()

    def over() -> float | None:
        calls, seconds = float(sql(count)[0][0] - before), time.monotonic() - begun
        return calls / seconds if calls >= 2 and seconds > 20 else None

    return float(wait_until(over))


class Daemon:
    """`pyworker run` as a process; its lines are read as they come."""

    def __init__(
        self, dsn: str, *arguments: str, looks: bool = True, loses: bool = True, **environment: str
    ) -> None:
        """`looks`: again by itself, while it is idle; `loses`: patience with a session that does
        not show up.
        """
        program = ("-c", _NEVER_COUNTS_AS_LOST if looks else _NEVER_LOOKS)
        self.process = warm.Warm(
            [
                sys.executable,
                *(("-m", "pyworker") if looks and loses else program),
                "run",
                *arguments,
            ],
            env={**os.environ, "PYWORKER_DSN": dsn, "PYTHONWARNINGS": "default", **environment},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        self.lines: list[dict[str, Any]] = []
        self.text: list[str] = []
        self.complaints: list[str] = []
        self._readers = [
            threading.Thread(target=read, daemon=True)
            for read in (self._read, self._read_complaints)
        ]
        for reader in self._readers:
            reader.start()

    def _read(self) -> None:
        assert self.process.stdout is not None
        with self.process.stdout as stream:
            for line in stream:
                self.text.append(line)
                self.lines.append(json.loads(line))

    def _read_complaints(self) -> None:
        assert self.process.stderr is not None
        with self.process.stderr as stream:
            self.complaints.extend(stream)

    def events(self, name: str) -> list[dict[str, Any]]:
        return [line for line in list(self.lines) if line["event"] == name]

    def wait_for(self, name: str, count: int = 1, timeout: float = 60.0) -> dict[str, Any]:
        try:
            wait_until(lambda: len(self.events(name)) >= count, timeout)
        except AssertionError:
            seen = [line["event"] for line in self.lines]
            raise AssertionError(f"no {name} among {seen}; {''.join(self.complaints)}") from None
        return self.events(name)[count - 1]

    def end(self, timeout: float = 60.0) -> int:
        code = self.process.wait(timeout)
        for reader in self._readers:
            reader.join(timeout)
        return code

    def stop(self, number: signal.Signals = signal.SIGTERM) -> int:
        """Send a signal; returns the exit code."""
        self.process.send_signal(number)
        return self.end()

    def kill(self) -> None:
        if self.process.poll() is None:
            self.process.kill()
        self.end()


Start = Callable[..., Daemon]


@pytest.fixture(scope="session")
def server() -> Iterator[PrivateServer]:
    """One private server for all of the daemon's tests, in a place that the server's OS user
    may pass.
    """
    with private_server("supervisor") as private:
        yield private


_made = iter(range(1_000_000))


@pytest.fixture
def database(server: PrivateServer) -> Iterator[str]:
    """An empty database's name."""
    name = f"test_{next(_made)}"
    with psycopg.connect(server.dsn("postgres"), autocommit=True) as connection:
        connection.execute(f"create database {name} strategy file_copy")
    yield name
    server.start()
    with psycopg.connect(server.dsn("postgres"), autocommit=True) as connection:
        connection.execute(f"drop database {name} with (force)")


class Scripted:
    """The database that does as it is told."""

    def __init__(self, server: PrivateServer, database: str) -> None:
        self.dsn = server.dsn("supervisor", database)
        self._admin = server.dsn("postgres", database)

    def sql(self, statement: str, *arguments: object) -> list[tuple[Any, ...]]:
        with psycopg.connect(self._admin, autocommit=True) as connection:
            cursor = connection.execute(statement, arguments)
            return cursor.fetchall() if cursor.description else []

    def set(self, **values: object) -> None:
        for name, value in values.items():
            given = json.dumps(value) if isinstance(value, dict | list) else value
            self.sql(f"update jobs_internal.script set {name} = %s", given)

    def feed(self, *rows: dict[str, Any]) -> None:
        with psycopg.connect(self._admin) as connection:
            connection.cursor().executemany(
                "insert into jobs_internal.outbox (row) values (%s)",
                [(json.dumps(row),) for row in rows],
            )


@pytest.fixture
def scripted(server: PrivateServer, database: str) -> Scripted:
    told = Scripted(server, database)
    told.sql(SCRIPT.read_text(encoding="utf-8"))
    return told


@pytest.fixture
def start() -> Iterator[Start]:
    """Start daemons; those that a test leaves behind are ended."""
    with contextlib.ExitStack() as stack:

        def begin(dsn: str, *arguments: str, ready: bool = True, **options: Any) -> Daemon:
            daemon = Daemon(dsn, *arguments, **options)
            stack.callback(daemon.kill)
            if ready:
                daemon.wait_for("supervisor_started")
            return daemon

        yield begin


@pytest.fixture(scope="session")
def template(server: PrivateServer) -> str:
    """A database with the schema, to be cloned; `app` runs jobs in it, `supervisor` supervises."""
    name = "template_real"
    with psycopg.connect(server.dsn("postgres"), autocommit=True) as connection:
        connection.execute(f"create database {name} strategy file_copy")
    dsn = server.dsn("postgres", name)
    warm.run(
        [sys.executable, "-m", "pyworker", "install", "--dsn", dsn], check=True, capture_output=True
    )
    with psycopg.connect(dsn, autocommit=True) as connection:
        connection.execute(REAL.read_text(encoding="utf-8"))
    return name


class Real:
    """A database with the schema."""

    def __init__(self, server: PrivateServer, name: str) -> None:
        self.dsn = server.dsn("supervisor", name)
        self.admin = server.dsn("postgres", name)
        self._app = server.dsn("app", name)

    def sql(self, statement: str, *arguments: object, admin: bool = False) -> list[tuple[Any, ...]]:
        """Run a statement as `app`, who owns the jobs."""
        with psycopg.connect(self.admin if admin else self._app, autocommit=True) as connection:
            cursor = connection.execute(statement, arguments)
            return cursor.fetchall() if cursor.description else []

    def enqueue(self, task: str, *, options: str = "", **args: object) -> int:
        statement = f"select jobs.enqueue(%s, %s{', ' if options else ''}{options})"
        return int(self.sql(statement, task, json.dumps(args))[0][0])

    def enqueue_many(self, task: str, args: list[dict[str, object]]) -> None:
        self.sql(
            "select count(*) from jobs.enqueue_many(%s, %s::jsonb[])",
            task,
            [json.dumps(one) for one in args],
        )

    def wait_for(self, job: int, *states: str, timeout: float = 60.0) -> str:
        def reached() -> str | None:
            state = str(self.sql("select state from jobs.job where id = %s", job)[0][0])
            return state if state in states else None

        return str(wait_until(reached, timeout))


@pytest.fixture
def real(server: PrivateServer, template: str) -> Iterator[Real]:
    server.start()
    name = f"real_{next(_made)}"
    with psycopg.connect(server.dsn("postgres"), autocommit=True) as connection:
        connection.execute(f"create database {name} template {template} strategy file_copy")
    with psycopg.connect(server.dsn("postgres", name), autocommit=True) as connection:
        connection.execute("select jobs.reconcile()")
    yield Real(server, name)
    server.start()
    if counting():
        with psycopg.connect(server.dsn("postgres", name), autocommit=True) as connection:
            note_calls(connection)
    with psycopg.connect(server.dsn("postgres"), autocommit=True) as connection:
        connection.execute(f"drop database {name} with (force)")

"""Real supervisors as processes of their own, real signals, and a server of this tier's own to be
restarted.
"""

import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack
from typing import Any

import pytest
from kit import warm
from kit.server import private_server
from stage import staged
from support import Database, Server, installed, wait_until


@pytest.fixture(scope="session")
def server() -> Iterator[Server]:
    """A private server of this tier's own: its tests stop it the hard way."""
    with private_server("acceptance", durable=True) as private:
        yield Server(conninfo=private.dsn("postgres", "postgres"), private=private)


@pytest.fixture(scope="session")
def template(server: Server) -> Iterator[str]:
    """The template of this tier, on the server of this tier."""
    with installed(server) as bare, staged(server, bare, "acceptance") as name:
        yield name


@pytest.fixture
def database(database: Database) -> Iterator[Database]:
    """A database of the test's own; sessions that linger for more work are sent home at the end."""
    yield database
    idle = (
        "select pg_terminate_backend(pid) from pg_stat_activity where application_name = 'pw idle'"
        " and datname = %s"
    )
    database.admin(idle, [database.name])


#: Another OS user may not read this Python (one below /root), so it is loaded before the process
#: becomes that user.
_AS_ANOTHER = """
import os, pwd, sys
import pyworker.cli.run, pyworker.log, pyworker.supervisor.loop
from pyworker.cli import main
user = pwd.getpwnam(sys.argv.pop(1))
os.setgroups([])
os.setgid(user.pw_gid)
os.setuid(user.pw_uid)
os.environ["HOME"] = user.pw_dir
main()
"""


#: The same, with no look of its own while nothing is there: only a ring, a signal,
#: or what it planned ends its rest.
_NEVER_LOOKS = """
from pyworker.cli import main
from pyworker.supervisor import decisions
decisions.IDLE = decisions.QUEUED = decisions.FIRST_POLL = 3600.0
main()
"""


#: The same, as a program from before it asked for the version of the schema.
_OLDER = """
from pyworker.cli import main
from pyworker.database.gateway import Gateway
Gateway.assert_program_fits = lambda self, schema: None
main()
"""


class Supervisor:
    """`pyworker run` as a process; its log lines are read as they come."""

    def __init__(
        self,
        dsn: str,
        *arguments: str,
        environment: Mapping[str, str] | None = None,
        os_user: str | None = None,
        looks: bool = True,
        older: bool = False,
    ) -> None:
        """`environment`: besides our own; `os_user`: who it runs as, for root only; `looks`:
        by itself, while idle;
        `older`: it takes an older schema."""
        program = ["-m", "pyworker"] if looks else ["-c", _NEVER_LOOKS]
        if older:
            program = ["-c", _OLDER]
        python = [sys.executable, *(program if os_user is None else ["-c", _AS_ANOTHER, os_user])]
        self.process = warm.Warm(
            [*python, "run", "--dsn", dsn, *arguments],
            env={**os.environ, **(environment or {})},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        self.lines: list[dict[str, Any]] = []
        self.other: list[str] = []
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        assert self.process.stdout is not None
        with self.process.stdout as stream:
            for line in stream:
                if line.startswith("{"):
                    self.lines.append(json.loads(line))
                else:
                    self.other.append(line)

    def events(self, name: str) -> list[dict[str, Any]]:
        return [line for line in list(self.lines) if line["event"] == name]

    def wait_for(self, name: str, count: int = 1, timeout: float = 60.0) -> dict[str, Any]:
        try:
            wait_until(lambda: len(self.events(name)) >= count, timeout)
        except AssertionError:
            raise AssertionError(
                f"no {name} among {[line['event'] for line in self.lines]} {self.other}"
            ) from None
        return self.events(name)[count - 1]

    def signal(self, number: signal.Signals) -> None:
        self.process.send_signal(number)

    def stop(self) -> int:
        if self.process.poll() is None:
            self.process.terminate()
        code = self.process.wait(60)
        self._reader.join(10)
        return code

    def kill(self) -> None:
        """End it without a word, whatever it does."""
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait(10)
        self._reader.join(10)


Supervise = Callable[..., Supervisor]


@pytest.fixture
def supervise() -> Iterator[Supervise]:
    """Start supervisors; those that a test leaves behind are ended."""
    with ExitStack() as stack:

        def begin(
            dsn: str,
            *arguments: str,
            started: bool = True,
            environment: Mapping[str, str] | None = None,
            os_user: str | None = None,
            looks: bool = True,
            older: bool = False,
        ) -> Supervisor:
            one = Supervisor(
                dsn, *arguments, environment=environment, os_user=os_user, looks=looks, older=older
            )
            stack.callback(one.kill)
            if started:
                one.wait_for("supervisor_started")
            return one

        yield begin

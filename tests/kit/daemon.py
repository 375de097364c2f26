"""`pyworker run` as a process of its own, and the fixture that starts some and ends them.

A tier has the fixture when its conftest.py imports it.
"""

import json
import os
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack
from signal import SIGTERM, Signals
from typing import Any

import pytest
from support import wait_until

from kit import warm

#: Seconds that a busy machine is given for what a supervisor does soon.
PATIENCE = 60.0

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
#: With no look of its own while nothing is there: only a ring, a signal,
#: or what it planned ends its rest.
_NEVER_LOOKS = """
from pyworker.cli import main
from pyworker.supervisor import decisions
decisions.IDLE = decisions.QUEUED = decisions.WATCHED = decisions.FIRST_POLL = 3600.0
main()
"""
#: It waits an hour for a session that it launched to be seen.
_NEVER_COUNTS_AS_LOST = """
from pyworker.cli import main
from pyworker.supervisor import pending_launches
pending_launches.SEEN_WITHIN = 3600.0
main()
"""
#: As a program from before it asked for the version of the schema.
_OLDER = """
from pyworker.cli import main
from pyworker.database.gateway import Gateway
Gateway.assert_program_fits = lambda self, schema: None
main()
"""


class Supervisor:
    """`pyworker run` as a process; its lines are read as they come."""

    def __init__(
        self,
        dsn: str,
        *arguments: str,
        environment: Mapping[str, str] | None = None,
        os_user: str | None = None,
        looks: bool = True,
        loses: bool = True,
        older: bool = False,
    ) -> None:
        """`environment`: besides our own; `os_user`: who it runs as, for root only.

        At most one of the others: `looks=False`: not by itself, while it is idle; `loses=False`:
        it is patient with a session that does not show up; `older`: it takes an older schema.
        """
        program = ["-m", "pyworker"]
        for asked, code in (
            (not looks, _NEVER_LOOKS),
            (not loses, _NEVER_COUNTS_AS_LOST),
            (older, _OLDER),
        ):
            if asked:
                program = ["-c", code]
        if os_user is not None:
            program = ["-c", _AS_ANOTHER, os_user]
        self.process = warm.Warm(
            [sys.executable, *program, "run", *arguments],
            env={
                **os.environ,
                "PYTHONWARNINGS": "default",
                **(environment or {}),
                "PYWORKER_DSN": dsn,
            },
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        self.lines: list[dict[str, Any]] = []
        self.text: list[str] = []  #: the same, as written
        self.complaints: list[str] = []  #: what it wrote to standard error
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

    def wait_for(self, name: str, count: int = 1, timeout: float = PATIENCE) -> dict[str, Any]:
        try:
            wait_until(lambda: len(self.events(name)) >= count, timeout)
        except AssertionError:
            seen = [line["event"] for line in self.lines]
            raise AssertionError(f"no {name} among {seen}; {''.join(self.complaints)}") from None
        return self.events(name)[count - 1]

    def successes(self) -> int:
        """Count the successes that it has logged, one by one or summed."""
        summed = sum(line["count"] for line in self.events("jobs_succeeded"))
        return len(self.events("job_succeeded")) + summed

    def signal(self, number: Signals) -> None:
        self.process.send_signal(number)

    def end(self, timeout: float = PATIENCE) -> int:
        """Wait until it leaves; returns the exit code."""
        code = self.process.wait(timeout)
        for reader in self._readers:
            reader.join(timeout)
        return code

    def stop(self, number: Signals = SIGTERM) -> int:
        """Send a signal, if it has not left yet; returns the exit code."""
        if self.process.poll() is None:
            self.process.send_signal(number)
        return self.end()

    def kill(self) -> None:
        """End it without a word, whatever it does."""
        if self.process.poll() is None:
            self.process.kill()
        self.end()


Supervise = Callable[..., Supervisor]


@pytest.fixture
def supervise() -> Iterator[Supervise]:
    """Start supervisors; those that a test leaves behind are ended.

    `started=False` does not wait until it is at work; the rest is as for `Supervisor`.
    """
    with ExitStack() as stack:

        def begin(dsn: str, *arguments: str, started: bool = True, **options: Any) -> Supervisor:
            one = Supervisor(dsn, *arguments, **options)
            stack.callback(one.kill)
            if started:
                one.wait_for("supervisor_started")
            return one

        yield begin

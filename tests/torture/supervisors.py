"""Supervisors under test: real `pyworker run` processes, which can be killed,
stopped and started at any moment.
"""

import json
import os
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from pyworker.supervisor.exit_codes import Exit

__all__ = ["Supervisor", "Supervisors"]

_LEAVE = 20.0  # seconds that one may take to leave


class Supervisor:
    """One process, with its log in a file."""

    def __init__(self, command: list[str], environment: Mapping[str, str], log: Path) -> None:
        """Start it."""
        self.log = log
        with log.open("ab") as file:
            self.process = subprocess.Popen(
                command, env=dict(environment), stdin=subprocess.DEVNULL, stdout=file, stderr=file
            )
        self.stopped = False  #: SIGSTOP was sent, and no SIGCONT since
        self.was_stopped = False  #: SIGSTOP was sent at some time
        self.killed = False  #: its end was our doing
        self.asked = False  #: it was told to leave, once it had started

    @property
    def alive(self) -> bool:
        """Tell whether it is there, running or stopped."""
        return self.process.poll() is None

    def frozen(self) -> bool:
        """Tell whether it is stopped by a signal, whoever sent it."""
        try:
            status = Path(f"/proc/{self.process.pid}/stat").read_text()
        except OSError:
            return False
        return status.rpartition(")")[2].split()[0] == "T"

    def lines(self) -> list[dict[str, Any]]:
        """Read its log; what is no event, or not whole, is left out."""
        lines = []
        for line in self.log.read_text(encoding="utf-8", errors="replace").splitlines():
            with suppress(ValueError):
                lines.append(json.loads(line))
        return [line for line in lines if isinstance(line, dict)]

    def events(self, name: str) -> list[dict[str, Any]]:
        """List its events of one name."""
        return [line for line in self.lines() if line.get("event") == name]


class Supervisors:
    """All supervisors of a scenario, by number; those that ended stay in the list."""

    def __init__(self, dsn: str, directory: Path, note: Callable[..., None]) -> None:
        """None runs yet. `dsn` may be replaced, by that of a proxy for example:
        the next ones use it.
        """
        self.dsn = dsn
        #: what runs `run`; mutants replace it
        self.program: tuple[str, ...] = (sys.executable, "-m", "pyworker")
        self.environment: dict[str, str] = {"PYWORKER_SESSION_LINGER": "0.5"}
        self.all: list[Supervisor] = []
        self._directory = directory
        self._note = note

    def __len__(self) -> int:
        """Count all that were ever started."""
        return len(self.all)

    def __getitem__(self, number: int) -> Supervisor:
        """Give one by its number."""
        return self.all[number]

    def alive(self) -> list[int]:
        """List those that are there, running or stopped."""
        return [number for number, one in enumerate(self.all) if one.alive]

    def start(self, *arguments: str, failpoint: str | None = None) -> int:
        """Start another one; returns its number. failpoint: see pyworker.supervisor.failpoint."""
        number = len(self.all)
        command = [*self.program, "run", "--name", f"torture {number}", "--wait"]
        command += ["--log-format", "json", "--log-level", "info", *arguments]
        # argv is no place for a DSN
        environment = {**os.environ, "PYWORKER_DSN": self.dsn, **self.environment}
        if failpoint is not None:
            environment["PYWORKER_FAILPOINT"] = failpoint
        self.all.append(
            Supervisor(command, environment, self._directory / f"supervisor-{number}.log")
        )
        self._note(
            "supervisor_started",
            number=number,
            failpoint=failpoint,
            pid=self.all[number].process.pid,
        )
        return number

    def wait_started(self, numbers: Iterable[int] | None = None, seconds: float = 30.0) -> bool:
        """Wait until these, or all that are alive, say that they have started;
        a frozen one never does.
        """
        chosen = self.alive() if numbers is None else list(numbers)
        until = time.monotonic() + seconds
        while not all(
            self.all[number].events("supervisor_started") or not self.all[number].alive
            for number in chosen
        ):
            if time.monotonic() > until:
                return False
            time.sleep(0.02)
        return True

    def kill(self, number: int) -> None:
        """End one without a word."""
        one = self.all[number]
        one.killed = True
        one.process.send_signal(signal.SIGKILL)
        one.process.wait(10)
        self._note("supervisor_killed", number=number)

    def stop(self, number: int) -> None:
        """Freeze one in whatever it does."""
        self.all[number].stopped = self.all[number].was_stopped = True
        self.all[number].process.send_signal(signal.SIGSTOP)
        self._note("supervisor_stopped", number=number)

    def cont(self, number: int) -> None:
        """Let a frozen one go on."""
        self.all[number].stopped = False
        self.all[number].process.send_signal(signal.SIGCONT)
        self._note("supervisor_continued", number=number)

    def terminate(self, number: int) -> int | None:
        """Ask one to leave and wait for it; returns its exit code, None when it did not leave
        in time.
        """
        one, process = self.all[number], self.all[number].process
        if process.poll() is None:
            # One that is asked before it has said anything may not listen to signals yet:
            # its end is our doing.
            one.asked = bool(one.events("supervisor_started"))
            one.killed |= not one.asked
            process.terminate()
        with suppress(subprocess.TimeoutExpired):
            return process.wait(_LEAVE)
        return None

    def count_events(self) -> Counter[str]:
        """Count the events of all logs by name."""
        return Counter(str(line.get("event")) for one in self.all for line in one.lines())

    def wrong_ends(self, *, cut_off: bool) -> list[str]:
        """Say which ones left though nobody asked them to, or with an error; `cut_off`:
        their network was.
        """
        found = []
        for number, one in enumerate(self.all):
            code = one.process.poll()
            if one.killed or (code is None and not one.asked):
                continue
            if code is None:
                found.append(f"supervisor {number} was told to leave, and did not")
            elif code != 0 and one.asked and not cut_off:
                found.append(f"supervisor {number} left with {code} when told to")
            elif not one.asked and not (cut_off and code == Exit.STALLED):
                found.append(f"supervisor {number} left by itself, with {code}")
        return found

    def mend(self) -> None:
        """Let frozen ones go on, and start one when none is left."""
        for number in self.alive():
            if self.all[number].stopped:
                self.cont(number)
        if not self.alive():
            self.start()

    def close(self) -> None:
        """End all that are left."""
        for number in self.alive():
            self.kill(number)

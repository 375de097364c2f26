"""The supervisor: a real `pyworker run`, as a child process, with its log in a file."""

import json
import os
import subprocess
import sys
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from time import monotonic, sleep
from typing import Any, Self

from pyworker.errors import PyworkerError
from pyworker.server.files import open_private

__all__ = ["Daemon", "count_outcomes"]

_START = 20.0  # seconds that it may take until it says that it has started
_STOP = 15.0  # seconds that it may take to leave
_LINGER = "1"  # seconds that an idle worker session stays: the demo waits for their end


class Daemon:
    """The child process."""

    def __init__(self, dsn: str, owner: str, log: Path, environment: Mapping[str, str]) -> None:
        """Nothing runs yet."""
        self._log = log
        self._command = [sys.executable, "-m", "pyworker", "run", "--owner", owner]
        self._command += ["--name", "demo", "--log-format", "json", "--log-level", "info"]
        # The DSN goes through the environment: argv can be read by everybody on the machine.
        self._environment = {
            **os.environ,
            "PYWORKER_SESSION_LINGER": _LINGER,
            "PYWORKER_DSN": dsn,
            **environment,
        }
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        """Start it, and wait until it says so."""
        with open_private(self._log) as file:
            self._process = subprocess.Popen(
                self._command,
                env=self._environment,
                stdin=subprocess.DEVNULL,
                stdout=file,
                stderr=file,
            )
        try:
            self._wait_started()
        except BaseException:
            self.stop()
            raise
        return self

    def _wait_started(self) -> None:
        until = monotonic() + _START
        while not any(line["event"] == "supervisor_started" for line in self.lines()):
            self.assert_alive()
            if monotonic() > until:
                raise PyworkerError(
                    f"the supervisor did not start in {_START:.0f} s", detail=self._last_words()
                )
            sleep(0.05)

    def __exit__(self, *_error: object) -> None:
        """Leave nothing running."""
        self.stop()

    @property
    def pid(self) -> int:
        """Its process id."""
        assert self._process is not None  # noqa: S101  entered before
        return self._process.pid

    def assert_alive(self) -> None:
        """Stop the demo when the supervisor has left."""
        code = self._process.poll() if self._process else None
        if code is not None:
            raise PyworkerError(
                f"the supervisor left with exit code {code}", detail=self._last_words()
            )

    def stop(self) -> int:
        """Send SIGTERM, if it still runs, and return its exit code."""
        assert self._process is not None  # noqa: S101  entered before
        if self._process.poll() is None:
            self._process.terminate()
        try:
            return self._process.wait(_STOP)
        except subprocess.TimeoutExpired:
            self._process.kill()
            return self._process.wait()

    def lines(self) -> list[dict[str, Any]]:
        """Read the log so far, whole lines only."""
        return read_log(self._log.read_text(encoding="utf-8", errors="replace"))

    def _last_words(self) -> str:
        return "\n".join(self._log.read_text(encoding="utf-8", errors="replace").splitlines()[-3:])


def read_log(text: str) -> list[dict[str, Any]]:
    """Read events; what is no event, or not whole yet, is left out."""
    return [
        json.loads(line)
        for line in text.splitlines()
        if line.startswith("{") and line.endswith("}")
    ]


def count_outcomes(lines: list[dict[str, Any]]) -> dict[str, int]:
    """Count the attempts that the log tells of, by outcome; a job that was cancelled before its
    first one, for its parent, has none.
    """
    counts: Counter[str] = Counter()
    for line in lines:
        match line["event"]:
            case "job_succeeded":
                counts["succeeded"] += 1
            case "jobs_succeeded":
                counts["succeeded"] += line["count"]
            case _ if "outcome" in line and line.get("attempt") != 0:
                counts[line["outcome"]] += 1
    return dict(sorted(counts.items()))

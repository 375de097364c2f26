"""A system's program: started, asked, listened to, ended."""

import os
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from queue import Empty, SimpleQueue
from time import monotonic
from typing import Any

import psycopg

from bench.peers.systems import System
from pyworker.errors import WorkError
from pyworker.server import PrivateServer

__all__ = ["Program", "Worker"]

_TOP = Path(__file__).parents[2]
_ASKED = 900.0  # seconds that a command may take
_SAID = 400  # characters of what a program complained of


class Worker:
    """A worker that runs: its process, and the lines that it says."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        """Listen to it."""
        self.pid = process.pid
        self.starts: list[tuple[float, float]] = []  #: enqueue and start of each job, seconds
        self._lines: SimpleQueue[str] = SimpleQueue()
        self._process = process
        self._listener = threading.Thread(target=self._listen, daemon=True)
        self._listener.start()

    def _listen(self) -> None:
        for line in self._process.stdout or ():
            word, *rest = line.split()
            if word == "start":
                self.starts.append((float(rest[1]), float(rest[2])))
            else:
                self._lines.put(word)
        self._lines.put("ended")

    def close(self) -> None:
        """Listen to the end of it, which has been told to end."""
        self._process.wait(30)
        self._listener.join()
        if self._process.stdout:
            self._process.stdout.close()

    def wait_for(self, word: str, seconds: float) -> None:
        """Wait until it says a word."""
        until = monotonic() + seconds
        while True:
            try:
                said = self._lines.get(timeout=max(0.01, until - monotonic()))
            except Empty:
                raise WorkError(f'a worker does not say "{word}" within {seconds:g} s') from None
            if said == word:
                return
            if said == "ended":
                raise WorkError("a worker has ended by itself")


class Program:
    """A system in one database."""

    def __init__(self, server: PrivateServer, system: System, database: str) -> None:
        """Speak of it; nothing is started yet."""
        self.server = server
        self.system = system
        self.database = database
        self._administrator: psycopg.Connection | None = None

    def _environment(self, **more: str) -> dict[str, str]:
        kept = {
            name: value
            for name, value in os.environ.items()
            if not name.startswith(("PG", "PYWORKER_", "PEER_", "NODE_"))
        }
        return kept | {
            "PEER_DSN": self.server.dsn("app", self.database),
            "PEER_VARIANT": self.system.variant,
            "PYTHONPATH": str(_TOP),
            **more,
        }

    def ask(self, *words: object) -> float:
        """Run a command to its end; gives the seconds where it tells them."""
        argv = [*self.system.command(), *map(str, words)]
        done = subprocess.run(
            argv, env=self._environment(), capture_output=True, text=True, check=False,
            timeout=_ASKED,
        )  # fmt: skip
        if done.returncode:
            raise WorkError(
                f"{self.system.title}: {words[0]} failed", detail=done.stderr.strip()[-_SAID:]
            )
        took = [line.split()[1] for line in done.stdout.splitlines() if line.startswith("took ")]
        return float(took[0]) if took else 0.0

    @contextmanager
    def worker(self, *, jobs: int = 0, stamps: bool = False) -> Iterator[Worker]:
        """Run a worker that says when it has handled so many jobs, or when each started."""
        more = {"PEER_JOBS": str(jobs)} | ({"PEER_STAMPS": "1"} if stamps else {})
        process = subprocess.Popen(
            [*self.system.command(), "work"], env=self._environment(**more), text=True,
            stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
        )  # fmt: skip
        worker = Worker(process)
        try:
            worker.wait_for("ready", 60)
            yield worker
        finally:
            process.terminate()
            worker.close()
            if self.system.ours:  # sessions wait a minute for more work
                self.value("select count(pg_terminate_backend(pid)) from jobs.sessions")

    def value(self, query: str) -> Any:
        """Run a query as administrator and give its one value."""
        return self.rows(query)[0][0]

    def rows(self, query: str) -> list[tuple[Any, ...]]:
        """Run a query as administrator."""
        if self._administrator is None:
            dsn = self.server.dsn(dbname=self.database)
            self._administrator = psycopg.connect(dsn, autocommit=True)
        return self._administrator.execute(query.encode()).fetchall()

    def close(self) -> None:
        """Disconnect."""
        if self._administrator is not None:
            self._administrator.close()

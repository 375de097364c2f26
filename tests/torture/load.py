"""The load: enqueuers that write down what they know of each enqueue,
while things break around them.
"""

import math
import random
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import psycopg
from psycopg import Connection

from tests.torture.enqueues import Call
from tests.torture.journal import Entry, Journal, Outcome
from tests.torture.kinds import KINDS, Kind

__all__ = ["OWNERS", "Enqueuer", "Load", "enqueue"]

OWNERS = ("app", "other", "app")  # of the enqueuers, in turn
_CANCEL_AFTER = (0.0, 0.6)  # seconds
_AGAIN = 0.1  # seconds between two tries to connect

Row = tuple[Any, ...]
Connect = Callable[[str], Connection[Row]]


class _Undo(Exception):
    """Our own rollback."""


def enqueue(
    line: Connection[Row], journal: Journal, owner: str, kind: Kind, call: Call
) -> tuple[int, ...]:
    """Enqueue once and write down what came of it. A broken connection is raised again,
    after it was written down.
    """
    ids: list[int] = []
    outcome: Outcome = "unknown"
    sqlstate = message = None
    try:
        if kind.way == "rollback":
            with suppress(_Undo), line.transaction():
                outcome = "rolled_back"
                ids = kind.send(line, call)
                raise _Undo
        else:
            ids = kind.send(line, call)
            outcome = "ok"
    except psycopg.Error as error:
        sqlstate, message = error.sqlstate, str(error).strip()
        # Only a server that goes on speaking with us has certainly undone it. An error without
        # SQLSTATE is not the server's: the driver may find the socket closed before the connection
        # counts as broken.
        if (
            outcome != "rolled_back"
            and sqlstate is not None
            and not line.closed
            and not line.broken
        ):
            outcome = "failed"
        if line.closed or line.broken:
            raise
    finally:
        journal.write(
            Entry(tag=call.tag, kind=kind.name, owner=owner, outcome=outcome, count=kind.count,
                ids=tuple(ids),
                  sqlstate=sqlstate, message=message, at=time.time())
        )  # fmt: skip
    return tuple(ids) if outcome == "ok" else ()


class Enqueuer(threading.Thread):
    """One client: connects, enqueues, cancels some, connects again when the connection breaks."""

    def __init__(
        self,
        name: str,
        owner: str,
        connect: Connect,
        journal: Journal,
        rate: float,
        seed: str,
        without: frozenset[str],
    ) -> None:
        """Draw from `seed`; nothing is sent yet."""
        super().__init__(name=name, daemon=True)
        self._owner = owner
        self._connect = connect
        self._journal = journal
        self._pause = 1.0 / rate
        self._rng = random.Random(seed)
        self._seed = seed
        self._kinds = [kind for kind in KINDS.values() if kind.weight and kind.name not in without]
        self._weights = [kind.weight for kind in self._kinds]
        self._numbers = iter(range(10**9))
        self._cancels: list[tuple[float, int]] = []
        self._end = threading.Event()
        self.error: BaseException | None = None

    def finish(self) -> None:
        """Ask for its end."""
        self._end.set()

    def run(self) -> None:
        """Enqueue until asked to end; what goes wrong in here is a mistake of the driver's."""
        try:
            while not self._end.is_set():
                with (
                    suppress(psycopg.OperationalError, psycopg.InterfaceError),
                    self._connect(self._owner) as line,
                ):
                    self._work(line)
                self._end.wait(_AGAIN)
        except BaseException as error:  # noqa: BLE001  told by the driver, which waits for this thread
            self.error = error

    def _work(self, line: Connection[Row]) -> None:
        due = time.monotonic()
        while not self._end.is_set():
            due = max(due + self._pause, time.monotonic() - 1.0)
            kind = self._rng.choices(self._kinds, self._weights)[0]
            call = self.call()
            for job in enqueue(line, self._journal, self._owner, kind, call):
                if kind.cancel:
                    self._cancels.append(
                        (time.monotonic() + self._rng.uniform(*_CANCEL_AFTER), job)
                    )
            self._cancel_some(line, time.monotonic())
            self._end.wait(max(0.0, due - time.monotonic()))

    def call(self) -> Call:
        """Make the next call: a tag that nobody else has, and a secret that nobody may see."""
        tag = f"{self.name}_{next(self._numbers)}"
        return Call(tag=tag, secret=f"canary-{tag}", rng=random.Random(f"{self._seed}/{tag}"))

    def cancel_rest(self) -> None:
        """Cancel what was still to be cancelled, after the end: nobody has to wait for it then."""
        if self._cancels:
            with self._connect(self._owner) as line:
                self._cancel_some(line, math.inf)

    def _cancel_some(self, line: Connection[Row], now: float) -> None:
        for due, job in list(self._cancels):
            if due <= now:
                self._journal.cancel(job)
                told: dict[str, Any] = {
                    "tag": f"cancel {job}",
                    "kind": "cancel",
                    "owner": self._owner,
                    "ids": (job,),
                }
                try:
                    row = line.execute("select jobs.cancel(%s)", [job]).fetchone()
                    answer = str(row[0]) if row else None
                    self._journal.write(
                        Entry(**told, outcome="ok", count=0, message=answer, at=time.time())
                    )
                except psycopg.Error as error:
                    if line.closed or line.broken or error.sqlstate is None:
                        raise
                    message = str(error).strip()
                    self._journal.write(
                        Entry(
                            **told,
                            outcome="failed",
                            count=0,
                            sqlstate=error.sqlstate,
                            message=message,
                        )
                    )
                self._cancels.remove((due, job))


class Load:
    """All enqueuers of a scenario."""

    def __init__(
        self,
        connect: Connect,
        journal: Journal,
        rate: float,
        seed: str,
        without: frozenset[str] = frozenset(),
    ) -> None:
        """Share the rate among the enqueuers; 0: there are none."""
        self._threads = [
            Enqueuer(
                f"e{number}",
                owner,
                connect,
                journal,
                rate / len(OWNERS),
                f"{seed}/load/{number}",
                without,
            )
            for number, owner in enumerate(OWNERS if rate > 0 else ())
        ]

    def start(self) -> None:
        """Begin."""
        for thread in self._threads:
            thread.start()

    def cancel_rest(self) -> None:
        """Cancel what is still to be cancelled; the threads have ended,
        and the server is well again.
        """
        for thread in self._threads:
            thread.cancel_rest()

    def stop(self, seconds: float = 40.0) -> None:
        """End it, and raise what went wrong inside."""
        for thread in self._threads:
            thread.finish()
        for thread in self._threads:
            thread.join(seconds)
            if thread.is_alive():
                raise TimeoutError(f"enqueuer {thread.name} hangs in a call")
            if thread.error is not None:
                raise thread.error

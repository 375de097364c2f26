"""Sessions of an application, beside the jobs: what they run may wait for a lock."""

from collections.abc import Callable
from threading import Thread
from typing import Any, Self

import psycopg

__all__ = ["Connect", "Other"]

Connect = Callable[[], psycopg.Connection[Any]]

_END = 10.0  # seconds that a statement may take to end once it is cancelled


class Other:
    """One of them, in autocommit."""

    def __init__(self, connect: Connect) -> None:
        """Connect."""
        self._connection = connect()
        self._thread: Thread | None = None
        self.pid = self._connection.info.backend_pid
        self.sqlstate: str | None = None

    def __enter__(self) -> Self:
        """It is connected already."""
        return self

    def __exit__(self, *_error: object) -> None:
        """End what it runs, and disconnect."""
        if not self.done:
            self._connection.cancel_safe(timeout=_END)
            self.wait_for_end()
        self._connection.close()

    def run(self, statement: str) -> None:
        """Run what waits for no other session."""
        self._connection.execute(statement.encode())

    def start(self, statement: str) -> None:
        """Run what may wait, in a thread."""
        self._thread = Thread(target=self._run, args=(statement,), daemon=True)
        self._thread.start()

    def _run(self, statement: str) -> None:
        try:
            self._connection.execute(statement.encode())
        except psycopg.Error as error:
            self.sqlstate = error.sqlstate

    @property
    def done(self) -> bool:
        """Tell whether what was started has ended."""
        return self._thread is None or not self._thread.is_alive()

    def wait_for_end(self) -> None:
        """Wait until what was started has ended, ten seconds at most."""
        if self._thread:
            self._thread.join(_END)

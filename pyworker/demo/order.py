"""Jobs that wait: for a time, also where a clock is set, for other jobs, for a window."""

from collections.abc import Callable, Sequence
from time import monotonic, sleep
from typing import Any

import psycopg

from pyworker.demo.checks import Check
from pyworker.demo.screen import Screen
from pyworker.demo.statements import read_statements
from pyworker.errors import PyworkerError

__all__ = ["Order"]

_PAUSE = 0.05  # seconds between two looks
_TIMEOUT = 60.0  # seconds until the demo gives up on what it waits for
#: What the administrator does.
_ADMINISTRATOR = {"set_clock", "ticks", "set_back", "window", "close_window", "open_window"}

Rows = Sequence[tuple[Any, ...]]


class Order:
    """The last stage, over two connections in autocommit: of the demo's ordinary role, and of the
    administrator.
    """

    def __init__(
        self,
        app: psycopg.Connection[Any],
        admin: psycopg.Connection[Any],
        screen: Screen,
        assert_alive: Callable[[], None],
    ) -> None:
        """Nothing is enqueued yet."""
        self._app = app
        self._admin = admin
        self._screen = screen
        self._assert_alive = assert_alive
        self._sql = read_statements("order.sql")

    def run(self) -> list[Check]:
        """Run it; returns what only this side has seen."""
        self._screen.line()
        self._screen.line(
            "Two nights in which New York's clock was set, in fast motion; a job each second, a "
            "batch, a chain, and a window that closes:",
            "bold",
        )
        self.nights()
        self._do("pulse")  # not before: its time is the supervisor's
        self.batch()
        checks = [self.chain(), self.window()]
        self._wait("over", lambda rows: bool(rows[0][0]))
        return checks

    def nights(self) -> None:
        """Play the nights. The clock is set and set back in one transaction, so that the supervisor
        fires nothing by it.
        """
        self._do("night", "set_clock", "ticks", "set_back", "night_ends")
        self._show("nights", lambda rows: all(row[3:] != ("fired", None) for row in rows))

    def batch(self) -> None:
        """Run a batch until its callback is enqueued."""
        self._do("batch", "months", "close_batch")
        self._show("batches", lambda rows: rows[0][0] == "finished")

    def chain(self) -> Check:
        """Let a chain fail, and bring it back."""
        self._do("chain")
        rows = self._show("broken", lambda rows: rows[-1][2] != "scheduled")
        self._do("corrected", "retry")
        first, second = rows[0][0], rows[1][0]
        return Check(
            name="the chain once its first job had failed: states and errors",
            found="; ".join(f"{state}, {error}" for _, _, state, error in rows),
            expected=(
                "failed, division by zero; "
                f"cancelled, job {first}, which it waited for, has failed; "
                f"cancelled, job {second}, which it waited for, was cancelled"
            ),
        )

    def window(self) -> Check:
        """Close a window while a job runs in it and another one does not fit, and open it again."""
        self._do("window", "fits", "too_long")
        # is it open, how many wait, how many run
        before = self._show("windows", lambda rows: rows[0][:3] == (True, 1, 1))
        self._do("close_window")
        after = self._show("windows", lambda rows: rows[0][:3] == (False, 2, 0))
        self._do("open_window")
        return Check(
            name="why the job that does not fit waited: while its window was open, and then",
            found=f"{before[0][3]}, {after[0][3]}",
            expected="window_too_short, window_closed",
        )

    def _do(self, *names: str) -> None:
        for name in names:
            administers = name in _ADMINISTRATOR
            self._screen.statement(self._sql[name] + "  -- the administrator" * administers)
            connection = self._admin if administers else self._app
            connection.execute(self._sql[name].encode())

    def _show(self, name: str, ready: Callable[[Rows], bool]) -> Rows:
        """Print a statement and its answer once that is as it has to be."""
        columns, rows = self._wait(name, ready)
        self._screen.statement(self._sql[name])
        self._screen.rows(columns, rows, indent=4)
        return rows

    def _wait(self, name: str, ready: Callable[[Rows], bool]) -> tuple[list[str], Rows]:
        until = monotonic() + _TIMEOUT
        with self._screen.quietly("waiting for the jobs"):
            while True:
                self._assert_alive()
                cursor = self._app.execute(self._sql[name].encode())
                columns = [column.name for column in cursor.description or ()]
                rows = cursor.fetchall()
                if rows and ready(rows):
                    return columns, rows
                if monotonic() > until:
                    raise PyworkerError(
                        f"the demo's jobs have not come on within {_TIMEOUT:.0f} s",
                        detail=f"{self._sql[name]} gives {rows}",
                    )
                sleep(_PAUSE)

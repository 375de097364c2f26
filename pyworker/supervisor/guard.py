"""Calls to the database that may fail: a lost connection ends the round, any other failure only
that one duty.
"""

from collections.abc import Callable
from time import monotonic
from typing import TypeVar

import psycopg

from pyworker.database.connection import DeadlineConnection, is_loss, reason_of
from pyworker.log import EventLog
from pyworker.supervisor.rate import Throttle

__all__ = ["ConnectionLost", "Guard"]

T = TypeVar("T")
#: What to do where the server gives no hint.
_HINTS = {
    "55P03": "A table of pyworker's is locked by a transaction of others; jobs.health says whose.",
}
#: What reading an answer may raise: a job may have put anything into its outcome.
_UNREADABLE = (ValueError, TypeError, LookupError, AttributeError, RecursionError)


class ConnectionLost(Exception):
    """The connection is gone."""


class Guard:
    """Makes the calls of one supervisor, and knows which duty is under way."""

    def __init__(self, log: EventLog, throttle: Throttle) -> None:
        """Log failures here, each kind of them at intervals."""
        self._log = log
        self._throttle = throttle
        self.connection: DeadlineConnection | None = None
        self.duty = "start"

    def call(self, duty: str, work: Callable[[], T]) -> T | None:
        """Make one call. A failure that leaves the connection intact is logged, and gives None."""
        self.duty = duty
        try:
            return work()
        except psycopg.Error as error:
            if is_loss(self.connection, error):
                raise ConnectionLost from error
            hint = error.diag.message_hint or _HINTS.get(error.sqlstate or "")
            self._log_failure(duty, error, error.sqlstate, hint)
        except _UNREADABLE as error:
            self._log_failure(
                duty, error, None, "The database gave an answer that this version cannot read."
            )
        return None

    def _log_failure(
        self, duty: str, error: Exception, sqlstate: str | None, hint: str | None
    ) -> None:
        suppressed = self._throttle.allow(f"duty {duty} {sqlstate}", monotonic())
        if suppressed is not None:
            self._log.emit(
                "duty_failed",
                duty=duty,
                sqlstate=sqlstate,
                message=reason_of(error),
                hint=hint,
                suppressed=suppressed,
            )

"""Why the server stays out of reach, told once for each reason."""

from time import monotonic

from pyworker.database.connection import reason_of
from pyworker.log import EventLog

__all__ = ["Reasons"]

_TOLD_AFTER = 3.0  # seconds that another reason has to stand: those of a restart pass by themselves


class Reasons:
    """Why the server stays lost. What ended the connection is seldom what keeps it away: a database
    that was renamed, a password that was changed.
    """

    def __init__(self, log: EventLog, told: str) -> None:
        """`told`: the reason that was logged with the loss."""
        self._log = log
        self._told = {told}
        self._reason = told
        self._since = monotonic()

    def note(self, error: BaseException | None) -> None:
        """Take in why a try failed; each reason that stands is logged once."""
        reason, now = reason_of(error) if error else self._reason, monotonic()
        if reason != self._reason:
            self._reason, self._since = reason, now
        elif reason not in self._told and now - self._since >= _TOLD_AFTER:
            self._told.add(reason)
            self._log.emit("server_unreachable", reason=reason)

"""Starting worker sessions: over a connection authenticated as their owner, each owner in a thread
of its own.

So an owner that cannot be reached, or only slowly, holds up no other. Connections are few however
many owners there are: another owner's takes the place of the one that was unused for longest. This
module is the one place that knows how a session is started.
"""

import queue
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import timedelta
from time import monotonic
from typing import Literal

import psycopg

from pyworker.database.connection import (
    OWNERS_AT_ONCE,
    DeadlineConnection,
    Interrupted,
    ServerStalled,
    connect_owner,
    reason_of,
)
from pyworker.database.gateway import Gateway
from pyworker.supervisor.failpoint import reach

__all__ = ["Launched", "Launcher"]

_KEEP = 5.0  # seconds that an owner's connection is kept after its last use
_NO_SLOT = {"53000", "53400"}
_ENDING = {"57P01", "57P02", "57P03"}  # the server, or this connection, is about to end

Trouble = Literal["no_slot", "unreachable", "refused", "lost"]


@dataclass(frozen=True, kw_only=True)
class Launched:
    """What came of one request."""

    owner: str
    asked: int
    launched: int = 0
    trouble: Trouble | None = None
    sqlstate: str | None = None
    message: str | None = None
    hint: str | None = None


@dataclass
class _Link:
    """One owner's connection. A thread has it while `asked` is not zero, the main
    thread otherwise.
    """

    owner: str
    connection: DeadlineConnection | None = None
    used: float = field(default_factory=monotonic)
    asked: int = 0


class Launcher:
    """Launches sessions in the background. Every method is for the main thread."""

    def __init__(
        self,
        dsn: str,
        own_user: str,
        *,
        linger: timedelta,
        call_timeout: float,
        done: Callable[[], None],
    ) -> None:
        """`linger`: how long an idle session stays; `done` is called, from a thread, when a request
        has ended.
        """
        self._dsn = dsn
        self._own_user = own_user
        self._linger = linger
        self._call_timeout = call_timeout
        self._done = done
        self._links: dict[str, _Link] = {}
        self._results: queue.SimpleQueue[tuple[_Link, Launched]] = queue.SimpleQueue()
        self._closed = False

    def busy(self) -> list[str]:
        """Name the owners with a request under way."""
        return [link.owner for link in self._links.values() if link.asked]

    def request(self, owner: str, count: int) -> bool:
        """Launch in the background; false: not now."""
        known = self._links.get(owner)
        if (known and known.asked) or len(self.busy()) >= OWNERS_AT_ONCE:
            return False
        if not known and len(self._links) >= OWNERS_AT_ONCE:
            self._drop(
                min(
                    (link for link in self._links.values() if not link.asked),
                    key=lambda link: link.used,
                )
            )
        link = self._links.setdefault(owner, _Link(owner=owner))
        link.asked = count
        threading.Thread(
            target=self._run, args=(link,), name=f"launch {owner}", daemon=True
        ).start()
        return True

    def collect(self) -> list[Launched]:
        """Take the results that have come in."""
        results: list[Launched] = []
        while True:
            try:
                link, result = self._results.get_nowait()
            except queue.Empty:
                return results
            link.asked = 0
            link.used = monotonic()
            if link.connection is not None and link.connection.closed:
                link.connection = None
            results.append(result)

    def close_idle(self, now: float) -> None:
        """Close connections that were not used for some seconds."""
        for link in [
            link for link in self._links.values() if not link.asked and link.used + _KEEP <= now
        ]:
            self._drop(link)

    def closes_at(self) -> float:
        """Tell when the next connection is to be closed; infinite where there is none."""
        return min(
            (link.used + _KEEP for link in self._links.values() if not link.asked),
            default=float("inf"),
        )

    def close(self) -> None:
        """Close what can be closed; a thread that still waits for the server closes its own
        connection.
        """
        self._closed = True
        for link in self._links.values():
            if not link.asked:
                _close(link)
        self._links.clear()

    def _drop(self, link: _Link) -> None:
        _close(link)
        del self._links[link.owner]

    def _run(self, link: _Link) -> None:
        try:
            result = self._launch(link)
        except psycopg.Error as error:
            result = _trouble_of(link, error)
        except (ServerStalled, Interrupted, OSError) as error:
            result = Launched(
                owner=link.owner, asked=link.asked, trouble="lost", message=reason_of(error)
            )
        if self._closed or result.trouble not in (None, "no_slot"):
            _close(link)  # what it was given when it connected may be what failed
        self._results.put((link, result))
        self._done()

    def _launch(self, link: _Link) -> Launched:
        if link.connection is None:
            try:
                link.connection = connect_owner(self._dsn, link.owner, self._own_user)
            except psycopg.Error as error:
                return Launched(
                    owner=link.owner,
                    asked=link.asked,
                    trouble="unreachable",
                    message=reason_of(error),
                )
            link.connection.call_timeout = self._call_timeout
        count = Gateway(link.connection).launch(link.asked, self._linger)
        reach("after_launch")
        short: Trouble | None = "no_slot" if count < link.asked else None
        return Launched(owner=link.owner, asked=link.asked, launched=count, trouble=short)


def _trouble_of(link: _Link, error: psycopg.Error) -> Launched:
    lost = link.connection is None or link.connection.closed or error.sqlstate in _ENDING
    return Launched(
        owner=link.owner,
        asked=link.asked,
        trouble="lost" if lost else "no_slot" if error.sqlstate in _NO_SLOT else "refused",
        sqlstate=error.sqlstate,
        message=reason_of(error),
        hint=error.diag.message_hint,
    )


def _close(link: _Link) -> None:
    if link.connection is not None:
        link.connection.close()
        link.connection = None

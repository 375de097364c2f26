"""Connections: how the daemon reaches the server, how long it waits for it, and when a connection
counts as lost.

A control connection supervises; an owner's connection launches that owner's sessions. Both have the
server-side timeouts off, whatever their role's defaults are, because a session inherits its
launcher's settings. The limit is on this side: a call that gives no answer within its
`call_timeout` raises `ServerStalled`. A control connection has one of the server's own below it, so
that what waits there ends with an error that can be named.
"""

import json
import os
import select
from collections.abc import Callable, Mapping
from time import monotonic
from typing import Any

import psycopg
from psycopg.abc import PQGen
from psycopg.conninfo import conninfo_to_dict, make_conninfo
from psycopg.rows import TupleRow
from psycopg.types.json import set_json_loads

from pyworker.log import clean

__all__ = [
    "OWNERS_AT_ONCE",
    "DeadlineConnection",
    "Interrupted",
    "ServerStalled",
    "connect_caller",
    "connect_control",
    "connect_owner",
    "connect_reader",
    "is_loss",
    "is_standby",
    "read_json",
    "reading_parameters",
    "reason_of",
    "with_settings",
]

OWNERS_AT_ONCE = 8  #: connections as owners that a supervisor has at most

_NETWORK = {
    "connect_timeout": "5",
    "keepalives": "1",
    "keepalives_idle": "5",
    "keepalives_interval": "2",
    "keepalives_count": "3",
    "tcp_user_timeout": "10000",  # milliseconds: a peer that vanished is noticed while a call waits
}
_TIMEOUTS_OFF = (
    "statement_timeout=0",
    "transaction_timeout=0",
    "lock_timeout=0",
    "idle_in_transaction_session_timeout=0",
    "idle_session_timeout=0",
    "default_transaction_isolation=read committed",
    "default_transaction_read_only=off",
    "default_transaction_deferrable=off",
    "exit_on_error=off",
    # whatever ALTER ROLE and ALTER DATABASE say: the login itself supervises, and launches its
    # sessions
    "role=none",
)
# On a server whose client vanished without a word: a transaction left open would hold up vacuum and
# every index build.
_WHEN_WE_VANISH = (
    "tcp_keepalives_idle=5",
    "tcp_keepalives_interval=2",
    "tcp_keepalives_count=3",
    "tcp_user_timeout=10s",
)
# A synchronous standby that is gone must not stop a supervisor: what it commits, any does again
# after a failover.
_COMMITS_HERE = "synchronous_commit=local"
_FOR_OURSELVES = ("timezone=UTC", "datestyle=ISO", "client_min_messages=warning")

_STEP = 0.05  # seconds between two looks at whether the wait is interrupted
_GRACE = (
    0.1  # seconds that a call under way may still take when the process was told to stop at once
)
_DIGITS = 4000  # of an integer that Python reads by itself
_MASKS = {
    1: select.POLLIN,
    2: select.POLLOUT,
    3: select.POLLIN | select.POLLOUT,
}  # psycopg.waiting.Wait


class ServerStalled(Exception):
    """The server took a call and gave no answer in time."""


class Interrupted(Exception):
    """The process was told to stop while a call was under way."""


def _never() -> bool:
    return False


class DeadlineConnection(psycopg.Connection[TupleRow]):
    """A connection whose waits end: after `call_timeout` seconds, or soon after `interrupted` says
    so.
    """

    call_timeout: float = 30.0
    pid: int = 0  # of the server's process, known also after the connection was given up
    interrupted: Callable[[], bool] = staticmethod(_never)

    def wait(self, gen: PQGen[Any], interval: float = _STEP, timeout: float | None = None) -> Any:  # noqa: ARG002
        """Drive one call of the driver; the driver's own interval and timeout give way to ours."""
        begun = monotonic()
        poller = select.poll()
        socket = self.pgconn.socket
        try:
            wanted = next(gen)
            while True:
                poller.register(socket, _MASKS[int(wanted)])
                found = poller.poll(min(_STEP, max(self.call_timeout, 0.001)) * 1000)
                if found:
                    wanted = gen.send(_ready(found[0][1], int(wanted)))
                    continue
                waited = monotonic() - begun
                if waited > self.call_timeout:
                    self.close()
                    raise ServerStalled(f"no answer for {waited:.1f} s")
                if waited > _GRACE and self.interrupted():
                    self.close()
                    raise Interrupted
        except StopIteration as done:
            return done.value


def _ready(mask: int, wanted: int) -> Any:
    """Translate poll's answer into psycopg's; a broken socket counts as ready, and the driver then
    finds out why.
    """
    if mask & (select.POLLERR | select.POLLHUP | select.POLLNVAL):
        return wanted
    return (1 if mask & select.POLLIN else 0) | (2 if mask & select.POLLOUT else 0)


def with_settings(given: str | None, settings: tuple[str, ...]) -> str:
    """Add settings to the `options` of a DSN, or to PGOPTIONS, which options would hide from the
    driver: they win over what those, ALTER ROLE and ALTER DATABASE say.
    """
    given = os.environ.get("PGOPTIONS") if given is None else given
    ours = " ".join(
        "-c " + setting.replace("\\", "\\\\").replace(" ", "\\ ") for setting in settings
    )
    return f"{given} {ours}" if given else ours


def _connect(parameters: dict[str, Any]) -> DeadlineConnection:
    connection = DeadlineConnection.connect(make_conninfo("", **parameters), autocommit=True)
    if connection.info.parameter_status("in_hot_standby") == "on":
        connection.close()
        raise psycopg.OperationalError("the server is in hot standby mode")
    return connection


def _integer(digits: str) -> int | str:
    return int(digits) if len(digits) <= _DIGITS else digits


def read_json(data: str | bytes) -> Any:
    """Read JSON that holds what jobs and their owners said: numbers of any length, nested as deep
    as they like.
    """
    try:
        return json.loads(data, parse_int=_integer)
    except RecursionError:
        return None


def connect_control(dsn: str, call_timeout: float) -> DeadlineConnection:
    """Open the connection that supervises; the server ends it where a transaction idles for a call
    timeout.

    A call that takes half of it is cancelled by the server: its error is named and the rest of the
    round goes on, where the end of the call timeout would be the end of the process, and the next
    one would meet the same.
    """
    given = conninfo_to_dict(dsn)
    limits = (
        f"idle_in_transaction_session_timeout={max(1, round(call_timeout * 1000))}",
        f"statement_timeout={max(1, round(call_timeout * 500))}",
    )
    settings = (*_TIMEOUTS_OFF, *_FOR_OURSELVES, *_WHEN_WE_VANISH, _COMMITS_HERE, *limits)
    options = with_settings(_text(given.get("options")), settings)
    ours = {
        "application_name": "pyworker supervisor",
        "target_session_attrs": "read-write",
        "client_encoding": "UTF8",
    }
    connection = _connect({**_NETWORK, **given, **ours, "options": options})
    set_json_loads(read_json, connection)
    connection.pid = connection.info.backend_pid
    return connection


def connect_owner(dsn: str, owner: str, own_user: str) -> DeadlineConnection:
    """Open a connection authenticated as `owner`: the same server, another user, never our own
    role's password.
    """
    given = conninfo_to_dict(dsn)
    if owner != own_user:
        # Not another role's: neither the DSN's nor PGPASSWORD; the pass file still counts.
        given["password"] = ""  # none  # nosec B105
    options = with_settings(_text(given.get("options")), _TIMEOUTS_OFF)
    ours = {
        "application_name": "pyworker launcher",
        "target_session_attrs": "read-write",
        "client_encoding": "UTF8",
    }
    return _connect({**_NETWORK, **given, **ours, "options": options, "user": owner})


def connect_reader(dsn: str) -> DeadlineConnection:
    """Open a connection that only looks; a standby serves as well."""
    given = conninfo_to_dict(dsn)
    options = with_settings(_text(given.get("options")), _FOR_OURSELVES)
    ours = {"application_name": "pyworker status", "client_encoding": "UTF8", "options": options}
    return DeadlineConnection.connect(
        make_conninfo("", **{**_NETWORK, **given, **ours}), autocommit=True
    )


def reading_parameters(given: Mapping[str, Any], statement_seconds: int) -> dict[str, Any]:
    """Give the parameters of a connection that reads for HTTP: from the primary that the supervisor
    writes to, in transactions that cannot write, with statements that end.
    """
    limits = (
        f"statement_timeout={statement_seconds}s",
        "lock_timeout=1s",
        "default_transaction_read_only=on",
    )
    settings = (*_TIMEOUTS_OFF, *_FOR_OURSELVES, *_WHEN_WE_VANISH, *limits)
    ours = {
        "application_name": "pyworker http",
        "target_session_attrs": "primary",
        "client_encoding": "UTF8",
        "options": with_settings(_text(given.get("options")), settings),
    }
    return {**_NETWORK, **given, **ours}


def connect_caller(dsn: str, command: str) -> DeadlineConnection:
    """Open a connection for a command that acts as its login: with that login's own settings."""
    ours = {"application_name": f"pyworker {command}", "client_encoding": "UTF8"}
    connection = DeadlineConnection.connect(
        make_conninfo("", **{**_NETWORK, **conninfo_to_dict(dsn), **ours}), autocommit=True
    )
    set_json_loads(read_json, connection)
    return connection


def _text(value: object) -> str | None:
    return None if value is None else str(value)


def _refusal(text: str) -> str | None:
    """Find the host that refused us, where several were tried and others did not answer or are
    standbys.
    """
    tried = [
        line.partition("connection to server ")
        for line in text.splitlines()
        if line.startswith("- host: ")
    ]
    refused = [f"{begun}{rest}" for _attempt, begun, rest in tried if "FATAL:" in rest]
    return refused[0] if refused else None


def is_loss(connection: psycopg.Connection[Any] | None, error: psycopg.Error) -> bool:
    """Tell whether the connection is of no more use: it is broken, or leads to a server that became
    read-only.
    """
    return connection is None or connection.closed or connection.broken or error.sqlstate == "25006"


def is_standby(error: psycopg.Error) -> bool:
    """Tell whether a connection was refused because the server takes no writes."""
    text = str(error)
    return "hot standby" in text or "read-only" in text


def reason_of(error: BaseException) -> str:
    """Say in one short line what went wrong. Of several hosts that were tried, the one that refused
    us counts.
    """
    primary = error.diag.message_primary if isinstance(error, psycopg.Error) else None
    text = primary or _refusal(str(error)) or str(error).strip() or type(error).__name__
    return clean(text.splitlines()[0].removeprefix("consuming input failed: ").strip(), 300)

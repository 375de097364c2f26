"""Every error that pyworker raises on purpose, and the one place that turns the driver's errors
into them.

A class's docstring is its default message. An error carries what failed (message), the facts
(detail) and what to do about it (hint); the command line prints the three and leaves with
`exit_code`.
"""

import inspect
from collections.abc import Iterator
from contextlib import contextmanager
from typing import ClassVar

from pyworker.dsn import scrub

__all__ = [
    "ConfigError",
    "ConnectionFailed",
    "PyworkerError",
    "SchemaError",
    "ServerBusy",
    "ServerError",
    "WorkError",
    "convert_database_errors",
]


class PyworkerError(Exception):
    """pyworker failed"""

    #: What the command line exits with.
    exit_code: ClassVar[int] = 1

    def __init__(
        self,
        message: str | None = None,
        *,
        detail: str | None = None,
        hint: str | None = None,
        sqlstate: str | None = None,
    ) -> None:
        """Keep the facts beside the message; without a message the class's docstring speaks."""
        # What libpq or the server quotes may be a connection string, and an error is for screens
        # and logs.
        self.message = scrub(message or (inspect.getdoc(type(self)) or "").partition("\n")[0])
        self.detail = detail and scrub(detail)
        self.hint = hint
        self.sqlstate = sqlstate
        super().__init__(self.message)

    def __str__(self) -> str:
        """Render the message with its detail and hint, each on a line of its own."""
        lines = [self.message]
        if self.detail:
            lines.append(f"DETAIL: {self.detail}")
        if self.hint:
            lines.append(f"HINT: {self.hint}")
        return "\n".join(lines)


class ConfigError(PyworkerError):
    """a setting is missing or wrong"""

    exit_code = 2


class ServerError(PyworkerError):
    """the private server could not do what was asked"""


class ServerBusy(ServerError):
    """another process is starting, stopping or destroying this private server"""


class ConnectionFailed(PyworkerError):
    """the database could not be reached"""


class SchemaError(PyworkerError):
    """the database does not hold the schema that this version needs"""


class WorkError(PyworkerError):
    """the database refused a call"""


#: SQLSTATE, or its first two or three characters -> the class to raise. The longest match wins.
_BY_SQLSTATE: dict[str, type[PyworkerError]] = {
    "08": ConnectionFailed,  # connection exceptions
    "28": ConnectionFailed,  # wrong role or password
    "3D000": ConnectionFailed,  # no such database
    "53300": ConnectionFailed,  # too many connections
    "57P": ConnectionFailed,  # the server shuts down, starts up or dropped the connection
    "3F000": SchemaError,  # schema jobs is not there
    "42883": SchemaError,  # a function of ours is not there
    "42P01": SchemaError,  # a view of ours is not there
    "PW060": SchemaError,  # the database is a copy of another installation
}

_UNREACHED = (
    "See that the server runs and that the DSN (--dsn, PYWORKER_DSN) names its host, port, "
    "database and role; for a private one: "
)
_UNREACHED += "`pyworker server status`, `pyworker server start`."


def class_for_sqlstate(sqlstate: str | None) -> type[PyworkerError]:
    """Find our class for a SQLSTATE; an error without one never reached the server."""
    if not sqlstate:
        return ConnectionFailed
    for length in (5, 3, 2):
        found = _BY_SQLSTATE.get(sqlstate[:length])
        if found:
            return found
    return WorkError


@contextmanager
def convert_database_errors() -> Iterator[None]:
    """Turn every error of the driver that leaves the block into one of ours, by SQLSTATE; the
    original is its cause.
    """
    # the driver takes 0.1 s to load, and `pyworker --help` needs none of it
    import psycopg  # noqa: PLC0415

    try:
        yield
    except psycopg.Error as error:
        diagnostic = error.diag
        kind = class_for_sqlstate(error.sqlstate)
        said = diagnostic.message_primary or str(error).strip()
        message, _, more = said.removeprefix("connection is bad: ").partition(
            "\n"
        )  # libpq adds what it guesses
        raise kind(
            message or None,
            detail=diagnostic.message_detail or " ".join(more.split()) or None,
            hint=diagnostic.message_hint or (_UNREACHED if kind is ConnectionFailed else None),
            sqlstate=error.sqlstate,
        ) from error

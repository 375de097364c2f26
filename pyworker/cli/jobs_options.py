"""What the commands about jobs have in common: options, the connection, and clear answers."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import click

from pyworker.cli.options import dsn_option
from pyworker.cli.target import resolve_dsn
from pyworker.config import load_settings
from pyworker.errors import PyworkerError, SchemaError, convert_database_errors
from pyworker.log import clean

if TYPE_CHECKING:
    from pyworker.database.caller import Caller, Filter

__all__ = [
    "CONTEXT",
    "ID",
    "STATES",
    "as_caller",
    "checked_text",
    "database_option",
    "json_option",
    "with_moment",
]

CONTEXT = {"help_option_names": ["-h", "--help"], "max_content_width": 120}
ID = click.IntRange(1, 2**63 - 1)
STATES = ("scheduled", "queued", "running", "succeeded", "failed", "cancelled", "in_doubt")

database_option = dsn_option(
    "The database, as a URI or keyword string, for the role that asks.  [env: PYWORKER_DSN; "
    "default: the private server, if it runs]"
)

#: What the server says where a name of ours is not there.
_UNKNOWN = ("3F000", "42P01", "42883", "42703")
_ABSENT = {
    "detail": "pyworker is not installed in this database.",
    "hint": "Run `pyworker install`, or name another database.",
}
_OTHER_VERSION = {
    "detail": "This database holds pyworker of another schema version than this program is for.",
    "hint": "Run `pyworker upgrade` as an administrator, or use the program of that version; "
    "`pyworker check` names both.",
}
_NO_RIGHTS = (
    "As an administrator: grant jobs_producer (its own jobs), jobs_reader (to look at all) or "
    "jobs_operator (all jobs) to this role. Retry then."
)


def json_option(help: str) -> Callable[[Any], Any]:  # noqa: A002  click's name
    """Make the option --json."""
    return click.option("--json", "as_json", is_flag=True, help=help)


def checked_text(
    context: click.Context, parameter: click.Parameter, value: str | None
) -> str | None:
    """Refuse what is no text: the shell passes any bytes."""
    try:
        (value or "").encode()
    except UnicodeEncodeError:
        raise click.BadParameter("it is not UTF-8", context, parameter) from None
    return value


@contextmanager
def as_caller(dsn: str | None, command: str) -> "Iterator[Caller]":
    """Connect as the login, and turn what the server refuses into an answer that says what to
    do.
    """
    # the driver takes a while to load
    from pyworker.database.caller import Caller  # noqa: PLC0415
    from pyworker.database.connection import connect_caller  # noqa: PLC0415

    database = resolve_dsn(load_settings(dsn=dsn))
    with convert_database_errors(), connect_caller(database, command) as line:
        caller = Caller(line)
        try:
            with convert_database_errors():
                yield caller
        except PyworkerError as error:
            raise _answer(error, caller) from error


def _answer(error: PyworkerError, caller: "Caller") -> PyworkerError:
    if error.sqlstate in _UNKNOWN:
        more = _OTHER_VERSION if caller.is_installed() else _ABSENT
        return SchemaError(error.message, sqlstate=error.sqlstate, **more)
    if error.sqlstate == "42501" and error.hint is None:
        return type(error)(
            error.message, detail=error.detail, hint=_NO_RIGHTS, sqlstate=error.sqlstate
        )
    return error


def with_moment(caller: "Caller", which: "Filter") -> "Filter":
    """Have the server read the filter's time."""
    if which.since is None:
        return which
    moment = caller.moment(which.since)
    if moment is None:
        raise click.UsageError(
            f'"{clean(which.since)}" is neither a time nor an interval; expected is '
            "'2026-01-31 06:00+01', 'yesterday' or '2 hours', for example"
        )
    return replace(which, since=moment)

"""Options that several commands have."""

from collections.abc import Callable
from typing import Any

import click

from pyworker.dsn import complaint_about, has_secret

__all__ = ["dsn_option"]

_SEEN = (
    "pyworker: warning: the password in --dsn shows in the list of processes,"
    " to everybody on this machine\n"
    "HINT: Put the DSN into PYWORKER_DSN or the configuration file,"
    " or the password into a pass file (PGPASSFILE)."
)


def _warn(_context: click.Context, _parameter: click.Parameter, value: str | None) -> str | None:
    # What cannot be read is hidden as a whole, password or not; the error about it comes from the
    # settings.
    if value and has_secret(value) and complaint_about(value) is None:
        click.echo(_SEEN, err=True)
    return value


def dsn_option(help: str) -> Callable[[Any], Any]:  # noqa: A002  click's name
    """Make the option --dsn; a password in it is warned about, because argv is no secret."""
    return click.option("--dsn", metavar="DSN", callback=_warn, help=help)

"""`pyworker top`: what happens now, on a terminal, with keys to act."""

import sys

import click

from pyworker.cli.jobs_options import CONTEXT, as_caller, database_option
from pyworker.cli.target import resolve_dsn
from pyworker.config import load_settings
from pyworker.errors import ConfigError

__all__ = ["top"]


@click.command("top", context_settings=CONTEXT)
@database_option
def top(dsn: str | None) -> None:
    """Watch health, running and waiting jobs, queues and failures, and act on them with keys.

    It reads once a second, and more seldom where that takes the database long. What needs a right
    that the login lacks is grey; cancel, retry, dismiss and pause ask first. It needs the extra
    `top`.

    \b
    Exit codes: 0 left with q; 1 the database cannot be read at the start; 2 wrong usage or setting,
    no terminal, or the extra is missing.
    """
    try:
        from pyworker.top.app import Top  # noqa: PLC0415  an extra
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] != "textual":
            raise
        raise ConfigError(
            "pyworker top needs the extra `top`", hint="Install it: pip install 'pyworker[top]'."
        ) from error
    if not (sys.stdin.isatty() and sys.stdout.isatty()):
        raise ConfigError(
            "pyworker top needs a terminal", hint="For scripts: pyworker status, pyworker jobs."
        )
    database = resolve_dsn(load_settings(dsn=dsn))
    with as_caller(dsn, "top") as caller:  # what is wrong is said before the screen is taken
        caller.has_queue("default")
    Top(database).run()

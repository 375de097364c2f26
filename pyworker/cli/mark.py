"""`pyworker mark`: a mark in time, set by a pipeline that deploys."""

import json
from typing import Any

import click

from pyworker.cli.jobs_options import CONTEXT, as_caller, checked_text, database_option

__all__ = ["mark"]


def _note(_context: click.Context, _option: click.Parameter, value: str | None) -> Any:
    if value is None:
        return None
    try:
        note = json.loads(value)
    except ValueError as error:
        raise click.BadParameter(f"it is no JSON ({error})") from error
    if not isinstance(note, dict):
        raise click.BadParameter('it is no JSON object; pass {"key": value, ...}')
    return note


@click.command(context_settings=CONTEXT)
@database_option
@click.option(
    "--kind",
    default="deploy",
    show_default=True,
    callback=checked_text,
    help="What kind of change it is.",
)
@click.option("--note", callback=_note, metavar="JSON", help="An object, kept with the mark.")
@click.argument("name", callback=checked_text)
def mark(dsn: str | None, *, kind: str, note: dict[str, Any] | None, name: str) -> None:
    """Mark this moment as that of a deployment, and print the number of the mark.

    Later, in psql: select * from jobs.compare(NUMBER);

    \b
    Exit codes: 0 marked; 1 refused, or the database cannot be reached; 2 wrong usage or setting.
    """
    with as_caller(dsn, "mark") as caller:
        click.echo(caller.mark(name, kind, note))

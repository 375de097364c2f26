"""`pyworker mark`: a mark in time, set by a pipeline that deploys."""

import json
from typing import Any

import click

from pyworker.cli.options import dsn_option
from pyworker.cli.target import resolve_dsn
from pyworker.config import load_settings
from pyworker.errors import convert_database_errors

__all__ = ["mark"]

CONTEXT = {"help_option_names": ["-h", "--help"], "max_content_width": 120}


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
@dsn_option("The database; default: PYWORKER_DSN, else the private server.")
@click.option("--kind", default="deploy", show_default=True, help="What kind of change it is.")
@click.option("--note", callback=_note, metavar="JSON", help="An object, kept with the mark.")
@click.argument("name")
def mark(dsn: str | None, *, kind: str, note: dict[str, Any] | None, name: str) -> None:
    """Mark this moment as that of a deployment, and print the number of the mark.

    Later, in psql: select * from jobs.compare(NUMBER);
    """
    # the driver takes a while to load
    from pyworker.database.connection import connect_caller  # noqa: PLC0415
    from pyworker.database.gateway import Gateway  # noqa: PLC0415

    login = resolve_dsn(load_settings(dsn=dsn))
    with convert_database_errors(), connect_caller(login, "mark") as line:
        click.echo(Gateway(line).mark(name, kind, note))

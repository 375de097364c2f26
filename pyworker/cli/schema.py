"""`pyworker install`, `upgrade` and `uninstall`: the schema in the database."""

import sys

import click

from pyworker.cli.options import dsn_option
from pyworker.cli.target import resolve_dsn
from pyworker.config import load_settings
from pyworker.errors import SchemaError
from pyworker.schema import (
    Applied,
    apply_schema,
    drop_schema,
    install_script,
    look,
    read_source,
    uninstall_script,
)
from pyworker.schema.script import Command

__all__ = ["install", "uninstall", "upgrade"]

CONTEXT = {"help_option_names": ["-h", "--help"], "max_content_width": 120}

_dsn = dsn_option(
    "The database, as a URI or keyword string.  [env: PYWORKER_DSN; default: the private "
    "server, if it runs]"
)
_sql = click.option(
    "--sql", "as_sql", is_flag=True, help="Print the SQL, for psql, instead of running it."
)


def _report(done: Applied) -> None:
    for warning in done.warnings:
        click.echo(f"pyworker: {warning}", err=True)
    if done.pgmq:
        click.echo("pgmq's own SQL applied: the server does not offer it as an extension")
    for path in done.migrations:
        click.echo(f"applied sql/{path}")
    if done.fresh:
        click.echo(f'installed in database "{done.database}", schema version {done.after}')
    elif done.migrations:
        click.echo(
            f'upgraded database "{done.database}" from schema version {done.before} to {done.after}'
        )
    else:
        click.echo(
            f"already installed, schema version {done.after}: functions and views re-applied"
        )


def _tell(line: str) -> None:
    click.echo(f"pyworker: {line}", err=True)


def _apply(command: Command, dsn: str | None, *, as_sql: bool, wait: float | None = None) -> None:
    if as_sql:
        click.echo(install_script(read_source(), command), nl=False)
        return
    settings = load_settings(dsn=dsn, upgrade_wait=wait)
    dsn = resolve_dsn(settings)
    _report(apply_schema(dsn, command, wait=settings.upgrade_wait, tell=_tell))


@click.command(context_settings=CONTEXT)
@_dsn
@_sql
def install(dsn: str | None, *, as_sql: bool) -> None:
    """Install the schema, in one transaction; where this version is installed, apply functions and
    views again.

    It needs PostgreSQL 17 or newer with pg_background, and a superuser, or a role with CREATEROLE
    whose missing rights it names. pgmq comes from the server's extension, or else with pyworker.
    Two installs at once are safe.

    \b
    Exit codes: 0 installed, 1 refused (the message says why; nothing is changed), 2 wrong setting.
    """
    _apply("install", dsn, as_sql=as_sql)


@click.command(context_settings=CONTEXT)
@_dsn
@_sql
@click.option(
    "--wait",
    type=float,
    help="Seconds that worker sessions have for the jobs that they run.  [env: "
    "PYWORKER_UPGRADE_WAIT; default: 60]",
)
def upgrade(dsn: str | None, *, as_sql: bool, wait: float | None) -> None:
    """Bring an installed schema to this version: migrations that are missing, then all functions
    and views.

    Where tables change, everything is paused until it is done: worker sessions end the jobs that
    they run, none is started, and no job is cut off. Where that takes too long, it says which jobs
    it waited for, and nothing is changed. Supervisors may stay; start them anew afterwards.

    \b
    Exit codes: 0 it has this version, 1 refused (the message says why; nothing is changed), 2 wrong
    setting.
    """
    _apply("upgrade", dsn, as_sql=as_sql, wait=wait)


@click.command(context_settings=CONTEXT)
@_dsn
@_sql
@click.option("--yes", is_flag=True, help="Do not ask.")
@click.option(
    "--cascade",
    is_flag=True,
    help="Drop objects of yours that need pyworker's, such as views over jobs.job.",
)
def uninstall(dsn: str | None, *, as_sql: bool, yes: bool, cascade: bool) -> None:
    """Remove the schema with every job in it, its queues, and its roles where they have no members.

    It says what would go, and asks. Jobs that run are not cut off: it refuses while there are any.
    The extensions stay. Roles belong to the server: they stay while another database uses pyworker.
    With the last one goes what they may do in the server, such as signalling sessions and launching
    background ones, also for the members of roles that stay.

    \b
    Exit codes: 0 it is gone, 1 refused or declined (nothing is changed), 2 wrong setting.
    """
    if as_sql:
        click.echo(uninstall_script(cascade=cascade), nl=False)
        return
    dsn = resolve_dsn(load_settings(dsn=dsn))
    removal = look(dsn)
    if removal.nothing:
        click.echo(f'pyworker: database "{removal.database}" holds no pyworker schema', err=True)
        return
    click.echo(str(removal), err=True)
    if not yes:
        if not sys.stdin.isatty():
            raise SchemaError(
                "uninstalling needs a yes",
                detail="Nothing was changed.",
                hint="Use --yes where no person can be asked.",
            )
        click.confirm("Go on?", abort=True, err=True)
    done = drop_schema(dsn, cascade=cascade)
    for line in done.notices:
        click.echo(line)
    for line in done.kept:
        click.echo(f"pyworker: {line}", err=True)
    click.echo(f'uninstalled from database "{removal.database}"')

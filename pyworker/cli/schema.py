"""`pyworker install`, `upgrade`, `uninstall` and `check`: the schema in the database."""

import json
import sys
from collections.abc import Sequence

import click

from pyworker.cli.options import dsn_option
from pyworker.config import load_settings, resolve_dsn
from pyworker.errors import SchemaError
from pyworker.schema import (
    Applied,
    Finding,
    apply_schema,
    drop_schema,
    examine,
    install_script,
    look,
    mending_script,
    read_source,
    uninstall_script,
)
from pyworker.schema.script import Command

__all__ = ["check", "install", "uninstall", "upgrade"]

CONTEXT = {"help_option_names": ["-h", "--help"], "max_content_width": 120}

_dsn = dsn_option(
    "The database, as a URI or keyword string.  [env: PYWORKER_DSN; default: the private server, if it runs]"
)
_sql = click.option("--sql", "as_sql", is_flag=True, help="Print the SQL, for psql, instead of running it.")


def _resolve(dsn: str | None) -> str:
    return resolve_dsn(load_settings(dsn=dsn))


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
        click.echo(f'upgraded database "{done.database}" from schema version {done.before} to {done.after}')
    else:
        click.echo(f"already installed, schema version {done.after}: functions and views re-applied")


def _apply(command: Command, dsn: str | None, *, as_sql: bool) -> None:
    if as_sql:
        click.echo(install_script(read_source(), command), nl=False)
    else:
        _report(apply_schema(_resolve(dsn), command))


@click.command(context_settings=CONTEXT)
@_dsn
@_sql
def install(dsn: str | None, *, as_sql: bool) -> None:
    """Install the schema, in one transaction; where this version is installed, apply functions and views again.

    It needs PostgreSQL 17 or newer with pg_background, and a superuser, or a role with CREATEROLE whose missing rights
    it names. pgmq comes from the server's extension, or else with pyworker. Two installs at once are safe.

    \b
    Exit codes: 0 installed, 1 refused (the message says why; nothing is changed), 2 wrong setting.
    """
    _apply("install", dsn, as_sql=as_sql)


@click.command(context_settings=CONTEXT)
@_dsn
@_sql
def upgrade(dsn: str | None, *, as_sql: bool) -> None:
    """Bring an installed schema to this version: migrations that are missing, then all functions and views.

    \b
    Exit codes: 0 it has this version, 1 refused (the message says why; nothing is changed), 2 wrong setting.
    """
    _apply("upgrade", dsn, as_sql=as_sql)


@click.command(context_settings=CONTEXT)
@_dsn
@_sql
@click.option("--yes", is_flag=True, help="Do not ask.")
@click.option(
    "--cascade", is_flag=True, help="Drop objects of yours that need pyworker's, such as views over jobs.job."
)
def uninstall(dsn: str | None, *, as_sql: bool, yes: bool, cascade: bool) -> None:
    """Remove the schema with every job in it, its queues, and its roles where they have no members.

    It says what would go, and asks. Jobs that run are not cut off: it refuses while there are any. The extensions stay.
    Roles belong to the server: they stay while another database uses pyworker. With the last one goes what they may do
    in the server, such as signalling sessions and launching background ones, also for the members of roles that stay.

    \b
    Exit codes: 0 it is gone, 1 refused or declined (nothing is changed), 2 wrong setting.
    """
    if as_sql:
        click.echo(uninstall_script(cascade=cascade), nl=False)
        return
    dsn = _resolve(dsn)
    removal = look(dsn)
    if removal.nothing:
        click.echo(f'pyworker: database "{removal.database}" holds no pyworker schema', err=True)
        return
    click.echo(str(removal), err=True)
    if not yes:
        if not sys.stdin.isatty():
            raise SchemaError(
                "uninstalling needs a yes", detail="Nothing was changed.", hint="Use --yes where nobody can be asked."
            )
        click.confirm("Go on?", abort=True, err=True)
    done = drop_schema(dsn, cascade=cascade)
    for line in done.notices:
        click.echo(line)
    for line in done.kept:
        click.echo(f"pyworker: {line}", err=True)
    click.echo(f'uninstalled from database "{removal.database}"')


_ORDER = ("ok", "warning", "critical")


def _table(findings: Sequence[Finding]) -> None:
    from rich.console import Console  # noqa: PLC0415  only a terminal needs it
    from rich.table import Table  # noqa: PLC0415
    from rich.text import Text  # noqa: PLC0415

    colours = {"ok": "green", "warning": "yellow", "critical": "bold red"}
    table = Table(box=None, pad_edge=False)
    for heading in ("status", "check", "detail"):
        table.add_column(heading, overflow="fold")
    for finding in findings:
        what = Text(finding.detail)
        if finding.remedy:
            what.append(f"\n{finding.remedy}", style="cyan")
        table.add_row(Text(finding.status, style=colours[finding.status]), Text(finding.check), what)
    Console().print(table)


def _plain(findings: Sequence[Finding]) -> None:
    width = max(len(finding.check) for finding in findings)
    for finding in findings:
        click.echo(f"{finding.status:<8}  {finding.check:<{width}}  {finding.detail}")
        if finding.remedy:
            click.echo(f"{'':<8}  {'':<{width}}  mend: {finding.remedy}")


@click.command(context_settings=CONTEXT)
@_dsn
@click.option("--sql", "as_sql", is_flag=True, help="Print the lines that mend what is wrong as an SQL script.")
@click.option("--json", "as_json", is_flag=True, help="Print an array of objects: check, status, detail, remedy.")
def check(dsn: str | None, *, as_sql: bool, as_json: bool) -> None:
    """Look for everything that is wrong with the server, the schema and the rights, and name the line that mends it.

    Nothing is changed. What is wrong comes last. Look as a superuser; another role does not see everything, and check
    says so.

    \b
    Exit codes: 0 nothing is critical, 1 something is, or the database cannot be reached, 2 wrong setting.
    """
    findings = examine(_resolve(dsn))
    # For people: what is wrong comes last, because that stays on the screen.
    shown = sorted(findings, key=lambda finding: _ORDER.index(finding.status))
    if as_sql:
        click.echo(mending_script(findings))
    elif as_json:
        kept = ("check", "status", "detail", "remedy")
        click.echo(json.dumps([{name: getattr(finding, name) for name in kept} for finding in findings], indent=2))
    elif sys.stdout.isatty():
        _table(shown)
    else:
        _plain(shown)
    if not (as_sql or as_json):
        counts = {status: sum(finding.status == status for finding in findings) for status in _ORDER}
        click.echo(f"{len(findings)} checks: " + ", ".join(f"{number} {status}" for status, number in counts.items()))
    if any(finding.status == "critical" for finding in findings):
        sys.exit(1)

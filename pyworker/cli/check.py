"""`pyworker check`: what is wrong, and what repairs it."""

import json
import sys
from collections.abc import Sequence

import click

from pyworker.check import Finding, repair_script, run_checks
from pyworker.cli.options import dsn_option
from pyworker.cli.target import resolve_dsn
from pyworker.config import load_settings
from pyworker.errors import ConnectionFailed, PyworkerError
from pyworker.log import clean

__all__ = ["check"]

CONTEXT = {"help_option_names": ["-h", "--help"], "max_content_width": 120}

_dsn = dsn_option(
    "The database, as a URI or keyword string.  [env: PYWORKER_DSN; default: the private "
    "server, if it runs]"
)

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
        table.add_row(
            Text(finding.status, style=colours[finding.status]), Text(finding.check), what
        )
    Console().print(table)


def _plain(findings: Sequence[Finding]) -> None:
    width = max(len(finding.check) for finding in findings)
    for finding in findings:
        click.echo(f"{finding.status:<8}  {finding.check:<{width}}  {finding.detail}")
        if finding.remedy:
            click.echo(f"{'':<8}  {'':<{width}}  remedy: {finding.remedy}")


def _nagios(dsn: str | None) -> int:
    """Print what a plugin of Nagios prints: the worst status, what is wrong, and the counts;
    returns its code.
    """
    try:
        findings = run_checks(resolve_dsn(load_settings(dsn=dsn)))
    except (PyworkerError, OSError) as error:
        said = error.message if isinstance(error, PyworkerError) else str(error)
        away = isinstance(error, ConnectionFailed)
        click.echo(f"PYWORKER {'CRITICAL' if away else 'UNKNOWN'} - {_in_line(said)}")
        return 2 if away else 3
    wrong = sorted(
        (finding for finding in findings if finding.status != "ok"),
        key=lambda finding: -_ORDER.index(finding.status),
    )
    worst = _ORDER.index(wrong[0].status) if wrong else 0
    said = "; ".join(f"{finding.check}: {finding.detail}" for finding in wrong)
    counts = " ".join(
        f"{status}={sum(finding.status == status for finding in findings)}" for status in _ORDER
    )
    click.echo(
        f"PYWORKER {_ORDER[worst].upper()} - "
        f"{_in_line(said) or f'{len(findings)} checks'} | {counts}"
    )
    return worst


def _in_line(text: str) -> str:
    """Make a text safe before the figures, which begin at a vertical bar."""
    return clean(text).replace("|", "/")


@click.command(context_settings=CONTEXT)
@_dsn
@click.option(
    "--sql",
    "as_sql",
    is_flag=True,
    help="Print the lines that correct what is wrong as an SQL script.",
)
@click.option(
    "--json",
    "as_json",
    is_flag=True,
    help="Print an array of objects: check, status, detail, remedy.",
)
@click.option(
    "--nagios",
    is_flag=True,
    help="Print one line for Nagios, Icinga and the like, and leave with their codes: 0 OK, 1 "
    "WARNING, 2 CRITICAL (the database cannot be reached: too), 3 UNKNOWN.",
)
def check(dsn: str | None, *, as_sql: bool, as_json: bool, nagios: bool) -> None:
    """Look for everything that is wrong with the server, the schema and the rights, and name the
    line that corrects it.

    Nothing is changed. What is wrong comes last. Look as a superuser; another role does not see
    everything, and check says so.

    \b
    Exit codes: 0 nothing is critical, 1 something is, or the database cannot be reached, 2 wrong
    setting; with --nagios others.
    """
    if nagios:
        if as_sql or as_json:
            raise click.UsageError("--nagios prints one line, neither --sql nor --json")
        sys.exit(_nagios(dsn))
    findings = run_checks(resolve_dsn(load_settings(dsn=dsn)))
    # For people: what is wrong comes last, because that stays on the screen.
    shown = sorted(findings, key=lambda finding: _ORDER.index(finding.status))
    if as_sql:
        click.echo(repair_script(findings))
    elif as_json:
        kept = ("check", "status", "detail", "remedy")
        click.echo(
            json.dumps(
                [{name: getattr(finding, name) for name in kept} for finding in findings], indent=2
            )
        )
    elif sys.stdout.isatty():
        _table(shown)
    else:
        _plain(shown)
    if not (as_sql or as_json):
        counts = {
            status: sum(finding.status == status for finding in findings) for status in _ORDER
        }
        click.echo(
            f"{len(findings)} checks: "
            + ", ".join(f"{number} {status}" for status, number in counts.items())
        )
    if any(finding.status == "critical" for finding in findings):
        sys.exit(1)

"""`pyworker jobs`, `show` and `explain`: which jobs there are, all about one, and why one waits.

They read public views, as the login that connects, and so show what that login may see.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import click

from pyworker.cli.jobs_options import (
    CONTEXT,
    ID,
    STATES,
    as_caller,
    checked_text,
    database_option,
    json_option,
    with_moment,
)
from pyworker.cli.jobs_text import fact_lines, job_lines, time_text
from pyworker.errors import PyworkerError
from pyworker.log import clean

__all__ = ["NotThere", "explain", "jobs", "show"]

_CELL = 60  # characters of what people wrote, in a table


class NotThere(PyworkerError):
    """there is no such job"""

    def __init__(self, number: int) -> None:
        """Name the job."""
        super().__init__(
            f"there is no job {number}, or this role may not see it",
            detail="A role sees its own jobs, those that it enqueued, and as a member of "
            "jobs_reader or jobs_operator all. A finished job is gone after its queue's retention.",
            sqlstate="PW030",
        )


@click.command("jobs", context_settings=CONTEXT)
@database_option
@click.option(
    "--state",
    "states",
    type=click.Choice(STATES),
    multiple=True,
    help="Only jobs in this state; may be repeated.",
)
@click.option("--queue", metavar="NAME", callback=checked_text, help="Only jobs of this queue.")
@click.option(
    "--task", metavar="NAME", callback=checked_text, help="Only this task; * stands for any text."
)
@click.option("--owner", metavar="ROLE", callback=checked_text, help="Only this role's jobs.")
@click.option(
    "--since",
    metavar="WHEN",
    callback=checked_text,
    help="Only jobs that ended since, or began or were enqueued since and have not ended: a time, "
    "or how long ago, '2 hours' for example.",
)
@click.option(
    "--limit",
    type=click.IntRange(1, 100_000),
    default=100,
    show_default=True,
    help="List so many at most.",
)
@json_option("Print an array of objects.")
def jobs(dsn: str | None, *, limit: int, as_json: bool, **wanted: Any) -> None:
    """List jobs, the latest first.

    Those that the login may see: its own, as a member of jobs_reader or jobs_operator all.

    \b
    Exit codes: 0 done, none found included; 1 the database cannot be read, or there is no such
    queue; 2 wrong usage or setting.
    """
    from pyworker.database.caller import Filter  # noqa: PLC0415  loads the driver

    with as_caller(dsn, "jobs") as caller:
        which = with_moment(caller, Filter(**wanted))
        found = caller.jobs(which, limit + 1)
        if not found and which.queue is not None and not caller.has_queue(which.queue):
            raise PyworkerError(f'there is no queue "{clean(which.queue)}"')
    shown = found[:limit]
    if as_json:
        click.echo(json.dumps(shown, indent=2))
    elif shown:
        _print_table(("id", "state", "queue", "owner", "title", "since", "what"), map(_row, shown))
    if not shown:
        click.echo("no jobs", err=True)
    if len(found) > limit:
        click.echo(f"there are more than these {limit}; --limit shows more", err=True)


@click.command("show", context_settings=CONTEXT)
@database_option
@json_option("Print one object: job, running, explain, attempts, log_lines.")
@click.argument("number", metavar="ID", type=ID)
def show(dsn: str | None, *, as_json: bool, number: int) -> None:
    """Show all about one job: its state, why it waits or how far it is, attempts, error, log lines.

    What the login may not see is left out: null in --json.

    \b
    Exit codes: 0 shown; 1 there is no such job, or the database cannot be read; 2 wrong usage or
    setting.
    """
    with as_caller(dsn, "show") as caller:
        facts = caller.all_about(number)
    if facts is None:
        raise NotThere(number)
    if as_json:
        click.echo(json.dumps(facts, indent=2))
        return
    for line in job_lines(facts):
        click.echo(line)


@click.command("explain", context_settings=CONTEXT)
@database_option
@json_option("Print one object, the row of jobs.explain.")
@click.argument("number", metavar="ID", type=ID)
def explain(dsn: str | None, *, as_json: bool, number: int) -> None:
    """Say why a job waits, or what it is at, and what to do about it.

    \b
    Exit codes: 0 said; 1 there is no such job, or the database cannot be read; 2 wrong usage or
    setting.
    """
    with as_caller(dsn, "explain") as caller:
        row = caller.explain(number)
    if row["code"] == "not_there":
        raise NotThere(number)
    if as_json:
        click.echo(json.dumps(row, indent=2))
        return
    for line in fact_lines(row):
        click.echo(line)


def _row(job: Mapping[str, Any]) -> Sequence[str]:
    error = job["error"] or {}
    what = job["waits_for"] and f"waits for {job['waits_for']}"
    if job["state"] in ("failed", "in_doubt") or (what and error):
        said = f"{error.get('sqlstate') or ''} {error.get('message') or ''}".strip()
        what = "; ".join(part for part in (what, said) if part)
    return (
        str(job["id"]),
        str(job["state"]),
        clean(str(job["queue"]), _CELL),
        clean(str(job["owner"]), _CELL),
        clean(str(job["title"] or ""), _CELL),
        time_text(job["finished_at"] or job["started_at"] or job["created_at"]),
        clean(what or "", _CELL),
    )


def _print_table(heads: Sequence[str], rows: Iterator[Sequence[str]]) -> None:
    """Print columns, each as wide as its widest; lines are not folded, so that grep finds them."""
    lines = [heads, *rows]
    widths = [max(len(line[n]) for line in lines) for n in range(len(heads))]
    for line in lines:
        cells = (
            cell.rjust(width) if n == 0 else cell.ljust(width)
            for n, (cell, width) in enumerate(zip(line, widths, strict=True))
        )
        click.echo("  ".join(cells).rstrip())

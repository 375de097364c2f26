"""`pyworker import`: the jobs of another scheduler, as calls of jobs.schedule_sql."""

from collections.abc import Iterator, Mapping
from typing import Any

import click

from pyworker.cli.options import dsn_option
from pyworker.cli.target import resolve_dsn
from pyworker.config import load_settings
from pyworker.errors import convert_database_errors
from pyworker.log import clean

__all__ = ["import_jobs"]

CONTEXT = {"help_option_names": ["-h", "--help"], "max_content_width": 120}
SOURCES = ("pg_cron", "pg_timetable", "pgagent")

_dsn = dsn_option(
    "The database in which the other scheduler's tables are, as a URI or keyword string, for the "
    "role that is to own the schedules.  [env: PYWORKER_DSN; default: the private server, if it "
    "runs]"
)


def _commented(text: str) -> Iterator[str]:
    for line in text.split("\n"):
        yield f"-- {clean(line)}".rstrip()


def _script(item: Mapping[str, Any]) -> Iterator[str]:
    """Give one job as lines of a script; what cannot or need not be run is a comment."""
    yield from _commented(f"{item['name']}: {item['outcome']}")
    for difference in item["differences"]:
        yield from _commented(f"differs: {difference}")
    if item["call"] is not None:
        ready = item["outcome"] == "ready"
        yield from item["call"].split("\n") if ready else _commented(item["call"])
    yield ""


@click.command("import", context_settings=CONTEXT)
@_dsn
@click.option("--apply", is_flag=True, help="Make the schedules, paused.")
@click.argument("source", type=click.Choice(SOURCES))
def import_jobs(dsn: str | None, *, apply: bool, source: str) -> None:
    """Print the jobs of another scheduler as calls of jobs.schedule_sql.

    Each difference in meaning is a comment, and what is refused is one as a whole. With --apply
    the schedules are made, paused: look at each, switch the job off there, and then call
    jobs.resume_schedule. They belong to the login; nothing is changed in the other scheduler.
    """
    # the driver takes a while to load
    from pyworker.database.connection import connect_caller  # noqa: PLC0415
    from pyworker.database.gateway import Gateway  # noqa: PLC0415

    login = resolve_dsn(load_settings(dsn=dsn), role="app")
    with convert_database_errors(), connect_caller(login, "import") as line:
        items = Gateway(line).import_schedules(source, apply=apply)
    for item in items:
        for text in _script(item):
            click.echo(text)
    made = sum(item["outcome"] == "imported, paused" for item in items)
    refused = sum(item["outcome"].startswith("refused") for item in items)
    click.echo(
        f"pyworker: {len(items)} jobs of {source}, {made} imported, {refused} refused", err=True
    )

"""`pyworker status`: queues, running jobs, sessions, supervisors and health, from the
public views.
"""

import json
import sys
import time
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import click
from rich.box import HEAVY_HEAD
from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from pyworker.cli.options import dsn_option
from pyworker.cli.target import resolve_dsn
from pyworker.config import load_settings
from pyworker.errors import PyworkerError, SchemaError, convert_database_errors
from pyworker.log import clean

__all__ = ["status", "watched_page"]

Rows = list[dict[str, Any]]

_SWITCH = "switch"  # the health check that tells of jobs.pause() without a name
_CELL = 80  # characters
_STYLES = {"ok": "green", "warning": "yellow", "critical": "bold red"}
#: view -> (title, columns shown; those that the view does not have are left out)
_TABLES: dict[str, tuple[str, Sequence[str]]] = {
    "health": ("Health", ("check", "status", "detail", "remedy")),
    "queues": (
        "Queues",
        ("queue", "paused", "concurrency", "queued", "running", "scheduled", "oldest", "failed"),
    ),
    "running": (
        "Running jobs",
        (
            "id",
            "title",
            "queue",
            "owner",
            "pid",
            "attempt",
            "elapsed",
            "percent",
            "eta",
            "message",
            "blocked_by",
        ),
    ),
    "sessions": (
        "Worker sessions",
        ("id", "owner", "pid", "queue", "job_id", "jobs", "started_at", "wait_event"),
    ),
    "supervisors": (
        "Supervisors",
        ("id", "name", "version", "pid", "started_at", "last_seen", "asleep"),
    ),
}


#: What the server says of the views that are not there, or not for us: what it means here, and what
#: to do.
_CURES = {
    "42P01": (
        "pyworker is not installed in this database.",
        "Run `pyworker install`, or name another database.",
    ),
    "42501": (
        "This role may not look.",
        "As an administrator: grant jobs_reader to it (states of all jobs). Retry then.",
    ),
}


@click.command(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 120})
@dsn_option("The database; default: PYWORKER_DSN, else the private server.")
@click.option(
    "--json", "as_json", is_flag=True, help="Print one JSON object: a list of rows for each view."
)
@click.option("--watch", is_flag=True, help="Show it again every second, until interrupted.")
def status(dsn: str | None, *, as_json: bool, watch: bool) -> None:
    """Show queues, running jobs, sessions, supervisors and health.

    \b
    Exit codes: 0 well, 1 a health check is critical or the database cannot be read, 2 wrong usage
    or setting.
    """
    settings = load_settings(dsn=dsn)
    database = resolve_dsn(settings)
    try:
        with convert_database_errors():
            facts = _show(database, as_json=as_json, watch=watch)
    except PyworkerError as error:
        if error.sqlstate not in _CURES:
            raise
        detail, hint = _CURES[error.sqlstate]
        raise SchemaError(
            error.message, detail=detail, hint=hint, sqlstate=error.sqlstate
        ) from error
    sys.exit(1 if any(row.get("status") == "critical" for row in facts["health"]) else 0)


def _show(dsn: str, *, as_json: bool, watch: bool) -> dict[str, Rows]:
    # the driver takes a while to load
    from pyworker.database.connection import connect_reader  # noqa: PLC0415
    from pyworker.database.gateway import PUBLIC_VIEWS, Gateway  # noqa: PLC0415

    with connect_reader(dsn) as line:
        gateway = Gateway(line)

        def read() -> dict[str, Rows]:
            return {view: gateway.view(view) for view in PUBLIC_VIEWS}

        facts = read()
        if as_json:
            click.echo(json.dumps({"paused": _pause(facts) is not None, **facts}, default=_json))
        elif not watch:
            Console().print(_page(facts))
        else:
            with Live(screen=True, auto_refresh=False) as live:
                while True:
                    live.update(watched_page(facts, live.console.size.height), refresh=True)
                    time.sleep(1)
                    facts = read()
        return facts


def _pause(facts: Mapping[str, Rows]) -> str | None:
    """Say who paused everything and what ends it; None: it is not paused."""
    for row in facts["health"]:
        if row.get("check") == _SWITCH and row.get("status") != "ok":
            return f"{row.get('detail')}; no job starts until {row.get('remedy')}"
    return None


def _json(value: object) -> object:
    if isinstance(value, datetime):
        return value.astimezone(UTC).isoformat()
    return value.total_seconds() if isinstance(value, timedelta) else str(value)


#: Headings that would break on a terminal of 80 columns.
_SHORT = {
    "concurrency": "limit",
    "scheduled": "later",
    "attempt": "try",
    "percent": "%",
    "wait_event": "waits for",
}
#: Columns that give way where a line must hold all of them.
_FLEXIBLE = ("title", "detail", "queue")


def _page(facts: Mapping[str, Rows]) -> RenderableType:
    parts: list[RenderableType] = []
    pause = _pause(facts)
    if pause:
        banner = Text(clean(pause), style="bold white on red", justify="center")
        parts.append(Panel(banner, border_style="bold red"))
    for view, (title, columns) in _TABLES.items():
        rows = facts[view]
        parts.append(_table(title, columns, rows) if rows else Text(f"{title}: none", style="dim"))
    return Group(*parts)


#: The sections of the watched page, in the order in which people look: what is wrong, what runs,
#: what waits.
_WATCHED: dict[str, tuple[str, Sequence[str]]] = {
    "health": ("Not ok", ("check", "status", "detail")),
    "running": ("Running", ("id", "title", "attempt", "elapsed", "percent", "eta", "wait_event")),
    "queues": ("Queues", ("queue", "paused", "queued", "running", "scheduled", "oldest", "failed")),
}
_FRAME = 2  # lines of a section beside its rows: title and heading


def watched_page(facts: Mapping[str, Rows], height: int) -> RenderableType:
    """Render what fits a terminal of this height: one line a row; what is left out is counted."""
    bad = sorted(
        (row for row in facts["health"] if row["status"] != "ok"),
        key=lambda row: str(row["status"]),
    )
    shown = {
        "health": bad,
        "running": facts["running"],
        "queues": sorted(
            facts["queues"], key=lambda row: (-(row["queued"] or 0), -(row["scheduled"] or 0))
        ),
    }
    parts: list[RenderableType] = []
    room = height
    if _pause(facts):
        parts.append(
            Text(clean(str(_pause(facts)), _CELL), style="bold white on red", no_wrap=True)
        )
        room -= 1
    if not bad:
        parts.append(Text(f"Health: all {len(facts['health'])} checks are ok", style="green"))
    # A third of what is left for each, and what one does not need is for those that come after it.
    sections = [view for view in _WATCHED if shown[view] or view != "health"]
    room -= not bad
    for n, view in enumerate(sections):
        title, columns = _WATCHED[view]
        lines = room // (len(sections) - n)
        if shown[view]:
            rows = _rows_within(shown[view], lines - _FRAME)
            parts.append(_table(title, columns, rows, narrow=True))
            left = len(shown[view]) - len(rows)
            if left:
                parts.append(Text(f"  and {left} more", style="dim"))
            room -= _FRAME + len(rows) + bool(left)
        else:
            parts.append(Text(f"{title}: none", style="dim"))
            room -= 1
    return Group(*parts)


def _rows_within(rows: Rows, lines: int) -> Rows:
    return rows if len(rows) <= lines else rows[: max(lines - 1, 1)]


def _table(title: str, columns: Sequence[str], rows: Rows, *, narrow: bool = False) -> Table:
    shown = [name for name in (columns or rows[0]) if name in rows[0]]
    box = None if narrow else HEAVY_HEAD
    table = Table(
        title=title,
        title_justify="left",
        title_style="bold",
        expand=False,
        box=box,
        pad_edge=not narrow,
    )
    for name in shown:
        numeric = all(
            isinstance(row[name], int | float | None) and not isinstance(row[name], bool)
            for row in rows
        )
        table.add_column(
            _SHORT.get(name, name),
            justify="right" if numeric else "left",
            overflow="ellipsis" if narrow else "fold",
            no_wrap=narrow,
            min_width=max(len(_cell(row[name])) for row in rows)
            if narrow and name not in _FLEXIBLE
            else None,
        )
    for row in rows:
        table.add_row(
            *(_cell(row[name]) for name in shown), style=_STYLES.get(str(row.get("status")), "")
        )
    return table


def _when(moment: datetime) -> str:
    """Render a time as people ask for it: how long ago, or in how long."""
    seconds = round((datetime.now(UTC) - moment).total_seconds())
    return (
        f"{timedelta(seconds=seconds)} ago" if seconds >= 0 else f"in {timedelta(seconds=-seconds)}"
    )


def _cell(value: object) -> Text:
    """Render one value; a Text, because what others wrote is no markup."""
    if value is None:
        return Text("")
    if isinstance(value, bool):
        return Text("yes", style="bold yellow") if value else Text("no")
    if isinstance(value, datetime):
        return Text(_when(value))
    if isinstance(value, timedelta):
        return Text(str(timedelta(seconds=round(value.total_seconds()))))
    if isinstance(value, list | dict):
        return Text(clean(json.dumps(value, default=_json), _CELL))
    return Text(clean(str(value), 3 * _CELL))

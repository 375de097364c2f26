"""Rows of the database as cells of the screen: plain text, no markup, no control characters."""

from collections.abc import Mapping, Sequence
from typing import Any

from rich.text import Text

from pyworker.cli.jobs_text import time_text
from pyworker.log import clean
from pyworker.top.watch import Picture

__all__ = ["COLUMNS", "Row", "cells", "health_line"]

Row = tuple[str, list[Text]]  #: what the row is about (a job's number, a queue), and its cells

COLUMNS: dict[str, Sequence[str]] = {
    "running": ("id", "title", "queue", "owner", "elapsed", "done", "eta", "waits for"),
    "waiting": ("id", "waits for", "title", "queue", "owner", "age"),
    "queues": ("queue", "paused", "queued", "running", "later", "failed", "rate", "/s"),
    "failed": ("id", "task", "error", "queue", "owner", "at"),
    "operations": ("id", "title", "state", "%", "eta", "says"),
    "schedules": ("name", "when", "next", "state"),
}

_BARS = "▁▂▃▄▅▆▇█"
_NARROW = 13  # characters of a name where the terminal is narrower than 120 columns
_WIDE = 40


def health_line(picture: Picture) -> Text:
    """Say what is not ok, and nothing else; or that all is."""
    if picture.away is not None:
        return Text(f"database away: {clean(picture.away)}", style="bold white on red")
    if not picture.not_ok:
        return Text("ok", style="green")
    worst = picture.not_ok[0]["status"]
    said = "; ".join(f"{row['check']}: {row['detail']}" for row in picture.not_ok)
    return Text(clean(said), style="bold red" if worst == "critical" else "yellow")


def cells(name: str, picture: Picture, columns: int) -> list[Row]:
    """Render one list for a terminal of so many columns."""
    found = picture.lists.get(name, [])
    size = _NARROW if columns < 120 else _WIDE
    if name == "running":
        return [_running(row, size) for row in found]
    if name == "waiting":
        reasons = [_reason(row, size) for row in picture.lists.get("reasons", [])]
        return reasons + [_waiting(row, size) for row in found]
    if name == "queues":
        return [_queue(row, picture.rates.get(row["queue"], []), size) for row in found]
    if name == "failed":
        return [_failed(row, size) for row in found]
    about = "id" if name == "operations" else ""
    return [
        (str(row.get(about, "")), [_text(row.get(key), size) for key in COLUMNS[name]])
        for row in found
    ]


def _text(value: object, size: int, style: str = "") -> Text:
    """Render a value and the space that keeps it from the next column."""
    text = "" if value is None else clean(str(value), size)
    return Text(f"{text} ", style=style, no_wrap=True)


def _clock(value: object) -> Text:
    return _text(str(value or "").partition(".")[0], _WIDE)


def _bar(percent: object, width: int) -> Text:
    if percent is None:
        return Text("")
    share = min(max(float(str(percent)), 0.0), 100.0)
    full = round(share / 100 * width)
    return Text(f"{'█' * full}{'░' * (width - full)}{share:4.0f}% ", style="green")


def _running(row: Mapping[str, Any], size: int) -> Row:
    pids = ", ".join(str(pid) for pid in row["blocked_by"] or ())
    waits = _text(f"blocked {pids}", size, "red") if pids else _text(row["wait_event"], size)
    return str(row["id"]), [
        _text(row["id"], _WIDE),
        _text(row["title"], size),
        _text(row["queue"], size),
        _text(row["owner"], size),
        _clock(row["elapsed"]),
        _bar(row["percent"], 5 if size == _NARROW else 20),
        _text(time_text(row["eta"])[11:16], _WIDE),
        waits,
    ]


def _reason(row: Mapping[str, Any], size: int) -> Row:
    count = f"{row['jobs']} jobs" if row["jobs"] != 1 else "1 job"
    return "", [Text(""), _text(row["waits_for"], 2 * size, "bold"), _text(count, size, "bold")]


def _waiting(row: Mapping[str, Any], size: int) -> Row:
    return str(row["id"]), [
        _text(row["id"], _WIDE),
        _text(row["waits_for"], 2 * size),
        _text(row["title"], size),
        _text(row["queue"], size),
        _text(row["owner"], size),
        _clock(row["age"]),
    ]


def _queue(row: Mapping[str, Any], rates: Sequence[float], size: int) -> Row:
    return str(row["queue"]), [
        _text(row["queue"], size),
        _text("paused" if row["paused"] else "", size, "bold yellow"),
        *(_text(row[name], _WIDE) for name in ("queued", "running", "scheduled")),
        _text(row["failed"], _WIDE, "red" if row["failed"] else ""),
        _text(sparkline(rates, size), size),
        _text(row["rate"], _WIDE),
    ]


def sparkline(rates: Sequence[float], width: int) -> str:
    """Draw the last values as bars, the highest of them full."""
    shown = rates[-width:]
    top = max(shown, default=0.0)
    return "".join(_BARS[round(rate / top * 7) if top else 0] for rate in shown)


def _failed(row: Mapping[str, Any], size: int) -> Row:
    error = f"{row['sqlstate'] or row['outcome'] or ''} {row['message'] or ''}".strip()
    return str(row["id"]), [
        _text(row["id"], _WIDE),
        _text(row["task"], size),
        _text(error, 2 * size, "red"),
        _text(row["queue"], size),
        _text(row["owner"], size),
        _text(time_text(row["finished_at"])[:19], _WIDE),
    ]

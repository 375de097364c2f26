"""The log: one line per event of the catalogue, JSON unless on a terminal.

Whatever a job's author puts into an error message stays inside its line: control characters are
escaped before any renderer sees them, and long texts are cut. The password of a connection string
in it is hidden.
"""

import json
import math
import re
from collections.abc import Mapping
from datetime import UTC, date, datetime
from typing import Any, Literal, TextIO

import structlog
from structlog.typing import EventDict, Processor, WrappedLogger

from pyworker.dsn import scrub
from pyworker.events import EVENTS, Level

__all__ = ["EventLog", "clean", "open_log"]

TEXT_LIMIT = 1000  # characters of one text
_ITEM_LIMIT = 100  # entries of one list
_NUMERIC = {"debug": 10, "info": 20, "warning": 30, "error": 40, "critical": 50}

# C0, DEL and C1, line and paragraph separators, halves of surrogate pairs, what reorders a text or
# is not seen in it.
_UNSAFE = re.compile(
    "[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff"
    "\xad\u061c\u180e\u200b-\u200f\u202a-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb\U000e0000-\U000e007f]"
)
_SHORT = {"\n": r"\n", "\r": r"\r", "\t": r"\t"}


def _escape(match: re.Match[str]) -> str:
    char = match.group()
    number = ord(char)
    return _SHORT.get(char) or (
        f"\\x{number:02x}"
        if number < 0x100
        else f"\\u{number:04x}"
        if number < 0x10000
        else f"\\U{number:08x}"
    )


def clean(text: str, limit: int = TEXT_LIMIT) -> str:
    """Make a text safe for one line: no password in it, control characters escaped, cut to `limit`
    characters.
    """
    text = scrub(text[: 2 * limit])
    cut = text if len(text) <= limit else f"{text[: limit - 1]}…"
    return _UNSAFE.sub(_escape, cut)


def _plain(value: Any) -> Any:
    """Reduce a value to what JSON knows, every text of it clean and its size bounded."""
    if isinstance(value, bool | int) or value is None:
        return value
    if isinstance(value, float):
        return round(value, 3) if math.isfinite(value) else str(value)  # JSON has no infinity
    if isinstance(value, str):
        return clean(value)
    if isinstance(value, datetime):
        return value.astimezone(UTC).isoformat() if value.tzinfo else value.isoformat()
    if isinstance(value, date):
        return value.isoformat()
    if isinstance(value, Mapping):
        small = {clean(str(key)): _plain(entry) for key, entry in list(value.items())[:_ITEM_LIMIT]}
        text = json.dumps(small)
        return small if len(text) <= 2 * TEXT_LIMIT else clean(text)
    if isinstance(value, list | tuple | set | frozenset):
        return [_plain(entry) for entry in list(value)[:_ITEM_LIMIT]]
    return clean(str(value))


def _arrange(_logger: WrappedLogger, _method: str, given: EventDict) -> EventDict:
    """Put what every line has in front, and reduce the rest."""
    head = {key: given.pop(key) for key in ("timestamp", "level", "event")}
    return {**head, **{key: _plain(value) for key, value in given.items()}}


def _without_empty(_logger: WrappedLogger, _method: str, given: EventDict) -> EventDict:
    return {key: value for key, value in given.items() if value is not None and value != {}}


class EventLog:
    """Writes events, and holds them to the catalogue."""

    def __init__(
        self, stream: TextIO, *, as_json: bool, level: Level = "info", **context: object
    ) -> None:
        """Write to `stream`; `context` goes into every line."""
        last: list[Processor]
        if as_json:
            last = [structlog.processors.JSONRenderer()]
        else:
            last = [
                _without_empty,
                structlog.dev.ConsoleRenderer(colors=stream.isatty(), sort_keys=False),
            ]
        self._logger = structlog.wrap_logger(
            structlog.WriteLogger(stream),
            processors=[
                structlog.processors.add_log_level,
                structlog.processors.TimeStamper(fmt="iso", utc=True),
                _arrange,
                *last,
            ],
            wrapper_class=structlog.make_filtering_bound_logger(_NUMERIC[level]),
        ).bind(**context)

    def emit(self, event: str, /, **fields: object) -> None:
        """Write one line: an event of the catalogue with exactly its fields."""
        known = EVENTS.get(event)
        if known is None:
            raise ValueError(f'event "{event}" is not in the catalogue')
        if fields.keys() != set(known.fields):
            wrong = sorted(fields.keys() ^ set(known.fields))
            raise ValueError(f'event "{event}" has other fields: {", ".join(wrong)}')
        self._logger.log(_NUMERIC[known.level], event, **fields)


def open_log(
    stream: TextIO,
    form: Literal["auto", "json", "console"] = "auto",
    level: Level = "info",
    **context: object,
) -> EventLog:
    """Open the log on a stream; `auto` means JSON unless the stream is a terminal."""
    as_json = form == "json" or (form == "auto" and not stream.isatty())
    return EventLog(stream, as_json=as_json, level=level, **context)

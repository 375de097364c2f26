"""Watching jobs from outside: the views, asked ten times a second, feed a bar for each job."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from time import monotonic, sleep
from typing import Any, Protocol, Self

import psycopg
from psycopg.rows import dict_row
from rich.progress import BarColumn, Progress, TextColumn

from pyworker.demo.screen import Screen
from pyworker.demo.statements import read_statements
from pyworker.errors import PyworkerError

__all__ = ["watch"]

_PAUSE = 0.08  # seconds between two looks
_TIMEOUT = 120.0  # seconds until the demo gives up on its jobs
_QUIET = 2.0  # seconds after which a plain line says how far a job is
_FINAL = ("succeeded", "failed", "cancelled", "in_doubt")

Row = dict[str, Any]


#: What the progress of each job was taken from, while it ran.
Sources = dict[int, str]


@dataclass(frozen=True, kw_only=True)
class Look:
    """How one job, or a group of them, stands."""

    label: str
    done: float
    total: float | None
    said: str
    over: bool


class Board(Protocol):
    """Where looks are shown."""

    def __enter__(self) -> Self:
        """Begin to show."""

    def __exit__(self, *_error: object) -> None:
        """Stop showing."""

    def show(self, looks: Sequence[Look]) -> None:
        """Show how everything stands now."""


class Bars:
    """Bars on a terminal; they stay when the jobs are done."""

    def __init__(self, screen: Screen) -> None:
        """Nothing is shown yet."""
        columns = (
            TextColumn("  {task.description}"),
            BarColumn(30),
            TextColumn("{task.fields[said]}"),
        )
        self._progress = Progress(*columns, console=screen.console, auto_refresh=False)

    def __enter__(self) -> Self:
        """Begin to show."""
        self._progress.start()
        return self

    def __exit__(self, *_error: object) -> None:
        """Leave the bars as they are."""
        self._progress.stop()

    def show(self, looks: Sequence[Look]) -> None:
        """Show how everything stands now."""
        while len(self._progress.task_ids) < len(looks):
            self._progress.add_task("", said="")
        for task, look in zip(self._progress.task_ids, looks, strict=True):
            total = look.total if look.total or not look.over else 1.0
            self._progress.update(
                task, description=look.label, total=total, completed=look.done, said=look.said
            )
        self._progress.refresh()


class Lines:
    """Plain lines: one when a job is done, and one every two seconds while it is not."""

    def __init__(self, screen: Screen) -> None:
        """Nothing is shown yet."""
        self._screen = screen
        self._over: set[int] = set()
        self._last = monotonic()

    def __enter__(self) -> Self:
        """Begin to show."""
        return self

    def __exit__(self, *_error: object) -> None:
        """Nothing is left to do."""

    def show(self, looks: Sequence[Look]) -> None:
        """Show what has changed."""
        remind = monotonic() - self._last >= _QUIET
        for number, look in enumerate(looks):
            if number not in self._over and (look.over or remind):
                self._screen.line(f"  {look.label}  {look.said}")
                self._last = monotonic()
            if look.over:
                self._over.add(number)


def watch(
    connection: psycopg.Connection[Any],
    screen: Screen,
    groups: Sequence[Sequence[int]],
    between: Callable[[], None],
) -> Sources:
    """Watch until every job is finished; `between` runs after each look. One job is one bar, many
    jobs are another. Returns what their progress was taken from.
    """
    until = monotonic() + _TIMEOUT
    reader = _Reader(connection)
    board: Board = Bars(screen) if screen.live else Lines(screen)
    with board:
        while True:
            looks = reader.look(groups)
            board.show(looks)
            if all(look.over for look in looks):
                return reader.sources
            if monotonic() > until:
                left = ", ".join(
                    f"{look.label.strip()}: {look.said}" for look in looks if not look.over
                )
                raise PyworkerError(
                    f"jobs are not finished after {_TIMEOUT:.0f} s", detail=f"{left}."
                )
            between()
            sleep(_PAUSE)


class _Reader:
    def __init__(self, connection: psycopg.Connection[Any]) -> None:
        self._cursor = connection.cursor(row_factory=dict_row)
        self._sql = read_statements("watch.sql")
        self._began = monotonic()
        self._ended: dict[
            int, float
        ] = {}  # first job of a group -> seconds until the group was done
        self._reached: dict[tuple[int, int], float] = {}  # job, attempt -> the last percent
        self.sources: Sources = {}

    def look(self, groups: Sequence[Sequence[int]]) -> list[Look]:
        first = [group[0] for group in groups]
        rows: dict[int, Row] = {row["id"]: row for row in self._ask("jobs", first)}
        return [
            self._one(rows[group[0]]) if len(group) == 1 else self._many(rows[group[0]], group)
            for group in groups
        ]

    def _ask(self, name: str, value: object) -> list[Row]:
        return self._cursor.execute(self._sql[name].encode(), (value,)).fetchall()

    def _one(self, row: Row) -> Look:
        run = row["id"], row["attempt"]
        if row["source"]:
            self.sources[row["id"]] = row["source"]
        if row["percent"] is not None:
            self._reached[run] = float(row["percent"])
        done = self._reached.get(run)
        over = row["state"] in _FINAL
        if row["state"] == "succeeded":
            done = 100.0
        return Look(
            label=_label(row["id"], row["task"]),
            done=done or 0.0,
            total=None if done is None else 100.0,
            said=_said(row),
            over=over,
        )

    def _many(self, row: Row, ids: Sequence[int]) -> Look:
        (queue,) = self._ask("queue", row["queue"])
        done = len(ids) - queue["remaining"]
        over = not queue["remaining"]
        seconds = self._ended.setdefault(ids[0], monotonic() - self._began) if over else 0.0
        said = f"{done:,} of {len(ids):,} done, {queue['failed']} failed" + (
            f", in {seconds:.1f} s" if over else ""
        )
        return Look(
            label=_label(f"{ids[0]}-{ids[-1]}", row["task"]),
            done=done,
            total=len(ids),
            said=said,
            over=over,
        )


def _label(number: object, task: str) -> str:
    return f"{number!s:>7}  {task:<26}"


def _said(row: Row) -> str:
    state, outcome = row["state"], row["outcome"]
    if state in _FINAL:
        how = f" ({outcome})" if outcome not in (None, state) else ""
        attempt = f" at attempt {row['attempt']}" if row["attempt"] > 1 else ""
        gain = f", {row['gain']} as fast" if row["gain"] else ""
        return f"{state}{how}{attempt}, in {float(row['run_ms'] or 0) / 1000:.1f} s{gain}"
    facts = [
        "" if row["percent"] is None else f"{int(row['percent'])} %",
        "by the size of the new file" if row["source"] == "file" else "",
        row["message"] or "",
        f"until {row['eta']:%H:%M:%S}" if row["eta"] else "",
    ]
    return ", ".join(filter(None, [state, *facts]))

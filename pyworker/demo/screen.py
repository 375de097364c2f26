"""What the demo prints: steps, statements, tables. Calm on a terminal, plain lines elsewhere."""

import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime
from decimal import Decimal
from time import monotonic

from rich.console import Console
from rich.text import Text

from pyworker.server import Progress
from pyworker.server.progress import console_progress

__all__ = ["Screen", "Step"]

_PLAIN_WIDTH = 140  # columns, where there is no terminal that has a width


class Step:
    """A step under way: what it says when it is done."""

    def __init__(self, progress: Progress) -> None:
        """Report to this while it lasts."""
        self.progress = progress
        self.result = ""


class Screen:
    """Standard output."""

    def __init__(self) -> None:
        """Look whether people watch."""
        self.live = sys.stdout.isatty()
        self.console = Console(highlight=False, width=None if self.live else _PLAIN_WIDTH)

    def line(self, text: str = "", style: str = "") -> None:
        """Print a line as it is."""
        self.console.print(Text(text, style=style), soft_wrap=True)

    @contextmanager
    def step(self, name: str, doing: str) -> Iterator[Step]:
        """Show what goes on while it takes long, then one line with its result and its time."""
        begun = monotonic()
        with console_progress() as progress:
            progress.phase(doing)
            step = Step(progress)
            yield step
        self.line(f"{name:<11} {step.result}  ({monotonic() - begun:.1f} s)")

    @contextmanager
    def quietly(self, doing: str) -> Iterator[None]:
        """Show what goes on while it takes long, and nothing afterwards."""
        with console_progress() as progress:
            progress.phase(doing)
            yield

    def statement(self, text: str) -> None:
        """Print a statement that runs now."""
        for line in text.splitlines():
            self.line(f"  {line}", "cyan")

    def table(self, heading: str, columns: Sequence[str], rows: Sequence[Sequence[object]]) -> None:
        """Print a statement and its answer."""
        self.line()
        self.line(heading, "cyan")
        self.rows(columns, rows)

    def rows(
        self, columns: Sequence[str], rows: Sequence[Sequence[object]], indent: int = 2
    ) -> None:
        """Print the answer to a statement."""
        cells = [list(columns), *([_cell(value) for value in row] for row in rows)]
        widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
        numeric = [
            any(_is_number(value) for value in column) for column in zip(*rows, strict=True)
        ] or [False] * len(widths)
        for number, row in enumerate(cells):
            fields = [
                cell.rjust(width) if right else cell.ljust(width)
                for cell, width, right in zip(row, widths, numeric, strict=True)
            ]
            self.line(f"{' ' * indent}{'  '.join(fields)}".rstrip(), "" if number else "bold")
        if not rows:
            self.line(f"{' ' * indent}(no rows)")


def _is_number(value: object) -> bool:
    return isinstance(value, int | float | Decimal) and not isinstance(value, bool)


def _cell(value: object) -> str:
    if value is None:
        return ""
    return f"{value:%H:%M:%S}" if isinstance(value, datetime) else str(value)

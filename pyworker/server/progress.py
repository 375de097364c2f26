"""Telling people what the private server does while it takes long."""

import sys
import threading
from typing import Protocol, Self, TextIO

__all__ = ["Progress", "Quiet", "console_progress"]

_FIRST_LINE = 2.0  # seconds before a plain line says what goes on
_REMINDER = 10.0  # seconds between further lines


class Progress(Protocol):
    """What the server's steps report to."""

    def phase(self, text: str) -> None:
        """Say that a new step begins."""

    def advance(self, fraction: float) -> None:
        """Say how much of the step is done, 0 to 1."""


class Quiet:
    """Report nothing."""

    def phase(self, text: str) -> None:
        """Ignore it."""

    def advance(self, fraction: float) -> None:
        """Ignore it."""


class Lines:
    """Plain lines for logs: one when a step takes longer than two seconds, then one every ten."""

    def __init__(self, stream: TextIO) -> None:
        """Write to `stream`."""
        self._stream = stream
        self._text = ""
        self._fraction = 0.0
        self._began = threading.Event()
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="progress", daemon=True)

    def __enter__(self) -> Self:
        """Start the watch."""
        self._thread.start()
        return self

    def __exit__(self, *_error: object) -> None:
        """End the watch."""
        self._over.set()
        self._began.set()
        self._thread.join()

    def phase(self, text: str) -> None:
        """Say that a new step begins."""
        self._text, self._fraction = text, 0.0
        self._began.set()

    def advance(self, fraction: float) -> None:
        """Say how much of the step is done, 0 to 1."""
        self._fraction = fraction

    def _watch(self) -> None:
        delay = _FIRST_LINE
        while not self._over.is_set():
            if self._began.wait(delay):
                self._began.clear()
                delay = _FIRST_LINE
            elif self._text:
                percent = f" ({self._fraction:.0%})" if self._fraction else ""
                print(f"pyworker: {self._text}{percent} ...", file=self._stream, flush=True)
                delay = _REMINDER


class Bar:
    """A bar on a terminal, gone when the work is done."""

    def __init__(self) -> None:
        """Prepare the bar; it shows once entered."""
        from rich.console import Console  # noqa: PLC0415  loaded only where a terminal shows it
        from rich.progress import BarColumn, SpinnerColumn, TextColumn, TimeElapsedColumn  # noqa: PLC0415
        from rich.progress import Progress as RichProgress  # noqa: PLC0415

        self._bar = RichProgress(
            SpinnerColumn(),
            TextColumn("{task.description}"),
            BarColumn(),
            TimeElapsedColumn(),
            console=Console(stderr=True),
            transient=True,
        )
        self._task = self._bar.add_task("", total=None)

    def __enter__(self) -> Self:
        """Show the bar."""
        self._bar.start()
        return self

    def __exit__(self, *_error: object) -> None:
        """Take the bar away."""
        self._bar.stop()

    def phase(self, text: str) -> None:
        """Say that a new step begins."""
        self._bar.reset(self._task, total=None, description=text)

    def advance(self, fraction: float) -> None:
        """Say how much of the step is done, 0 to 1."""
        self._bar.update(self._task, total=1.0, completed=fraction)


def console_progress() -> Bar | Lines:
    """Choose by what stderr is: a bar on a terminal, plain lines elsewhere."""
    return Bar() if sys.stderr.isatty() else Lines(sys.stderr)

"""`pyworker top` in a real terminal, tmux: keys in, screen out."""

import os
import shlex
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from support import Database, wait_until

from tests.terminal.conftest import Command

PROGRAM = Path(sys.executable).with_name("pyworker")


class Terminal:
    """One tmux server with one window in which the program runs."""

    def __init__(self, dsn: str, columns: int, lines: int) -> None:
        self._socket = f"pyworker-{os.getpid()}-{columns}"
        words = [
            "env",
            "-u",
            "COLUMNS",
            "-u",
            "LINES",
            f"PYWORKER_DSN={dsn}",
            "LC_ALL=C.UTF-8",
            str(PROGRAM),
            "top",
        ]
        then = 'echo "left with $?"; sleep 60'
        self.tmux(
            "-f/dev/null", "new-session", "-d", "-x", str(columns), "-y", str(lines),
            f"{shlex.join(words)}; {then}",
        )  # fmt: skip

    def tmux(self, *words: str) -> str:
        done = subprocess.run(
            ["tmux", "-u", "-L", self._socket, *words], capture_output=True, text=True, check=True
        )
        return done.stdout

    def press(self, *keys: str) -> None:
        self.tmux("send-keys", *keys)

    def screen(self) -> str:
        return self.tmux("capture-pane", "-p")

    def shows(self, *texts: str) -> str:
        return wait_until(
            lambda: next((s for s in [self.screen()] if all(text in s for text in texts)), ""),
            step=0.1,
        )


@pytest.fixture
def terminal() -> Iterator[Callable[[str, int, int], Terminal]]:
    if shutil.which("tmux") is None:
        pytest.skip("there is no tmux")
    opened: list[Terminal] = []

    def opener(dsn: str, columns: int, lines: int) -> Terminal:
        opened.append(Terminal(dsn, columns, lines))
        return opened[-1]

    yield opener
    for one in opened:
        one.tmux("kill-server")


@pytest.mark.parametrize(("columns", "lines"), [(80, 24), (160, 50)])
def test_keys_in_screen_out(
    shared: Database, terminal: Callable[[str, int, int], Terminal], columns: int, lines: int
) -> None:
    job = shared.value(
        "select jobs.enqueue('pg_catalog.now', run_at => now() + '1 hour',"
        ' options => \'{"title": "[red]a[/]"}\')'
    )
    try:
        seen = terminal(shared.dsn("app"), columns, lines)
        shown = seen.shows("Running", "Waiting", "Queues", "Failed", "[red]a[/]", "1 job", "q Quit")
        assert ("Schedules" in shown) == (lines == 50)
        heads = [line for line in shown.splitlines() if "elapsed" in line]
        assert "waits for" in heads[0]
        seen.press("Tab", "Down", "e")
        seen.shows("select jobs.run_now", str(job))
        seen.press("q", "c")
        seen.shows(f"cancel job {job}? [y/N]")
        seen.press("y")
        wait_until(lambda: shared.job(job)["state"] == "cancelled")
        seen.press("q")
        seen.shows("left with 0")
    finally:
        shared.run("select jobs.cancel(%s)", [job])


def test_without_a_terminal_it_says_so(command: Command) -> None:
    said = command("top")
    assert said.code == 2
    assert "pyworker top needs a terminal" in said.err


def test_without_the_extra_it_says_so(command: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in list(sys.modules):
        if name.startswith(("textual", "pyworker.top")):
            monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "textual", None)
    said = command("top")
    assert said.code == 2
    assert "pyworker top needs the extra `top`" in said.err

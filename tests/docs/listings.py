"""Listings of a Markdown page: found, run, and their output compared with what the page says.

    ```sql            statements for psql as role app; the ```text block that follows is what psql
    prints ```console        `$ command` with what it prints; a line `^C` interrupts it when what
    stands above it has come

A line `...` stands for any lines. What differs from run to run (times, process ids, paths,
versions) is not compared.
"""

import os
import re
import shlex
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

TOP = Path(__file__).parents[2]

#: Columns whose values differ from run to run.
_VOLATILE = {
    "pid", "child_pid", "started_at", "finished_at", "created_at", "due_at", "at", "eta", "age",
    "oldest", "gain", "before", "after", "buffers_before", "buffers_after",
    "wait_ms", "run_ms", "rate", "done", "percent", "last_seen", "wait_event",
}  # fmt: skip
_MASKS = [
    (re.compile(r"\d{4}-\d\d-\d\d[T ]\d\d:\d\d:\d\d(\.\d+)?([+-]\d\d(:\d\d)?|Z)?"), "TIME"),
    (
        re.compile(
            r"\b(supervisor|session|pid|ms|uptime|active_sessions|session_demand|count)=[\d.]+"
        ),
        r"\1=N",
    ),
    (re.compile(r"\b(supervisor_name|name|host|at|database)=('[^']*'|[^ &]+)"), r"\1=X"),
    (re.compile(r"@/\w+\?"), "@/DATABASE?"),
    (re.compile(r"server_version='[^']*'"), "server_version=X"),
    (re.compile(r'database "\w+"'), 'database "X"'),
    (re.compile(r"\(PID \d+\)|PID \d+|pid,? \d+"), "pid N"),
    (re.compile(r"OID=\d+|process \d+"), "N"),
    (re.compile(r"\b\d+\.\d s\b"), "N s"),
    (re.compile(r"\b[\d.]+x as fast"), "Nx as fast"),
    (re.compile(r"\d\d:\d\d:\d\d(\.\d+)?"), "INTERVAL"),
]

#: The roles of the pages may be there already, with what the pages grant them.
_GRANTED_BEFORE = re.compile(r"NOTICE:  role \S+ has already been granted membership in role .*")


@dataclass(frozen=True, kw_only=True)
class Listing:
    """One command or one block of SQL, with what the page says that it prints."""

    page: str
    line: int
    kind: str
    source: str
    output: list[str]
    interrupted: bool = False

    def __str__(self) -> str:
        return f"{self.page}:{self.line}"


def listings(page: Path) -> list[Listing]:
    """Find the listings of a page, in their order."""
    return list(_listings(page))


def _listings(page: Path) -> Iterator[Listing]:
    text = page.read_text(encoding="utf-8")
    pending: tuple[int, str] | None = None
    for found in re.finditer(r"^```(\w*)\n(.*?)^```$", text, re.MULTILINE | re.DOTALL):
        kind, body, line = found[1], found[2], text[: found.start()].count("\n") + 2
        if pending is not None:
            output = body.splitlines() if kind == "text" else []
            yield Listing(
                page=page.name, line=pending[0], kind="sql", source=pending[1], output=output
            )
            pending = None
        if kind == "sql":
            pending = (line, body)
        elif kind == "console":
            yield from _commands(page.name, line, body)
    if pending is not None:
        yield Listing(page=page.name, line=pending[0], kind="sql", source=pending[1], output=[])


def _commands(page: str, line: int, body: str) -> Iterator[Listing]:
    parts = re.split(r"^\$ ", body, flags=re.MULTILINE)
    assert not parts[0].strip(), f"{page}:{line}: output before the first command"
    line += parts[0].count("\n")
    for part in parts[1:]:
        lines = part.splitlines()
        size = 1
        while lines[size - 1].endswith("\\"):
            size += 1
        output = lines[size:]
        interrupted = "^C" in output
        yield Listing(
            page=page, line=line, kind="console", source="\n".join(lines[:size]),
            output=[text for text in output if text != "^C"], interrupted=interrupted,
        )  # fmt: skip
        line += len(lines)


def plain(lines: list[str]) -> list[str]:
    """Reduce output to what is the same in every run."""
    reduced: list[str] = []
    columns: list[str] | None = None
    for number, line in enumerate(lines):
        if number + 1 < len(lines) and re.fullmatch(r"-+(\+-+)*-*", lines[number + 1]):
            columns = [name.strip() for name in line.split("|")]
        elif re.fullmatch(r"\(\d+ rows?\)|", line):
            columns = None
        cells = line.split("|")
        if columns and len(cells) == len(columns):
            line = " | ".join(  # noqa: PLW2901
                "~" if name in _VOLATILE and cell.strip() and cell.strip() != name else cell.strip()
                for name, cell in zip(columns, cells, strict=True)
            )
        for pattern, mask in _MASKS:
            line = pattern.sub(mask, line)  # noqa: PLW2901
        if _GRANTED_BEFORE.fullmatch(line):
            continue
        reduced.append(re.sub(r"-{2,}", "-", re.sub(r"\s+", " ", line)).strip())
    while reduced and not reduced[-1]:
        reduced.pop()
    return reduced


def fits(expected: list[str], actual: list[str]) -> bool:
    """Compare; `...` stands for any lines."""
    if not expected:
        return not actual
    if expected[0] == "...":
        return any(fits(expected[1:], actual[start:]) for start in range(len(actual) + 1))
    return bool(actual) and expected[0] == actual[0] and fits(expected[1:], actual[1:])


@dataclass(frozen=True, kw_only=True)
class Runner:
    """Runs listings against one database."""

    psql: Path
    environment: Mapping[str, str]  #: of psql, as role app
    shell: Mapping[str, str]  #: variables of commands
    commands: Mapping[str, str]  #: text of a command -> what is run instead
    names: Mapping[str, str]  #: what the page calls a role -> what it is called here

    def prepare(self) -> None:
        """Do what README.md does before: install, and let app and supervisor in."""
        grants = "grant jobs_producer, jobs_runner to app; grant jobs_supervisor to supervisor"
        for command in (
            "pyworker install",
            f"pyworker server psql --role postgres -- -c {shlex.quote(grants)}",
            "pyworker server psql --role postgres -- -c 'create schema app authorization app'",
        ):
            self._command(self._real(command))

    def _real(self, source: str) -> str:
        for shown, real in {**self.names, **self.commands}.items():
            source = re.sub(rf"\b{re.escape(shown)}\b", real.replace("\\", "\\\\"), source)
        return source

    def run(self, listing: Listing) -> list[str]:
        """Run a listing; gives what it prints."""
        source = self._real(listing.source)
        if listing.kind == "sql":
            output = self._psql(source)
        else:
            output = (
                self._interrupt(source, listing) if listing.interrupted else self._command(source)
            )
        for shown, real in self.names.items():
            output = output.replace(real, shown)
        return output.splitlines()

    def _psql(self, source: str) -> str:
        argv = [self.psql, "-X", "-v", "SHOW_CONTEXT=never"]
        done = subprocess.run(
            argv, env=dict(self.environment), input=source, text=True, timeout=60,
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False,
        )  # fmt: skip
        return done.stdout

    def _shell(self) -> dict[str, str]:
        programs = str(Path(sys.executable).parent)
        return {
            **os.environ,
            "PATH": f"{programs}:{os.environ['PATH']}",
            "COLUMNS": "120",
            **self.shell,
        }

    def _command(self, source: str) -> str:
        done = subprocess.run(
            ["bash", "-c", source], env=self._shell(), cwd=TOP, text=True, timeout=100,
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False,
        )  # fmt: skip
        return done.stdout

    def _interrupt(self, source: str, listing: Listing) -> str:
        """Interrupt it when everything that comes before the last `...` or the supervisor's end has
        been printed.
        """
        *above, _stopping, _stopped = listing.output
        process = subprocess.Popen(
            ["bash", "-c", f"exec {source}"], env=self._shell(), cwd=TOP, text=True,
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        )  # fmt: skip
        lines: list[str] = []

        def read() -> None:
            assert process.stdout is not None
            with process.stdout as stream:
                lines.extend(stream)

        reader = threading.Thread(target=read, daemon=True)
        reader.start()
        until = time.monotonic() + 20
        while (
            not fits(plain(above), plain(lines))
            and time.monotonic() < until
            and process.poll() is None
        ):
            time.sleep(0.02)
        process.send_signal(signal.SIGINT)
        process.wait(20)
        reader.join(20)
        return "".join(lines)


def quoted(text: str) -> str:
    """Quote for the shell."""
    return shlex.quote(text)

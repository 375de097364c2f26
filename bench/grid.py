"""The table of systems: a row for each, on the screen and as Markdown for docs/performance.md."""

import textwrap
from datetime import UTC, datetime
from pathlib import Path

from rich.table import Table

from bench.figures import Figure
from bench.goals import in_unit
from bench.report import caption, goal_lines, spread
from bench.run import Run

__all__ = ["BEGIN", "END", "markdown", "table", "write"]

#: The marks of a page, between which the table goes.
BEGIN, END = "<!-- systems: begin -->", "<!-- systems: end -->"
_WIDTH = 100
_RATES = ("jobs/s", "tps")  #: of these units more is better


def _rows(run: Run) -> dict[str, dict[str, Figure]]:
    """Sort the figures of the run by row and column."""
    rows: dict[str, dict[str, Figure]] = {}
    for made in run.figures.values():
        for one in made:
            if one.column:
                rows.setdefault(one.text, {})[one.column] = one
    return rows


def _columns(rows: dict[str, dict[str, Figure]]) -> list[tuple[str, str]]:
    """List the headings with their units, in the order of the fullest row."""
    fullest = max(rows.values(), key=len)
    return [(heading, one.unit) for heading, one in fullest.items()]


def _cells(row: dict[str, Figure], columns: list[tuple[str, str]]) -> list[str]:
    found = [row.get(heading) for heading, _ in columns]
    return [
        spread(one.value, one.values, one.unit).replace(f" {one.unit}", "") if one else ""
        for one in found
    ]


def table(run: Run) -> Table | None:
    """Draw it; None where the run has compared no systems."""
    rows = _rows(run)
    if not rows:
        return None
    columns = _columns(rows)
    drawn = Table(title="systems: median of the runs (least to most)")
    drawn.add_column("system")
    for heading, unit in columns:
        drawn.add_column(f"{heading}, {unit}", justify="right")
    for name, row in rows.items():
        drawn.add_row(name, *_cells(row, columns))
    return drawn


def _better(rows: dict[str, dict[str, Figure]]) -> list[str]:
    """Say for each column which systems do better than the first row, which is ours; other rows of
    its first word are variants of it.
    """
    (title, ours), *all_others = rows.items()
    others = [(name, row) for name, row in all_others if not name.startswith(title.split()[0])]
    lines = []
    for heading, unit in _columns(rows):
        mine = ours.get(heading)
        theirs = [(name, row[heading]) for name, row in others if heading in row]
        found = [
            f"{name} ({in_unit(one.value, unit)})"
            for name, one in theirs
            if mine and (one.value > mine.value if unit in _RATES else one.value < mine.value)
        ]
        if mine and found:
            text = f"- {heading}: {', '.join(found)}; ours {in_unit(mine.value, unit)}"
            lines += textwrap.wrap(text, _WIDTH, subsequent_indent="  ")
    return lines


def markdown(run: Run) -> str:
    """Write the same with the machine, where others are better, and the goals."""
    rows = _rows(run)
    columns = _columns(rows)
    size = " QUICK=1" if run.size == "quick" else ""
    begin = (
        f"Measured on {datetime.now(UTC):%Y-%m-%d} by `make bench PEERS=1{size}`: {caption(run)}"
    )
    lines = [
        *textwrap.wrap(begin, _WIDTH),
        "",
        "| | " + " | ".join(f"{heading}, {unit}" for heading, unit in columns) + " |",
        "|---" * (len(columns) + 1) + "|",
        *(f"| {name} | " + " | ".join(_cells(row, columns)) + " |" for name, row in rows.items()),
        "",
        f"Better than {next(iter(rows))}:",
        "",
        *(_better(rows) or ["- none"]),
        "",
        "| goal | ratio |",
        "|---|---|",
        *(f"| {line.removeprefix('goal ').replace(': ', ' | ', 1)} |" for line in goal_lines(run)),
    ]
    return "\n".join(lines) + "\n"


def write(run: Run, file: Path) -> None:
    """Put it between the marks of a page that has them; else the file is that alone."""
    text = markdown(run)
    page = file.read_text(encoding="utf-8") if file.exists() else ""
    if BEGIN in page and END in page:
        before, after = page.partition(BEGIN)[0], page.partition(END)[2]
        text = f"{before}{BEGIN}\n\n{text}\n{END}{after}"
    file.write_text(text, encoding="utf-8")

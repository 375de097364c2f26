"""The table of systems: a row for each, on the screen and as Markdown for docs/performance.md."""

import textwrap

from rich.table import Table

from bench.figures import Figure
from bench.report import caption, goal_lines, spread
from bench.run import Run

__all__ = ["markdown", "table"]


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


def markdown(run: Run) -> str:
    """Write the same with the machine, the systems' settings, and a line for each goal."""
    rows = _rows(run)
    if not rows:
        return ""
    columns = _columns(rows)
    lines = [
        *textwrap.wrap(caption(run), 100),
        "",
        "| | " + " | ".join(f"{heading}, {unit}" for heading, unit in columns) + " |",
        "|---" * (len(columns) + 1) + "|",
        *(f"| {name} | " + " | ".join(_cells(row, columns)) + " |" for name, row in rows.items()),
        "",
        "| | settings |",
        "|---|---|",
        *(f"| {name} | {next(iter(row.values())).note} |" for name, row in rows.items()),
        "",
        "| goal | ratio |",
        "|---|---|",
        *(f"| {line.removeprefix('goal ').replace(': ', ' | ', 1)} |" for line in goal_lines(run)),
    ]
    return "\n".join(lines) + "\n"

"""What a run prints and keeps: one table, the lines of the goals, JSON."""

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

from rich.table import Table

from bench.figures import Figure
from bench.goals import GOALS, in_unit, verdicts
from bench.run import Run
from pyworker import __version__

__all__ = ["as_json", "caption", "goal_lines", "render", "spread"]

_IN_CAPTION = ("fsync", "synchronous_commit", "full_page_writes", "shared_buffers", "max_wal_size")


def spread(middle: float, values: Sequence[float], unit: str) -> str:
    """Write a figure with the least and the most of its runs."""
    if len(values) < 2:
        return in_unit(middle, unit)
    low, high = in_unit(min(values), unit), in_unit(max(values), unit)
    return (
        f"{in_unit(middle, unit)} ({low.removesuffix(' ' + unit)} to "
        f"{high.removesuffix(' ' + unit)})"
    )


def _ratio(figure: Figure) -> str:
    return "" if figure.ratio is None else spread(figure.ratio, figure.ratios, "ratio")


def _against(figure: Figure) -> str:
    if not figure.rivals:
        return figure.note
    rival = Figure(text="", unit=figure.unit, values=figure.rivals)
    return "; ".join(
        filter(None, [f"{figure.rival}: {in_unit(rival.value, figure.unit)}", figure.note])
    )


def caption(run: Run) -> str:
    """Tell the machine and the server of the run."""
    machine, server = run.facts.get("machine", {}), run.facts.get("server", {})
    settings = ", ".join(f"{name} {server[name]}" for name in _IN_CAPTION if name in server)
    return (
        f"{machine.get('processors')} processors ({machine.get('cpu')}), {machine.get('memory')} "
        f"of memory, load {machine.get('load')} before the run, Linux {machine.get('kernel')}; "
        f"PostgreSQL {server.get('server_version')}: "
        f"{settings}. Median of the runs (least to most); each ratio is to what was measured in "
        f"turn with it."
    )


def render(run: Run) -> Table:
    """Draw the table: the ratio first."""
    table = Table(
        title=f"pyworker bench, {run.size} size", caption=caption(run), caption_justify="left"
    )
    table.add_column("figure")
    table.add_column("ratio", justify="right")
    table.add_column("measured", justify="right")
    table.add_column("runs", justify="right")
    table.add_column("against")
    for figures in run.figures.values():
        for figure in figures:
            if figure.column:  # of the table of systems
                continue
            measured = spread(figure.value, figure.values, figure.unit)
            table.add_row(
                figure.text, _ratio(figure), measured, str(len(figure.values)), _against(figure)
            )
    return table


def goal_lines(run: Run) -> list[str]:
    """Say for each goal whether it is met."""
    absent = (
        "not measured at this size" if run.goals is GOALS else "not measured: a system is missing"
    )
    return verdicts(run.by_goal, run.failures, run.goals, absent)


def as_json(run: Run) -> dict[str, Any]:
    """Return everything that was measured."""
    by_goal = run.by_goal
    return {
        "pyworker": __version__,
        "at": datetime.now(UTC).isoformat(timespec="seconds"),
        "size": run.size,
        **{f"{name}_facts": known for name, known in run.facts.items()},
        "goals": {
            goal.name: {
                "goal": f"{goal.sign} {in_unit(goal.limit, goal.unit)}",
                "figure": goal.figure(by_goal[goal.name]) if goal.name in by_goal else None,
                "met": goal.met(goal.figure(by_goal[goal.name])) if goal.name in by_goal else None,
            }
            for goal in run.goals.values()
        },
        "figures": [
            {
                "measurement": measurement,
                "text": one.text,
                "unit": one.unit,
                "ratio": one.ratio,
                "ratios": one.ratios,
                "value": one.value,
                "values": one.values,
                "rival": one.rival,
                "rivals": one.rivals,
                "note": one.note,
                "column": one.column,
            }
            for measurement, made in run.figures.items()
            for one in made
        ],
        "curves": [
            {"plot": one.plot, "label": one.label, "points": one.points} for one in run.curves
        ],
        "failures": run.failures,
        "seconds": {name: round(taken, 1) for name, taken in run.seconds.items()},
    }

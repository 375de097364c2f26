"""The table that a run prints."""

import os
import statistics
from collections.abc import Sequence

from rich.table import Table

from pyworker.bench.run import Figures

__all__ = ["render", "summary"]


def _spread(values: Sequence[float]) -> str:
    return f"{statistics.median(values):,.0f} ({min(values):,.0f} to {max(values):,.0f})"


def _ratios(figures: Sequence[float], against: Sequence[float]) -> str:
    each = [a / b for a, b in zip(figures, against, strict=True)]
    return f"{statistics.median(each):.2f} ({min(each):.2f} to {max(each):.2f})"


def _percentile(values: Sequence[float], part: float) -> float:
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(len(ordered) * part))]


def summary(figures: Figures) -> dict[str, object]:
    """Return the figures and what they give, for JSON."""
    return {
        "jobs": figures.jobs,
        "rounds": len(figures.drained),
        "processors": os.cpu_count(),
        "drained_per_insert": statistics.median(a / b for a, b in zip(figures.drained, figures.inserted, strict=True)),
        "enqueued_per_insert": statistics.median(
            a / b for a, b in zip(figures.enqueued, figures.inserted, strict=True)
        ),
        "figures": {name: value for name, value in vars(figures).items() if isinstance(value, list)},
    }


def render(figures: Figures) -> Table:
    """Return the table: figure, unit, ratio to single-row INSERT commits of the same round."""
    table = Table(
        title=f"pyworker bench: {len(figures.drained)} rounds, median (min to max), {os.cpu_count()} processors"
    )
    table.add_column("figure")
    table.add_column("per second", justify="right")
    table.add_column("ratio to INSERT commits", justify="right")
    table.add_row("single-row INSERT commits, 2 clients", _spread(figures.inserted), "1")
    table.add_row(
        "jobs.enqueue commits, 2 clients", _spread(figures.enqueued), _ratios(figures.enqueued, figures.inserted)
    )
    table.add_row(
        f"jobs.enqueue_many, {figures.jobs:,} jobs", _spread(figures.many), _ratios(figures.many, figures.inserted)
    )
    table.add_row(
        f"drain of {figures.jobs:,} no-op jobs, 2 sessions, exactly once, with history",
        _spread(figures.drained),
        _ratios(figures.drained, figures.inserted),
    )
    for name, values in (("no session waits", figures.cold_ms), ("a session waits", figures.warm_ms)):
        table.add_row(
            f"enqueue to start, {name}, {len(values)} samples",
            f"p50 {_percentile(values, 0.5):.1f} ms, p99 {_percentile(values, 0.99):.1f} ms",
            "",
        )
    table.add_row("statements while idle", f"{figures.idle[0]:.2f}", "")
    return table

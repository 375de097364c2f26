"""Plots of a run, as PNG. Needs matplotlib: the extra `bench`."""

import importlib.util
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from bench.figures import Curve
from pyworker.errors import ConfigError

__all__ = ["draw", "require_plotting"]


@dataclass(frozen=True, kw_only=True)
class _Plot:
    title: str
    x: str
    y: str
    logarithmic: bool = False


_PLOTS = {
    "backlog": _Plot(title="Drain rate against backlog", x="jobs waiting", y="jobs/s"),
    "snapshot": _Plot(
        title="Drain rate against the age of a held snapshot",
        x="seconds since the start",
        y="jobs/s",
    ),
    "history": _Plot(
        title="Drain rate against the history kept", x="finished jobs kept", y="jobs/s"
    ),
    "latency": _Plot(
        title="From enqueue to the start of the job",
        x="ms",
        y="part of the samples not above",
        logarithmic=True,
    ),
}


def require_plotting() -> None:
    """Refuse before anything is measured, not afterwards."""
    if importlib.util.find_spec("matplotlib") is None:
        raise ConfigError(
            "plots need matplotlib", hint="Install it: pip install 'pyworker[bench]'."
        )


def draw(curves: Sequence[Curve], directory: Path) -> list[Path]:
    """Draw each plot of which there is a curve; returns the files."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg  # noqa: PLC0415  an extra
    from matplotlib.figure import Figure  # noqa: PLC0415

    directory.mkdir(parents=True, exist_ok=True)
    files = []
    for name, plot in _PLOTS.items():
        lines = [curve for curve in curves if curve.plot == name and curve.points]
        if not lines:
            continue
        figure = Figure(figsize=(8, 4.5), layout="constrained")
        FigureCanvasAgg(figure)
        axes = figure.subplots()
        for curve in lines:
            axes.plot(
                *zip(*curve.points, strict=True),
                marker="" if name == "latency" else "o",
                label=curve.label,
            )
        axes.set(title=plot.title, xlabel=plot.x, ylabel=plot.y)
        axes.set_ylim(bottom=0)
        if plot.logarithmic:
            axes.set_xscale("log")
        if len(lines) > 1:
            axes.legend()
        axes.grid(visible=True, alpha=0.3)
        files.append(directory / f"{name}.png")
        figure.savefig(files[-1], dpi=100)
    return files

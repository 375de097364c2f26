"""The goals, and what the figures say of them."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from bench.figures import Figure

__all__ = ["GOALS", "Goal", "in_unit", "verdicts"]


@dataclass(frozen=True, kw_only=True)
class Goal:
    """One thing that must be true."""

    name: str
    measurement: str  #: which measurement tells it
    sign: Literal[">=", "<="]
    limit: float
    unit: str  #: of the figure; `ratio`: the figure's ratio counts

    def figure(self, figure: Figure) -> float:
        """What counts of a figure."""
        if self.unit != "ratio":
            return figure.value
        return figure.value if figure.ratio is None else figure.ratio

    def met(self, value: float) -> bool:
        """Tell whether a figure is good enough."""
        return value >= self.limit if self.sign == ">=" else value <= self.limit


def _most(name: str, measurement: str, limit: float, unit: str) -> Goal:
    return Goal(name=name, measurement=measurement, sign="<=", limit=limit, unit=unit)


def _least(name: str, measurement: str, limit: float, unit: str = "ratio") -> Goal:
    return Goal(name=name, measurement=measurement, sign=">=", limit=limit, unit=unit)


#: "Flat" is a tenth, "no delay" half a millisecond: a lock would cost as long as the other
#: transaction stays open.
_ALL = (
    _least("drain", "drain", 20_000, "jobs/s"),
    _least("drain_ratio", "drain", 0.5),
    _least("update_ratio", "update", 0.6),
    _least("unseen", "alone", 1_000, "jobs/s"),
    _least("alone", "alone", 1_000, "jobs/s"),
    _least("enqueue_ratio", "enqueue", 0.6),
    _least("enqueue_select", "bulk", 12_000, "jobs/s"),
    _least("enqueue_many", "bulk", 40_000, "jobs/s"),
    _most("cold_p50", "cold", 20, "ms"),
    _most("cold_p99", "cold", 60, "ms"),
    _most("warm_p50", "warm", 4, "ms"),
    _most("warm_p99", "warm", 15, "ms"),
    _most("idle_statements", "idle", 0.3, "/s"),
    _most("idle_cpu", "idle", 0.2, "%"),
    _least("snapshot", "snapshot", 0.8),
    _least("delayed", "delayed", 0.95),
    _least("history_drain", "history", 0.95),
    _least("history_enqueue", "history", 0.95),
    _least("history_views_ratio", "history", 0.95),
    _most("history_views", "history", 100, "ms"),
    _least("backlog", "backlog", 0.9),
    _least("lanes", "lanes", 0.5),
    _least("writers", "writers", 0.6),
    _most("open_transaction", "open", 0.5, "ms"),
    _most("flood_p99", "flood", 3, "ratio"),
    _most("supervisor_memory", "memory", 80, "MB"),
    _most("supervisor_growth", "memory", 1.1, "ratio"),
    _most("worker_memory", "memory", 20, "MB"),
    _most("worker_growth", "memory", 1.1, "ratio"),
    _most("worker_lanes_memory", "lanes", 40, "MB"),
    _most("disk", "disk", 300, "kB"),
    _most("live_tables", "tables", 3, "ratio"),
    _most("cost", "duties", 5, "%"),
)
GOALS: dict[str, Goal] = {goal.name: goal for goal in _ALL}

_DIGITS = {
    "jobs/s": 0,
    "ratio": 2,
    "ms": 1,
    "/s": 2,
    "%": 2,
    "MB": 1,
    "kB": 0,
    "tps": 0,
    "us": 2,
    "s": 3,
}


def in_unit(value: float, unit: str) -> str:
    """Write a figure with its unit, as in `14,582 jobs/s`."""
    return f"{value:,.{_DIGITS.get(unit, 2)}f}{'' if unit == 'ratio' else ' ' + unit}"


def verdicts(
    figures: Mapping[str, Figure],
    failures: Mapping[str, str],
    goals: Mapping[str, Goal] = GOALS,
    absent: str = "not measured at this size",
) -> list[str]:
    """Say for each goal whether it is met. `figures`: by goal; `failures`: what went wrong, by
    measurement; `absent`: why a goal has no figure.
    """
    lines = []
    for goal in goals.values():
        figure = figures.get(goal.name)
        if figure is not None:
            value = goal.figure(figure)
            wanted = f"(goal {goal.sign} {in_unit(goal.limit, goal.unit)})"
            end = f"{in_unit(value, goal.unit)} {wanted} {'met' if goal.met(value) else 'missed'}"
        elif goal.measurement in failures:
            end = f"failed: {failures[goal.measurement]}"
        else:
            end = absent
        lines.append(f"goal {goal.name}: {end}")
    return lines

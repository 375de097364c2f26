"""What a measurement gives: a figure with its runs, or a curve for a plot."""

import statistics
from collections.abc import Sequence
from dataclasses import dataclass

__all__ = ["Curve", "Figure", "percentile"]


def percentile(values: Sequence[float], percent: float) -> float:
    """Return the smallest value that so many percent of all do not exceed."""
    ordered = sorted(values)
    rank = -(-len(ordered) * percent // 100)  # rounded up
    return ordered[max(0, int(rank) - 1)]


@dataclass(frozen=True, kw_only=True)
class Figure:
    """One line of the table."""

    text: str
    unit: str
    values: tuple[float, ...]  #: one per run
    rivals: tuple[float, ...] = ()  #: what it is compared with, of the same runs
    rival: str = ""  #: what that is
    inverse: bool = False  #: less is better, and a ratio of 1 is still the best: of times
    whole: float | None = None  #: the figure, where it is not the median of the runs
    goals: tuple[str, ...] = ()
    note: str = ""
    column: str = ""  #: its place in the table of systems, whose row is its text

    @property
    def value(self) -> float:
        """The figure."""
        return statistics.median(self.values) if self.whole is None else self.whole

    @property
    def ratios(self) -> tuple[float, ...]:
        """Each run's value by what it is compared with."""
        pairs = zip(self.values, self.rivals, strict=True) if self.rivals else ()
        return tuple((b / a if self.inverse else a / b) if a and b else 0.0 for a, b in pairs)

    @property
    def ratio(self) -> float | None:
        """The median of the ratios."""
        return statistics.median(self.ratios) if self.rivals else None


@dataclass(frozen=True, kw_only=True)
class Curve:
    """Points of a plot."""

    plot: str  #: which plot it belongs to
    label: str
    points: tuple[tuple[float, float], ...]

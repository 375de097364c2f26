"""What a run says at its end: one table, the violations, and how to see it again."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from rich.table import Table

from tests.torture.scenario import Violation

__all__ = ["Finding", "closing_line", "render", "replay"]


@dataclass(frozen=True, kw_only=True)
class Finding:
    """What one scenario came to."""

    name: str
    faults: int
    jobs: int
    seconds: float
    foreground: float = 0.0  #: seconds that 99 of 100 ordinary statements beside it took at most
    budget: int  #: SECONDS with which this scenario alone is drawn again
    violations: Sequence[Violation] = field(default_factory=tuple)
    kept: Path | None = None
    skipped: str | None = None  #: why it did not run


def render(findings: Sequence[Finding], seed: int) -> Table:
    """Draw the table."""
    table = Table(title=f"pyworker torture, seed {seed}")
    table.add_column("scenario")
    for column in ("faults", "jobs", "seconds", "p99 ms beside", "violations"):
        table.add_column(column, justify="right")
    for one in findings:
        if one.skipped is not None:
            table.add_row(f"{one.name} (skipped: {one.skipped})", "-", "-", "-", "-", "-")
            continue
        count = len(one.violations)
        table.add_row(
            one.name,
            str(one.faults),
            f"{one.jobs:,}",
            f"{one.seconds:.0f}",
            f"{one.foreground * 1000:.0f}",
            f"[red]{count}[/red]" if count else "0",
        )
    return table


def closing_line(findings: Sequence[Finding]) -> str:
    """Sum it up."""
    faults = sum(one.faults for one in findings)
    jobs = sum(one.jobs for one in findings)
    violations = sum(len(one.violations) for one in findings)
    done = [one for one in findings if one.skipped is None]
    return f"torture: {len(done)} scenarios, {faults} faults, {jobs} jobs, {violations} violations"


def replay(one: Finding, seed: int) -> str:
    """Say how to see a scenario again."""
    return f"replay: make torture SEED={seed} SECONDS={one.budget} SCENARIO={one.name}"

"""Proof that the proof can fail: bugs that are planted one at a time, and the scenario that shows
each of them.

A bug is a file NAME.sql beside this one: functions that take the place of ours in the database of
the scenario. Nothing outside that database is touched.
"""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from psycopg import Connection
from rich.table import Table

from pyworker.errors import WorkError
from tests.torture.mutants.known import MUTANTS, Mutant
from tests.torture.report import Finding
from tests.torture.run import Share, run_scenario
from tests.torture.server import torture_server
from tests.torture.world import World

__all__ = ["MUTANTS", "Mutant", "Verdict", "hunt", "plant", "render", "verdict_line"]

_DIRECTORY = Path(__file__).parent
_REPLACES = re.compile(r"^-- Replaces ([\w.]+), md5 ([0-9a-f]{32})\.$", re.MULTILINE)
_FINGERPRINT = (
    r"select md5(btrim(regexp_replace(prosrc, '\s+', ' ', 'g'))) from pg_proc"
    r" where oid = %s::regproc"
)
# seconds: that nothing comes to an end is what some of them are about
_STANDSTILL, _LONGEST = 12.0, 45.0


@dataclass(frozen=True, kw_only=True)
class Verdict:
    """What became of one run. A control run has no mutant and must be clean."""

    scenario: str
    mutant: Mutant | None
    finding: Finding

    @property
    def seen(self) -> list[str]:
        """Name the invariants that complained."""
        return sorted({violation.invariant for violation in self.finding.violations})

    @property
    def right(self) -> bool:
        """Tell whether the checker did what it is there for."""
        return (
            not self.seen if self.mutant is None else bool(self.mutant.caught_by & set(self.seen))
        )


def replacements(mutant: Mutant) -> str:
    """Read the SQL that plants it."""
    return (_DIRECTORY / f"{mutant.name}.sql").read_text(encoding="utf-8")


def plant(line: Connection[tuple[object, ...]], mutant: Mutant, text: str | None = None) -> None:
    """Replace functions of a database.

    Each function must be the one that the mutant was written for, whitespace apart:
    else the bug would be another.
    """
    text = text or replacements(mutant)
    for function, expected in _REPLACES.findall(text):
        found = line.execute(_FINGERPRINT, [function]).fetchone()
        if found is None or found[0] != expected:
            raise WorkError(
                f"mutant {mutant.name} does not fit {function}",
                detail=(
                    f"It was written for a body with md5 {expected};"
                    f" here it is {found[0] if found else 'missing'}."
                ),
                hint="The function has changed: write the mutant for it anew, with the new md5.",
            )
    line.execute(text.encode())


def hunt(names: Sequence[str], directory: Path, say: Callable[[str], None]) -> list[Verdict]:
    """Run each scenario as it is, which must be clean, then with each bug, which must be seen."""
    chosen = [MUTANTS[name] for name in names] if names else list(MUTANTS.values())
    verdicts = []
    with torture_server(directory / "server") as server:
        for scenario in dict.fromkeys(mutant.scenario for mutant in chosen):
            seconds = max(mutant.seconds for mutant in chosen if mutant.scenario == scenario)
            share = Share(name=scenario, seconds=seconds)
            finding = run_scenario(server, share, 1, directory / f"control-{scenario}", say)
            verdicts.append(Verdict(scenario=scenario, mutant=None, finding=finding))
            say(
                f"control {scenario}: {', '.join(verdicts[-1].seen) or 'clean'}"
                f" ({finding.seconds:.0f} s)"
            )
        for mutant in chosen:

            def mutate(world: World, mutant: Mutant = mutant) -> None:
                world.standstill, world.longest = _STANDSTILL, _LONGEST
                plant(world.admin(), mutant)

            share = Share(name=mutant.scenario, seconds=mutant.seconds)
            finding = run_scenario(server, share, mutant.seed, directory / mutant.name, say, mutate)
            verdicts.append(Verdict(scenario=mutant.scenario, mutant=mutant, finding=finding))
            say(
                f"{mutant.name}: {', '.join(verdicts[-1].seen) or 'nothing'}"
                f" ({finding.seconds:.0f} s)"
            )
    return verdicts


def render(verdicts: Sequence[Verdict]) -> Table:
    """Draw the table: mutant, scenario, who caught it."""
    table = Table(title="pyworker torture --mutants")
    for column in ("mutant", "scenario", "caught by", ""):
        table.add_column(column)
    for one in verdicts:
        table.add_row(
            one.mutant.name if one.mutant else "(none)", one.scenario, ", ".join(one.seen) or "-",
            "right" if one.right else "[red]WRONG[/red]",
        )  # fmt: skip
    return table


def verdict_line(verdicts: Sequence[Verdict]) -> str:
    """Sum it up."""
    mutants = [one for one in verdicts if one.mutant is not None]
    controls = [one for one in verdicts if one.mutant is None]
    caught = sum(one.right for one in mutants)
    clean = sum(one.right for one in controls)
    return (
        f"mutants: {caught} of {len(mutants)} caught, {clean} of {len(controls)} control runs clean"
    )

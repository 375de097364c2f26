"""The checks at the end: what was found beside what it has to be."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import psycopg

from pyworker.demo.screen import Screen
from pyworker.demo.statements import read_statements

__all__ = ["Check", "check_database", "print_checks"]


@dataclass(frozen=True, kw_only=True)
class Check:
    """One fact."""

    name: str
    found: str
    expected: str

    @property
    def ok(self) -> bool:
        """Tell whether it is as it has to be."""
        return self.found == self.expected


def check_database(connection: psycopg.Connection[Any]) -> list[Check]:
    """Ask the database everything in checks.sql."""
    checks = []
    for name, statement in read_statements("checks.sql").items():
        row = connection.execute(statement.encode()).fetchone()
        found, expected = row or ("nothing", "a row")
        checks.append(Check(name=name, found=str(found), expected=str(expected)))
    return checks


def print_checks(screen: Screen, checks: Sequence[Check]) -> bool:
    """Print them; returns whether all are ok."""
    screen.line()
    screen.line("Checks", "bold")
    for check in checks:
        if check.ok:
            screen.line(f"  ok     {check.name}: {check.found}")
        else:
            screen.line(
                f"  WRONG  {check.name}: {check.found}; it has to be {check.expected}", "bold red"
            )
    return all(check.ok for check in checks)

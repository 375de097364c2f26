"""docs/failure-modes.md names the test that shows each line, and each of them exists."""

import ast
import re
from functools import cache
from pathlib import Path

import pytest

from tests.torture import scenarios as _scenarios  # noqa: F401  entering them all
from tests.torture.scenario import SCENARIOS

TOP = Path(__file__).parents[2]
PAGE = TOP / "docs/failure-modes.md"
TEST = re.compile(r"`(tests/[\w/]+\.py)::(\w+)`")
SCENARIO = re.compile(r"torture: (\w+)")


@cache
def functions_of(path: str) -> frozenset[str]:
    file = TOP / path
    if not file.exists():
        return frozenset()
    return frozenset(n.name for n in ast.walk(ast.parse(file.read_text("utf-8"))) if isinstance(n, ast.FunctionDef))


def lines() -> list[tuple[str, list[str]]]:
    """Give the rows of the tables: a mode, and its cells."""
    text = PAGE.read_text("utf-8")
    rows = [[cell.strip() for cell in line[1:-1].split("|")] for line in text.splitlines() if line.startswith("| ")]
    return [(row[0], row) for row in rows if row[0] != "what happens"]


def missing(shown_by: str) -> list[str]:
    """List what a line names and nobody finds."""
    tests = [f"{path}::{name}" for path, name in TEST.findall(shown_by) if name not in functions_of(path)]
    return tests + [name for name in SCENARIO.findall(shown_by) if name not in SCENARIOS]


@pytest.mark.parametrize(("mode", "cells"), lines(), ids=[mode for mode, _ in lines()])
def test_each_line_names_a_test_that_exists(mode: str, cells: list[str]) -> None:
    assert len(cells) == 5, cells
    assert TEST.search(cells[4]) or SCENARIO.search(cells[4]), f"{mode}: shown by nothing"
    assert missing(cells[4]) == []
    assert re.sub(r"`tests/[\w/]+\.py::\w+`|torture: \w+", "", cells[4]).strip() == ""


def test_each_scenario_has_its_line() -> None:
    named = set(SCENARIO.findall(" ".join(cells[4] for _, cells in lines())))
    assert set(SCENARIOS) - named <= {"calm"}


def test_what_is_not_there_is_found() -> None:
    assert missing("`tests/model/test_model.py::test_nothing_of_the_kind`") != []
    assert missing("`tests/model/test_nobody.py::test_a_planted_bug_is_found`") != []
    assert missing("torture: bliss") == ["bliss"]
    assert missing("`tests/model/test_model.py::test_a_planted_bug_is_found` torture: calm") == []

"""docs/failure-modes.md names the test that shows each failure, and each of them exists."""

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
    return frozenset(
        n.name
        for n in ast.walk(ast.parse(file.read_text("utf-8")))
        if isinstance(n, ast.FunctionDef)
    )


PARTS = ["Seen", "By itself", "To do", "Shown by"]


def sections() -> list[tuple[str, dict[str, str]]]:
    """Give the sections of the page: a mode, and what it says under each of its points."""
    found: list[tuple[str, dict[str, str]]] = []
    for section in PAGE.read_text("utf-8").split("\n### ")[1:]:
        mode, _, rest = section.partition("\n")
        points = re.split(r"^- ([A-Z][a-z ]+):", rest.partition("\n## ")[0], flags=re.MULTILINE)
        assert points[0].strip() == "", f"{mode}: text outside its points"
        assert points[1::2] == PARTS, f"{mode}: {points[1::2]}"
        found.append(
            (mode, dict(zip(PARTS, (" ".join(text.split()) for text in points[2::2]), strict=True)))
        )
    return found


def missing(shown_by: str) -> list[str]:
    """List what a section names and what does not exist."""
    tests = [
        f"{path}::{name}" for path, name in TEST.findall(shown_by) if name not in functions_of(path)
    ]
    return tests + [name for name in SCENARIO.findall(shown_by) if name not in SCENARIOS]


@pytest.mark.parametrize(("mode", "points"), sections(), ids=[mode for mode, _ in sections()])
def test_each_section_names_a_test_that_exists(mode: str, points: dict[str, str]) -> None:
    shown_by = points["Shown by"]
    assert all(points.values()), f"{mode}: a point says nothing"
    assert points["By itself"] != "nothing", f"{mode}: what becomes of the jobs is not said"
    assert TEST.search(shown_by) or SCENARIO.search(shown_by), f"{mode}: shown by nothing"
    assert missing(shown_by) == []
    assert re.sub(r"`tests/[\w/]+\.py::\w+`|torture: \w+", "", shown_by).strip() == ""


def test_each_scenario_has_its_section() -> None:
    named = set(SCENARIO.findall(" ".join(points["Shown by"] for _, points in sections())))
    assert set(SCENARIOS) - named <= {"calm"}


def test_the_page_is_sections_and_no_table() -> None:
    assert "\n|" not in PAGE.read_text("utf-8")
    assert PAGE.read_text("utf-8").count("- Shown by:") == len(sections())


def test_what_is_not_there_is_found() -> None:
    assert missing("`tests/model/test_model.py::test_nothing_of_the_kind`") != []
    assert missing("`tests/model/test_nobody.py::test_a_planted_bug_is_found`") != []
    assert missing("torture: bliss") == ["bliss"]
    assert missing("`tests/model/test_model.py::test_a_planted_bug_is_found` torture: calm") == []

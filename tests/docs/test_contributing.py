"""What docs/contributing.md names is there, and it stays two pages."""

import re
from pathlib import Path

TOP = Path(__file__).parents[2]
TEXT = (TOP / "docs/contributing.md").read_text("utf-8")
#: Names of files as a rule has them.
PATTERNS = {"sql/migrations/", "sql/migrations/NNNN_what_it_does.sql", "tests/schema/base/"}
NAMED = re.compile(r"`((?:sql|pyworker|tests|docs|bench)/[\w/.]*)`")
CONSTANTS = {
    "UNPINNED": "tests/catalog/exceptions.py",
    "CALLS": "tests/catalog/granted.py",
    "GROUPS": "docs/queries.py",
    "FIELDS": "pyworker/event_fields.py",
    "event_for": "pyworker/supervisor/decisions.py",
    "elsewhere": "tests/sql/test_refusals.py",
    "test_comments": "tests/catalog/test_functions.py",
    "_event": "pyworker/events.py",
}


def test_each_file_is_there() -> None:
    named = set(NAMED.findall(TEXT))
    assert len(named) > 30
    assert {name for name in named - PATTERNS if not (TOP / name).exists()} == set()


def test_each_name_is_where_it_is_looked_for() -> None:
    for name, file in CONSTANTS.items():
        assert f"`{name}" in TEXT, name
        assert re.search(rf"^ *(def )?{name}\b", (TOP / file).read_text("utf-8"), re.MULTILINE), (
            name
        )


def test_it_is_two_pages() -> None:
    assert len(TEXT.splitlines()) <= 120

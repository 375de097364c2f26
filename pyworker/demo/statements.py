"""The demo's SQL: files beside this module, in which `-- name:` or `-- check:` begins a
statement.
"""

import re
from pathlib import Path

__all__ = ["read_file", "read_statements"]

_FOLDER = Path(__file__).with_name("sql")
_HEADING = re.compile(r"^-- (?:name|check): (.+)\n", re.MULTILINE)


def read_file(name: str) -> str:
    """Read a whole file."""
    return (_FOLDER / name).read_text(encoding="utf-8")


def read_statements(name: str) -> dict[str, str]:
    """Read a file's statements, in its order."""
    _header, *parts = _HEADING.split(read_file(name))
    return {heading: text.strip() for heading, text in zip(parts[::2], parts[1::2], strict=True)}

"""Keeps the present schema as a script, before a migration changes it: python -m tests.schema.dump

It writes tests/schema/dumps/NNNN.sql, NNNN being the version that the files in sql/ make:
what psql applies for an install, without pgmq and without lines that are only a comment.
"""

from pathlib import Path

from pyworker.schema import read_source
from pyworker.schema.script import plan, render

DUMPS = Path(__file__).parent / "dumps"
_HEADER = (
    "-- The schema of version {}, before the next migration. Written by tests/schema/dump.py;"
    " do not edit.\n"
)


def script() -> tuple[int, str]:
    """Give the version of the present schema, and the script that makes it."""
    source = read_source()
    text = render(plan(source, "install", pgmq=False, checksum=False), "")
    lines = [
        line for line in text.splitlines() if line.strip() and not line.lstrip().startswith("--")
    ]
    return source.version, "\n".join([_HEADER.format(source.version), *lines, ""])


if __name__ == "__main__":
    version, text = script()
    DUMPS.mkdir(exist_ok=True)
    (DUMPS / f"{version:04}.sql").write_text(text, encoding="utf-8")

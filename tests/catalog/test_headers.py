"""What the comment above a function says that it locks, writes or reads is a table that
there is.
"""

import re
from collections.abc import Iterator
from pathlib import Path

SQL = Path(__file__).parents[2] / "sql"
COMMENT = re.compile(r"(?:^ *--.*\n)+", re.MULTILINE)
#: A list ends with its sentence; a point within a name or a number is not followed by a space.
LIST = re.compile(r"\b(?:Locks|Locks and writes|Writes|Reads): (.*?)(?:\.(?=\s|$)|$)")
#: What is no table of ours: tables of pgmq and their messages, locks of PostgreSQL's,
#: and no table at all.
OTHERS = re.compile(
    r"messages?|pgmq|pgmq's queue lock|the lane's pgmq queue|the advisory lock '.*|all tables"
    r" with an owner|nothing\b.*"
)


def tables() -> set[str]:
    """List the tables of a fresh installation."""
    return set(
        re.findall(
            r"^table jobs_internal\.(\w+)", (SQL / "catalog.txt").read_text("utf-8"), re.MULTILINE
        )
    )


def items(text: str) -> Iterator[str]:
    """List what the comments of a file name: remarks in parentheses and behind a semicolon do
    not count.
    """
    for comment in COMMENT.findall(text):
        line = " ".join(part.strip().removeprefix("--").strip() for part in comment.splitlines())
        for found in LIST.findall(re.sub(r"\([^()]*\)", "", line)):
            for item in found.partition(";")[0].split(","):
                yield item.strip().removeprefix("then ")


def wrong(text: str) -> list[str]:
    """List what a file names and is not there; a column may be named with its table."""
    return [
        item
        for item in items(text)
        if not OTHERS.fullmatch(item) and item.partition(".")[0] not in tables()
    ]


def test_each_name_is_a_table() -> None:
    found = {
        str(path.relative_to(SQL)): wrong(path.read_text("utf-8"))
        for path in sorted(SQL.rglob("*.sql"))
    }

    assert sum(len(list(items(path.read_text("utf-8")))) for path in SQL.rglob("*.sql")) > 100
    assert {path: names for path, names in found.items() if names} == {}


def test_it_sees_a_name_that_is_no_table() -> None:
    text = (
        "-- Does it. Locks: lane (skip locked), then feed. Writes: job.crashes,\n--   stop (once);"
        " shape is gone.\n"
    )

    assert list(items(text)) == ["lane", "feed", "job.crashes", "stop"]
    assert wrong(text) == ["feed", "stop"]

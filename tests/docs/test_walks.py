"""The walks of docs/architecture.md: each file is there, one before it uses it,
and no room is entered twice.
"""

import re
from functools import cache
from pathlib import Path

import pytest

TOP = Path(__file__).parents[2]
PAGE = TOP / "docs/architecture.md"
WALK = re.compile(r"^### (.*)\n\n((?:\d+\. .*\n|   .*\n)+)", re.MULTILINE)
STEP = re.compile(r"^\d+\. `([\w/.]+)`: ", re.MULTILINE)
MADE = re.compile(r"^create or replace (?:function|procedure|view) ([\w.]+)", re.MULTILINE)
#: It is not called by who enqueues: the job's row and its message are what leads there.
NOT_CALLED = {"sql/engine/run/worker.sql"}


@cache
def walks() -> dict[str, list[str]]:
    """Give the walks: heading -> files."""
    text = PAGE.read_text("utf-8")
    section = text[text.index("## Two walks through the files\n") :].split("\n## ")[0]
    return {heading: STEP.findall(steps) for heading, steps in WALK.findall(section)}


def room(file: str) -> str:
    """Tell the room: a directory of sql/ or sql/engine/, or a package of pyworker/."""
    parts = Path(file).parts[:-1]
    return "/".join(parts[:3] if parts[:2] == ("sql", "engine") else parts[:2])


def entered(files: list[str]) -> list[str]:
    """List the rooms as they are entered."""
    rooms = [room(file) for file in files]
    return [name for n, name in enumerate(rooms) if n == 0 or rooms[n - 1] != name]


@cache
def code(file: str) -> str:
    """Read a file, without comments of SQL: what is named there is not used there."""
    text = (TOP / file).read_text("utf-8")
    return (
        re.sub(r"--.*|^comment on .*", "", text, flags=re.MULTILINE)
        if file.endswith(".sql")
        else text
    )


def uses(user: str, used: str) -> bool:
    """Tell whether a file calls a function of an SQL file, or imports a Python module."""
    if used.endswith(".py"):
        module = used.removesuffix(".py").replace("/", ".")
        return (
            re.search(rf"^from {re.escape(module)} import ", code(user), re.MULTILINE) is not None
        )
    return any(
        re.search(rf"\b{re.escape(name)}\b\s*\(", code(user)) for name in MADE.findall(code(used))
    )


def test_there_are_two() -> None:
    assert [len(files) > 5 for files in walks().values()] == [True, True]
    assert [files[0] for files in walks().values()] == [
        "sql/api/enqueue.sql",
        "pyworker/supervisor/loop.py",
    ]
    args, launch = walks().values()
    assert "insert into jobs_internal.finished" in code(args[-1])
    assert "pg_background" in code(launch[-1])


@pytest.mark.parametrize("walk", walks())
def test_each_file_is_there(walk: str) -> None:
    assert [file for file in walks()[walk] if not (TOP / file).is_file()] == []


@pytest.mark.parametrize("walk", walks())
def test_no_room_is_entered_twice(walk: str) -> None:
    rooms = entered(walks()[walk])
    assert [name for n, name in enumerate(rooms) if name in rooms[:n]] == []


@pytest.mark.parametrize("walk", walks())
def test_each_file_is_used_by_one_before_it(walk: str) -> None:
    files = walks()[walk]
    assert [
        file
        for n, file in enumerate(files)
        if n and file not in NOT_CALLED and not any(uses(before, file) for before in files[:n])
    ] == []


def test_a_way_back_is_found() -> None:
    assert entered(
        ["sql/engine/run/a.sql", "sql/engine/run/b.sql", "sql/api/c.sql", "sql/engine/run/d.sql"]
    ) == [*("sql/engine/run", "sql/api", "sql/engine/run")]
    assert entered(["pyworker/supervisor/loop.py", "pyworker/supervisor/duties/stop.py"]) == [
        "pyworker/supervisor"
    ]


def test_what_is_not_used_is_found() -> None:
    assert not uses("sql/api/enqueue.sql", "sql/engine/run/worker.sql")
    assert not uses("pyworker/database/gateway.py", "pyworker/supervisor/loop.py")
    assert uses("sql/api/enqueue.sql", "sql/engine/enqueue/find_task.sql")

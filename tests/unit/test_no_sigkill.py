"""Nothing of pyworker sends SIGKILL to a process of a server: one is enough to restart it as a
whole, for everybody.

The torture driver does, as a fault; that is what it is for.
"""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

TOP = Path(__file__).parents[2]

#: Calls that end a process and cannot be refused, or send whatever signal they are given.
_DEADLY = {"kill", "killpg", "pidfd_send_signal", "send_signal", "tgkill"}
_HARMLESS = {"SIGTERM", "SIGINT", "SIGUSR1", "SIGCONT"}
_COMMAND = re.compile(
    r"\b(?:p?kill|killall|skill)\s+-\S*(?:9|KILL)|\b(?:pkill|killall|skill)\b|\bSIGKILL\b|^-?KILL$",
    re.I,
)
#: In SQL: ways out of the server, through which any signal could be sent.
_WAY_OUT = re.compile(
    r"\bprogram\s+(?:'|%|\$)|\blanguage\s+(?:c|plpython3?u|plperlu|plsh|pltclu)\b", re.I
)

#: file, name: what is ended there.
ALLOWED = {
    ("pyworker/demo/daemon.py", "kill"): "the demo's own supervisor, a child process of its own",
}


def deadly(source: str) -> Iterator[str]:
    """Name what could send SIGKILL in a Python source."""
    tree = ast.parse(source)
    documentation = {
        id(node.body[0].value)
        for node in ast.walk(tree)
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef)
        and node.body
        and isinstance(node.body[0], ast.Expr)
    }
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute | ast.Name | ast.alias):
            name = (
                getattr(node, "attr", None)
                or getattr(node, "id", None)
                or getattr(node, "name", "")
            )
            if name in {"SIGKILL", *_DEADLY} and not _is_harmless(node, tree):
                yield name
        elif (
            isinstance(node, ast.Constant)
            and id(node) not in documentation
            and _COMMAND.search(str(node.value))
        ):
            yield str(node.value)


def _is_harmless(node: ast.AST, tree: ast.Module) -> bool:
    """Tell whether it is a call that names a signal which a process may refuse."""
    for call in ast.walk(tree):
        if isinstance(call, ast.Call) and call.func is node:
            return any(
                isinstance(given, ast.Attribute) and given.attr in _HARMLESS for given in call.args
            )
    return False


def _sources(pattern: str) -> list[Path]:
    return sorted(path for room in ("pyworker", "bench") for path in (TOP / room).rglob(pattern))


def test_no_python_of_ours_does() -> None:
    files = _sources("*.py")
    assert len(files) > 50
    found = {
        (str(path.relative_to(TOP)), name)
        for path in files
        for name in deadly(path.read_text(encoding="utf-8"))
    }
    assert found == set(ALLOWED)


def test_no_sql_of_ours_leaves_the_server() -> None:
    files = sorted([*(TOP / "sql").rglob("*.sql"), *_sources("*.sql")])
    assert len(files) > 20
    assert [str(path) for path in files if _WAY_OUT.search(path.read_text(encoding="utf-8"))] == []


def test_no_script_of_ours_does() -> None:
    files = [TOP / "Makefile", *(path for path in (TOP / "docker").rglob("*") if path.is_file())]
    assert [str(path) for path in files if _COMMAND.search(path.read_text(encoding="utf-8"))] == []


@pytest.mark.parametrize(
    "source",
    [
        "os.kill(pid, signal.SIGKILL)",
        "os.kill(pid, 9)",
        "from os import kill",
        "process.kill()",
        "process.send_signal(number)",
        "how = signal.SIGKILL",
        "run(['kill', '-9', str(pid)])",
        "run(f'kill -KILL {pid}', shell=True)",
        "run(['pkill', 'postgres'])",
        "run(['pg_ctl', 'kill', 'KILL', str(pid)])",
    ],
)
def test_the_search_finds_it(source: str) -> None:
    assert list(deadly(source))


@pytest.mark.parametrize(
    "source", ["os.kill(pid, signal.SIGTERM)", "process.terminate()", '"""Never kill -9."""']
)
def test_the_search_finds_nothing_else(source: str) -> None:
    assert not list(deadly(source))


def test_the_search_of_sql_finds_it() -> None:
    assert _WAY_OUT.search("copy (select 1) to program 'kill -9 1'")
    assert _WAY_OUT.search("execute format('copy t to program %L', c)")
    assert _WAY_OUT.search("create function k() returns void language c as 'k'")
    assert not _WAY_OUT.search("select pg_terminate_backend(1); -- language chosen")

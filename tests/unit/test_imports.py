"""No module of ours imports itself by way of others: not at the top, and not inside a function."""

import ast
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

TOP = Path(__file__).parents[2]
ROOTS = ("pyworker", "bench")

Graph = dict[str, set[str]]


def modules(top: Path, roots: tuple[str, ...]) -> dict[str, Path]:
    """Find the modules below some folders, by name."""
    return {
        ".".join(path.relative_to(top).with_suffix("").parts).removesuffix(".__init__"): path
        for root in roots
        for path in (top / root).rglob("*.py")
    }


def imported(source: str, known: frozenset[str]) -> Iterator[str]:
    """Name the modules that a source imports, wherever in it."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            for alias in node.names:
                whole = f"{node.module}.{alias.name}"
                yield whole if whole in known else node.module


def graph_of(sources: Mapping[str, str]) -> Graph:
    """Draw who imports whom. Importing a.b.c runs a and a.b as well, except where the importer lies
    in them.
    """
    known = frozenset(sources)
    graph: Graph = {}
    for name, source in sources.items():
        reached = set(imported(source, known))
        packages = {
            ".".join(parts[:n])
            for parts in (one.split(".") for one in reached)
            for n in range(1, len(parts))
        }
        above = {package for package in packages if not f"{name}.".startswith(f"{package}.")}
        graph[name] = (reached | above) & known
    return graph


def circle(graph: Graph) -> list[str]:
    """Find a circle, as the modules along it; empty: there is none."""
    done: set[str] = set()

    def walk(name: str, path: list[str]) -> list[str]:
        if name in path:
            return [*path[path.index(name) :], name]
        if name in done:
            return []
        for other in sorted(graph[name]):
            found = walk(other, [*path, name])
            if found:
                return found
        done.add(name)
        return []

    return next((found for name in sorted(graph) if (found := walk(name, []))), [])


def test_there_is_no_circle() -> None:
    sources = {name: path.read_text(encoding="utf-8") for name, path in modules(TOP, ROOTS).items()}
    assert len(sources) > 100
    assert circle(graph_of(sources)) == []


@pytest.mark.parametrize(
    ("sources", "found"),
    [
        (
            {"p": "", "p.a": "import p.b", "p.b": "def f():\n  from p.a import g"},
            ["p.a", "p.b", "p.a"],
        ),
        ({"p": "", "p.a": "from p import b", "p.b": "import p.a"}, ["p.a", "p.b", "p.a"]),
        ({"p": "from p.a import x", "p.a": "from p import y"}, ["p", "p.a", "p"]),
        ({"p": "from q.a import x", "p.a": "", "q": "import p.a", "q.a": ""}, ["p", "q", "p"]),
        ({"p": "from p.a import x", "p.a": "from p.b import y", "p.b": ""}, []),
        ({"a": "import a"}, ["a", "a"]),
    ],
    ids=[
        "inside a function",
        "from the package",
        "the package itself",
        "by its package",
        "none",
        "itself",
    ],
)
def test_a_circle_is_found(sources: dict[str, str], found: list[str]) -> None:
    assert circle(graph_of(sources)) == found

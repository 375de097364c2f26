"""Look at words, lines and rooms: `python tests/lint_words.py`; part of `make lint`.

A sentence says who does what, in the nouns of the field: "a worker session", "the supervisor",
"another transaction". So the words of `VAGUE` are refused in documents and code, and lines over
`WIDTH` characters in documents and in SQL (in Python ruff looks at those; in SQL sqlfluff passes
over what stands between $$ and over the literals of comments). Apart are blocks of code and output,
what cannot be broken (a URL, a row of a table, a line of one word), the lines of docs/reference,
most of which docs/generate.py writes, and the SQL of `AS_IT_WAS`.

In SQL no purpose is said twice, above what is made and in its comment. Each function lies in a
room: those of schema jobs in sql/api/, the others in a directory of sql/engine/, in setup/, or in
tables/ or views/ where only a check or a view uses them; each room of the engine is one paragraph
of sql/install.sql with a sentence above it. No file of SQL or Python is longer than `LENGTH` lines;
a bug of tests/torture/mutants/ is as long as the functions that it replaces.
At the top nothing is but `ENTRIES`.
"""

import re
import subprocess
import sys
from pathlib import Path

TOP = Path(__file__).parents[1]
ROOTS = ("README.md", "CHANGELOG.md", "SECURITY.md", "docs", "sql", "pyworker", "bench")
GENERATED = TOP / "docs/reference"
VAGUE = re.compile(r"\b(nobody|somebody|whoever|whom)\b", re.IGNORECASE)
#: Words of our own that have given way to the field's: wakeup request, run stats, control, repair,
#: unstoppable, ...
PRIVATE = re.compile(
    r"\b(nudge[sd]?|doz(?:e[sd]?|ing)|lessons?|deeds?|stubborn|guilty|culprits?|innocents?|presses"
    r"|exhume[sd]?|fate|farewell|heed(?:s|ed)?|strikes|spoiled|mend(?:s|ed|ing)?|steer(?:s|ed|ing)?)\b",
    re.IGNORECASE,
)
WIDTH = 100
LENGTH = 300
ENTRIES = {
    *(
        ".ci",
        ".gitignore",
        "CHANGELOG.md",
        "Makefile",
        "README.md",
        "SECURITY.md",
        "pyproject.toml",
    ),
    *("bench", "docker", "docs", "pyworker", "sql", "tests"),
}
SHORT = ("sql", "pyworker", "bench", "tests")
MUTANTS = TOP / "tests/torture/mutants"
DUMPS = TOP / "tests/schema/dumps"
#: What is kept as it was carried out or written: migrations that a schema may have had already, and
#: dumps of schemas that were.
AS_IT_WAS = (TOP / "sql/migrations", DUMPS)

_MADE = re.compile(
    r"((?:^--.*\n)+)create (?:or replace )?(?:unlogged )?(?:function|procedure|view|table|type)"
    r" ([\w.]+)",
    re.MULTILINE,
)
_COMMENTED = re.compile(
    r"^comment on (?:function|procedure|view|table|type)"
    r" ([\w.]+)(?:\([^)]*\))?\s+is\s+((?:'(?:[^']|'')*'\s*)+);",
    re.MULTILINE,
)
_FUNCTION = re.compile(r"^create (?:or replace )?(?:function|procedure) (\w+)\.(\w+)", re.MULTILINE)


def unbreakable(line: str) -> bool:
    """Tell whether a line may be long: a row of a table, a heading, a URL, one word."""
    return line.startswith(("|", "#")) or "://" in line or len(line.split()) == 1


def vague(text: str) -> list[str]:
    """List the vague words of a program, each with the number of its line; the OS user "nobody" is
    a name.
    """
    return [
        f"{number}: say who: {word}"
        for number, line in enumerate(text.splitlines(), 1)
        for word in VAGUE.findall(line.replace('"nobody"', ""))
    ]


def wide(text: str) -> list[str]:
    """List the lines of a file of SQL that are too long, each with its number: code, what stands
    between $$, literals and comments.
    """
    return [
        f"{number}: {len(line)} characters, {WIDTH} are allowed"
        for number, line in enumerate(text.splitlines(), 1)
        if len(line) > WIDTH and "://" not in line and len(line.removeprefix("--").split()) > 1
    ]


def private(text: str) -> list[str]:
    """List the words that only we would understand, each with the number of its line."""
    return [
        f"{number}: a word of our own: {word}"
        for number, line in enumerate(text.splitlines(), 1)
        for word in PRIVATE.findall(line)
    ]


def _sentence(text: str) -> set[str]:
    """Give the words of the first sentence that say something."""
    return {
        word
        for word in re.findall(r"\w+", re.split(r"[.:;](?:\s|$)", text.strip())[0].lower())
        if len(word) > 2
    }


def repeated(text: str) -> list[str]:
    """List what a file makes with one purpose said twice: three of four words are the same,
    or more.
    """
    said = {
        name: "".join(re.findall(r"'((?:[^']|'')*)'", literals))
        for name, literals in _COMMENTED.findall(text)
    }
    found = []
    for made in _MADE.finditer(text):
        above, comment = _sentence(re.sub("(?m)^--", "", made[1])), _sentence(said.get(made[2], ""))
        if len(above & comment) > 2 and len(above & comment) >= 0.75 * min(
            len(above), len(comment)
        ):
            found.append(
                f"{text[: made.start(2)].count(chr(10)) + 1}: the purpose of {made[2]} is"
                " said twice"
            )
    return found


def misplaced(path: str, text: str) -> list[str]:
    """List the functions of a file of SQL that belong into another place; `path` is below sql/."""
    parts = path.split("/")
    inside = (len(parts) == 3 and parts[0] == "engine") or (
        len(parts) == 2 and parts[0] in ("setup", "tables", "views")
    )
    return [
        f"{text[: made.start()].count(chr(10)) + 1}: {made[1]}.{made[2]} belongs into "
        + ("sql/api/" if made[1] == "jobs" else "a room of sql/engine/, setup/, tables/ or views/")
        for made in _FUNCTION.finditer(text)
        if not (parts[0] == "api" if made[1] == "jobs" else inside)
    ]


def unnamed(install: str, rooms: list[str]) -> list[str]:
    """List the rooms of the engine that the table of contents does not show as one paragraph of
    their own.
    """
    shown = [
        {file.split("/")[1] for file in re.findall(r"^\\ir (engine/\S+)$", paragraph, re.MULTILINE)}
        for paragraph in install.split("\n\n")
        if paragraph.startswith("-- ")
    ]
    return [
        f"the room engine/{room} is not one paragraph with its purpose"
        for room in rooms
        if shown.count({room}) != 1
    ]


def strays(tracked: list[str]) -> list[str]:
    """List the entries at the top that are no part of the project: what a run left,
    and was added by mistake.
    """
    return sorted({path.partition("/")[0] for path in tracked} - ENTRIES)


def tree() -> list[str]:
    """Look at the programs as a whole: their length, and the rooms of SQL."""
    sql = TOP / "sql"
    rooms = sorted(path.name for path in (sql / "engine").iterdir() if path.is_dir())
    found = [
        f"sql/install.sql: {line}"
        for line in unnamed((sql / "install.sql").read_text("utf-8"), rooms)
    ]
    for page in (
        page
        for root in SHORT
        for page in sorted((TOP / root).rglob("*.*"))
        if page.suffix in (".py", ".sql")
    ):
        text, name = page.read_text("utf-8"), page.relative_to(TOP)
        lines = len(text.splitlines())
        # the table of contents is a list: a line for each file
        may = page == sql / "install.sql" or (
            page.suffix == ".sql" and page.parent in (MUTANTS, DUMPS)
        )
        if lines > LENGTH and not may:
            found.append(f"{name}: {lines} lines, {LENGTH} are allowed")
        if page.suffix == ".sql" and sql in page.parents:
            found += [
                f"{name}:{line}"
                for line in repeated(text) + misplaced(page.relative_to(sql).as_posix(), text)
            ]
    return found


def wide_files() -> list[str]:
    """List the lines of SQL that are too long, in programs and in tests."""
    return [
        f"{page.relative_to(TOP)}:{line}"
        for root in ("sql", "pyworker", "bench", "tests")
        for page in sorted((TOP / root).rglob("*.sql"))
        if not page.is_relative_to(AS_IT_WAS[0]) and not page.is_relative_to(AS_IT_WAS[1])
        for line in wide(page.read_text("utf-8"))
    ]


def complaints(text: str) -> list[str]:
    """List what is wrong in a page, each with the number of its line."""
    found, code = [], False
    for number, line in enumerate(text.splitlines(), 1):
        if line.lstrip().startswith("```"):
            code = not code
            continue
        if code:
            continue
        found += [f"{number}: say who: {word}" for word in VAGUE.findall(line)]
        if len(line) > WIDTH and not unbreakable(line):
            found.append(f"{number}: {len(line)} characters, {WIDTH} are allowed")
    return found


def pages() -> list[Path]:
    """Give the documents that are looked at."""
    paths = [TOP / root for root in ROOTS]
    found = [
        page for path in paths for page in ([path] if path.is_file() else sorted(path.rglob("*.*")))
    ]
    return [page for page in found if page.suffix in (".md", ".py", ".sql")]


def look(page: Path) -> list[str]:
    """Look at one page: a document, or a program."""
    text = page.read_text("utf-8")
    written = page.suffix == ".md" and GENERATED not in page.parents
    return (complaints(text) if written else vague(text)) + private(text)


def main() -> int:
    """Print what is wrong in all pages; the exit code says whether anything is."""
    found = [f"{page.relative_to(TOP)}:{line}" for page in pages() for line in look(page)]
    found += tree() + wide_files()
    tracked = subprocess.run(
        ["git", "-C", str(TOP), "ls-files"], capture_output=True, text=True, check=False
    ).stdout
    found += [
        f"{entry}: no part of the project is called so" for entry in strays(tracked.splitlines())
    ]
    sys.stdout.write(
        ("\n".join(found) or f"words: {len(pages())} pages, nothing to complain of") + "\n"
    )
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())

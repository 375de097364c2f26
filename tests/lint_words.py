"""Look at the words and the lines of the documents: `python tests/lint_words.py`; part of `make lint`.

A sentence says who does what, in the nouns of the field: "a worker session", "the supervisor", "another transaction".
So the words of `VAGUE` are refused in documents and code, and lines over `WIDTH` characters in documents (of code, ruff
and sqlfluff look at those). Apart are blocks of code and output, what cannot be broken (a URL, a row of a table, a line
of one word), and docs/reference, which docs/generate.py writes.
"""

import re
import sys
from pathlib import Path

TOP = Path(__file__).parents[1]
ROOTS = ("README.md", "docs", "sql", "pyworker", "bench")
GENERATED = TOP / "docs/reference"
VAGUE = re.compile(r"\b(nobody|somebody|whoever|whom)\b", re.IGNORECASE)
WIDTH = 100


def unbreakable(line: str) -> bool:
    """Tell whether a line may be long: a row of a table, a heading, a URL, one word."""
    return line.startswith(("|", "#")) or "://" in line or len(line.split()) == 1


def vague(text: str) -> list[str]:
    """List the vague words of a program, each with the number of its line; the OS user "nobody" is a name."""
    return [
        f"{number}: say who: {word}"
        for number, line in enumerate(text.splitlines(), 1)
        for word in VAGUE.findall(line.replace('"nobody"', ""))
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
    found = [page for path in paths for page in ([path] if path.is_file() else sorted(path.rglob("*.*")))]
    return [page for page in found if page.suffix in (".md", ".py", ".sql") and GENERATED not in page.parents]


def look(page: Path) -> list[str]:
    """Look at one page: a document, or a program."""
    text = page.read_text("utf-8")
    return complaints(text) if page.suffix == ".md" else vague(text)


def main() -> int:
    """Print what is wrong in all pages; the exit code says whether anything is."""
    found = [f"{page.relative_to(TOP)}:{line}" for page in pages() for line in look(page)]
    sys.stdout.write(("\n".join(found) or f"words: {len(pages())} pages, nothing to complain of") + "\n")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())

"""docs/reference says what the database, the settings and the commands are."""

import importlib
import re
from pathlib import Path

import psycopg
import pytest
from support import Server

TOP = Path(__file__).parents[2]
MEND = "run `python docs/generate.py DSN` on a fresh database with this schema"


@pytest.fixture(autouse=True)
def _generators(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(TOP / "docs")


def test_the_pages_are_what_the_generator_makes(server: Server, template: str) -> None:
    generate = importlib.import_module("generate")
    for path, text in generate.pages(server.dsn(database=template)).items():
        assert text == path.read_text(encoding="utf-8"), f"{path.name} is stale: {MEND}"


def test_the_events_are_what_the_catalogue_makes() -> None:
    page = importlib.import_module("events_page")
    assert page.reference() == page.PAGE.read_text(encoding="utf-8")


def test_every_error_that_the_sql_raises_is_listed() -> None:
    raised = {
        found
        for file in (TOP / "sql").rglob("*.sql")
        for found in re.findall(r"'(PW[0-9A-Z]{3})'", file.read_text(encoding="utf-8"))
    }
    listed = set(
        re.findall(
            r"^\| `(PW\w{3})` \|",
            (TOP / "docs/reference/errors.md").read_text("utf-8"),
            re.MULTILINE,
        )
    )
    assert len(raised) > 50
    assert raised - {"PW999"} <= listed  # PW999 never leaves the function that raises it


def test_every_function_and_view_is_commented(server: Server, template: str) -> None:
    with psycopg.connect(server.dsn(database=template)) as connection:
        bare = connection.execute(
            "select p.oid::regprocedure::text from pg_proc p"
            " where pronamespace = 'jobs'::regnamespace"
            " and obj_description(p.oid, 'pg_proc') is null"
            " union all select format('%s.%s', c.oid::regclass, a.attname) from pg_class c"
            " join pg_attribute a on a.attrelid = c.oid and a.attnum > 0"
            " where c.relnamespace = 'jobs'::regnamespace and col_description(c.oid, a.attnum)"
            " is null"
        ).fetchall()
    assert bare == []


_PAGES = [*sorted(TOP.glob("docs/**/*.md")), TOP / "README.md", TOP / "SECURITY.md"]


@pytest.mark.parametrize("page", _PAGES, ids=lambda path: path.name)
def test_links_lead_somewhere(page: Path) -> None:
    for target in re.findall(r"\]\((?!https?:)([^)]+)\)", page.read_text(encoding="utf-8")):
        path, _, anchor = target.partition("#")
        found = page.parent / path if path else page
        assert found.exists(), f"{page.name} links to {target}"
        if anchor:
            headings = re.findall(r"^#+ (.*)$", found.read_text(encoding="utf-8"), re.MULTILINE)
            slugs = {
                re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings
            }
            assert anchor in slugs, f"{page.name} links to {target}"

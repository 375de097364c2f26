"""The lint of words and lines refuses what it is for, and leaves alone what cannot be otherwise."""

from pathlib import Path

import pytest

from tests import lint_words
from tests.lint_words import (
    GENERATED,
    WIDTH,
    complaints,
    look,
    misplaced,
    pages,
    private,
    repeated,
    strays,
    tree,
    unnamed,
    vague,
    wide,
    wide_files,
)

LONG = "word " * 30


@pytest.mark.parametrize("word", ["nobody", "Somebody", "whoever", "whom", "nobody's"])
def test_a_vague_word_is_refused(word: str) -> None:
    assert len(complaints(f"Fine.\nAnd {word} waits.")) == 1
    assert complaints(f"Fine.\nAnd {word} waits.")[0].startswith("2: say who")
    assert complaints(f"| {word} | in a table |") != []


def test_a_vague_word_of_a_program_is_refused_and_a_name_is_not() -> None:
    assert vague('user = "nobody"\n# nobody waits') == ["2: say who: nobody"]


@pytest.mark.parametrize("word", ["nudge", "Dozing", "culprit", "mended", "steers"])
def test_a_word_of_our_own_is_refused(word: str) -> None:
    assert private(f"-- Fine.\n-- The {word} waits; stubborn_job is a name.") == [
        f"2: a word of our own: {word}"
    ]


def test_a_long_line_is_refused() -> None:
    assert complaints("x " * (WIDTH // 2)) == []
    assert len(complaints(LONG)) == 1


@pytest.mark.parametrize(
    "text",
    [
        f"```\n{LONG} nobody\n```",
        f"| {LONG} |",
        f"[a page](https://example.org/{'x' * WIDTH}) to read",
        f"  `tests/{'x' * WIDTH}`",
        "`test_a_message_is_nobody_elses`",
    ],
)
def test_what_cannot_be_otherwise_is_left_alone(text: str) -> None:
    assert complaints(text) == []


def test_after_a_block_the_rules_hold_again() -> None:
    assert len(complaints(f"```\n{LONG}\n```\n{LONG}")) == 1


def test_the_documents_are_looked_at_and_of_generated_ones_the_words_alone() -> None:
    names = {page.name for page in pages()}
    assert {
        "README.md",
        "CHANGELOG.md",
        "SECURITY.md",
        "architecture.md",
        "failure-modes.md",
        "rights.md",
    } <= names
    long = [
        page
        for page in pages()
        if GENERATED in page.parents and any(len(line) > WIDTH for line in lines(page))
    ]
    assert long
    assert [found for page in long for found in look(page)] == []


def test_a_vague_word_in_a_generated_page_is_found(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    page = tmp_path / "sql.md"
    page.write_text("nobody " + "x " * 80)
    monkeypatch.setattr(lint_words, "GENERATED", tmp_path)
    assert look(page) == ["1: say who: nobody"]


def lines(page: Path) -> list[str]:
    return page.read_text("utf-8").splitlines()


FUNCTION = "create or replace function {name}()\nreturns bigint language sql return 1;\n"
COMMENT = "comment on {kind} {name} is\n'{comment}';\n"


@pytest.mark.parametrize(
    ("above", "comment"),
    [
        ("Counts the jobs that wait.", "Counts the jobs that wait"),
        ("Counts the jobs that wait.", "Counts the jobs that wait. For an operator."),
        (
            "Counts all the jobs that wait in a queue.\n-- Locks: none.",
            "Counts the jobs that wait in a queue.",
        ),
    ],
)
@pytest.mark.parametrize("kind", ["function", "table"])
def test_a_purpose_that_is_said_twice_is_refused(above: str, comment: str, kind: str) -> None:
    made = FUNCTION.replace("or replace function", "table") if kind == "table" else FUNCTION
    name = "jobs_internal.waiting"
    text = f"-- A file.\n\n-- {above}\n" + (made + COMMENT).format(
        kind=kind, name=name, comment=comment
    )
    assert [line.partition(": ")[2] for line in repeated(text)] == [
        "the purpose of jobs_internal.waiting is said twice"
    ]


@pytest.mark.parametrize(
    "above",
    ["Invoker: it looks a name up for the caller.", "Locks: the queue. Writes: job.", "Counts."],
)
def test_what_else_there_is_to_say_may_stand_above(above: str) -> None:
    text = f"-- {above}\n" + (FUNCTION + COMMENT).format(
        kind="function", name="jobs.waiting", comment="Counts the jobs."
    )
    assert repeated(text) == []


@pytest.mark.parametrize(
    ("path", "name"),
    [
        ("api/waiting.sql", "jobs_internal.waiting"),
        ("waiting.sql", "jobs_internal.waiting"),
        ("engine/waiting.sql", "jobs_internal.waiting"),
        ("migrations/0001_waiting.sql", "jobs_internal.waiting"),
        ("engine/dispatch/waiting.sql", "jobs.waiting"),
        ("views/waiting.sql", "jobs.waiting"),
    ],
)
def test_a_function_without_a_room_is_refused(path: str, name: str) -> None:
    (line,) = misplaced(path, "-- It counts.\n" + FUNCTION.format(name=name))
    assert line.startswith(f"2: {name} belongs into ")


@pytest.mark.parametrize(
    ("path", "name"),
    [
        ("api/waiting.sql", "jobs.waiting"),
        ("engine/dispatch/waiting.sql", "jobs_internal.waiting"),
        ("views/waiting.sql", "jobs_internal.waiting"),
    ],
)
def test_a_function_in_its_room_is_left_alone(path: str, name: str) -> None:
    assert misplaced(path, FUNCTION.format(name=name)) == []


def test_a_room_that_the_table_of_contents_does_not_show_is_refused() -> None:
    shown = "-- It is claimed.\n\\ir engine/claim/claim.sql\n\\ir engine/claim/slots.sql"
    assert unnamed(shown, ["claim"]) == []
    assert unnamed(shown, ["claim", "run"]) == [
        "the room engine/run is not one paragraph with its purpose"
    ]
    without_a_purpose = shown.partition("\n")[2]
    with_another = shown + "\n\\ir engine/run/work.sql"
    twice = f"{shown}\n\n{shown}"
    for wrong in (without_a_purpose, with_another, twice):
        assert len(unnamed(wrong, ["claim"])) == 1


def test_files_that_are_too_long_and_misplaced_functions_are_found(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """The whole tree is looked at: SQL, Python, and not the planted bugs."""
    for place in ("sql/engine/claim", "sql/api", "pyworker/cli", "tests/torture/mutants"):
        (tmp_path / place).mkdir(parents=True)
    (tmp_path / "sql/install.sql").write_text("-- It is claimed.\n\\ir engine/claim/claim.sql\n")
    (tmp_path / "sql/engine/claim/claim.sql").write_text("-- A line.\n" * 301)
    (tmp_path / "pyworker/cli/main.py").write_text("\n" * 301)
    (tmp_path / "pyworker/cli/short.py").write_text("\n" * 300)
    (tmp_path / "tests/torture/mutants/long.sql").write_text("-- A line.\n" * 301)
    (tmp_path / "sql/api/own.sql").write_text(FUNCTION.format(name="jobs_internal.own"))
    monkeypatch.setattr("tests.lint_words.TOP", tmp_path)
    monkeypatch.setattr("tests.lint_words.MUTANTS", tmp_path / "tests/torture/mutants")
    assert sorted(line.partition(":")[0] for line in tree()) == [
        "pyworker/cli/main.py",
        "sql/api/own.sql",
        "sql/engine/claim/claim.sql",
    ]


@pytest.mark.parametrize(
    "line",
    [
        f"-- {LONG}",
        f"select {LONG};",
        f"create function f() returns text language sql as $$ select '{LONG}' $$;",
        f"comment on table a is '{LONG}';",
    ],
)
def test_a_long_line_of_sql_is_refused_wherever_it_stands(line: str) -> None:
    assert wide(f"select 1;\n{line}\n") == [f"2: {len(line)} characters, 100 are allowed"]


@pytest.mark.parametrize(
    "line",
    [f"-- https://example.org/{'x' * WIDTH}", f"  '{'x' * WIDTH}',", f"-- {'x' * WIDTH}"],
)
def test_a_line_of_sql_that_cannot_be_broken_is_left_alone(line: str) -> None:
    assert wide(line) == []


def test_long_lines_are_looked_for_in_all_sql_but_what_was_released(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    asked = ("bench", "pyworker/demo/sql", "sql/api", "tests/sql", "tests/torture/mutants")
    for place in (*asked, "sql/migrations", "tests/schema/dumps"):
        (tmp_path / place).mkdir(parents=True)
        (tmp_path / place / "wide.sql").write_text(f"select {LONG};\n")
    monkeypatch.setattr("tests.lint_words.TOP", tmp_path)
    monkeypatch.setattr(
        "tests.lint_words.AS_IT_WAS",
        (tmp_path / "sql/migrations", tmp_path / "tests/schema/dumps"),
    )
    assert sorted(line.partition("/wide")[0] for line in wide_files()) == sorted(asked)


def test_what_a_run_left_at_the_top_is_refused() -> None:
    assert strays(
        ["data/PG_VERSION", "data/base/112", "README.md", "sql/install.sql", "out.txt"]
    ) == [
        "data",
        "out.txt",
    ]

"""The lint of words and lines refuses what it is for, and leaves alone what cannot be otherwise."""

import pytest

from tests.lint_words import GENERATED, WIDTH, complaints, pages, vague

LONG = "word " * 30


@pytest.mark.parametrize("word", ["nobody", "Somebody", "whoever", "whom", "nobody's"])
def test_a_vague_word_is_refused(word: str) -> None:
    assert len(complaints(f"Fine.\nAnd {word} waits.")) == 1
    assert complaints(f"Fine.\nAnd {word} waits.")[0].startswith("2: say who")
    assert complaints(f"| {word} | in a table |") != []


def test_a_vague_word_of_a_program_is_refused_and_a_name_is_not() -> None:
    assert vague('user = "nobody"\n# nobody waits') == ["2: say who: nobody"]


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


def test_the_documents_are_looked_at_and_the_generated_ones_not() -> None:
    names = {page.name for page in pages()}
    assert {"README.md", "architecture.md", "failure-modes.md"} <= names
    assert not any(GENERATED in page.parents for page in pages())

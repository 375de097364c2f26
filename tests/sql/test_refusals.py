"""What a call refuses, it refuses at once, with a SQLSTATE of its own, facts in DETAIL and an
action in HINT.
"""

import re
from pathlib import Path

import psycopg
import pytest
from psycopg.rows import dict_row
from support import Database

from .refusal import Refusal
from .refusals import ALL

SQL = Path(__file__).parents[2] / "sql"


@pytest.fixture(scope="module")
def prepared(shared: Database) -> Database:
    """The shared database, with a closed queue, and a function that app cannot reach."""
    shared.run("select jobs.create_queue('closed')", role="operator")
    shared.run("select jobs.alter_queue('closed', accepting => false)", role="operator")
    shared.run(
        "create function nobody.hidden(a integer) returns integer language sql return a",
        role="nobody",
    )
    return shared


@pytest.mark.parametrize("refusal", ALL, ids=lambda r: f"{r.code} {r.name}")
def test_refusal(prepared: Database, refusal: Refusal) -> None:
    """A mistake has its SQLSTATE, names what is wrong, and comes with a non-empty DETAIL
    and HINT.
    """
    with pytest.raises(psycopg.Error) as caught:
        prepared.run(refusal.query, role=refusal.role)

    said = caught.value.diag
    told = f"{said.message_primary} {said.message_detail}"
    assert caught.value.sqlstate == refusal.code, caught.value
    assert said.message_detail
    assert said.message_hint
    assert said.message_primary
    assert said.message_primary[-1] != "."
    assert [part for part in refusal.says if part not in told] == []


def test_refused_leaves_nothing(prepared: Database) -> None:
    """A refused enqueue leaves no job, also when the transaction goes on."""
    before = prepared.value("select count(*) from jobs.job")
    with prepared.connect() as connection:
        for refusal in ALL:
            if refusal.role == "app":
                with pytest.raises(psycopg.Error), connection.transaction():
                    connection.execute(refusal.query.encode())

    assert prepared.value("select count(*) from jobs.job") == before


def test_no_handler_takes_a_whole_class() -> None:
    """PL/pgSQL takes an SQLSTATE that ends in 000 for all of its class: errors would be lost."""
    for file in SQL.rglob("*.sql"):
        text = file.read_text(encoding="utf-8")
        assert not re.findall(r"sqlstate '[0-9A-Z]{2}000'", text, re.I), file


def test_view_is_complete(shared: Database) -> None:
    """jobs.errors lists exactly the SQLSTATEs of class PW that the SQL files raise."""
    raised = set()
    for file in SQL.rglob("*.sql"):
        if file == SQL / "views" / "errors.sql":
            continue
        code = re.sub(r"--.*", "", file.read_text(encoding="utf-8"))
        raised |= set(re.findall(r"'(PW[0-9A-Z]{3})'", code))
    raised -= {"PW999"}  # raised and caught in one block, never seen
    # The installer's are raised before there is a view.
    raised = {
        code for code in raised if code not in ("PW088", "PW089") and not code.startswith("PW09")
    }

    listed = {row[0] for row in shared.run("select sqlstate from jobs.errors")}

    assert listed == raised


def test_every_error_of_a_call_is_provoked() -> None:
    """The refusals above, and the tests named here, provoke every error of an API call."""
    elsewhere = {
        # queues, steering
        *("PW028", "PW031", "PW032", "PW033", "PW034", "PW035", "PW036", "PW037", "PW051"),
        "PW038",  # test_help
        *("PW064", "PW065", "PW066", "PW067"),  # execution: test_undo
        *("PW068", "PW069"),  # test_rehearse
        # tier owners
        *("PW070", "PW071", "PW072", "PW073", "PW074", "PW075", "PW076", "PW077", "PW079", "PW080"),
        *("PW105", "PW116"),  # execution: test_dependencies, test_batches
        "PW078",  # tier attacks
        "PW052",  # tier schema
        "PW053",  # acceptance: test_upgrade
        "PW060",  # acceptance: test_copies
        # while a job runs: test_results, test_changes, test_statements
        *("PW023", "PW040", "PW042", "PW043"),
        # the worker's: tier concurrency
        *("PW041", "PW050", "PWC01", "PWC02", "PWD01", "PWL01", "PWL02", "PWT01"),
        "PWT02", "PWY01", "PWY02",  # tier execution: long operations
        "PW107", "PW109", "PWC03",  # tier execution: snoozing, reuse, deadlines
        "PW112", "PW113",  # tier execution: windows
        "PW123", "PW124",  # tier execution: test_import
    }  # fmt: skip
    view = (SQL / "views" / "errors.sql").read_text(encoding="utf-8")
    listed = set(re.findall(r"\('(PW[0-9A-Z]{3})'", view))

    assert {refusal.code for refusal in ALL} | elsewhere == listed


def test_view_agrees_with_the_retry_rules(shared: Database) -> None:
    """What the view says of outcomes is what the retry rules do; a refusal is never worth another
    attempt.
    """
    with shared.line().cursor(row_factory=dict_row) as cursor:
        rules = {
            row["pattern"]: row["retry"] for row in cursor.execute("select * from jobs.retry_rules")
        }
        errors = {
            row["sqlstate"]: row["retry"] for row in cursor.execute("select * from jobs.errors")
        }

    assert rules["PW"] is False
    for code in ("PWL01", "PWT01"):
        assert rules[code] is errors[code] is True

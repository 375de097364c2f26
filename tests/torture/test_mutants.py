"""The bugs that `pyworker torture --mutants` plants fit the functions as they are;
each names who has to see it.
"""

import re
from pathlib import Path

import pytest
from support import Database

import tests.torture.scenarios  # noqa: F401
from pyworker.errors import WorkError
from tests.torture.invariants import INVARIANTS
from tests.torture.mutants import MUTANTS, Mutant, Verdict, plant, replacements
from tests.torture.report import Finding
from tests.torture.scenario import SCENARIOS, Violation, draw_plan


def planted(database: Database, mutant: Mutant) -> None:
    """Plant it, and undo that."""
    with database.connect("postgres") as line, line.transaction(force_rollback=True):
        plant(line, mutant)


@pytest.mark.parametrize("name", sorted(MUTANTS))
def test_it_fits(shared: Database, name: str) -> None:
    planted(shared, MUTANTS[name])


def test_one_that_does_not_fit_is_an_error(shared: Database) -> None:
    mutant = MUTANTS["failure_is_success"]
    text = re.sub(r"md5 [0-9a-f]{32}", "md5 " + "0" * 32, replacements(mutant))
    with shared.connect("postgres") as line, pytest.raises(WorkError, match="does not fit"):
        plant(line, mutant, text)


def test_a_planted_bug_is_in_the_database(shared: Database) -> None:
    mutant = MUTANTS["failure_is_success"]
    body = "select prosrc from pg_proc where proname = 'run_in_savepoint'"
    with shared.connect("postgres") as line, line.transaction(force_rollback=True):
        before = line.execute(body).fetchone()
        plant(line, mutant)
        assert line.execute(body).fetchone() != before


def test_each_file_is_a_mutant_and_says_what_it_does() -> None:
    files = {
        path.stem: path.read_text("utf-8")
        for path in (Path(__file__).parent / "mutants").glob("*.sql")
    }
    assert set(files) == set(MUTANTS)
    for name, text in files.items():
        first = " ".join(line[3:] for line in text.split("\n\n")[0].splitlines())
        assert first.lower() == f"{MUTANTS[name].summary}.".lower()


def test_there_are_enough_and_each_can_be_caught() -> None:
    assert len(MUTANTS) >= 10
    named = {name for name, _function in INVARIANTS} | {
        "drain",
        "driver",
        "operation",
        "poison",
        "schedule",
        "I5",
        "I6",
    }
    for mutant in MUTANTS.values():
        assert mutant.scenario in SCENARIOS
        assert mutant.caught_by <= named
        assert re.search("(?m)^(create|alter) ", replacements(mutant))


def test_the_seeds_bring_the_poison_that_is_meant() -> None:
    for name, kind in (("claim_inside_the_effect", "in a chunk"), ("start_not_committed", "alone")):
        mutant = MUTANTS[name]
        assert [fault.kind for fault in draw_plan(mutant.seed, "poison", mutant.seconds)] == [kind]


def verdict(mutant: Mutant | None, *seen: str) -> Verdict:
    violations = tuple(Violation(one, "calm", "m") for one in seen)
    finding = Finding(name="calm", faults=0, jobs=0, seconds=1, budget=1, violations=violations)
    return Verdict(scenario="calm", mutant=mutant, finding=finding)


def test_a_verdict_is_right_only_when_the_right_one_complains() -> None:
    mutant = MUTANTS["rescue_by_time"]
    assert verdict(mutant, "I10").right
    assert verdict(mutant, "I1", "I12").right
    assert not verdict(mutant).right
    assert not verdict(mutant, "I9").right
    assert verdict(None).right
    assert not verdict(None, "I1").right


def test_the_page_lists_them_as_they_are() -> None:
    page = (Path(__file__).parents[2] / "docs/reliability.md").read_text("utf-8")
    rows = re.findall(r"^\| `(\w+)`: (.+) \| (\w+) \| ([\w, ]+) \|$", page, re.MULTILINE)
    listed = {
        name: (summary, scenario, frozenset(seen.split(", ")))
        for name, summary, scenario, seen in rows
    }
    assert listed == {
        name: (one.summary, one.scenario, one.caught_by) for name, one in MUTANTS.items()
    }

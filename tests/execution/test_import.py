"""Moving in from pg_timetable and pgAgent, on their tables as they are documented; pg_cron itself
is met in tests/acceptance/test_import_pg_cron.py.
"""

from typing import Any

import pytest
from stage import ledger
from support import Database, sqlstate_of

from .importing import NOTE, SCHEDULERS, import_all, make_chain, run_once


@pytest.fixture
def moving(database: Database) -> Database:
    """A database in which the other schedulers are."""
    database.admin(SCHEDULERS)
    return database


def test_nothing_is_made_unless_asked(moving: Database) -> None:
    """The calls do what an import with apply does, which makes the schedules paused."""
    make_chain(moving, "one", NOTE.format(1))
    ((call, differences, outcome),) = import_all(moving, "pg_timetable").values()
    assert outcome == "ready"
    assert not moving.run("select 1 from jobs.schedules")
    assert [text for text in differences if "the zone is that of this session" in text]
    assert import_all(moving, "pg_timetable", apply=True)["one"][2] == "imported, paused"
    shown = "select name, schedule, timezone, overlap, missed from jobs.schedules"
    made = moving.run(shown)
    assert moving.value("select paused from jobs.schedules")
    assert run_once(moving, "one") == "succeeded"
    assert ledger(moving) == [1]
    assert import_all(moving, "pg_timetable", apply=True)["one"][2] == (
        "refused: there is a schedule of this name, which the call would replace"
    )
    moving.run("select jobs.unschedule('one')")
    moving.run(call)
    assert moving.run(shown) == made
    assert not moving.value("select paused from jobs.schedules")


def test_a_chain_is_one_transaction(moving: Database) -> None:
    """An error in one task undoes the others, but where it is ignored."""
    make_chain(moving, "good", NOTE.format(1), NOTE.format(2))
    make_chain(moving, "bad", NOTE.format(3), "select 1 / 0")
    make_chain(moving, "goes on", "select 1 / 0", NOTE.format(4), tasks={0: {"ignore_error": True}})
    import_all(moving, "pg_timetable", apply=True)
    assert run_once(moving, "good") == "succeeded"
    assert run_once(moving, "bad") == "failed"
    assert run_once(moving, "goes on") == "succeeded"
    assert ledger(moving) == [1, 2, 4]


def test_autonomous_tasks_are_jobs_that_wait(moving: Database) -> None:
    """Each is a transaction of its own; what comes after a failure is cancelled."""
    alone = {n: {"autonomous": True} for n in range(3)}
    make_chain(moving, "good", NOTE.format(1), "vacuum app.ledger", NOTE.format(2), tasks=alone)
    make_chain(moving, "bad", NOTE.format(3), "select 1 / 0", NOTE.format(4), tasks=alone)
    said = import_all(moving, "pg_timetable", apply=True)
    assert [text for text in said["good"][1] if "jobs that wait for one another" in text]
    for name in "good", "bad":
        assert run_once(moving, name) == "succeeded"
        moving.admin("select jobs_internal.follow()")
        moving.drain()
        moving.admin("select jobs_internal.follow()")
    assert ledger(moving) == [1, 2, 3]
    assert moving.value("select count(*) from jobs.job where state = 'cancelled'") == 1


@pytest.mark.parametrize(
    ("column", "value", "word"),
    [
        ("self_destruct", True, "jobs.unschedule it then"),
        ("exclusive_execution", True, "all other chains wait"),
        ("client_name", "west", 'the client "west"'),
        ("on_error", "select 1", "on_error"),
        ("max_instances", 4, "no more than 4 at once"),
        ("live", False, "not live"),
        ("run_at", "0 3 1 * 1", "must both match"),
    ],
)
def test_what_differs_of_a_chain(moving: Database, column: str, value: Any, word: str) -> None:
    """It is imported, and the difference is told."""
    make_chain(moving, "one", "select 1", **{column: value})
    _, differences, outcome = import_all(moving, "pg_timetable")["one"]
    assert outcome == "ready"
    assert [text for text in differences if word in text]


@pytest.mark.parametrize(
    ("task", "word"),
    [
        ({"kind": "PROGRAM"}, "no SQL"),
        ({"kind": "BUILTIN"}, "no SQL"),
        ({"run_as": "postgres"}, "runs as another role"),
        ({"database_connection": "host=far"}, "for another database"),
    ],
)
def test_what_is_refused_of_a_chain(moving: Database, task: dict[str, str], word: str) -> None:
    """Nothing is made of it, the others are."""
    make_chain(moving, "bad", "select 1", tasks={0: task})
    make_chain(moving, "reboot", "select 1", run_at="@reboot")
    make_chain(moving, "good", "select 1", run_at="@every 15 minutes", timeout=90000)
    said = import_all(moving, "pg_timetable", apply=True)
    call, _, outcome = said["bad"]
    assert outcome.startswith("refused: ")
    assert word in outcome
    assert call is None
    assert said["reboot"][2].startswith("refused: ")
    assert "PW100" in said["reboot"][2]
    assert moving.run("select name, in_words from jobs.schedules") == [("good", "every 15 minutes")]


def test_parameters_of_a_task_are_refused(moving: Database) -> None:
    make_chain(moving, "one", "select $1::text")
    moving.admin("insert into timetable.parameter select task_id, 1, '[\"x\"]' from timetable.task")
    assert "has parameters" in import_all(moving, "pg_timetable")["one"][2]


def test_what_cannot_be_read(database: Database) -> None:
    """Another source, no such tables, no right: each says so."""
    for source, code in (("cron", "PW123"), ("pg_cron", "PW124"), ("pgagent", "PW124")):
        assert sqlstate_of(lambda s=source: import_all(database, s)) == code
    database.admin(SCHEDULERS)
    database.admin("revoke select on timetable.chain from app")
    assert sqlstate_of(lambda: import_all(database, "pg_timetable")) == "PW124"

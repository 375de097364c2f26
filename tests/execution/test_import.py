"""Moving in from pg_timetable and pgAgent, on their tables as they are documented; pg_cron itself
is met in tests/acceptance/test_import_pg_cron.py.
"""

from pathlib import Path
from typing import Any

import pytest
from stage import ledger, state
from support import Database, sqlstate_of

SCHEDULERS = (Path(__file__).parent / "schedulers.sql").read_text(encoding="utf-8")


@pytest.fixture
def moving(database: Database) -> Database:
    """A database in which the other schedulers are."""
    database.admin(SCHEDULERS)
    return database


def _insert(database: Database, table: str, **row: Any) -> int:
    """Insert a row; gives its first column, the number."""
    ((number, *_),) = database.admin(
        f"insert into {table} ({', '.join(row)}) values ({', '.join(['%s'] * len(row))})"
        " returning *",
        list(row.values()),
    )
    return int(number)


def _chain(
    database: Database,
    name: str,
    *commands: str,
    tasks: dict[int, dict[str, Any]] | None = None,
    **more: Any,
) -> None:
    """Make a chain of pg_timetable, at 03:00; `tasks` are further columns of its tasks."""
    given = {"run_at": "0 3 * * *", "live": True, "max_instances": 1, **more}
    chain = _insert(database, "timetable.chain", chain_name=name, **given)
    for n, command in enumerate(commands):
        row = {"chain_id": chain, "task_order": n, "command": command, **(tasks or {}).get(n, {})}
        _insert(database, "timetable.task", **row)


def _agent(
    database: Database,
    name: str,
    *codes: str,
    steps: dict[int, dict[str, Any]] | None = None,
    schedule: dict[str, Any] | None = None,
) -> None:
    """Make a job of pgAgent, at 03:00; `steps` are further columns of its steps, `schedule` of its
    schedule.
    """
    job = _insert(database, "pgagent.pga_job", jobname=name)
    for n, code in enumerate(codes):
        row = {"jstjobid": job, "jstname": f"step {n}", "jstcode": code, **(steps or {}).get(n, {})}
        _insert(database, "pgagent.pga_jobstep", **row)
    times = {
        "jscminutes": [n == 0 for n in range(60)],
        "jschours": [n == 3 for n in range(24)],
        **(schedule or {}),
    }
    _insert(database, "pgagent.pga_schedule", jscjobid=job, jscname="nightly", **times)


def _imported(database: Database, source: str, *, apply: bool = False) -> dict[str, Any]:
    """Give what an import says: name -> call, differences, outcome."""
    return {
        name: (call, differences, outcome)
        for name, call, differences, outcome in database.run(
            "select * from jobs.import_schedules(%s, %s)", [source, apply]
        )
    }


def _run_once(database: Database, name: str) -> str:
    """Run a schedule's job, and what it enqueues; gives the state of the first."""
    job = database.value("select jobs.run_schedule(%s)", [name])
    database.drain()
    database.admin("select jobs_internal.follow()")
    database.drain()
    return state(database, job)


NOTE = "insert into app.ledger (n) values ({})"


def test_nothing_is_made_unless_asked(moving: Database) -> None:
    """The calls do what an import with apply does, which makes the schedules paused."""
    _chain(moving, "one", NOTE.format(1))
    ((call, differences, outcome),) = _imported(moving, "pg_timetable").values()
    assert outcome == "ready"
    assert not moving.run("select 1 from jobs.schedules")
    assert [text for text in differences if "the zone is that of this session" in text]
    assert _imported(moving, "pg_timetable", apply=True)["one"][2] == "imported, paused"
    shown = "select name, schedule, timezone, overlap, missed from jobs.schedules"
    made = moving.run(shown)
    assert moving.value("select paused from jobs.schedules")
    assert _run_once(moving, "one") == "succeeded"
    assert ledger(moving) == [1]
    assert _imported(moving, "pg_timetable", apply=True)["one"][2] == (
        "refused: there is a schedule of this name, which the call would replace"
    )
    moving.run("select jobs.unschedule('one')")
    moving.run(call)
    assert moving.run(shown) == made
    assert not moving.value("select paused from jobs.schedules")


def test_a_chain_is_one_transaction(moving: Database) -> None:
    """An error in one task undoes the others, but where it is ignored."""
    _chain(moving, "good", NOTE.format(1), NOTE.format(2))
    _chain(moving, "bad", NOTE.format(3), "select 1 / 0")
    _chain(moving, "goes on", "select 1 / 0", NOTE.format(4), tasks={0: {"ignore_error": True}})
    _imported(moving, "pg_timetable", apply=True)
    assert _run_once(moving, "good") == "succeeded"
    assert _run_once(moving, "bad") == "failed"
    assert _run_once(moving, "goes on") == "succeeded"
    assert ledger(moving) == [1, 2, 4]


def test_autonomous_tasks_are_jobs_that_wait(moving: Database) -> None:
    """Each is a transaction of its own; what comes after a failure is cancelled."""
    alone = {n: {"autonomous": True} for n in range(3)}
    _chain(moving, "good", NOTE.format(1), "vacuum app.ledger", NOTE.format(2), tasks=alone)
    _chain(moving, "bad", NOTE.format(3), "select 1 / 0", NOTE.format(4), tasks=alone)
    said = _imported(moving, "pg_timetable", apply=True)
    assert [text for text in said["good"][1] if "jobs that wait for one another" in text]
    for name in "good", "bad":
        assert _run_once(moving, name) == "succeeded"
        moving.admin("select jobs_internal.follow()")
        moving.drain()
        moving.admin("select jobs_internal.follow()")
    assert ledger(moving) == [1, 2, 3]
    assert moving.value("select count(*) from jobs.job where state = 'cancelled'") == 1


def test_steps_of_several_statements(moving: Database) -> None:
    """Whatever dollars they have themselves: several in a step are one transaction."""
    two = f"{NOTE.format(1)}; {NOTE.format(2)}"
    dollars = f"do $job$ begin perform $sql$x$sql$; end $job$; {NOTE.format(3)}; select '$job_2$'"
    _agent(moving, "agent", "select 1", two, dollars)
    _chain(moving, "chain", two, NOTE.format(4), tasks={n: {"autonomous": True} for n in range(2)})
    for source, name in (("pgagent", "agent"), ("pg_timetable", "chain")):
        assert _imported(moving, source, apply=True)[name][2] == "imported, paused"
        assert _run_once(moving, name) == "succeeded"
        for _ in range(3):
            moving.admin("select jobs_internal.follow()")
            moving.drain()
    assert sorted(ledger(moving)) == [1, 1, 2, 2, 3, 4]


@pytest.mark.parametrize(
    ("text", "word"),
    [
        ("begin; select 1; commit", "BEGIN"),
        ("select 1;  \nCommit ; select 2", "COMMIT"),
        ("vacuum app.ledger; analyze app.ledger", "VACUUM"),
        ("select 1; create unique  index concurrently on app.ledger (n)", "CREATE UNIQUE INDEX"),
        ("reindex table concurrently app.ledger; select 1", "REINDEX TABLE CONCURRENTLY"),
        ("select 1; create database elsewhere", "CREATE DATABASE"),
    ],
)
def test_what_several_statements_cannot_hold(moving: Database, text: str, word: str) -> None:
    """What ends a transaction, or runs in none; a step of its own it may be."""
    _agent(moving, "job", text)
    _chain(moving, "chain", *text.split("; "))
    said = _imported(moving, "pgagent", apply=True)["job"][2]
    assert said.startswith("refused: ")
    assert f'"{word}' in said
    assert _imported(moving, "pg_timetable")["chain"][2].startswith("refused: ")
    assert not moving.run("select 1 from jobs.schedules")


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
    _chain(moving, "one", "select 1", **{column: value})
    _, differences, outcome = _imported(moving, "pg_timetable")["one"]
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
    _chain(moving, "bad", "select 1", tasks={0: task})
    _chain(moving, "reboot", "select 1", run_at="@reboot")
    _chain(moving, "good", "select 1", run_at="@every 15 minutes", timeout=90000)
    said = _imported(moving, "pg_timetable", apply=True)
    call, _, outcome = said["bad"]
    assert outcome.startswith("refused: ")
    assert word in outcome
    assert call is None
    assert said["reboot"][2].startswith("refused: ")
    assert "PW100" in said["reboot"][2]
    assert moving.run("select name, in_words from jobs.schedules") == [("good", "every 15 minutes")]


def test_parameters_of_a_task_are_refused(moving: Database) -> None:
    _chain(moving, "one", "select $1::text")
    moving.admin("insert into timetable.parameter select task_id, 1, '[\"x\"]' from timetable.task")
    assert "has parameters" in _imported(moving, "pg_timetable")["one"][2]


def test_steps_of_pgagent(moving: Database) -> None:
    """They are jobs that wait for one another; an ignored error lets the next one run."""
    _agent(moving, "one", NOTE.format(1))
    _agent(
        moving,
        "many",
        NOTE.format(2),
        "select 1 / 0",
        NOTE.format(3),
        steps={1: {"jstonerror": "i"}},
    )
    _agent(moving, "stops", "select 1 / 0", NOTE.format(4))
    _agent(moving, "off", NOTE.format(5), NOTE.format(6), steps={0: {"jstenabled": False}})
    said = _imported(moving, "pgagent", apply=True)
    assert {outcome for _, _, outcome in said.values()} == {"imported, paused"}
    assert [text for text in said["off"][1] if "1 step, which are not enabled" in text]
    for name in said:
        assert _run_once(moving, name) == "succeeded"
        moving.admin("select jobs_internal.follow()")
        moving.drain()
        moving.admin("select jobs_internal.follow()")
    assert ledger(moving) == [1, 2, 3, 6]


def test_times_of_pgagent(moving: Database) -> None:
    """Rows of flags are fields; several schedules of one job are several."""
    _agent(
        moving,
        "one",
        "select 1",
        schedule={
            "jscminutes": [n in (0, 30) for n in range(60)],
            "jscmonthdays": [n == 31 for n in range(32)],
            "jscmonths": [n == 11 for n in range(12)],
            "jscstart": "2026-01-01 00:00:00+00",
            "jscend": "2030-01-01 00:00:00+00",
        },
    )
    moving.admin(
        "insert into pgagent.pga_schedule (jscjobid, jscname, jscweekdays, jscmonthdays)"
        " select jobid, 'second', '{f,t,f,f,f,f,f}', array_fill(true, array[1])"
        " || array_fill(false, array[31]) from pgagent.pga_job"
    )
    moving.admin("insert into pgagent.pga_exception (jexscid, jexdate) values (2, '2026-12-25')")
    said = _imported(moving, "pgagent", apply=True)
    assert set(said) == {"one (nightly)", "one (second)"}
    assert moving.run(
        "select schedule, starts_at, ends_at, overlap, missed from jobs.schedules"
        " order by name limit 1"
    ) == moving.run(
        "select '0,30 3 L 12 *', '2026-01-01 00:00:00+00'::timestamptz,"
        " '2030-01-01 00:00:00+00'::timestamptz, 'skip', 'last'"
    )
    assert "schedule => '* * 1 * 1'" in said["one (second)"][0]
    assert [text for text in said["one (second)"][1] if "must both match" in text]
    assert [text for text in said["one (second)"][1] if "1 date, at which" in text]


@pytest.mark.parametrize(
    ("step", "word"),
    [
        ({"jstkind": "b"}, "no SQL"),
        ({"jstconnstr": "host=far"}, "another server"),
        ({"jstdbname": "elsewhere"}, "another database"),
    ],
)
def test_what_is_refused_of_pgagent(moving: Database, step: dict[str, str], word: str) -> None:
    _agent(moving, "bad", "select 1", steps={0: step})
    assert word in _imported(moving, "pgagent")["bad"][2]


def test_what_cannot_be_read(database: Database) -> None:
    """Another source, no such tables, no right: each says so."""
    for source, code in (("cron", "PW123"), ("pg_cron", "PW124"), ("pgagent", "PW124")):
        assert sqlstate_of(lambda s=source: _imported(database, s)) == code
    database.admin(SCHEDULERS)
    database.admin("revoke select on timetable.chain from app")
    assert sqlstate_of(lambda: _imported(database, "pg_timetable")) == "PW124"

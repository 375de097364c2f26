"""Moving in from pgAgent, on its tables as they are documented."""

import pytest
from stage import ledger
from support import Database

from .importing import NOTE, SCHEDULERS, import_all, make_agent_job, make_chain, run_once


@pytest.fixture
def moving(database: Database) -> Database:
    """A database in which the other schedulers are."""
    database.admin(SCHEDULERS)
    return database


def test_steps_of_several_statements(moving: Database) -> None:
    """Whatever dollars they have themselves: several in a step are one transaction."""
    two = f"{NOTE.format(1)}; {NOTE.format(2)}"
    dollars = f"do $job$ begin perform $sql$x$sql$; end $job$; {NOTE.format(3)}; select '$job_2$'"
    make_agent_job(moving, "agent", "select 1", two, dollars)
    make_chain(
        moving, "chain", two, NOTE.format(4), tasks={n: {"autonomous": True} for n in range(2)}
    )
    for source, name in (("pgagent", "agent"), ("pg_timetable", "chain")):
        assert import_all(moving, source, apply=True)[name][2] == "imported, paused"
        assert run_once(moving, name) == "succeeded"
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
    make_agent_job(moving, "job", text)
    make_chain(moving, "chain", *text.split("; "))
    said = import_all(moving, "pgagent", apply=True)["job"][2]
    assert said.startswith("refused: ")
    assert f'"{word}' in said
    assert import_all(moving, "pg_timetable")["chain"][2].startswith("refused: ")
    assert not moving.run("select 1 from jobs.schedules")


def test_steps_of_pgagent(moving: Database) -> None:
    """They are jobs that wait for one another; an ignored error lets the next one run."""
    make_agent_job(moving, "one", NOTE.format(1))
    make_agent_job(
        moving,
        "many",
        NOTE.format(2),
        "select 1 / 0",
        NOTE.format(3),
        steps={1: {"jstonerror": "i"}},
    )
    make_agent_job(moving, "stops", "select 1 / 0", NOTE.format(4))
    make_agent_job(moving, "off", NOTE.format(5), NOTE.format(6), steps={0: {"jstenabled": False}})
    said = import_all(moving, "pgagent", apply=True)
    assert {outcome for _, _, outcome in said.values()} == {"imported, paused"}
    assert [text for text in said["off"][1] if "1 step, which are not enabled" in text]
    for name in said:
        assert run_once(moving, name) == "succeeded"
        moving.admin("select jobs_internal.follow()")
        moving.drain()
        moving.admin("select jobs_internal.follow()")
    assert ledger(moving) == [1, 2, 3, 6]


def test_times_of_pgagent(moving: Database) -> None:
    """Rows of flags are fields; several schedules of one job are several."""
    make_agent_job(
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
    said = import_all(moving, "pgagent", apply=True)
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
    make_agent_job(moving, "bad", "select 1", steps={0: step})
    assert word in import_all(moving, "pgagent")["bad"][2]

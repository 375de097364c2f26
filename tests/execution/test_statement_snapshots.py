"""What pg_stat_statements counted, noted each five minutes, and compared around a mark."""

import pytest
from support import ADMINISTRATOR, Database

_LATER = "update jobs_internal.statement_look set looked_at = looked_at - interval '6 minutes'"
_KEPT = (
    "select t.query, s.calls, s.total_ms >= 0 from jobs_internal.statement_snapshot as s"
    " join jobs_internal.statement_text as t using (role, query_id)"
    " where s.at = (select looked_at from jobs_internal.statement_look)"
    " and s.role = 'app'::regrole and t.query like 'select % as counted%' order by 1"
)


@pytest.fixture
def counted(database: Database) -> Database:
    """A database with pg_stat_statements, looked at once."""
    if "pg_stat_statements" not in database.admin("show shared_preload_libraries")[0][0]:
        pytest.skip("this server does not load pg_stat_statements (shared_preload_libraries)")
    database.admin("create extension pg_stat_statements")
    look(database)
    return database


def look(database: Database) -> list[tuple[object, ...]]:
    """Look five minutes later; gives what was noted of our own statements."""
    database.admin(_LATER)
    database.admin("select jobs_internal.note_statements()")
    return database.admin(_KEPT)


def test_what_was_added_is_noted(counted: Database) -> None:
    for n in range(5):
        counted.run(f"select {n} as counted")
    assert look(counted) == [("select $1 as counted", 5, True)]
    assert look(counted) == []
    counted.run("select 9 as counted")
    assert look(counted) == [("select $1 as counted", 1, True)]


def test_a_reset_makes_nothing_negative(counted: Database) -> None:
    for n in range(5):
        counted.run(f"select {n} as counted")
    look(counted)
    counted.admin("select pg_stat_statements_reset()")
    counted.run("select 1 as counted")
    counted.run("select 2 as counted")
    assert look(counted) == [("select $1 as counted", 2, True)]
    # one that was let go of, and did not come again, is forgotten
    counted.admin("select pg_stat_statements_reset()")
    assert look(counted) == []


def test_one_looks_at_a_time_and_not_before_it_is_time(counted: Database) -> None:
    counted.run("select 1 as counted")
    counted.admin("select jobs_internal.note_statements()")
    assert counted.admin(_KEPT) == []
    other = counted.connect("postgres")
    other.execute("begin; select from jobs_internal.statement_look for update")
    counted.admin("select jobs_internal.note_statements()")  # it does not wait
    other.execute("rollback")
    assert look(counted) == [("select $1 as counted", 1, True)]


def test_it_is_part_of_a_round(counted: Database) -> None:
    counted.run("select 1 as counted")
    counted.admin(_LATER)
    line = counted.connect("supervisor")
    line.execute(
        "select jobs_internal.supervisor_tick(jobs_internal.supervisor_open('a', 'b', 1, '0'))"
    )
    assert counted.admin(_KEPT) == [("select $1 as counted", 1, True)]


def test_switched_off_nothing_is_noted(counted: Database) -> None:
    counted.run("select jobs.configure('statement_snapshots', 'off')", role="operator")
    counted.run("select 1 as counted")
    assert look(counted) == []
    counted.run("select jobs.configure('statement_snapshots', 'on')", role="operator")
    # what came while it was off belongs to no five minutes
    assert look(counted) == []
    counted.run("select 1 as counted")
    assert look(counted) == [("select $1 as counted", 1, True)]


def test_a_week_is_kept_and_a_copy_keeps_none(counted: Database) -> None:
    counted.run("select 1 as counted")
    look(counted)
    counted.admin("update jobs_internal.statement_snapshot set at = at - interval '8 days'")
    counted.admin("update jobs_internal.statement_text set seen_at = seen_at - interval '8 days'")
    counted.run("select 1 as counted")
    assert look(counted) == [("select $1 as counted", 1, True)]
    old = (
        "select count(*) from jobs_internal.statement_snapshot where at < now() - interval '7 days'"
    )
    assert counted.admin(old)[0][0] == 0
    counted.admin("select jobs_internal.move_owners(true)")
    assert counted.admin("select count(*) from jobs_internal.statement_snapshot")[0][0] == 0
    assert counted.admin("select count(*) from jobs_internal.statement_count")[0][0] == 0


def test_a_statement_that_takes_longer_is_found(counted: Database) -> None:
    counted.run("select 1 as counted")
    counted.run("select 1 as counted, 2 as other")
    look(counted)
    counted.admin("delete from jobs_internal.statement_snapshot")
    counted.admin(
        "insert into jobs_internal.statement_snapshot (at, since, role, query_id, calls, total_ms)"
        " select now() - w * interval '30 minutes', now() - (w + 1) * interval '30 minutes',"
        " t.role, t.query_id, 1000,"
        " case when w = 0 and t.query not like '%%other%%' then 4500 else 3000 + 30 * (w %% 3) end"
        " from jobs_internal.statement_text as t, generate_series(0, 7) as w"
        " where t.query like 'select %% as counted%%'",
        [],
    )
    counted.admin(
        "insert into jobs_internal.mark (at, kind, name, owner, set_by)"
        " values (now() - interval '30 minutes', 'deploy', 'it', 'app'::regrole, 'app')"
    )
    ask = (
        "select c.owner, c.task, c.before, c.after, c.n_after, c.verdict"
        " from jobs.marks as m, jobs.compare(m.id, '30 minutes') as c"
        " where c.what = 'statement_ms' and c.task like 'select %% as counted%%' order by 2"
    )
    found = [
        ("app", "select $1 as counted", 3, 4.5, 1000, "worse"),
        ("app", "select $1 as counted, $2 as other", 3, 3.0, 1000, "not enough"),
    ]
    seen_by = {"app": found, ADMINISTRATOR: found, "operator": [], "reader": []}
    for role, seen in seen_by.items():
        rows = counted.run(ask, [], role=role)
        assert [(r[0], r[1], round(r[2]), float(r[3]), r[4], r[5]) for r in rows] == seen

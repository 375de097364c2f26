"""Objects are OIDs, noted before the first attempt, and the path is the one that the statement was
enqueued with.
"""

import pytest
from stage import put_sql, state
from support import Database, wait_until

from .cut_off import enqueue_in, finish, indexes, kill_both, stop_child, two_schemas


@pytest.mark.parametrize("top_level", [False, True])
def test_a_statement_runs_with_the_path_of_its_enqueuer(
    database: Database, *, top_level: bool
) -> None:
    two_schemas(database)
    insert = "insert into t values (1)"
    job = enqueue_in(
        database, "sa, app", f"do $$ begin {insert}; commit; end $$" if top_level else insert
    )
    database.drain()
    assert state(database, job) == "succeeded", database.job(job)["error"]
    assert database.run("select (select count(*) from sa.t), (select count(*) from sb.t)") == [
        (1, 0)
    ]


@pytest.mark.parametrize("name", ["search_path", "Search_Path"])
def test_a_path_in_settings_wins(database: Database, name: str) -> None:
    """Over the caller's path, for the statement, for its post-condition, in a transaction and at
    top level.
    """
    two_schemas(database)
    done = "select count(*) > 0 from t"
    plain = enqueue_in(
        database, "sa", "insert into t values (1)", settings={name: "sb"}, done_when=done
    )
    child = enqueue_in(
        database,
        "sa",
        "do $$ begin insert into t values (2); commit; end $$",
        settings={name: "sb"},
        done_when=done,
    )
    database.drain()
    assert [state(database, job) for job in (plain, child)] == ["succeeded"] * 2
    assert database.run("select (select count(*) from sa.t), (select count(*) from sb.t)") == [
        (0, 2)
    ]


def test_user_in_a_path_is_the_role_that_enqueued(database: Database) -> None:
    """In a definer function $user is its owner, whatever login runs the job."""
    two_schemas(database)
    database.run("create table sa.u (n integer); create table app.u (n integer)")
    database.admin(
        "create schema if not exists producer; create table producer.u (n integer);"
        " grant all on schema producer, sa to app, producer; grant insert on producer.u to app"
    )
    database.admin(
        "create function public.hand_in() returns bigint language sql security definer as"
        " $$ select jobs.enqueue_sql('insert into u values (1)') $$;"
        " alter function public.hand_in() owner to producer"
    )
    job = database.value("select public.hand_in()")
    database.drain()
    assert state(database, job) == "succeeded", database.job(job)["error"]
    assert database.admin("select count(*) from producer.u") == [(1,)]


def test_the_condition_is_asked_of_the_table_of_the_path(database: Database) -> None:
    """An index that comes out invalid beside a valid one of the same name elsewhere in the path is
    no success.
    """
    two_schemas(database)
    database.run("insert into sb.t values (1), (1); create unique index t_n on sa.t (n)")
    job = enqueue_in(
        database,
        "sa",
        "create unique index concurrently if not exists t_n on t (n)",
        settings={"search_path": "sb"},
        max_attempts=1,
    )
    database.drain()
    found = database.job(job)
    assert (found["state"], found["error"]["sqlstate"]) == ("failed", "23505")
    assert indexes(database, "sb.t") == []  # what it left is dropped, also after the last attempt
    assert "invalid" not in (found["error"]["detail"] or "")
    database.run("delete from sb.t")
    database.run("select jobs.retry(%s)", (job,))
    database.drain()
    assert state(database, job) == "succeeded", database.job(job)["error"]
    assert (indexes(database, "sb.t"), indexes(database, "sa.t")) == (
        [("t_n", True)],
        [("t_n", True)],
    )


def test_a_drop_drops_one_index_only(database: Database) -> None:
    """A name that exists in two schemas of the path: the first goes, the job has succeeded,
    the other stays.
    """
    two_schemas(database)
    database.run("create index t_n on sa.t (n); create index t_n on sb.t (n)")
    job = enqueue_in(database, "sa, sb", "drop index concurrently t_n", max_attempts=1)
    database.drain()
    found = database.job(job)
    assert (found["state"], found["result"]) == (
        "succeeded",
        {"command_tag": "DROP INDEX", "verified": True},
    )
    assert indexes(database, "sb.t") == [("t_n", True)]


def test_a_drop_that_was_cut_off_drops_the_same_index_under_its_new_name(
    database: Database,
) -> None:
    """Renamed between two attempts, with another index under the old name: that one stays."""
    two_schemas(database)
    database.run('create index "odd.Name" on sa.t (n)')
    with database.server.connect("app", database.name) as holder:
        holder.autocommit = False
        holder.execute("select from sa.t")
        job = enqueue_in(database, "sa", 'drop index concurrently "odd.Name"', max_attempts=5)
        database.run("select jobs.start()")
        stop_child(database, job)
        wait_until(lambda: not database.background())
        holder.rollback()
    database.run(
        'alter index sa."odd.Name" rename to moved; create index "odd.Name" on sa.t ((n + 1))'
    )
    assert finish(database, job)["state"] == "succeeded", database.job(job)["error"]
    assert indexes(database, "sa.t") == [("odd.Name", True)]


@pytest.mark.parametrize(
    ("statement", "verified"),
    [
        ("create index concurrently points_a on {db}.app.points (a)", True),
        ('create index concurrently points_a on U&"app".points (a)', False),
        ("create index concurrently U&\"points!0061\" UESCAPE '!' on app.points (a)", False),
        ('create index concurrently "points on.a" on app."points" (a)', True),
        ("create index concurrently if not exists points_a on only app . points (a)", True),
        ("reindex (concurrently false) index app.points_b", None),
        ("reindex (concurrently 'false') index app.points_b", False),
        ("reindex index concurrently {db}.app.points_b", True),
        ("REINDEX (Concurrently On, verbose) INDEX APP.POINTS_B", True),
        ('reindex index concurrently app.U&"points_b"', False),
        ("drop index concurrently {db}.app.points_b", True),
        ('drop index concurrently app.U&"points_b"', False),
        ("vacuum (full false, analyze) {db}.app.points (a, b), app.ledger", None),
        ("vacuum full app.points", True),
        ("vacuum (process_main false) app.points", False),
        ('vacuum U&"app".points', False),
        ("vacuum (analyze, skip_locked) app.points, only app.ledger", True),
        ("VACUUM FREEZE VERBOSE ANALYZE app.points", True),
        ("/* x; */ vacuum -- y\n App . Points", True),
        ("create index concurrently if on app.points (a)", True),
        ('create index concurrently "ON" on app.points (a)', True),
        ("create unique index concurrently on app.points (a)", True),
        ("reindex schema concurrently app", True),
        ("drop index concurrently if exists app.missing", True),
        ("vacuum", False),
    ],
)
def test_names_of_every_form(database: Database, statement: str, verified: bool | None) -> None:
    """All succeed: what cannot be read for sure has no condition, and the result says so."""
    database.run(
        "create table app.points (a integer, b integer); create index points_b on app.points (b)"
    )
    job = put_sql(database, statement.format(db=database.name), max_attempts=1)
    database.drain()
    found = database.job(job)
    assert (found["state"], found["error"]) == ("succeeded", None)
    if verified is not None:
        assert found["result"]["verified"] is verified, found["result"]
        assert ("why" in found["result"]) is not verified


@pytest.mark.parametrize(
    ("statement", "command", "target"),
    [
        (
            "create index concurrently events_at on app.events (at)",
            "create index concurrently",
            "app.events_at",
        ),
        (
            "create index concurrently on only app.events (at)",
            "create index concurrently",
            "on app.events",
        ),
        (
            'create index concurrently "At" on "my.app".events (at)',
            "create index concurrently",
            '"my.app"."At"',
        ),
        ("vacuum (analyze) app.a, b", "vacuum", "app.a, b"),
        ("vacuum", "vacuum", None),
        ('vacuum U&"x"', "vacuum", None),
        ("reindex table concurrently app.a", "reindex concurrently", "table app.a"),
        ("reindex (concurrently false) table app.a", "reindex", "table app.a"),
        ("drop index concurrently if exists a.i", "drop index concurrently", "a.i"),
        ("refresh materialized view concurrently v", "refresh materialized view", "v"),
        ("alter table if exists only a.t add column c integer", "alter table", "a.t"),
        ("drop database if exists d (force)", "drop database", "d"),
        ("insert into t values (1)", "insert", "t"),
    ],
)
def test_what_a_statement_works_on_is_known(
    shared: Database, statement: str, command: str, target: str | None
) -> None:
    found = shared.admin(
        "select c.command, c.target ->> 'object' from jobs_internal.classify(%s) as c", [statement]
    )
    assert found == [(command, target)]


def test_a_dropped_object_that_came_back_under_its_name_is_not_dropped(database: Database) -> None:
    """The index is gone when the next attempt looks: that is a success, whatever bears its name
    by then.
    """
    two_schemas(database)
    database.run("create index t_n on sa.t (n)")
    with database.server.connect("app", database.name) as holder:
        holder.autocommit = False
        holder.execute("select from sa.t")
        job = enqueue_in(database, "sa", "drop index concurrently t_n", max_attempts=1)
        database.run("select jobs.start()")
        kill_both(database, job)
        holder.rollback()
    database.run("drop index sa.t_n; create index t_n on sa.t ((n * 2))")
    database.drain()
    assert (state(database, job), database.result(job)) == ("succeeded", {"verified": True})
    assert indexes(database, "sa.t") == [("t_n", True)]

"""Statement jobs: in a transaction where they may, else in a child session that is watched."""

import pytest
from stage import attempts, ledger, put, put_sql, state
from support import Database, sqlstate_of


def test_a_statement_that_may_run_in_a_transaction_does(database: Database) -> None:
    jobs = [
        put_sql(database, "insert into app.ledger (n) select generate_series(1, 7)"),
        put_sql(database, "update app.ledger set n = n + 100 where n > 5"),
        put_sql(database, "select * from app.ledger"),
        put_sql(database, "create table app.made (id integer)"),
        put_sql(
            database, "with d as (delete from app.ledger where n = 1 returning n) select n from d"
        ),
    ]
    broken = put_sql(database, "insert into app.ledger (n) values (1 / 0)")
    database.drain()
    assert [database.result(job)["rows"] for job in jobs] == [7, 2, 7, 0, 1]
    assert ledger(database) == [2, 3, 4, 5, 106, 107]
    assert (state(database, broken), database.job(broken)["error"]["sqlstate"]) == (
        "failed",
        "22012",
    )
    assert {row[0] for row in database.run("select child_pid from jobs.attempts")} == {None}


def test_effect_and_outcome_are_one_commit(database: Database) -> None:
    job = put_sql(database, "insert into app.ledger (n) values (1)", done_when="false")
    good = put_sql(
        database,
        "insert into app.ledger (n) values (2)",
        done_when="exists (select from app.ledger)",
    )
    database.drain()
    assert database.job(job)["error"]["sqlstate"] == "PW043"
    assert [state(database, one) for one in (job, good)] == ["failed", "succeeded"]
    assert ledger(database) == [2]


@pytest.mark.parametrize(
    ("condition", "sqlstate"),
    [("table app.ledger", "42601"), ("1 / 0 = 1", "22012"), ("select * from gone", "42P01")],
)
def test_a_condition_that_cannot_be_asked_leaves_its_statement_in_doubt(
    database: Database, condition: str, sqlstate: str
) -> None:
    job = put_sql(
        database,
        "create index concurrently one on app.ledger (n)",
        done_when=condition,
        max_attempts=1,
    )
    database.drain()
    found = database.job(job)
    assert (found["state"], found["error"]["sqlstate"]) == ("in_doubt", sqlstate)
    assert found["error"]["detail"].startswith(
        "It ran without an error, but its post-condition could not be asked"
    )
    assert condition in found["error"]["detail"]
    assert "jobs.dismiss" in found["error"]["hint"]
    assert database.run("select to_regclass('app.one') is not null") == [(True,)]


@pytest.mark.parametrize(
    ("statement", "tag"),
    [
        ("vacuum app.ledger", "VACUUM"),
        ("vacuum (verbose, analyze) app.ledger", "VACUUM"),
        ("create index concurrently one on app.ledger (n)", "CREATE INDEX"),
        ("reindex index concurrently app.there", "REINDEX"),
        ("reindex table concurrently app.ledger", "REINDEX"),
        ("drop index concurrently app.there", "DROP INDEX"),
        ("call app.two_commits(1)", "CALL"),
        ("do $$ begin insert into app.ledger (n) values (1); commit; end $$", "DO"),
        ("analyze", "ANALYZE"),
    ],
)
def test_top_level_statements_run_in_a_child_session(
    database: Database, statement: str, tag: str
) -> None:
    database.run("create index there on app.ledger (job)")
    job = put_sql(database, statement)
    database.drain()
    found = database.job(job)
    assert (found["state"], found["error"]) == ("succeeded", None)
    assert found["result"]["command_tag"] == tag
    assert database.run(
        "select child_pid is not null from jobs.attempts where job_id = %s", [job]
    ) == [(True,)]


@pytest.mark.parametrize(
    ("setup", "statement", "done"),
    [
        (
            """create table app.whole (n integer) partition by range (n);
            create table app.part partition of app.whole for values from (0) to (9)""",
            "alter table app.whole detach partition app.part concurrently",
            "select not relispartition from pg_class where oid = 'app.part'::regclass",
        ),
        (
            "",
            "explain analyze create table app.explained as select 1",
            "select to_regclass('app.explained') is not null",
        ),
    ],
)
def test_other_statements(database: Database, setup: str, statement: str, done: str) -> None:
    if setup:
        database.run(setup)
    job = put_sql(database, statement)
    database.drain()
    assert state(database, job) == "succeeded", database.job(job)
    assert database.value(done)


def test_what_must_run_at_top_level_is_found_out(database: Database) -> None:
    """The classifier is made blind: 25001 tells, and the statement goes to a child session."""
    database.run("create table app.whole (n integer) partition by range (n)")
    database.run("create table app.part partition of app.whole for values from (0) to (9)")
    jobs = [
        put_sql(database, "alter table app.whole detach partition app.part concurrently"),
        put_sql(database, "vacuum app.ledger"),
        put_sql(database, "create index concurrently one on app.ledger (n)"),
        put_sql(database, "call app.two_commits(5)"),
    ]
    database.admin("update jobs_internal.statement set top_level = false")
    database.drain()
    assert [state(database, job) for job in jobs] == ["succeeded"] * 4
    assert {attempts(database, job) == [(1, "succeeded")] for job in jobs} == {True}
    assert ledger(database) == [5, 6]
    assert database.admin("select bool_and(top_level) from jobs_internal.finished_statement") == [
        (True,)
    ]


def test_create_database_says_why_not(database: Database) -> None:
    job = put_sql(database, f"create database {database.name}_more")
    database.drain()
    assert (state(database, job), database.job(job)["error"]["sqlstate"]) == ("failed", "42501")


def test_an_index_that_comes_out_invalid_is_no_success(database: Database) -> None:
    database.run("insert into app.ledger (n) values (1), (1)")
    build = "create unique index concurrently {} u on app.ledger (n)"
    job = put_sql(database, build.format(""))
    database.drain()
    assert database.job(job)["error"]["sqlstate"] == "23505"
    assert attempts(database, job) == [(1, "failed")]
    assert database.run("select 1 from pg_class where relname = 'u'") == []

    # by hand: that of somebody else stays
    assert sqlstate_of(lambda: database.run(build.format(""))) == "23505"
    again = put_sql(database, build.format("if not exists"))
    database.drain()
    assert database.job(again)["error"]["sqlstate"] == "PW043"
    assert [state(database, one) for one in (job, again)] == ["failed", "failed"]
    assert database.run("select indisvalid from pg_index where indexrelid = 'app.u'::regclass") == [
        (False,)
    ]
    mend = put_sql(database, "drop index concurrently app.u")
    database.drain()
    assert state(database, mend) == "succeeded"


def test_a_procedure_by_name(database: Database) -> None:
    job = put(database, "app.two_commits", {"n": 3, "secret": "x"})
    database.drain()
    assert database.result(job)["command_tag"] == "CALL"
    assert ledger(database) == [3, 4]


@pytest.mark.parametrize("top_level", [False, True])
def test_strings_are_read_as_they_were_checked(database: Database, *, top_level: bool) -> None:
    """One statement to us is one statement to the server, whatever ALTER ROLE says about
    backslashes.
    """
    database.admin(
        f"alter role app in database {database.name} set standard_conforming_strings = off"
    )
    insert = r"insert into app.ledger (n) select 1 where 'a\' <> '; delete from app.ledger; --'"
    statement = f"do $$ begin {insert}; commit; end $$" if top_level else insert
    with database.connect() as app:
        row = app.execute("select jobs.enqueue_sql(%s, max_attempts => 1)", [statement]).fetchone()
    assert row is not None
    database.drain()
    assert attempts(database, row[0]) == [(1, "succeeded")]
    assert ledger(database) == [1]


def test_a_post_condition_knows_its_job(database: Database) -> None:
    job = put_sql(
        database,
        "do $$ begin insert into app.ledger (n) values (1); commit; end $$",
        done_when="exists (select from app.ledger where job = jobs.current_id())",
    )
    database.drain()
    assert attempts(database, job) == [(1, "succeeded")]

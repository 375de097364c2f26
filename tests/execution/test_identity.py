"""Objects are OIDs, noted before the first attempt, and the path is the one that the statement was
enqueued with.
"""

from typing import Any

import psycopg
import pytest
from psycopg.types.json import Jsonb
from stage import attempts, put_sql, running, state, wait_for
from support import Database, wait_until


def stop_child(database: Database, job: int, statement: str | None = None) -> None:
    """Wait until the child of a job waits for a lock, then cancel it."""
    waiting = (
        "select a.pid from pg_stat_activity a join jobs_internal.job j on j.child_pid = a.pid"
        " where j.id = %s and a.wait_event_type = 'Lock'"
        + (f" and a.query ~ '{statement}'" if statement else "")
    )
    ((pid,),) = wait_until(lambda: database.admin(waiting, [job]), 20)
    database.admin("select pg_cancel_backend(%s)", [pid])


def kill_both(database: Database, job: int) -> None:
    """Wait until the child of a job waits for a lock, then end it and the session that
    watches it.
    """
    waiting = (
        "select a.pid from pg_stat_activity a join jobs_internal.job j on j.child_pid = a.pid"
        " where j.id = %s and a.wait_event_type = 'Lock'"
    )
    ((child,),) = wait_until(lambda: database.admin(waiting, [job]), 20)
    watcher = (running(database, job) or {})["pid"]
    database.admin("select pg_terminate_backend(%s)", [watcher])
    wait_until(
        lambda: not database.admin("select 1 from pg_stat_activity where pid = %s", [watcher])
    )
    database.admin("select pg_terminate_backend(%s)", [child])
    wait_until(lambda: not database.background())


def finish(database: Database, job: int) -> dict[str, Any]:
    """Let a job go on that waits for its next attempt, to its end."""
    wait_until(lambda: not database.background(), 20)
    database.run("select jobs.run_now(%s)", (job,))
    database.drain()
    return database.job(job)


def enqueue_in(database: Database, path: str, statement: str, **options: Any) -> int:
    """Enqueue a statement where this search_path is set."""
    with database.connect() as line:
        line.execute("select set_config('search_path', %s, false)", [path])
        names = "".join(f", {name} => %({name})s" for name in options)
        given = {
            name: Jsonb(value) if isinstance(value, dict) else value
            for name, value in options.items()
        }
        row = line.execute(
            f"select jobs.enqueue_sql(%(statement)s{names})".encode(),
            {"statement": statement, **given},
        ).fetchone()
    assert row is not None
    return int(row[0])


def indexes(database: Database, table: str) -> list[tuple[str, bool]]:
    """List the indexes of a table, and whether they are valid."""
    return [
        (str(name), bool(valid))
        for name, valid in database.run(
            "select c.relname, i.indisvalid from pg_index i join pg_class c on c.oid = i.indexrelid"
            " where i.indrelid = %s::regclass order by 1",
            [table],
        )
    ]


def two_schemas(database: Database) -> None:
    """Make a table t of one column in each of two schemas."""
    database.admin("create schema sa authorization app; create schema sb authorization app")
    database.run("create table sa.t (n integer); create table sb.t (n integer)")


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
    "statement",
    [
        "reindex index concurrently app.parts_n",
        "reindex table concurrently app.parts",
        "reindex table app.parts",
    ],
)
def test_the_leaves_of_a_partitioned_index_are_compared(database: Database, statement: str) -> None:
    database.run(
        "create table app.parts (n integer) partition by range (n);"
        " create table app.low partition of app.parts for values from (0) to (10);"
        " create table app.high partition of app.parts for values from (10) to (20);"
        " create index parts_n on app.parts (n)"
    )
    job = put_sql(database, statement)
    database.drain()
    found = database.job(job)
    assert (found["state"], found["result"]) == (
        "succeeded",
        {"command_tag": "REINDEX", "verified": True},
    ), found


@pytest.mark.parametrize(
    "statement", ["vacuum app.parts", "analyze app.parts", "vacuum (analyze) app.parts"]
)
def test_a_partition_of_another_owner_is_not_passed_over(
    database: Database, statement: str
) -> None:
    database.run(
        "create table app.parts (n integer) partition by range (n);"
        " create table app.low partition of app.parts for values from (0) to (10);"
        " create table app.high partition of app.parts for values from (10) to (20)"
    )
    database.admin("alter table app.high owner to postgres")
    job = put_sql(database, statement)
    database.drain()
    error = database.job(job)["error"]
    assert (state(database, job), error["sqlstate"]) == ("failed", "42501")
    assert "app.high" in error["message"]
    database.admin("grant maintain on app.high to app")
    database.run("select jobs.retry(%s)", (job,))
    database.drain()
    assert state(database, job) == "succeeded", database.job(job)["error"]


@pytest.mark.parametrize(
    "statement",
    [
        "vacuum app.shown",
        "analyze app.shown",
        "vacuum app.ledger, app.shown",
        "analyze app.counter",
    ],
)
def test_what_is_no_table_is_refused(database: Database, statement: str) -> None:
    """PostgreSQL skips a view or a sequence with a warning that no session hears."""
    database.run("create view app.shown as select 1 as n; create sequence app.counter")
    job = put_sql(database, statement)
    database.drain()
    error = database.job(job)["error"]
    assert (state(database, job), error["sqlstate"]) == ("failed", "42809")
    assert "skip it with a warning" in error["message"]


def test_a_foreign_partition_is_not_passed_over(database: Database) -> None:
    """VACUUM would skip it; refused before anything is done, with its name."""
    database.admin(
        "create foreign data wrapper nothing; create server nowhere foreign data wrapper nothing;"
        " create table app.parts (n integer) partition by range (n); alter table app.parts"
        " owner to app;"
        " create foreign table app.far partition of app.parts for values"
        " from (0) to (10) server nowhere;"
        " alter foreign table app.far owner to app"
    )
    job = put_sql(database, "vacuum app.parts")
    database.drain()
    error = database.job(job)["error"]
    assert (state(database, job), error["sqlstate"]) == ("failed", "42809")
    assert "app.far" in error["message"]


@pytest.mark.parametrize("exists", ["", "if not exists "])
def test_an_index_of_that_name_that_was_there_is_not_what_was_made(
    database: Database, exists: str
) -> None:
    """Of another definition: with IF NOT EXISTS nothing is made, which the result says;
    without it is an error.
    """
    database.run(
        "create table app.points (a integer, b integer); create index points_i on app.points (a)"
    )
    job = put_sql(
        database, f"create index concurrently {exists}points_i on app.points (b)", max_attempts=1
    )
    database.drain()
    found = database.job(job)
    if exists:
        assert found["state"] == "succeeded"
        assert (found["result"]["verified"], found["result"]["made"]) == (False, None)
        assert "was there before" in found["result"]["why"]
    else:
        assert (found["state"], found["error"]["sqlstate"]) == ("failed", "42P07")


def test_an_interrupted_build_is_not_verified_by_an_older_index(database: Database) -> None:
    """Its session and its watcher die; the valid index of that name was there before."""
    database.run(
        "create table app.points (a integer, b integer); create index points_i on app.points (a)"
    )
    with database.server.connect("app", database.name) as holder:
        holder.autocommit = False
        holder.execute("lock table app.points in share row exclusive mode")
        job = put_sql(
            database, "create index concurrently points_i on app.points (b)", max_attempts=1
        )
        database.run("select jobs.start()")
        kill_both(database, job)
        holder.rollback()
    database.drain()
    found = database.job(job)
    assert (found["state"], found["error"]["sqlstate"]) == ("failed", "42P07"), found


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


def test_an_unnamed_index_that_was_cut_off_is_dropped_before_the_next(database: Database) -> None:
    database.run("create table app.points (n integer)")
    with database.server.connect("app", database.name) as holder:
        holder.autocommit = False
        holder.execute("insert into app.points values (1)")
        job = put_sql(database, "create index concurrently on app.points (n)", max_attempts=5)
        database.run("select jobs.start()")
        wait_until(
            lambda: database.admin(
                "select 1 from jobs_internal.made_index where job_id = %s", [job]
            )
        )
        stop_child(database, job)
        wait_until(lambda: not database.background())
        assert indexes(database, "app.points") == [("points_n_idx", False)]
        ((status, detail, remedy),) = database.admin(
            "select status, detail, remedy from jobs.health where \"check\" = 'invalid indexes'"
        )
        assert (status, "app.points_n_idx" in detail) == ("warning", True)
        assert remedy.startswith("drop index concurrently app.points_n_idx;")
        holder.rollback()
    found = finish(database, job)
    assert (found["state"], found["result"]["verified"]) == ("succeeded", True)
    assert indexes(database, "app.points") == [("points_n_idx", True)]
    assert database.admin("select status from jobs.health where \"check\" = 'invalid indexes'") == [
        ("ok",)
    ]


def test_a_detach_that_was_cut_off_is_finished(database: Database) -> None:
    database.run(
        "create table app.parts (n integer) partition by range (n);"
        " create table app.low partition of app.parts for values from (0) to (10)"
    )
    with database.server.connect("app", database.name) as holder:
        holder.autocommit = False
        holder.execute("select from app.parts")
        job = put_sql(
            database, "alter table app.parts detach partition app.low concurrently", max_attempts=5
        )
        database.run("select jobs.start()")
        wait_until(lambda: database.run("select 1 from pg_inherits where inhdetachpending"))
        stop_child(database, job)
        wait_until(lambda: not database.background())
        holder.rollback()
    database.run('alter table app.low rename to "Low.er"')
    found = finish(database, job)
    assert (found["state"], found["result"]["verified"]) == ("succeeded", True), found
    assert database.run("select 1 from pg_inherits where inhparent = 'app.parts'::regclass") == []


def test_a_rebuild_that_ended_at_its_last_step_is_a_success(database: Database) -> None:
    """By a lock timeout: the new index is valid under the name, the old one an invalid _ccold.
    It is cleared up.
    """
    database.run("create table app.points (n integer); create index points_n on app.points (n)")
    with (
        database.server.connect("app", database.name) as first,
        database.server.connect("app", database.name) as last,
    ):
        first.autocommit = last.autocommit = False
        first.execute("insert into app.points values (1)")
        settings = {"lock_timeout": "4s"}
        job = put_sql(
            database, "reindex index concurrently app.points_n", max_attempts=1, settings=settings
        )
        database.run("select jobs.start()")
        wait_until(lambda: database.admin("select 1 from pg_stat_progress_create_index"))
        # A reader without a snapshot is what its last steps wait for.
        last.execute("select from app.points where n = 5")
        first.rollback()
        wait_until(
            lambda: database.admin("select 1 from pg_class where relname = 'points_n_ccold'"), 20
        )
        wait_until(lambda: not database.admin("select 1 from pg_stat_progress_create_index"), 20)
        last.rollback()
    found = wait_for(database, job)
    assert found["state"] == "succeeded", found
    assert (found["result"]["verified"], found["result"]["despite"][:5]) == (True, "55P03")
    database.drain()
    assert indexes(database, "app.points") == [("points_n", True)]


@pytest.mark.parametrize(
    "statement", ["vacuum app.points", "vacuum", "reindex table app.points", "analyze app.points"]
)
def test_what_may_be_repeated_is_never_in_doubt(database: Database, statement: str) -> None:
    """Its session and its watcher die: it is run again, by itself."""
    database.run("create table app.points (n integer); create index points_n on app.points (n)")
    with database.server.connect("app", database.name) as holder:
        holder.autocommit = False
        holder.execute("lock table app.points in access exclusive mode")
        job = put_sql(database, statement, max_attempts=1)
        database.admin("update jobs_internal.statement set top_level = true")
        database.run("select jobs.start()")
        kill_both(database, job)
        holder.rollback()
    database.drain()
    assert state(database, job) == "succeeded", database.job(job)["error"]


def test_what_says_that_it_may_not_be_repeated_is_in_doubt(database: Database) -> None:
    database.run("create table app.points (n integer)")
    with database.server.connect("app", database.name) as holder:
        holder.autocommit = False
        holder.execute("lock table app.points in access exclusive mode")
        job = put_sql(database, "vacuum app.points", max_attempts=1, options={"repeatable": False})
        database.run("select jobs.start()")
        kill_both(database, job)
        holder.rollback()
    database.drain()
    assert (state(database, job), database.job(job)["error"]["sqlstate"]) == ("in_doubt", "PWD01")


def test_a_call_that_may_be_repeated_is_run_again(database: Database) -> None:
    database.run(
        "create table app.points (n integer); create procedure app.waits() language plpgsql as"
        " $$ begin commit; lock table app.points in share mode; commit; end $$"
    )
    with database.server.connect("app", database.name) as holder:
        holder.autocommit = False
        holder.execute("lock table app.points in access exclusive mode")
        job = put_sql(database, "call app.waits()", max_attempts=1, options={"repeatable": True})
        database.run("select jobs.start()")
        kill_both(database, job)
        holder.rollback()
    database.drain()
    assert state(database, job) == "succeeded", database.job(job)["error"]


def test_a_vacuum_that_was_done_unseen_is_not_run_again(database: Database) -> None:
    """Counted since the first attempt began: verified, without another run."""
    database.run("create table app.points (n integer)")
    with database.server.connect("app", database.name) as holder:
        holder.autocommit = False
        holder.execute("lock table app.points in access exclusive mode")
        job = put_sql(database, "vacuum app.points", max_attempts=1)
        database.run("select jobs.start()")
        kill_both(database, job)
        holder.rollback()
    with database.connect() as line:
        line.execute("vacuum app.points")
    database.drain()
    result = database.result(job)
    assert {key: result[key] for key in result if key != "vacuum"} == {"verified": True}
    assert database.value("select pg_stat_get_vacuum_count('app.points'::regclass)") == 1


def test_55000_is_not_tried_again(database: Database) -> None:
    """REFRESH CONCURRENTLY without a unique index fails the same way each time;
    what passes is 55P03 and 55006.
    """
    database.run("create materialized view app.seen as select 1 as n")
    job = put_sql(database, "refresh materialized view concurrently app.seen", max_attempts=3)
    database.drain()
    assert database.job(job)["error"]["sqlstate"] == "55000"
    assert attempts(database, job) == [(1, "failed")]
    retried = (
        "select jobs_internal.worth_retry(s) from unnest(array['55P03', '55006', '55000',"
        " '55P04']) as s"
    )
    assert [row[0] for row in database.admin(retried)] == [True, True, False, False]


def test_databases_have_a_post_condition(database: Database) -> None:
    """CREATE and DROP DATABASE are judged by the catalog."""
    database.admin("grant jobs_producer to app; alter role app createdb")
    name = f"{database.name}_more"
    try:
        made = put_sql(database, f'create database "{name}" template template0')
        found = wait_for_end(database, made)
        assert (found["state"], found["result"]["verified"]) == ("succeeded", True), found
        gone = put_sql(database, f'drop database "{name}"')
        found = wait_for_end(database, gone)
        assert (found["state"], found["result"]["verified"]) == ("succeeded", True), found
    finally:
        database.admin("alter role app nocreatedb")


def wait_for_end(database: Database, job: int) -> dict[str, Any]:
    """Run a job to its end; what it does takes a while."""
    database.run("select jobs.start()")
    return wait_for(database, job, timeout=60)


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


def test_an_alter_database_runs_in_a_transaction_where_it_may(shared: Database) -> None:
    """Only a move to another tablespace is done at top level."""
    found = shared.admin(
        "select c.top_level from unnest(array['alter database d set work_mem = 1',"
        " 'alter database d rename to e',"
        " 'alter database d set tablespace t', 'alter subscription s disable',"
        " 'alter subscription s refresh publication']) with ordinality as t(s, n),"
        " jobs_internal.classify(t.s) as c order by t.n"
    )
    assert [row[0] for row in found] == [False, False, True, False, True]


def test_what_skip_locked_passed_over_is_told(database: Database) -> None:
    """No failure, for it was asked for; but not verified."""
    database.run("create table app.points (n integer)")
    with database.server.connect("app", database.name) as holder:
        holder.autocommit = False
        holder.execute("lock table app.points in access exclusive mode")
        job = put_sql(database, "vacuum (skip_locked) app.points", max_attempts=1)
        database.run("select jobs.start()")
        found = wait_for(database, job)
        holder.rollback()
    assert found["state"] == "succeeded", found
    assert (found["result"]["verified"], found["result"]["skipped"]) == (False, "app.points")
    database.drain()


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


def test_a_short_build_that_its_watcher_missed_is_verified(database: Database) -> None:
    """An unnamed index is known by what was seen being built, else as the only new one of
    its table.
    """
    database.admin(
        "create or replace function jobs_internal.index_of_child(p_pid integer) returns oid"
        " language sql volatile"
        " set search_path = pg_catalog, pg_temp begin atomic select null::oid; end"
    )
    database.run("create table app.points (n integer); create index on app.points ((n + 1))")
    job = put_sql(database, "create index concurrently on app.points (n)")
    database.drain()
    assert database.result(job) == {"command_tag": "CREATE INDEX", "verified": True}


def never_seen(database: Database) -> None:
    """Let every watcher miss what its child builds."""
    database.admin(
        "create or replace function jobs_internal.index_of_child(p_pid integer) returns oid"
        " language sql volatile"
        " set search_path = pg_catalog, pg_temp begin atomic select null::oid; end"
    )


@pytest.mark.parametrize("sure", [True, False])
@pytest.mark.parametrize("both", [True, False])
def test_an_unnamed_index_that_its_watcher_missed_is_found(
    database: Database, *, sure: bool, both: bool
) -> None:
    """By what stood on the table before: dropped where it can be no other one, and else told;
    never in doubt.
    """
    never_seen(database)
    database.run("create table app.points (n integer); create index on app.points ((n + 1))")
    columns = "(n)" if sure else "(n desc)"
    with database.server.connect("app", database.name) as holder:
        holder.autocommit = False
        holder.execute("insert into app.points values (1)")
        job = put_sql(
            database, f"create index concurrently on app.points {columns}", max_attempts=5
        )
        database.run("select jobs.start()")
        wait_until(lambda: indexes(database, "app.points")[-1] == ("points_n_idx", False))
        if both:
            kill_both(database, job)
        else:
            stop_child(database, job)
            wait_until(lambda: not database.background())
            left = database.admin(
                "select detail, remedy from jobs.health where \"check\" = 'invalid indexes'"
            )
            assert "app.points_n_idx" in left[0][0]
            assert left[0][1].startswith("drop index concurrently app.points_n_idx;")
        holder.rollback()
    assert finish(database, job)["state"] == "succeeded", database.job(job)
    found = [("points_expr_idx", True), ("points_n_idx", sure)] + [("points_n_idx1", True)] * (
        not sure
    )
    assert indexes(database, "app.points") == found
    health = database.admin("select status from jobs.health where \"check\" = 'invalid indexes'")
    assert health == [("ok" if sure else "warning",)]


def test_an_invalid_index_of_another_one_is_not_dropped(database: Database) -> None:
    """New on the table and invalid, of other columns: it is not of this job."""
    never_seen(database)
    database.run("create table app.points (n integer, m integer)")
    with database.server.connect("app", database.name) as holder:
        holder.autocommit = False
        holder.execute("insert into app.points values (1, 1)")
        job = put_sql(database, "create index concurrently on app.points (n)", max_attempts=5)
        database.run("select jobs.start()")
        wait_until(lambda: indexes(database, "app.points") == [("points_n_idx", False)])
        stop_child(database, job)
        wait_until(lambda: not database.background())
        with database.connect() as line:
            line.execute("set statement_timeout = 200")
            with pytest.raises(psycopg.errors.QueryCanceled):
                line.execute("create index concurrently on app.points (m)")
        holder.rollback()
    assert finish(database, job)["state"] == "succeeded"
    assert indexes(database, "app.points") == [("points_m_idx", False), ("points_n_idx", True)]


def test_an_unnamed_index_is_found_whose_first_build_was_seen_and_whose_second_was_not(
    database: Database,
) -> None:
    """What was seen is dropped by then: it says nothing about the next attempt."""
    database.run("create table app.points (n integer)")
    with database.server.connect("app", database.name) as holder:
        holder.autocommit = False
        holder.execute("insert into app.points values (1)")
        job = put_sql(database, "create index concurrently on app.points (n)", max_attempts=5)
        database.run("select jobs.start()")
        wait_until(
            lambda: database.admin(
                "select 1 from jobs_internal.made_index where job_id = %s", [job]
            )
        )
        stop_child(database, job)
        wait_until(lambda: not database.background())
        holder.rollback()
    never_seen(database)
    found = finish(database, job)
    assert (found["state"], found["result"]["verified"]) == ("succeeded", True), found
    assert indexes(database, "app.points") == [("points_n_idx", True)]


def test_an_analyze_tells_what_skip_locked_passed_over(database: Database) -> None:
    """It runs in a transaction, and is judged as what runs outside of one."""
    database.run("create table app.points (n integer)")
    with database.server.connect("app", database.name) as holder:
        holder.autocommit = False
        holder.execute("lock table app.points in access exclusive mode")
        job = put_sql(database, "analyze (skip_locked) app.points, app.ledger", max_attempts=1)
        database.drain()
        holder.rollback()
    found = database.job(job)
    assert found["state"] == "succeeded", found
    assert (found["result"]["verified"], found["result"]["skipped"]) == (False, "app.points")


def test_an_analyze_that_passes_over_a_foreign_partition_fails(database: Database) -> None:
    """PostgreSQL skips one that its wrapper cannot analyze, with a warning that no
    session hears.
    """
    database.admin(
        "create extension file_fdw; create server files foreign data wrapper file_fdw;"
        " create table app.parts (n integer) partition by range (n); alter table app.parts"
        " owner to app;"
        " create foreign table app.far partition of app.parts for values"
        " from (0) to (10) server files"
        "  options (program 'true');"
        " create table app.near partition of app.parts for values from (10) to (20);"
        " alter foreign table app.far owner to app; alter table app.near owner to app"
    )
    job = put_sql(database, "analyze app.parts", max_attempts=1)
    near = put_sql(database, "analyze app.near", max_attempts=1)
    database.drain()
    found = database.job(job)
    assert (found["state"], found["error"]["sqlstate"]) == ("failed", "PW043"), found
    assert "app.far" in found["error"]["detail"]
    assert database.result(near) == {"command_tag": "ANALYZE", "verified": True}


def test_tablespaces_and_subscriptions_have_a_post_condition(database: Database) -> None:
    """Made, moved to and dropped: the catalog tells."""
    database.admin(
        "grant jobs_producer, jobs_runner to postgres; select jobs.admit_role('postgres')"
    )
    space, other, line = (f'"{database.name}_{kind}"' for kind in ("space", "other", "line"))
    apart = "connect = false, create_slot = false, enabled = false, slot_name = none"
    statements = [
        f"create tablespace {space} location ''",
        f"create database {other} template template0",
        f"alter database {other} set tablespace {space}",
        f"drop database {other}",
        f"drop tablespace {space}",
        f"create subscription {line} connection 'dbname=nosuch' publication p with ({apart})",
        f"drop subscription {line}",
    ]
    try:
        for statement in statements:
            settings = {"allow_in_place_tablespaces": "on"}
            job = put_sql(database, statement, role="postgres", max_attempts=1, settings=settings)
            database.run("select jobs.start()", role="postgres")
            found = wait_for(database, job, timeout=60)
            assert (found["state"], found["result"] and found["result"]["verified"]) == (
                "succeeded",
                True,
            ), found
    finally:
        database.admin("revoke jobs_producer, jobs_runner from postgres")


def test_an_alter_system_says_that_nothing_shows_it(database: Database) -> None:
    """No view that its owner may read tells; to run it again does no harm, so nobody is asked after
    an end unseen.
    """
    database.admin("grant alter system on parameter deadlock_timeout to app")
    try:
        for statement in (
            "alter system set deadlock_timeout = '1s'",
            "alter system reset deadlock_timeout",
        ):
            job = put_sql(database, statement, max_attempts=1)
            assert database.admin("select jobs_internal.is_repeatable(%s)", [job]) == [(True,)]
            database.drain()
            result = database.result(job)
            assert (result["command_tag"], result["verified"]) == ("ALTER SYSTEM", False)
            assert "nothing that we may read shows" in result["why"]
    finally:
        database.admin("revoke alter system on parameter deadlock_timeout from app")

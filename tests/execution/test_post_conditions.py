"""What tells whether a statement did its work whose end was not seen, and what may be run again."""

import pytest
from stage import attempts, put_sql, state, wait_for
from support import Database, wait_until

from .cut_off import finish, kill_both, stop_child, wait_for_end


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

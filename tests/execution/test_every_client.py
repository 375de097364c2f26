"""Enqueue and wait work from every client: bind parameters, exit_on_error,
and whatever else a session is set to.
"""

import psycopg
import pytest
from psycopg import Connection
from stage import put, state
from support import Database, Row, sqlstate_of, wait_until

from pyworker.database.connection import connect_control, connect_owner

AWAIT = "call jobs.await(%s, %s)"


def test_await_with_bind_parameters(database: Database) -> None:
    """The extended protocol begins a transaction before the statement: it is no transaction block
    for that.
    """
    job = put(database, "app.note", {"n": 1})
    database.run("select jobs.start()")
    with database.connect() as connection:
        for prepare in (False, True, True):
            connection.execute(AWAIT, [job, "20 s"], prepare=prepare)
        connection.execute(AWAIT, [job, "20 s"], binary=True)
        connection.execute(
            "call jobs.await($1, timeout => $2)".replace("$1", "%s").replace("$2", "%s"),
            [job, "20 s"],
        )
    assert state(database, job) == "succeeded"
    wait_until(lambda: not database.background())


def test_await_waits_with_bind_parameters_and_holds_no_snapshot(database: Database) -> None:
    """It commits between two looks: no snapshot is held while it waits."""
    job = put(database, "app.note", {"n": 1}, run_at="infinity")
    with database.connect() as connection:
        pid = connection.info.backend_pid
        assert sqlstate_of(lambda: connection.execute(AWAIT, [job, "300 ms"])) == "PW036"
        assert connection.info.backend_pid == pid
        connection.execute("set exit_on_error = on")
        assert connection.execute("select jobs.cancel(%s)", [job]).fetchone() == ("cancelled",)
        connection.execute(AWAIT, [job, "1 s"])
        assert connection.execute("show exit_on_error").fetchone() == ("on",)


def _in_a_pipeline(connection: Connection[Row], queries: list[str]) -> str | None:
    def send() -> None:
        with connection.pipeline() as pipeline:
            for query in queries:
                connection.execute(query.encode())
            pipeline.sync()

    return sqlstate_of(send)


def test_await_refuses_where_nothing_can_be_committed(database: Database) -> None:
    """In a block, in a function, beside other statements, with and without parameters:
    always PW037.
    """
    job = put(database, "app.note", {"n": 1}, run_at="infinity")
    plain = AWAIT % (job, "'1 s'")
    database.run(
        f"create function app.waits() returns void language plpgsql as $$ begin {plain}; end $$;"
        f"create procedure app.passes_on() language plpgsql as $$ begin {plain}; end $$;"
        f"create procedure app.with_handler() language plpgsql as"
        f" $$ begin begin {plain}; exception when division_by_zero then null; end; end $$"
    )

    def refused(connection: Connection[Row], query: str, *given: object) -> str | None:
        return sqlstate_of(lambda: connection.execute(query.encode(), given or None))

    with database.connect() as connection:
        assert refused(connection, "select app.waits()") == "PW037"
        assert refused(connection, f"select 1; {plain}") == "PW037"
        assert refused(connection, f"{plain}; select 1") == "PW037"
        assert refused(connection, "call app.with_handler()") == "PW037"
        connection.autocommit = False
        for query, given in ((plain, ()), (AWAIT, (job, "1 s")), ("call app.passes_on()", ())):
            assert refused(connection, query, *given) == "PW037", query
            connection.rollback()
            connection.execute("select 1")
            assert refused(connection, query, *given) == "PW037", query
            connection.rollback()
        connection.autocommit = True
        assert _in_a_pipeline(connection, ["select 1", plain]) == "PW037"
        assert (
            refused(connection, "do $$ begin call app.passes_on(); end $$") == "PW036"
        )  # nothing in the way of a commit


def test_exit_on_error_ends_no_connection(database: Database) -> None:
    """What is tried and undone by us is no error of the session's."""
    database.admin("select jobs.set_quota('app', pending => 1000)")
    with database.connect() as connection:
        connection.execute("set exit_on_error = on")
        pid = connection.info.backend_pid
        ids = []
        for query in (
            "select jobs.enqueue('app.note', '{\"n\": 1}', settings => '{\"work_mem\": \"1MB\"}')",
            "select jobs.enqueue('app.note(integer)', '{\"n\": 2}')",
            (
                "select jobs.enqueue_many('app.note', array['{\"n\": 3}']::jsonb[],"
                ' settings => \'{"work_mem": "1MB"}\')'
            ),
            (
                "select jobs.enqueue_sql('insert into app.ledger (n) values (4)',"
                ' settings => \'{"work_mem": "1MB"}\')'
            ),
            (
                "select jobs.enqueue_sql('vacuum app.ledger', done_when => 'true',"
                " rollback => 'select 1')"
            ),
        ):
            (job,) = connection.execute(query.encode()).fetchone() or (0,)
            ids.append(job)
        connection.execute("begin isolation level repeatable read")
        connection.execute("select jobs.enqueue('app.note', '{\"n\": 5}')")
        connection.execute("select jobs.enqueue_many('app.note', array['{\"n\": 6}']::jsonb[])")
        connection.execute("commit")
        assert connection.execute("select jobs.start()").fetchone() == (1,)
        for job in ids:
            connection.execute(AWAIT, [job, "20 s"])
            assert state(database, job) == "succeeded"
        for view in ("job", "health", "queues", "running", "options"):
            connection.execute(f"select * from jobs.{view}".encode())
        assert connection.execute("select pg_backend_pid()").fetchone() == (pid,)
    wait_until(lambda: not database.background())


def test_a_role_that_exits_on_error_has_its_jobs(database: Database) -> None:
    """ALTER ROLE ... SET exit_on_error is for the role's own sessions: a job that fails ends no
    worker session.
    """
    database.admin(f"alter role app in database {database.name} set exit_on_error = on")
    with database.connect() as connection:
        failing = connection.execute(
            "select jobs.enqueue('app.fail', '{\"state\": \"22023\"}', max_attempts => 1)"
        ).fetchone()
        other = connection.execute("select jobs.enqueue('app.note', '{\"n\": 1}')").fetchone()
        assert failing is not None
        assert other is not None
        connection.execute("select jobs.start()")
        connection.execute(AWAIT, [other[0], "20 s"])
    wait_until(lambda: not database.background())
    job = database.record(
        "select state, error from jobs.job where id = %s", [failing[0]], role="postgres"
    )
    assert (job["state"], job["error"]["sqlstate"]) == ("failed", "22023")


#: What a session may be set to: by its role, its driver, its pooler, or a person.
SETTINGS = (
    "plpgsql.extra_errors = 'all'", "plpgsql.extra_warnings = 'all'",
    "plpgsql.print_strict_params = on", "quote_all_identifiers = on",
    "standard_conforming_strings = off", "array_nulls = off", "transform_null_equals = on",
    "backslash_quote = off", "xmlbinary = hex", "bytea_output = escape",
    "datestyle = 'German, DMY'", "intervalstyle = sql_standard", "timezone = 'Asia/Kathmandu'",
    "extra_float_digits = -15", "search_path = ''",
    "search_path = app, pg_catalog, jobs_internal, pgmq", "client_encoding = 'LATIN1'",
    "client_min_messages = debug5", "check_function_bodies = off",
    "default_transaction_isolation = 'serializable'",
    "default_transaction_isolation = 'repeatable read'", "default_transaction_deferrable = on",
    "row_security = off", "lock_timeout = '2s'", "work_mem = '64kB'",
    "plan_cache_mode = force_custom_plan", "plan_cache_mode = force_generic_plan",
    "debug_parallel_query = regress", "enable_indexscan = off", "enable_seqscan = off",
    "enable_nestloop = off", "join_collapse_limit = 1", "exit_on_error = on",
    "idle_in_transaction_session_timeout = '5s'", "synchronous_commit = off",
    "createrole_self_grant = 'set, inherit'",
)  # fmt: skip


@pytest.mark.parametrize("setting", SETTINGS)
def test_any_session_can_enqueue_steer_and_wait(shared: Database, setting: str) -> None:
    """Whatever a session is set to, every door works, and says the same."""
    with shared.connect() as connection:
        connection.execute(f"set {setting}".encode())

        def value(query: str, *given: object) -> object:
            return (connection.execute(query.encode(), given or None).fetchone() or (None,))[0]

        later = "run_at => '2100-01-01 00:00:00+00'"
        options = '\'{"title": "é", "notify": "told"}\''
        ids = [
            value(
                "select jobs.enqueue('app.note(n integer)', jsonb_build_object('n', %s::int),"
                f" {later})",
                1,
            ),
            value(
                f"select jobs.enqueue('app.nap', '{{\"seconds\": 0.1, \"n\": null}}', {later},"
                " unique_key => %s,"
                f" timeout => '1 day', priority => 'low', note => '{{}}',"
                f' settings => \'{{"work_mem": "1MB"}}\','
                f" options => {options})",
                setting,
            ),
            value(
                f"select jobs.enqueue_many('app.note', array['{{\"n\": 1}}',"
                f" '{{\"n\": 2}}']::jsonb[], {later})"
            ),
            value(
                f"select jobs.enqueue_sql('vacuum app.ledger', {later}, done_when => 'true',"
                " rollback => 'select 1')"
            ),
            value(f"select jobs.enqueue_sql(%s, {later})", "select $q$a;b$q$ -- ;"),
        ]
        for job in ids:
            assert isinstance(job, int)
            assert value("select state from jobs.job where id = %s", job) == "scheduled"
            assert value("select jobs.set_priority(%s, 'high')", job) in ("scheduled", "queued")
            assert value("select jobs.cancel(%s)", job) == "cancelled"
            assert value("select jobs.wait(%s, '1 s')", job) == "cancelled"
            connection.execute(AWAIT, [job, "1 s"])
            assert value("select jobs.retry(%s)", job) == "retrying"
            assert value("select jobs.cancel(%s)", job) == "cancelled"
        for view in (
            "job",
            "queued",
            "running",
            "failed",
            "attempts",
            "queues",
            "health",
            "options",
            "errors",
        ):
            connection.execute(f"select * from jobs.{view}".encode())
        with pytest.raises(psycopg.Error) as caught:
            connection.execute("select jobs.enqueue('app.note', '{\"m\": 1}')")
        expected = "PW003" if "exit_on_error" not in setting else caught.value.sqlstate
        assert caught.value.sqlstate == expected


def test_a_database_that_exits_on_error_has_its_supervisor(database: Database) -> None:
    """The connections of a supervisor, on which rounds try and catch, do not take it from the
    database.
    """
    database.admin(f"alter database {database.name} set exit_on_error = on")
    with (
        connect_control(database.dsn("supervisor"), 10) as control,
        connect_owner(database.dsn("supervisor"), "app", "supervisor") as owner,
    ):
        for line in (control, owner):
            assert line.execute("show exit_on_error").fetchone() == ("off",)

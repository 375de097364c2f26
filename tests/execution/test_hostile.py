"""Roles and databases whose own settings are against it; owners that lose what they need."""

from collections.abc import Iterator
from contextlib import suppress

import psycopg
import pytest
from stage import attempts, gate_shut, ledger, own_name, put, put_many, put_sql, state, wait_at_gate
from support import Database, wait_until

SETTINGS = {
    "time limits": {
        "statement_timeout": "'50ms'",
        "lock_timeout": "'1ms'",
        "transaction_timeout": "'100ms'",
        "idle_in_transaction_session_timeout": "'10ms'",
        "pg_background.worker_timeout": "'100ms'",
    },
    "transactions": {
        "default_transaction_isolation": "'repeatable read'",
        "default_transaction_read_only": "on",
        "default_transaction_deferrable": "on",
    },
    "names": {
        "search_path": "pg_temp, app",
        "role": "jobs_producer",
        "application_name": "'hostile'",
    },
    "texts": {
        "standard_conforming_strings": "off",
        "bytea_output": "'escape'",
        "datestyle": "'German'",
        "extra_float_digits": "-5",
        "quote_all_identifiers": "on",
        "client_min_messages": "debug1",
        "plpgsql.variable_conflict": "use_column",
    },
}


@pytest.fixture
def hostile(database: Database) -> Iterator[str]:
    """A role of the test's own that may enqueue and run."""
    name = own_name("hostile")
    database.admin(f"create role {name} login in role jobs_producer, jobs_runner")
    password = database.server.password
    if password:
        database.admin(f"alter role {name} password '{password}'")
    database.admin(f"grant usage on schema app to {name}; grant all on app.ledger to {name}")
    yield name
    wait_until(lambda: not database.background(), 10)
    database.admin(f"drop owned by {name}; drop role {name}")


@pytest.mark.parametrize("kind", SETTINGS)
def test_settings_of_the_role_do_not_hurt(database: Database, hostile: str, kind: str) -> None:
    for setting, value in SETTINGS[kind].items():
        database.admin(f"alter role {hostile} set {setting} = {value}")
    # The enqueuer keeps its own settings; a client of its own starts the sessions,
    # as a supervisor would.
    with database.server.connect(
        hostile,
        database.name,
        default_transaction_read_only="off",
        default_transaction_isolation="read committed",
        statement_timeout="30s",
        transaction_timeout="0",
    ) as line:
        line.execute("set role none")
        slow = line.execute(
            "select jobs.enqueue('app.nap', '{\"seconds\": 0.3, \"n\": 1}')"
        ).fetchone()
        many = line.execute(
            "select count(*) from jobs.enqueue_many('app.note',"
            " (select array_agg(jsonb_build_object('n', g)) from generate_series(2, 40) as g))"
        ).fetchone()
        child = line.execute(
            "select jobs.enqueue_sql('do $$ begin insert into app.ledger (n) values (100); commit;"
            " perform pg_sleep(0.2); end $$')"
        ).fetchone()
        bad = line.execute("select jobs.enqueue('app.fail', '{\"state\": \"22012\"}')").fetchone()
        assert slow is not None
        assert child is not None
        assert bad is not None
        assert many == (39,)

        def idle() -> bool:
            if database.background():
                return False
            if ledger(database).count(100) == 1 and len([n for n in ledger(database) if n]) == 41:
                return True
            line.execute("select jobs.start()")
            return False

        wait_until(idle, 20, 0.05)
    for job in (slow[0], child[0]):
        found = database.job(job, role="postgres")
        assert (found["state"], found["error"]) == ("succeeded", None)
        assert attempts(database, job) == [(1, "succeeded")]
    assert state(database, bad[0]) == "failed"
    assert database.job(bad[0], role="postgres")["error"]["sqlstate"] == "22012"
    assert [n for n in ledger(database) if n] == [*range(1, 41), 100]


def test_an_owner_that_may_not_log_in_any_more(database: Database, hostile: str) -> None:
    line = database.server.connect(hostile, database.name)
    job = put(database, "app.note", {"n": 1}, role=hostile)
    child = put_sql(database, "vacuum", role=hostile)
    database.admin(f"alter role {hostile} nologin")
    for _ in range(2):
        # whether it is told depends on how fast the session is refused
        with suppress(psycopg.Error):
            line.execute("select jobs.start()")
        wait_until(lambda: not database.background(), 10)
    line.close()
    assert {state(database, one) for one in (job, child)} <= {"queued", "scheduled"}
    assert attempts(database, job) == []
    detail, remedy = database.admin(
        "select detail, remedy from jobs.health where \"check\" = 'owners'"
    )[0]
    assert hostile in detail
    assert remedy
    database.admin(f"alter role {hostile} login")
    database.drain(role=hostile)
    assert [state(database, one) for one in (job, child)] == ["succeeded", "succeeded"]
    assert ledger(database) == [1]


def test_a_child_whose_owner_may_not_log_in_is_no_success(database: Database, hostile: str) -> None:
    """The worker session lives, its child is refused: FATAL, which looks like an end without
    an error.
    """
    put(database, "app.nap", {"seconds": 0.5, "n": 1}, role=hostile)
    child = put_sql(database, "vacuum", role=hostile, max_attempts=1)
    database.run("select jobs.start()", role=hostile)
    wait_until(lambda: database.admin("select 1 from jobs.running"), 10)
    database.admin(f"alter role {hostile} nologin")
    wait_until(lambda: not database.background(), 10)
    assert state(database, child) != "succeeded"
    database.admin(f"alter role {hostile} login")


def test_settings_of_the_database_do_not_hurt(database: Database) -> None:
    for setting in ("statement_timeout = '50ms'", "default_transaction_isolation = 'serializable'"):
        database.admin(f"alter database {database.name} set {setting}")
    with database.server.connect("app", database.name) as line:
        line.execute("select jobs.enqueue('app.nap', '{\"seconds\": 0.3, \"n\": 1}')")
        put_many(database, "app.note", [{"n": n} for n in range(2, 30)])
        line.execute("select jobs.start()")
        wait_until(lambda: len(ledger(database)) == 29 and not database.background(), 20)


def test_an_owner_that_may_not_log_in_any_more_is_charged_for_no_child(
    database: Database, hostile: str
) -> None:
    """Children that never begin are no attempts: their jobs wait, however many."""
    database.admin("select jobs.create_queue('single', 1)")
    database.admin(f"grant execute on function app.gate(integer) to {hostile}")
    with gate_shut(database):
        put(database, "app.gate", {"n": 1}, role=hostile, queue="single")
        children = [
            put_sql(database, "vacuum", role=hostile, max_attempts=1, queue="single")
            for _ in range(3)
        ]
        database.run("select jobs.start()", role=hostile)
        wait_at_gate(database)
        database.admin(f"alter role {hostile} nologin")
    wait_until(lambda: not database.background(), 10)
    assert {state(database, job) for job in children} <= {"queued", "scheduled"}
    assert [attempts(database, job) for job in children] == [[], [], []]
    database.admin(f"alter role {hostile} login")
    database.drain(role=hostile)
    assert [attempts(database, job) for job in children] == [[(1, "succeeded")]] * 3


def test_an_owner_that_is_put_out_in_the_middle_of_a_job(database: Database, hostile: str) -> None:
    """What it did is undone and not charged; it runs again when its owner may run jobs again."""
    database.admin(f"grant execute on function app.gate(integer) to {hostile}")
    with gate_shut(database):
        job = put(database, "app.gate", {"n": 1}, role=hostile, max_attempts=1)
        database.run("select jobs.start()", role=hostile)
        wait_at_gate(database)
        database.admin(f"revoke jobs_runner from {hostile}")
    wait_until(lambda: not database.background(), 10)
    database.admin("select jobs_internal.rescue()")
    assert state(database, job) == "scheduled"
    assert attempts(database, job) == []
    assert ledger(database) == []
    database.admin(f"grant jobs_runner to {hostile}")
    database.drain(role=hostile)
    assert attempts(database, job) == [(1, "succeeded")]
    assert ledger(database) == [1]


def test_an_owner_that_is_renamed_is_charged_for_no_child(database: Database, hostile: str) -> None:
    """Its session has the old name, by which no child can be launched: another session does it."""
    database.admin("select jobs.create_queue('single', 1)")
    database.admin(f"grant execute on function app.gate(integer) to {hostile}")
    with gate_shut(database):
        put(database, "app.gate", {"n": 1}, role=hostile, queue="single")
        child = put_sql(database, "vacuum app.ledger", role=hostile, max_attempts=1, queue="single")
        database.run("select jobs.start()", role=hostile)
        wait_at_gate(database)
        database.admin(f"alter role {hostile} rename to {hostile}_renamed")
    wait_until(lambda: not database.background(), 10)
    assert state(database, child) in ("queued", "scheduled")
    assert attempts(database, child) == []
    database.admin(f"alter role {hostile}_renamed rename to {hostile}")
    database.drain(role=hostile)
    assert attempts(database, child) == [(1, "succeeded")]

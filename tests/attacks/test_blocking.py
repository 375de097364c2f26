"""A19, A21: what one role holds open or locked, however long, costs that role alone."""

from collections.abc import Iterator

import pytest
from psycopg import Connection
from stage import age_history, put, put_many, state, wait_for
from support import LOGINS, Database, Row, sqlstate_of

OPEN = "select jobs_internal.open_session(jobs_internal.schema_version())"


@pytest.fixture
def impatient(database: Database) -> Iterator[Database]:
    """A database in which no call of ours may wait for a lock, or take long."""
    put(database, "app.note", {"n": 0})
    database.drain()
    database.run(
        "grant usage on schema app to other; grant execute on all functions in schema app to other"
    )
    database.run("grant insert, select on app.ledger to other")
    for role in ("app", "operator", "supervisor", "postgres"):
        database.run("set statement_timeout = '10 s'; set lock_timeout = '3 s'", role=role)
    yield database
    database.admin("reset statement_timeout; reset lock_timeout")


def _hold(database: Database, role: str, *statements: str, **options: object) -> Connection[Row]:
    """Do something in a transaction that stays open."""
    line = database.connect(role, idle_in_transaction_session_timeout="0", **options)
    line.execute("begin isolation level repeatable read")
    for statement in statements:
        line.execute(statement.encode())
    return line


def _everything_goes_on(database: Database) -> None:
    """Enqueue, run, steer, dispatch, maintain and look: nothing waits."""
    jobs = put_many(database, "app.note", [{"n": n} for n in range(1, 4)])
    jobs.append(put(database, "pg_catalog.now", unique_key="k", priority="high"))
    later = put(database, "app.note", {"n": 4}, run_at="2100-01-01")
    assert database.value("select jobs.cancel(%s)", [later]) == "cancelled"
    assert database.value("select jobs.retry(%s)", [later]) == "retrying"
    failing = put(database, "app.fail", max_attempts=1)
    child = put(database, "app.two_commits", {"n": 10})
    database.admin("select jobs_internal.supervisor_tick(0)")
    database.drain(timeout=20)
    for job in (*jobs, later, child):
        assert wait_for(database, job)["state"] == "succeeded"
    assert state(database, failing) == "failed"
    assert database.value("select jobs.retry(%s)", [failing]) == "retrying"
    database.run("select jobs.pause('default')", role="operator")
    database.run("select jobs.alter_queue('default', concurrency => 9)", role="operator")
    database.run("select jobs.resume('default')", role="operator")
    database.run("select jobs.create_queue('another')", role="operator")
    database.run("select jobs.set_quota('other', pending => 100)", role="operator")
    database.run("select jobs_internal.maintain()", role="supervisor")
    age_history(database, "400 days")
    database.run("select jobs_internal.maintain()", role="supervisor")
    assert database.run(
        "select status from jobs.health where \"check\" = 'due jobs'", role="operator"
    ) == [("ok",)]


def test_an_open_transaction_of_an_enqueuer(impatient: Database) -> None:
    """A19: jobs of every kind enqueued, cancelled and looked at in transactions that stay open."""
    database = impatient
    views = [
        row[0] for row in database.admin("select viewname from pg_views where schemaname = 'jobs'")
    ]
    looks = [
        f"savepoint s; select * from jobs.{view} limit 1"
        for view in views
        if not view.startswith(("audit", "metrics"))  # these are not for owners
    ]
    mine = put(database, "pg_catalog.now", role="other", run_at="2100-01-01")
    held = [
        _hold(
            database,
            "other",
            *looks,
            """select jobs.enqueue('app.note', '{"n": 100}', unique_key => 'k')""",
            """select jobs.enqueue('pg_catalog.clock_timestamp')""",
            """select jobs.enqueue_sql('select 1', priority => 'high')""",
            """select jobs.enqueue_many('app.note', array_fill('{"n": 101}'::jsonb, array[200]))""",
            f"select jobs.cancel({mine})",
        )
    ]
    # The same owner too, as far as it is not the same job or key.
    held.append(
        _hold(
            database,
            "app",
            *looks,
            """select jobs.enqueue('app.note', '{"n": 1}', unique_key => 'mine')""",
        )
    )
    held.append(
        _hold(database, "producer", "select jobs.enqueue('pg_catalog.now', queue => 'default')")
    )
    held.append(
        _hold(
            database,
            "reader",
            "lock table jobs.job, jobs.attempts, jobs.queues in access share mode",
        )
    )
    _everything_goes_on(database)
    database.run("select jobs.drop_queue('another')", role="operator")
    for line in held:
        line.execute("rollback")


def test_advisory_locks_on_all_our_keys(impatient: Database) -> None:
    """A21: pgmq's locks of the queues that are there and of the next thousands,
    and keys that look like ours.
    """
    database = impatient
    squatter = database.connect("nobody")
    squatter.execute(
        "select pg_advisory_lock(hashtext('pgmq.queue_pyworker_' || g)) from generate_series(1,"
        " 2000) as g"
    )
    squatter.execute(
        "select pg_advisory_lock(hashtext(k)), pg_advisory_lock(hashtextextended(k, 0)),"
        " pg_advisory_lock_shared(n, n)"
        " from unnest(array['pyworker', 'jobs', 'jobs_internal', '_default_fifo_group', 'pgmq',"
        " '']) as k,"
        " generate_series(1, 50) as n"
    )
    squatter.execute("select pg_advisory_lock(g) from generate_series(1, 500) as g")
    before = database.admin("select count(*) from jobs_internal.lane")[0][0]
    new = [
        put(database, "pg_catalog.now", role="other", priority=p) for p in ("high", "normal", "low")
    ]
    database.admin("select jobs_internal.supervisor_tick(0)")
    assert database.admin("select count(*) from jobs_internal.lane")[0][0] == before + 3, (
        "made at the first try"
    )
    assert [state(database, job) for job in new] == ["queued"] * 3
    _everything_goes_on(database)
    database.drain(role="other")
    assert [state(database, job) for job in new] == ["succeeded"] * 3
    assert not squatter.closed


RELATIONS = (
    "select c.oid::regclass::text, c.relkind::text from pg_class as c"
    " join pg_namespace as n on n.oid = c.relnamespace"
    " where n.nspname in ('jobs', 'jobs_internal', 'pgmq') and c.relkind in ('r', 'p', 'v')"
)


@pytest.mark.parametrize("role", LOGINS)
def test_nobody_locks_a_table(shared: Database, role: str) -> None:
    """A19: LOCK TABLE in any mode that hurts others: 42501, for every relation of ours and
    pgmq's.
    """
    relations = shared.admin(RELATIONS)
    assert len(relations) > 40
    for relation, kind in relations:
        for mode in ("row share", "row exclusive", "share", "access exclusive"):
            call = f"lock table {relation} in {mode} mode nowait"
            with shared.line(role).transaction(force_rollback=True):
                assert sqlstate_of(lambda call=call: shared.run(call, role=role)) == "42501", call
        if kind != "v":
            call = f"lock table {relation} in access share mode nowait"
            with shared.line(role).transaction(force_rollback=True):
                assert sqlstate_of(lambda call=call: shared.run(call, role=role)) == "42501", call


@pytest.mark.parametrize("role", LOGINS)
def test_nobody_locks_rows_through_a_view(shared: Database, role: str) -> None:
    """A19: row locks and changes through the views: refused."""
    for relation, kind in shared.admin(RELATIONS):
        if kind != "v":
            continue
        columns = shared.admin(
            "select attname from pg_attribute where attrelid = %s::regclass and attnum > 0 limit 1",
            [relation],
        )
        for call in (
            *(
                f"select * from {relation} for {how} nowait"
                for how in ("update", "share", "key share")
            ),
            f'update {relation} set "{columns[0][0]}" = null',
            f"delete from {relation}",
            f"insert into {relation} default values",
            f"truncate {relation}",
        ):
            found = sqlstate_of(lambda call=call: shared.run(call, role=role))
            assert found in ("42501", "55000", "428C9", "42809", "0A000"), (call, found)


def test_a_session_that_stays_open_holds_up_nobody(database: Database) -> None:
    """A19: open_session in a transaction of its own, after another owner's session died and the
    server began a life.
    """
    job = put(database, "other.work", {"n": 1}, role="other")
    database.admin(
        "insert into jobs_internal.session (owner, pid, backend_start, epoch)"
        " values ('other'::regrole, 1, now(), jobs_internal.epoch())"
    )
    database.admin("update jobs_internal.server set epoch = null")
    holder = database.connect("app")
    holder.autocommit = False
    holder.execute("select jobs_internal.open_session(jobs_internal.schema_version())")
    supervisor = database.connect("supervisor", lock_timeout="1s", statement_timeout="5s")
    number = supervisor.execute("select jobs_internal.supervisor_open('x', 'x', 1, 'x')").fetchone()
    assert number
    ticked = supervisor.execute("select jobs_internal.supervisor_tick(%s)", [number[0]]).fetchone()
    assert ticked
    assert ticked[0]["rescued"] == 1
    database.drain(role="other")
    assert state(database, job) == "succeeded"
    holder.rollback()


def test_no_session_opens_before_the_crash_is_looked_into(database: Database) -> None:
    """A19: where no slot is left for that, the session says so; the caller's transaction does
    nothing of it.
    """
    database.admin(
        "create or replace function jobs_internal.launch_upkeep(p_statement text, p_label text)"
        " returns boolean"
        " language sql as 'select false'"
    )
    database.admin("update jobs_internal.server set epoch = null")
    assert sqlstate_of(lambda: database.run(OPEN)) == "PW078"
    assert database.admin("select epoch from jobs_internal.server") == [(None,)]
    database.admin("select jobs_internal.rescue()")
    assert sqlstate_of(lambda: database.run(OPEN)) is None

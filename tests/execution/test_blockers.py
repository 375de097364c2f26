"""jobs.blockers: who keeps a job waiting, why, and what would end that."""

from collections.abc import Iterator
from typing import Any

import pytest
from psycopg.rows import dict_row
from stage import gate_shut, put, put_sql, wait_at_gate, wait_for
from support import Database, Server, sqlstate_of, wait_until

from .builds import GATE, Bystander, child_of, gate, set_scene, start_build, wait_waiting


@pytest.fixture(scope="module", autouse=True)
def _prepared_transactions(server: Server) -> Iterator[None]:
    """The server allows some."""

    def restarted(statement: bytes) -> None:
        with server.connect() as connection:
            connection.execute(statement)
        assert server.private is not None
        server.private.restart()

    restarted(b"alter system set max_prepared_transactions = 5")
    yield
    restarted(b"alter system reset max_prepared_transactions")


def blockers(database: Database, job: int, role: str = "app") -> list[dict[str, Any]]:
    """Ask who keeps a job waiting."""
    with database.line(role).cursor(row_factory=dict_row) as cursor:
        return cursor.execute("select * from jobs.blockers(%s)", [job]).fetchall()


def only(database: Database, job: int, role: str = "app") -> dict[str, Any]:
    """Wait until there is one blocker, and give it."""
    wait_until(lambda: len(blockers(database, job, role)) == 1)
    (one,) = blockers(database, job, role)
    return one


def test_a_job_that_waits_for_nothing_has_none(database: Database) -> None:
    """Nor has one that has not started, or is over; of one that is not there it is said."""
    job = put(database, "pg_catalog.now")
    assert blockers(database, job) == []
    database.drain()
    assert blockers(database, job) == []
    assert sqlstate_of(lambda: blockers(database, 0)) == "PW030"
    assert sqlstate_of(lambda: blockers(database, job, "other")) == "PW030"
    assert blockers(database, job, "reader") == []


def test_a_lock(database: Database) -> None:
    """A job in a worker session's own transaction waits for the lock of another role's session."""
    with gate_shut(database) as holder:
        pid = holder.info.backend_pid
        job = put(database, "app.gate")
        database.run("select jobs.start()")
        wait_at_gate(database)
        one = only(database, job)
        assert (one["pid"], one["why"], one["waits_for"]) == (pid, "lock", "advisory lock 1")
        assert one["remedy"] == f"select pg_terminate_backend({pid});"
        assert one["via"] is None
    database.drain()


def test_who_may_end_it_and_who_may_read_it(database: Database) -> None:
    """As the server would have it: the role itself, its members, pg_signal_backend; a superuser's
    session is a superuser's.
    """
    set_scene(database)
    with database.server.connect("other", database.name) as holder:
        holder.execute("select pg_advisory_lock(%s)", [GATE])
        job, _ = start_build(database)
        mine = only(database, job)
        assert (mine["owner"], mine["may_end"], mine["query"]) == ("other", False, None)
        assert (mine["state"], mine["application_name"]) == ("idle", "test other")
        seen = only(database, job, "postgres")
        assert seen["may_end"] is True
        assert "pg_advisory_lock" in seen["query"]
        database.admin("grant other to app with set false, inherit true")
        try:
            mine = only(database, job)
            assert mine["may_end"] is True
            assert "pg_advisory_lock" in mine["query"]
        finally:
            database.admin("revoke other from app")
        database.admin("grant pg_signal_backend to operator")
        try:
            assert only(database, job, "operator")["may_end"] is True
            assert only(database, job, "operator")["query"] is None
            with database.server.connect(database=database.name) as mighty:
                mighty.execute("select pg_advisory_lock_shared(%s)", [GATE + 1])
                holder.execute("select pg_advisory_unlock(%s)", [GATE])
                wait_for(database, job, "succeeded")
                mighty.execute("begin; lock table app.points in share row exclusive mode")
                locked = put_sql(database, "reindex index concurrently app.points_gated")
                database.run("select jobs.start()")
                child_of(database, locked)
                one = only(database, locked, "operator")
                assert (one["owner"], one["may_end"]) == ("postgres", False)
                assert one["waits_for"] == "ShareUpdateExclusiveLock on app.points"
        finally:
            database.admin("revoke pg_signal_backend from operator")
    wait_for(database, locked, "succeeded")


def test_a_snapshot_and_what_waits_under_it(database: Database) -> None:
    """The build waits for snapshots: for the one that the server names, and for those that come
    after it; for one whose session waits for an advisory lock it is said, and who has that lock.
    """
    database.run("create table app.points (n integer)")
    with (
        database.server.connect("other", database.name) as reader,
        database.server.connect("other", database.name) as migration,
    ):
        reader.execute("begin isolation level repeatable read; select 1")
        migration.execute("select pg_advisory_lock(77)")
        waiter = Bystander(database, "select pg_advisory_lock(77)", role="other").start(database)
        job = put_sql(database, "create index concurrently points_n on app.points (n)")
        database.run("select jobs.start()")
        wait_waiting(database, child_of(database, job), "virtualxid")
        wait_until(lambda: len(blockers(database, job)) >= 2)
        found = {row["pid"]: row for row in blockers(database, job)}
        assert found[reader.info.backend_pid]["why"] == "snapshot"
        assert found[reader.info.backend_pid]["state"] == "idle in transaction"
        assert found[reader.info.backend_pid]["waits_for"] == "the end of its transaction"
        assert found[waiter.pid]["why"] == "advisory lock under a snapshot"
        # idle, without a snapshot: in the way only through the other, once that is at the front
        reader.rollback()
        wait_until(lambda: len(blockers(database, job)) == 2)
        found = {row["pid"]: row for row in blockers(database, job)}
        assert found[migration.info.backend_pid]["via"] == waiter.pid
        assert found[migration.info.backend_pid]["waits_for"] == "advisory lock 77"
        migration.execute("select pg_advisory_unlock(77)")
        waiter.join()
    wait_for(database, job, "succeeded")


def test_a_snapshot_that_holds_up_who_holds_it_up(database: Database) -> None:
    """A build of another session stands in front of ours, and waits for a snapshot itself."""
    database.run("create table app.points (n integer)")
    with database.server.connect("other", database.name) as reader:
        reader.execute("begin isolation level repeatable read; select 1")
        first = Bystander(
            database, "create index concurrently points_a on app.points (n)", role="app"
        ).start(database)
        job = put_sql(database, "create index concurrently points_b on app.points (n)")
        database.run("select jobs.start()")
        wait_waiting(database, child_of(database, job), "relation")
        wait_until(lambda: len(blockers(database, job)) == 2)
        found = {row["pid"]: row for row in blockers(database, job)}
        assert (found[first.pid]["why"], found[first.pid]["via"]) == ("lock", None)
        behind = found[reader.info.backend_pid]
        assert (behind["why"], behind["via"]) == ("snapshot", first.pid)
    first.join()
    wait_for(database, job, "succeeded")


def test_a_writer_holds_a_build_up_by_its_lock(database: Database) -> None:
    """Not by its snapshot: the build waits for the end of a transaction that wrote to the table."""
    database.run("create table app.points (n integer)")
    writer = database.connect("app")
    writer.execute("begin; insert into app.points values (1)")
    job = put_sql(database, "create index concurrently points_n on app.points (n)")
    database.run("select jobs.start()")
    wait_waiting(database, child_of(database, job), "virtualxid")
    one = only(database, job)
    assert (one["pid"], one["why"]) == (writer.info.backend_pid, "lock")
    assert one["may_end"] is True
    database.run(one["remedy"])
    writer.close()
    wait_for(database, job, "succeeded")


@pytest.mark.parametrize(
    ("statement", "event"),
    [
        ("create index concurrently points_n on app.points (n)", "transactionid"),
        ("alter table app.points add column m integer", "relation"),
    ],
)
def test_a_prepared_transaction(database: Database, statement: str, event: str) -> None:
    """It has no process: its name is found, and the statement that ends it."""
    database.run("create table app.points (n integer)")
    name = f"{database.name} it's"
    with database.connect() as connection:
        connection.execute("begin; insert into app.points values (1)")
        connection.execute(f"prepare transaction '{name.replace(chr(39), chr(39) * 2)}'".encode())
    job = put_sql(database, statement)
    database.run("select jobs.start()")
    query = (
        "select count(*) from pg_locks as l join pg_stat_activity as a using (pid)"
        " where not l.granted and l.locktype = %s and a.datname = current_database()"
    )
    wait_until(lambda: database.admin(query, [event]) == [(1,)])
    one = only(database, job)
    assert (one["pid"], one["why"], one["owner"]) == (None, "prepared transaction", "app")
    assert one["may_end"] is True
    assert one["xact_age"].total_seconds() > 0
    assert one["remedy"] == f"rollback prepared '{name.replace(chr(39), chr(39) * 2)}';"
    assert only(database, job, "reader")["may_end"] is False
    assert database.run(
        "select blocked_by, eta, waits_for from jobs.operations where id = %s", [job]
    ) == [([0], None, "prepared transaction of app")]
    database.run(one["remedy"])
    wait_for(database, job, "succeeded")


def test_a_job_in_the_way_is_cancelled_by_its_number(database: Database) -> None:
    """For who controls it; to all others it is a session."""
    database.run("create table app.points (n integer)")
    with gate_shut(database):
        first = put(database, "app.run", {"what": "lock app.points; select app.gate()"})
        database.run("select jobs.start()")
        wait_at_gate(database)
        second = put_sql(database, "create index concurrently points_n on app.points (n)")
        database.run("select jobs.start()")
        wait_waiting(database, child_of(database, second), "relation")
        wait_until(lambda: len(blockers(database, second)) == 2)
        direct, behind = blockers(database, second)
        assert direct["remedy"] == f"select jobs.cancel({first});"
        assert behind["via"] == direct["pid"]
        assert behind["waits_for"] == "advisory lock 1"
        theirs, _ = blockers(database, second, "reader")
        assert theirs["remedy"] == f"select pg_terminate_backend({direct['pid']});"
        assert theirs["may_end"] is False
        database.run(direct["remedy"])
    wait_for(database, second, "succeeded")


def test_a_commit_that_waits_for_a_standby(database: Database) -> None:
    """It waits for no process of this server, and no statement ends that."""
    set_scene(database)
    with gate(database):
        job, _ = start_build(database)
        database.admin("set synchronous_commit = local")
        database.admin("alter system set synchronous_standby_names = 'nowhere'")
        database.admin("select pg_reload_conf()")
    try:
        wait_until(lambda: [row["why"] for row in blockers(database, job)] == ["standby"])
        (one,) = blockers(database, job)
        assert one["pid"] is one["via"] is None
        assert one["waits_for"] == "a synchronous standby: nowhere"
        assert one["may_end"] is False
    finally:
        database.admin("alter system reset synchronous_standby_names")
        database.admin("select pg_reload_conf()")
    wait_for(database, job, "succeeded")

"""What the surroundings refuse while a supervisor works: told once, tried again,
and over when they yield.
"""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from pathlib import Path

import psycopg
import pytest
from kit.daemon import Supervise
from psycopg.conninfo import make_conninfo
from stage import gate_shut, ledger, make_lane, put, state, wait_at_gate, wait_for
from support import Connection, Database, Row, wait_until

#: Makes it look for a connection anew.
LOSES_IT = (
    "select pg_terminate_backend(pid, 5000) from pg_stat_activity"
    " where application_name = 'pyworker supervisor'"
)


@contextmanager
def renamed(database: Database, administrator: Connection[Row]) -> Iterator[str]:
    def rename(old: str, new: str) -> None:
        administrator.execute(f"alter database {old} allow_connections false".encode())
        administrator.execute(
            "select pg_terminate_backend(pid, 5000) from pg_stat_activity where datname = %s", [old]
        )
        administrator.execute(f"alter database {old} rename to {new}".encode())
        administrator.execute(f"alter database {new} allow_connections true".encode())

    database.close()
    rename(database.name, "pw_elsewhere")
    try:
        yield f'database "{database.name}" does not exist'
    finally:
        rename("pw_elsewhere", database.name)


@contextmanager
def altered(administrator: Connection[Row], what: str, back: str, said: str) -> Iterator[str]:
    administrator.execute(f"alter role supervisor {what}".encode())
    administrator.execute(LOSES_IT)
    try:
        yield said
    finally:
        administrator.execute(f"alter role supervisor {back}".encode())


@contextmanager
def rule(database: Database, line: str) -> Iterator[None]:
    """Put a line in front of pg_hba.conf, and have the server read it."""
    assert database.server.private is not None
    file = Path(database.server.private.dir / "data" / "pg_hba.conf")
    before = file.read_text(encoding="utf-8")

    def written(text: str) -> None:
        file.write_text(text, encoding="utf-8")
        with database.server.connect() as one:
            (read,) = one.execute("select pg_conf_load_time()").fetchone() or (None,)
            one.execute("select pg_reload_conf()")
            wait_until(
                lambda: one.execute("select pg_conf_load_time() > %s", [read]).fetchone() == (True,)
            )

    written(f"{line}\n{before}")
    try:
        yield
    finally:
        written(before)


@contextmanager
def rejected(database: Database, administrator: Connection[Row]) -> Iterator[str]:
    with rule(database, "local all supervisor reject"):
        administrator.execute(LOSES_IT)
        yield "pg_hba.conf rejects connection"


@contextmanager
def another_password(database: Database, administrator: Connection[Row]) -> Iterator[str]:
    with altered(
        administrator,
        "password 'the other'",
        "password 'the one'",
        "password authentication failed",
    ) as said:
        yield said


Refusal = Callable[[Database, Connection[Row]], AbstractContextManager[str]]
REFUSALS: dict[str, Refusal] = {
    "the database is renamed": renamed,
    "its role may not log in": lambda _, line: altered(
        line, "nologin", "login", "is not permitted to log in"
    ),
    "its role has no connection left": lambda _, line: altered(
        line, "connection limit 0", "connection limit -1", "too many connections"
    ),
    "pg_hba.conf rejects it": rejected,
    "its password is changed": another_password,
}


@pytest.mark.parametrize("refusal", REFUSALS)
def test_why_the_supervisor_stays_out_is_told(
    database: Database, supervise: Supervise, refusal: str
) -> None:
    """What ended the connection (a signal, say) is seldom what keeps it away;
    nothing has to be started again.
    """
    make_lane(database)
    with ExitStack() as stack:
        administrator = stack.enter_context(database.server.connect())
        administrator.execute("alter role supervisor password 'the one'")
        stack.enter_context(rule(database, "local all supervisor scram-sha-256"))
        one = supervise(make_conninfo(database.dsn("supervisor"), password="the one"))
        with REFUSALS[refusal](database, administrator) as said:
            told = one.wait_for("server_unreachable")
            assert said in told["reason"]
            assert len(one.events("server_lost")) == 1
            assert one.process.poll() is None
        one.wait_for("server_back")
        assert len(one.events("server_unreachable")) == 1
        wait_for(database, put(database, "pg_catalog.now"))
        assert one.stop() == 0


def test_an_owner_is_dropped_while_its_job_runs(database: Database, supervise: Supervise) -> None:
    """Its jobs wait and say why; those of others run; what it was doing is undone."""
    database.admin(
        "create role leaver login in role jobs_producer, jobs_runner;"
        " grant usage on schema app to leaver"
    )
    database.admin("grant insert on app.ledger to leaver")
    make_lane(database, role="leaver")
    one = supervise(database.dsn("supervisor"))
    with gate_shut(database):
        runs = put(database, "app.gate", {"n": 1}, role="leaver")
        wait_at_gate(database)
        waits = put(database, "app.note", {"n": 2}, role="leaver")
        database.admin("drop owned by leaver; drop role leaver")
        wait_for(database, put(database, "app.note", {"n": 3}))
    code = "select code from jobs.explain(%s)"
    for job in (runs, waits):
        wait_until(lambda job=job: database.admin(code, [job]) == [("owner_gone",)])
    wait_until(
        lambda: (
            database.admin("select status from jobs.health where \"check\" = 'owners'")
            == [("warning",)]
        )
    )
    assert ledger(database) == [3]
    assert [database.admin("select jobs.cancel(%s)", [job]) for job in (runs, waits)] == [
        [("cancelled",)]
    ] * 2
    wait_for(database, put(database, "app.note", {"n": 4}))
    assert one.stop() == 0


def test_a_database_is_made_read_only_by_default(database: Database, supervise: Supervise) -> None:
    """A person does so for a migration, and it is meant for people: those who enqueue are refused,
    jobs go on.
    """
    make_lane(database)
    one = supervise(database.dsn("supervisor"))
    with gate_shut(database):
        job = put(database, "app.gate", {"n": 1})
        wait_at_gate(database)
        database.admin(f"alter database {database.name} set default_transaction_read_only = on")
        database.admin(LOSES_IT)
        one.wait_for("server_back")
        with pytest.raises(psycopg.errors.ReadOnlySqlTransaction):
            database.connect().execute("select jobs.enqueue('pg_catalog.now')")
        later = put(database, "app.note", {"n": 2})
    for one_job in (job, later):
        assert wait_for(database, one_job)["state"] == "succeeded"
    assert one.stop() == 0


def test_all_connections_are_used_up(database: Database, supervise: Supervise) -> None:
    """The supervisor has its own, and gets none for an owner: it says so,
    and the job why it waits.
    """
    make_lane(database)
    one = supervise(database.dsn("supervisor"))
    line = database.line()
    with ExitStack() as held:
        while _takes_one(database, held):
            pass
        job = put(database, "pg_catalog.now")
        told = one.wait_for("owner_unreachable")
        assert "connection" in told["reason"]
        wait_until(
            lambda: (
                line.execute("select code from jobs.explain(%s)", [job]).fetchone()
                == ("owner_unreached",)
            )
        )
    assert wait_for(database, job)["state"] == "succeeded"
    wait_until(lambda: state(database, job) == "succeeded")
    assert one.stop() == 0


def test_a_person_locks_the_table_of_jobs(database: Database, supervise: Supervise) -> None:
    """All wait for it, as they must; the supervisor lives, jobs.health answers,
    and both say who it is.
    """
    make_lane(database)
    one = supervise(database.dsn("supervisor"))
    with gate_shut(database):
        job = put(database, "app.gate", {"n": 1})
        wait_at_gate(database)
        holder = database.connect("postgres")
        holder.execute("begin")
        holder.execute("lock table jobs_internal.job in access exclusive mode")
    told = one.wait_for("duty_failed")
    assert (told["sqlstate"], "jobs.health" in told["hint"]) == ("55P03", True)
    ((check, status, detail, remedy),) = database.run("select * from jobs.health", role="reader")
    assert (check, status) == ("checks", "critical")
    assert (
        f"jobs_internal.job by process {holder.info.backend_pid} of role postgres"
        " (AccessExclusiveLock"
    ) in detail
    assert "pg_terminate_backend" in remedy
    assert one.process.poll() is None
    holder.execute("rollback")
    assert wait_for(database, job)["state"] == "succeeded"
    assert ledger(database) == [1]
    assert one.stop() == 0


def test_a_supervisor_that_comes_while_a_table_is_locked_waits_and_says_so(
    database: Database, supervise: Supervise
) -> None:
    """Its start is no failure: systemd would give up after some."""
    with database.server.connect("postgres", database.name) as holder:
        holder.execute("begin")
        holder.execute("lock table jobs_internal.supervisor in access exclusive mode")
        one = supervise(database.dsn("supervisor"), started=False)
        told = one.wait_for("registration_waits")
        assert (
            f"jobs_internal.supervisor by process {holder.info.backend_pid} of role postgres"
            in told["reason"]
        )
        holder.execute("rollback")
    one.wait_for("supervisor_started")
    assert len(one.events("registration_waits")) == 1


def test_a_table_that_stays_locked_against_writers_is_in_health(database: Database) -> None:
    check = "select status, detail from jobs.health where \"check\" = 'locked tables'"
    assert database.admin(check) == [("ok", "none")]
    holder = database.connect("postgres")
    holder.execute("begin")
    holder.execute("lock table jobs_internal.job in share mode")
    ((status, detail),) = wait_until(
        lambda: [row for row in database.admin(check) if row[0] != "ok"]
    )
    assert status == "critical"
    assert (
        f"jobs_internal.job by process {holder.info.backend_pid} of role postgres (ShareLock"
        in detail
    )
    holder.execute("rollback")
    assert database.admin(check) == [("ok", "none")]


def _takes_one(database: Database, held: ExitStack) -> bool:
    try:
        held.enter_context(database.server.connect("other", database.name))
    except psycopg.OperationalError:
        return False
    return True

"""Jobs of powerful roles are refused until an administrator switches that role on by name."""

from collections.abc import Iterator

import pytest
from stage import put, state
from support import Database, sqlstate_of

ATTRIBUTES = ("superuser", "createrole", "replication", "bypassrls")
ROLES = (
    *("pg_execute_server_program", "pg_read_server_files", "pg_write_server_files", "pg_read_all_data"),
    *("pg_write_all_data", "pg_signal_backend", "pg_maintain", "pg_create_subscription", "jobs_supervisor"),
)


@pytest.fixture(name="mighty")
def _mighty(database: Database) -> Iterator[str]:
    database.admin("create role pw_mighty login in role jobs_producer, jobs_runner")
    yield "pw_mighty"
    database.close()
    database.admin("drop role pw_mighty")


def _enqueue(database: Database, role: str) -> str | None:
    return sqlstate_of(lambda: database.run("select jobs.enqueue('pg_catalog.now')", role=role))


@pytest.mark.parametrize("power", ATTRIBUTES)
def test_an_attribute(database: Database, mighty: str, power: str) -> None:
    database.admin(f"alter role {mighty} {power}")
    assert _enqueue(database, mighty) == "PW019"
    database.admin("select jobs.admit_role(%s)", [mighty])
    assert _enqueue(database, mighty) is None
    database.drain(role=mighty)
    assert database.value("select state from jobs.job", role=mighty) == "succeeded"
    database.admin("select jobs.dismiss_role(%s)", [mighty])
    assert _enqueue(database, mighty) == "PW019"


@pytest.mark.parametrize("power", ROLES)
def test_a_membership_direct_or_not(database: Database, mighty: str, power: str) -> None:
    database.admin(f"create role pw_between in role {power}; grant pw_between to {mighty} with inherit false, set true")
    try:
        assert _enqueue(database, mighty) == "PW019"
    finally:
        database.admin("drop role pw_between")
    assert _enqueue(database, mighty) is None


def test_one_that_becomes_powerful_waits_and_says_so(database: Database, mighty: str) -> None:
    database.run("select jobs.enqueue('pg_catalog.now')", role=mighty)
    database.drain(role=mighty)
    job = put(database, "pg_catalog.now", role=mighty)
    database.admin(f"grant pg_read_all_data to {mighty}")
    assert mighty not in [row[0] for row in database.admin("select jobs_internal.runners()")]
    assert database.admin("select * from jobs_internal.wanted()") == []
    assert sqlstate_of(lambda: database.run("call jobs_internal.work(0, null)", role=mighty)) == "PW019"
    row = database.job(job, role=mighty)
    assert row["state"] == "queued"
    assert f"jobs of {mighty} are refused: it has pg_read_all_data" in row["waits_for"]
    check = database.record("select * from jobs.health where \"check\" = 'powerful owners'")
    assert check["status"] == "warning"
    assert f"{mighty} (pg_read_all_data)" in check["detail"]
    assert sqlstate_of(lambda: database.run("select jobs.start()", role=mighty)) == "PW019"
    database.admin(f"revoke pg_read_all_data from {mighty}")
    database.drain(role=mighty)
    assert state(database, job) == "succeeded"
    database.admin(f"grant pg_read_all_data to {mighty}")
    healthy = "select status from jobs.health where \"check\" = 'powerful owners'"
    assert database.admin(healthy) == [("ok",)], "nothing of it is left to run"


def test_only_administrators_admit(database: Database) -> None:
    for role in ("app", "operator", "supervisor"):
        assert sqlstate_of(lambda role=role: database.run("select jobs.admit_role('app')", role=role)) == "42501"
    assert database.admin("select jobs.admit_role('app')") == [(True,)]
    assert database.admin("select jobs.admit_role('app')") == [(False,)]
    assert database.run("select role, admitted_by from jobs.admitted_roles", role="operator") == [("app", "postgres")]
    assert [row[0] for row in database.run("select action from jobs.audit", role="operator")] == ["admit_role"]


def test_who_is_refused_is_who_has_powers(database: Database, mighty: str) -> None:
    """Two functions ask the same, one in few words for each claim, one to say what it is."""
    apart = (
        "select r.rolname from pg_roles as r"
        " where jobs_internal.is_refused(r.oid) <> (jobs_internal.powers_of(r.oid) is not null and not"
        " exists (select from jobs_internal.admitted_role as a where a.role = r.oid))"
    )
    assert database.admin(apart) == []
    for power in ROLES:
        database.admin(f"grant {power} to {mighty}")
        assert database.admin(apart) == [], power
        assert database.admin("select jobs_internal.is_refused(%s::regrole)", [mighty]) == [(True,)], power
        database.admin(f"revoke {power} from {mighty}")
    for attribute in ATTRIBUTES:
        database.admin(f"alter role {mighty} {attribute}")
        assert database.admin(apart) == [], attribute
        database.admin(f"alter role {mighty} no{attribute}")

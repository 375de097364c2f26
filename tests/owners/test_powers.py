"""Jobs of powerful roles are refused until an administrator switches that role on by name."""

from collections.abc import Iterator

import pytest
from stage import make_lane, put, state
from support import Database, sqlstate_of

ATTRIBUTES = ("superuser", "createrole", "replication", "bypassrls")
ROLES = (
    *(
        "pg_execute_server_program",
        "pg_read_server_files",
        "pg_write_server_files",
        "pg_read_all_data",
    ),
    *(
        "pg_write_all_data",
        "pg_signal_backend",
        "pg_maintain",
        "pg_create_subscription",
        "jobs_supervisor",
    ),
)


@pytest.fixture(name="mighty")
def _mighty(database: Database) -> Iterator[str]:
    database.admin("create role pw_mighty login in role jobs_producer, jobs_runner")
    yield "pw_mighty"
    database.close()
    database.admin("drop owned by pw_mighty cascade; drop role pw_mighty")


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
    database.admin(
        f"create role pw_between in role {power}; grant pw_between to {mighty} with inherit false,"
        " set true"
    )
    try:
        assert _enqueue(database, mighty) == "PW019"
    finally:
        database.admin("drop role pw_between")
    assert _enqueue(database, mighty) is None


@pytest.fixture(name="group")
def _group(database: Database) -> Iterator[str]:
    """A role without login, which the tests give powers and members."""
    database.admin("create role pw_group; create role pw_between")
    yield "pw_group"
    database.close()
    database.admin("drop role pw_group; drop role pw_between")


#: How a login comes to a group's power: the grants that make it a member.
WAYS = {
    "direct": "grant pw_group to {0}",
    "indirect": "grant pw_group to pw_between; grant pw_between to {0}",
    "by set role alone": "grant pw_group to pw_between with inherit false, set true;"
    " grant pw_between to {0} with inherit false, set true",
    "by admin option": "grant pw_group to {0} with admin true, inherit false, set false",
}


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("power", ATTRIBUTES)
def test_an_attribute_of_a_role_that_it_is_a_member_of(
    database: Database, mighty: str, group: str, power: str, way: str
) -> None:
    database.admin(f"alter role {group} {power}; {WAYS[way].format(mighty)}")
    assert _enqueue(database, mighty) == "PW019"
    found = database.admin("select jobs_internal.privileges_seen(%s::regrole)", [mighty])
    assert found == [(f"{power.upper()} by membership in {group}",)]
    assert mighty not in [row[0] for row in database.admin("select jobs_internal.runners()")]
    database.admin(f"alter role {group} no{power}")
    assert _enqueue(database, mighty) is None


def test_no_job_of_one_that_becomes_a_member_of_a_superuser_starts(
    database: Database, mighty: str, group: str
) -> None:
    """What was enqueued before waits, whoever starts its session, and says why;
    afterwards it runs.
    """
    make_lane(database, role=mighty)
    job = put(database, "pg_catalog.now", role=mighty)
    database.admin(
        f"alter role {group} superuser; grant {group} to {mighty} with inherit false, set true"
    )
    # its own: a session of ours deallocates what the driver has prepared
    by_hand = database.connect(mighty)
    assert sqlstate_of(lambda: by_hand.execute("call jobs_internal.work(0, null)")) == "PW019"
    assert sqlstate_of(lambda: database.run("select jobs.start()", role=mighty)) == "PW019"
    assert database.admin("select * from jobs_internal.session_demand()") == []
    row = database.job(job, role=mighty)
    assert row["state"] == "queued"
    assert f"it has SUPERUSER by membership in {group}" in row["waits_for"]
    database.admin(f"revoke {group} from {mighty}")
    database.drain(role=mighty)
    assert state(database, job) == "succeeded"


def test_one_that_becomes_powerful_publishes_nothing_and_runs_nothing_for_others(
    database: Database, mighty: str, group: str
) -> None:
    database.admin(
        f"create schema {mighty} authorization {mighty}; grant usage on schema {mighty} to other"
    )
    database.run(
        "create function pw_mighty.who() returns text language sql begin atomic"
        " select session_user::text; end",
        role=mighty,
    )
    publish = "select jobs.publish('pw_mighty.who', 'other')"
    database.run(publish, role=mighty)
    make_lane(database, role=mighty)
    job = database.value("select jobs.enqueue_published('pw_mighty.who')", role="other")
    database.admin(
        f"alter role {group} superuser; grant {group} to {mighty} with inherit false, set true"
    )
    assert sqlstate_of(lambda: database.run(publish, role=mighty)) == "PW019"
    refused = sqlstate_of(
        lambda: database.run("select jobs.enqueue_published('pw_mighty.who')", role="other")
    )
    assert refused == "PW019", "who enqueues it hears that it would not run"
    assert sqlstate_of(lambda: database.run("select jobs.start()", role=mighty)) == "PW019"
    assert state(database, job) == "queued"
    database.admin(f"revoke {group} from {mighty}")
    database.drain(role=mighty)
    assert database.job(job, role=mighty)["result"] == mighty


@pytest.mark.parametrize(
    "enqueue", ["jobs.enqueue('pg_catalog.now')", "jobs.enqueue_sql('select 1')"]
)
def test_an_enqueue_says_it_once_a_supervisor_has_looked(
    database: Database, mighty: str, group: str, enqueue: str
) -> None:
    """Also where its lanes are made already: who enqueues hears it, and nothing is stored that
    would wait for ever.
    """
    make_lane(database, role=mighty)
    make_lane(database)
    database.admin(
        f"alter role {group} superuser; grant {group} to {mighty} with inherit false, set true"
    )
    database.admin("select jobs_internal.do_part('roles')")
    many = "jobs.enqueue_many('pg_catalog.now', '{\"{}\"}')"
    assert sqlstate_of(lambda: database.run(f"select {enqueue}", role=mighty)) == "PW019"
    assert sqlstate_of(lambda: database.run(f"select {many}", role=mighty)) == "PW019"
    assert sqlstate_of(lambda: database.run(f"select {enqueue}")) is None, "the others go on"
    database.admin(f"revoke {group} from {mighty}")
    assert sqlstate_of(lambda: database.run(f"select {enqueue}", role=mighty)) is None, "at once"
    database.admin("select jobs_internal.do_part('roles')")
    assert database.admin("select 1 from jobs_internal.lane where refused") == []
    database.admin(f"grant {group} to {mighty}; select jobs.admit_role('{mighty}')")
    database.admin("select jobs_internal.do_part('roles')")
    assert sqlstate_of(lambda: database.run(f"select {enqueue}", role=mighty)) is None, (
        "an administrator admits it"
    )


def test_one_that_becomes_powerful_waits_and_says_so(database: Database, mighty: str) -> None:
    database.run("select jobs.enqueue('pg_catalog.now')", role=mighty)
    database.drain(role=mighty)
    job = put(database, "pg_catalog.now", role=mighty)
    database.admin(f"grant pg_read_all_data to {mighty}")
    assert mighty not in [row[0] for row in database.admin("select jobs_internal.runners()")]
    assert database.admin("select * from jobs_internal.session_demand()") == []
    # its own: a session of ours deallocates what the driver has prepared
    by_hand = database.connect(mighty)
    assert sqlstate_of(lambda: by_hand.execute("call jobs_internal.work(0, null)")) == "PW019"
    row = database.job(job, role=mighty)
    assert row["state"] == "queued"
    assert f"jobs of {mighty} are refused: it has pg_read_all_data" in row["waits_for"]
    check = database.record("select * from jobs.health where \"check\" = 'privileged owners'")
    assert check["status"] == "warning"
    assert f"{mighty} (pg_read_all_data)" in check["detail"]
    assert sqlstate_of(lambda: database.run("select jobs.start()", role=mighty)) == "PW019"
    database.admin(f"revoke pg_read_all_data from {mighty}")
    database.drain(role=mighty)
    assert state(database, job) == "succeeded"
    database.admin(f"grant pg_read_all_data to {mighty}")
    healthy = "select status from jobs.health where \"check\" = 'privileged owners'"
    assert database.admin(healthy) == [("ok",)], "nothing of it is left to run"


def test_only_administrators_admit(database: Database) -> None:
    for role in ("app", "operator", "supervisor"):
        assert (
            sqlstate_of(lambda role=role: database.run("select jobs.admit_role('app')", role=role))
            == "42501"
        )
    assert database.admin("select jobs.admit_role('app')") == [(True,)]
    assert database.admin("select jobs.admit_role('app')") == [(False,)]
    assert database.run("select role, admitted_by from jobs.admitted_roles", role="operator") == [
        ("app", "postgres")
    ]
    assert [row[0] for row in database.run("select action from jobs.audit", role="operator")] == [
        "admit_role"
    ]


def test_who_is_refused_is_who_has_powers(database: Database, mighty: str, group: str) -> None:
    """Two functions ask the same, one in few words for each claim, one to say what it is."""
    apart = (
        "select r.rolname from pg_roles as r"
        " where jobs_internal.is_refused(r.oid) <> (jobs_internal.privileges_seen(r.oid) is not"
        " null and not"
        " exists (select from jobs_internal.admitted_role as a where a.role = r.oid))"
    )
    assert database.admin(apart) == []
    for power in ROLES:
        database.admin(f"grant {power} to {mighty}")
        assert database.admin(apart) == [], power
        assert database.admin("select jobs_internal.is_refused(%s::regrole)", [mighty]) == [
            (True,)
        ], power
        database.admin(f"revoke {power} from {mighty}")
    for attribute in ATTRIBUTES:
        database.admin(f"alter role {mighty} {attribute}")
        assert database.admin(apart) == [], attribute
        database.admin(f"alter role {mighty} no{attribute}")
    for attribute in ATTRIBUTES:
        database.admin(
            f"alter role {group} {attribute}; grant {group} to pw_between;"
            f" grant pw_between to {mighty}"
        )
        assert database.admin(apart) == [], attribute
        assert database.admin("select jobs_internal.is_refused(%s::regrole)", [mighty]) == [
            (True,)
        ], attribute
        database.admin(f"revoke pw_between from {mighty}; alter role {group} no{attribute}")

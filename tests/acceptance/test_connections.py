"""How a supervisor connects as each owner, with the very lines of docs/operations.md,
and what is seen where it cannot. Its server has TLS on, and its doors change from test to test.
"""

import os
from collections.abc import Iterator

import psycopg
import pytest
from databases import installed
from kit.daemon import Supervise
from psycopg.conninfo import make_conninfo
from stage import put, staged, state
from support import Database, Server, wait_until

from pyworker.database.connection import OWNERS_AT_ONCE, connect_owner, reason_of

from .ways_in import (
    CERTIFICATE,
    HOW_TO_CHECK,
    KEPT,
    OWNERS,
    PAGE,
    PASS_FILE,
    PEER,
    UNREACHED,
    WAYS,
    Doors,
    free_port,
    reached,
    unreached,
    who_is_it,
    who_ran,
)


@pytest.fixture(scope="module")
def server(doors: Doors) -> Server:
    """The server of this module."""
    doors.set()
    return Server(conninfo=doors.private.dsn("postgres", "postgres"), private=doors.private)


@pytest.fixture(scope="module")
def template(server: Server) -> Iterator[str]:
    """The template of this module, with a second owner and passwords."""
    with installed(server) as bare, staged(server, bare, "connections") as name:
        with server.connect(database=name) as line:
            line.execute(
                "create role shop login in role jobs_producer, jobs_runner;"
                " grant usage on schema app to shop"
            )
            line.execute("create function app.who() returns text language sql return session_user")
            for role in ("supervisor", *OWNERS):
                line.execute(f"alter role {role} password 'the-password-of-{role}'".encode())
        yield name
        with server.connect() as line:
            line.execute("drop owned by shop")
    with server.connect() as line:
        line.execute("drop role shop")


@pytest.fixture(name="opened")
def _opened(doors: Doors, database: Database) -> Iterator[Doors]:
    """The doors of the test's database; whoever it connects as is connected before they change."""
    for role in OWNERS:
        database.line(role)
    yield doors
    doors.set()


def test_the_page_has_it_all() -> None:
    assert {name: set(way.files) for name, way in WAYS.items()} == {
        "Peer with a map": {"pg_ident.conf", "pg_hba.conf", "environment of"},
        "Client certificate": {
            "commands",
            "postgresql.conf",
            "pg_ident.conf",
            "pg_hba.conf",
            "environment of",
        },
        "Pass file": {"pg_hba.conf", "pass file", "environment of"},
    }
    assert HOW_TO_CHECK in PAGE.read_text(encoding="utf-8")


def test_peer_with_a_map(opened: Doors, database: Database, supervise: Supervise) -> None:
    if os.geteuid() != 0:
        pytest.skip("only root can run a supervisor as another OS user")
    opened.open(PEER, os_user=opened.os_user)
    environment = opened.environment(PEER, database)
    one = supervise(environment["PYWORKER_DSN"], environment=environment, os_user=opened.os_user)
    jobs = [put(database, "app.who", role=role) for role in OWNERS]
    assert who_ran(database, jobs) == ["app", "shop"]
    said = who_is_it(opened, environment, opened.os_user)
    assert said == f"shop | peer:{opened.os_user}"
    assert "`shop | peer:pyworker`" in PAGE.read_text(encoding="utf-8")
    # we are in no map
    with pytest.raises(psycopg.OperationalError, match="Peer authentication failed"):
        psycopg.connect(database.dsn("shop"))
    assert one.stop() == 0


def test_client_certificate(opened: Doors, database: Database, supervise: Supervise) -> None:
    opened.open(CERTIFICATE)
    environment = opened.environment(CERTIFICATE, database)
    one = supervise(environment["PYWORKER_DSN"], environment=environment)
    jobs = [put(database, "app.who", role=role) for role in OWNERS]
    assert who_ran(database, jobs) == ["app", "shop"]
    said = who_is_it(opened, environment)
    assert said == "shop | cert:CN=pyworker"
    assert f"`{said}`" in PAGE.read_text(encoding="utf-8")
    files = {"sslrootcert": environment["PGSSLROOTCERT"], "user": "shop"}
    stranger = {
        f"ssl{kind}": str(opened.certificates / f"stranger.{end}")
        for kind, end in (("cert", "crt"), ("key", "key"))
    }
    with pytest.raises(psycopg.OperationalError, match="certificate authentication failed"):
        psycopg.connect(make_conninfo(environment["PYWORKER_DSN"], **files, **stranger))
    with pytest.raises(psycopg.OperationalError, match="requires a valid client certificate"):
        psycopg.connect(make_conninfo(environment["PYWORKER_DSN"], **files))
    elsewhere = make_conninfo(environment["PYWORKER_DSN"], **files, host="db.example.net")
    with pytest.raises(psycopg.OperationalError, match="does not match host name"):
        psycopg.connect(elsewhere)
    assert one.stop() == 0


def test_pass_file(opened: Doors, database: Database, supervise: Supervise) -> None:
    opened.open(PASS_FILE)
    environment = opened.environment(PASS_FILE, database)
    passwords = {role: f"the-password-of-{role}" for role in ("supervisor", *OWNERS)}
    environment["PGPASSFILE"] = str(opened.pass_file(database, passwords))
    one = supervise(environment["PYWORKER_DSN"], environment=environment)
    jobs = [put(database, "app.who", role=role) for role in OWNERS]
    assert who_ran(database, jobs) == ["app", "shop"]
    said = who_is_it(opened, environment)
    assert said == "shop | scram-sha-256:shop"
    assert f"`{said}`" in PAGE.read_text(encoding="utf-8")
    assert one.stop() == 0


@pytest.mark.parametrize("given", ["in the DSN", "PGPASSWORD"])
def test_a_password_is_never_sent_for_another_role(
    opened: Doors, database: Database, supervise: Supervise, given: str
) -> None:
    """The owner has the supervisor's password, so that it would get in if it were tried."""
    database.admin("alter role shop password 'the-password-of-supervisor'")
    try:
        opened.open(PASS_FILE)
        environment = opened.environment(PASS_FILE, database)
        dsn, secret = environment["PYWORKER_DSN"], "the-password-of-supervisor"
        passwords = {"app": "the-password-of-app"}
        environment["PGPASSFILE"] = str(opened.pass_file(database, passwords))
        if given == "PGPASSWORD":
            environment["PGPASSWORD"] = secret
        else:
            dsn = make_conninfo(dsn, password=secret)
        one = supervise(dsn, environment=environment)
        job = put(database, "app.who", role="shop")
        assert "no password supplied" in unreached(database, job)
        assert who_ran(database, [put(database, "app.who")]) == ["app"]
        assert one.wait_for("owner_unreachable")["owner"] == "shop"
        opened.pass_file(database, {**passwords, "shop": secret})
        reached(database, job)
        assert one.stop() == 0
    finally:
        database.admin("alter role shop password 'the-password-of-shop'")


@pytest.mark.parametrize(
    ("closed", "reason"),
    [
        ("rejected", "pg_hba.conf rejects connection"),
        ("wrong password", "password authentication failed for user"),
    ],
)
def test_an_owner_that_cannot_be_reached_waits_and_says_why(
    opened: Doors, database: Database, supervise: Supervise, closed: str, reason: str
) -> None:
    passwords = {role: f"the-password-of-{role}" for role in ("supervisor", *OWNERS)}
    rejected = closed == "rejected"
    opened.open(PASS_FILE, first=["host all shop all reject"] if rejected else [])
    environment = opened.environment(PASS_FILE, database)
    given = passwords if rejected else {**passwords, "shop": "another"}
    environment["PGPASSFILE"] = str(opened.pass_file(database, given))
    one = supervise(environment["PYWORKER_DSN"], environment=environment)
    job = put(database, "app.who", role="shop")
    assert who_ran(database, [put(database, "app.who")]) == ["app"]
    assert reason in unreached(database, job)
    event = one.wait_for("owner_unreachable", 1)
    assert event["owner"] == "shop"
    assert reason in event["reason"]
    assert who_ran(database, [put(database, "app.who")]) == ["app"]
    assert state(database, job) == "queued"
    if rejected:
        opened.open(PASS_FILE)
    else:
        opened.pass_file(database, passwords)
    reached(database, job)
    assert one.process.poll() is None
    assert one.stop() == 0


@pytest.fixture(name="rejecting")
def _rejecting(opened: Doors) -> Doors:
    """Nobody gets in as shop."""
    opened.set(["local all shop reject", "local all all peer map=tests"])
    return opened


def test_an_owner_whose_job_is_cancelled_is_in_nobodys_way(
    rejecting: Doors, database: Database, supervise: Supervise
) -> None:
    """Nobody tries any more to connect as it, so nobody says that it cannot be reached."""
    one = supervise(database.dsn("supervisor"))
    job = put(database, "app.who", role="shop")
    assert "rejects connection" in unreached(database, job)
    assert database.value("select jobs.cancel(%s)", [job], role="shop") == "cancelled"
    wait_until(lambda: database.admin(UNREACHED)[0][0] == "ok")
    assert "rejects connection" in unreached(database, put(database, "app.who", role="shop"))
    assert one.stop() == 0
    # what a supervisor said that is gone does not count
    assert database.admin(UNREACHED)[0][0] == "ok"


def test_an_owner_that_is_reached_under_another_name(
    rejecting: Doors, database: Database, supervise: Supervise
) -> None:
    one = supervise(database.dsn("supervisor"))
    job = put(database, "app.who", role="shop")
    assert "rejects connection" in unreached(database, job)
    database.admin("alter role shop rename to store")
    try:
        assert who_ran(database, [job]) == ["store"]
        wait_until(lambda: database.admin(UNREACHED)[0][0] == "ok")
    finally:
        database.admin("alter role store rename to shop")
    assert one.stop() == 0


def test_the_host_that_refused_us_is_the_reason(opened: Doors, database: Database) -> None:
    """The first of two hosts rejects the owner, the second does not answer."""
    opened.set(["host all shop all reject"])
    both = make_conninfo(
        host="db1,db2", hostaddr="127.0.0.1,127.0.0.1", port=f"{opened.port},{free_port()}"
    )
    with pytest.raises(psycopg.OperationalError, match="Connection refused") as found:
        connect_owner(make_conninfo(both, dbname=database.name), "shop", "supervisor")
    assert "pg_hba.conf rejects connection" in reason_of(found.value)


@pytest.fixture(name="hundred")
def _hundred(database: Database) -> Iterator[list[str]]:
    """A hundred owners besides those of the other tests."""
    roles = [f"owner_{n:03}" for n in range(100)]
    for role in roles:
        database.admin(f"create role {role} login in role jobs_producer, jobs_runner")
    yield roles
    database.admin(
        "select pg_terminate_backend(pid) from pg_stat_activity where application_name = 'pw idle'"
    )
    database.admin(f"drop role {', '.join(roles)}")


@pytest.mark.timeout(180)
def test_a_hundred_owners_with_nothing_to_do_cost_no_connection(
    opened: Doors,
    database: Database,
    supervise: Supervise,
    hundred: list[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Each has a job done, all at once: few connections at any moment, and only the supervisor's
    own soon after.
    """
    # the server has worker slots for some sixty of them
    monkeypatch.setenv("PYWORKER_SESSION_LINGER", "0.1")
    ours = (
        "select count(*) from pg_stat_activity where backend_type = 'client backend'"
        " and application_name ~ 'pyworker'"
    )
    with database.server.connect(database=database.name) as line:
        for role in hundred:
            line.execute(f"set session authorization {role}".encode())
            line.execute("select jobs.enqueue('pg_catalog.now')")
            line.execute("reset session authorization")
    one = supervise(database.dsn("supervisor"))
    seen = []

    def done() -> bool:
        seen.append(database.admin(ours)[0][0])
        return database.admin("select count(*) from jobs.job where state = 'succeeded'") == [(100,)]

    wait_until(done, 90)
    assert max(seen) <= 1 + OWNERS_AT_ONCE + 3  # some may be on their way out
    wait_until(lambda: database.admin(ours) == [(1,)], KEPT + 2)
    assert one.events("owner_unreachable") == []
    assert one.stop() == 0

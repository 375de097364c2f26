"""Who may be the supervisor, and what it says of a careless way to reach the server."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import psycopg
import pytest
from kit.daemon import Supervise
from psycopg.conninfo import make_conninfo
from stage import put, wait_for
from support import Database, Server, wait_until

from pyworker.supervisor import warnings
from pyworker.supervisor.warnings import is_on_this_host, warnings_of


def test_a_superuser_is_refused_before_anything_is_written(
    database: Database, supervise: Supervise
) -> None:
    daemon = supervise(database.dsn("postgres"), started=False)
    assert daemon.end() == 2
    said = "".join(daemon.complaints)
    assert said.startswith(
        'pyworker: the login "postgres" is a superuser, and the supervisor needs none\nDETAIL: '
    )
    assert "HINT: Use a role with LOGIN that is a member of jobs_supervisor." in said
    assert "Traceback" not in said
    assert daemon.lines == []
    assert database.admin("select count(*) from jobs.supervisors") == [(0,)]
    # A role that the login takes on by itself hides nothing.
    daemon = supervise(
        make_conninfo(database.dsn("postgres"), options="-c role=supervisor"), started=False
    )
    assert daemon.end() == 2


@pytest.mark.parametrize("how", ["flag", "variable"])
def test_a_superuser_that_was_allowed_is_told_of_once(
    database: Database, supervise: Supervise, how: str
) -> None:
    arguments = ["--allow-superuser"] if how == "flag" else []
    environment = {"PYWORKER_ALLOW_SUPERUSER": "true"} if how == "variable" else {}
    daemon = supervise(
        database.dsn("postgres"), "--owner", "app", *arguments, environment=environment
    )
    said = daemon.wait_for("risk")
    assert (said["problem"], said["level"]) == ("superuser", "warning")
    database.admin(
        "select pg_terminate_backend(pid) from pg_stat_activity"
        " where application_name = 'pyworker supervisor'"
    )
    daemon.wait_for("server_back")
    assert daemon.stop() == 0
    assert len(daemon.events("risk")) == 1


def test_a_login_that_becomes_a_superuser_is_refused_at_the_next_connection(
    database: Database, supervise: Supervise
) -> None:
    daemon = supervise(database.dsn("supervisor"), "--owner", "app")
    database.admin("alter role supervisor superuser")
    try:
        database.admin(
            "select pg_terminate_backend(pid) from pg_stat_activity"
            " where application_name = 'pyworker supervisor'"
        )
        assert daemon.end() == 2
        assert 'the login "supervisor" is a superuser' in "".join(daemon.complaints)
    finally:
        database.admin("alter role supervisor nosuperuser")


@pytest.mark.parametrize(
    "power", ["superuser", "createrole", "replication", "bypassrls", "pg_execute_server_program"]
)
def test_a_login_that_is_a_member_of_a_powerful_role_is_refused_and_told_of(
    database: Database, supervise: Supervise, power: str
) -> None:
    """Not directly, and through SET ROLE alone; allowed, it runs and says so once."""
    database.admin("create role pw_boss; create role pw_between")
    database.admin(
        f"grant {power} to pw_boss" if power.startswith("pg_") else f"alter role pw_boss {power}"
    )
    for role, group in (("pw_between", "pw_boss"), ("supervisor", "pw_between")):
        database.admin(f"grant {group} to {role} with inherit false, set true")
    has = power if power.startswith("pg_") else f"{power.upper()} by membership in pw_boss"
    try:
        daemon = supervise(database.dsn("supervisor"), started=False)
        assert daemon.end() == 2
        complaint = "".join(daemon.complaints)
        assert complaint.startswith(
            f'pyworker: the login "supervisor" has {has}, and the supervisor needs none\n'
        )
        assert daemon.lines == []
        assert database.admin("select count(*) from jobs.supervisors") == [(0,)]
        daemon = supervise(database.dsn("supervisor"), "--owner", "app", "--allow-superuser")
        said = daemon.wait_for("risk")
        assert said["problem"] == ("superuser" if power == "superuser" else "privileged_login")
        assert f"the login supervisor has {has}" in said["detail"]
        assert daemon.stop() == 0
    finally:
        database.admin("drop role pw_between; drop role pw_boss")


def test_on_this_machine_nothing_is_said_of_tls(database: Database, supervise: Supervise) -> None:
    daemon = supervise(database.dsn("supervisor"), "--owner", "app")
    assert daemon.stop() == 0
    assert daemon.events("risk") == []


@pytest.mark.parametrize(
    ("host", "address", "here"),
    [
        ("/run/postgresql", "", True),
        ("@abstract", "", True),
        ("", "", True),
        ("localhost", "127.0.0.1", True),
        ("localhost", "::1", True),
        ("127.0.0.53", "127.0.0.53", True),
        ("db", "127.0.1.1", True),
        ("localhost", "192.0.2.1", False),
        ("db.example", "192.0.2.1", False),
        ("db.example", "2001:db8::1", False),
        ("db.example", "fe80::1%eth0", False),
        ("db.example", "", False),
    ],
)
def test_where_a_connection_goes(host: str, address: str, *, here: bool) -> None:
    assert is_on_this_host(host, address) is here


@pytest.mark.parametrize(
    ("more", "environment", "warned"),
    [
        ("", {}, "prefer"),
        ("sslmode=require", {}, "require"),
        ("sslmode=verify-ca", {}, "verify-ca"),
        ("sslmode=verify-full", {}, None),
        ("", {"PGSSLMODE": "verify-full"}, None),
        ("", {"PGSSLMODE": "disable"}, "disable"),
        ("service=strict", {}, None),
        ("service=loose", {}, "allow"),
    ],
)
def test_off_this_machine_the_server_has_to_be_verified(
    server: Server,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    more: str,
    environment: dict[str, str],
    warned: str | None,
) -> None:
    services = tmp_path / "services"
    services.write_text("[strict]\nsslmode=verify-full\n[loose]\nsslmode=allow\n")
    monkeypatch.setenv("PGSERVICEFILE", str(services))
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    # The socket takes any sslmode: what counts is what was asked for, wherever it was said.
    monkeypatch.setattr(warnings, "is_on_this_host", lambda _host, _address: False)
    assert server.private is not None
    with psycopg.connect(
        f"host={server.private.status().socket} user=supervisor dbname=postgres {more}"
    ) as line:
        found = list(warnings_of(line, privileges=None))
    assert [risk["problem"] for risk in found] == (["unverified_server"] if warned else [])
    if warned:
        assert f"(sslmode={warned})" in str(found[0]["detail"])
        assert "not encrypted" in str(found[0]["detail"])
        assert "sslmode=verify-full" in str(found[0]["hint"])


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can be somebody else")
def test_the_daemon_runs_without_root(server: Server, database: Database) -> None:
    """As the OS user of the server: an ordinary one, whom the private server's map lets in."""
    assert server.private is not None
    owner = (server.private.dir / "data").stat().st_uid
    assert owner != 0
    setpriv = shutil.which("setpriv")
    assert setpriv is not None
    command = [setpriv, f"--reuid={owner}", "--clear-groups", "--no-new-privs", "--inh-caps=-all"]
    probe = [*command, sys.executable, "-c", "import pyworker"]
    if subprocess.run(probe, check=False, capture_output=True, cwd="/").returncode:
        pytest.skip("this user may not read the program")
    job = put(database, "pg_catalog.now")
    done = subprocess.run(
        [*command, sys.executable, "-m", "pyworker", "run", "--owner", "app", "--until-empty"],
        env={
            "PATH": os.environ["PATH"],
            "HOME": "/nonexistent",
            "PYWORKER_DSN": database.dsn("supervisor"),
        },
        cwd="/",
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr
    assert wait_for(database, job)["state"] == "succeeded"
    wait_until(lambda: not database.run("select 1 from jobs.sessions"))

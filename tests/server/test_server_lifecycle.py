"""A server that is installed: starting, stopping, reaching it, and starting again after everything
that can happen.
"""

import json
import os
import socket
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import psycopg
import pytest

from pyworker.errors import ServerError
from pyworker.server import PrivateServer

Cli = Callable[..., "subprocess.CompletedProcess[str]"]


def one(server: PrivateServer, query: str, role: str = "postgres") -> object:
    with psycopg.connect(server.dsn(role), autocommit=True) as connection:
        for statement in query.split(";"):
            cursor = connection.execute(statement)
        row = cursor.fetchone()
    assert row is not None
    return row[0]


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def test_start_is_idempotent(running: PrivateServer) -> None:
    before = running.status().pid

    running.start()

    assert running.status().pid == before


def test_pg_background_can_be_created_and_runs(running: PrivateServer) -> None:
    assert one(running, "create extension if not exists pg_background; select 1") is not None


def test_ordinary_roles_have_no_special_rights(running: PrivateServer) -> None:
    query = """
        select count(*) from pg_roles
        where rolname in ('app', 'supervisor') and rolcanlogin
          and not (rolsuper or rolcreaterole or rolcreatedb or rolreplication or rolbypassrls)
          and not exists (select from pg_auth_members where member = pg_roles.oid)"""

    assert one(running, query) == 2
    assert one(running, "select session_user::text", "app") == "app"
    assert one(running, "select session_user::text", "supervisor") == "supervisor"


@pytest.mark.parametrize(
    ("setting", "value"),
    [
        ("listen_addresses", ""),
        ("fsync", "on"),
        ("max_worker_processes", "128"),
        ("track_io_timing", "on"),
        ("server_encoding", "UTF8"),
        ("shared_preload_libraries", "pg_stat_statements"),
    ],
)
def test_settings(running: PrivateServer, setting: str, value: str) -> None:
    assert one(running, f"select current_setting('{setting}')") == value


def test_socket_directory_is_private(running: PrivateServer) -> None:
    directory = running.status().socket
    assert directory is not None

    assert directory.stat().st_mode & 0o077 == 0


def test_status_tells_the_facts(running: PrivateServer, cli: Cli) -> None:
    done = cli("status", "--dir", running.dir, "--json")

    facts = json.loads(done.stdout)
    assert done.returncode == 0
    assert facts["state"] == "running"
    assert facts["pid"] == running.status().pid
    # the cluster; the programs are a link to those that all tests share
    assert facts["disk_bytes"] > 20_000_000
    assert "PostgreSQL" in facts["version"]


def test_stopped_and_absent_have_exit_codes(running: PrivateServer, cli: Cli, place: Path) -> None:
    assert cli("stop", "--dir", running.dir).returncode == 0
    assert cli("stop", "--dir", running.dir).returncode == 0
    assert cli("status", "--dir", running.dir).returncode == 3
    assert cli("status", "--dir", place / "none").returncode == 4
    failed = cli("dsn", "--dir", running.dir)
    assert failed.returncode == 1
    assert "HINT: " in failed.stderr


def test_psql_is_the_servers_own(running: PrivateServer, cli: Cli) -> None:
    done = cli("psql", "--dir", running.dir, "--", "-XAtc", "select current_user")

    assert done.stdout.strip() == "app"
    assert done.returncode == 0


def test_recovers_from_an_immediate_stop(running: PrivateServer) -> None:
    one(running, "create table if not exists kept (n int); insert into kept values (1); select 1")
    running.stop("immediate")

    running.start()

    assert int(str(one(running, "select count(*) from kept"))) >= 1


def test_a_stranger_with_the_pid_of_the_file_does_not_stop_a_start(running: PrivateServer) -> None:
    running.stop("immediate")
    owner = (running.dir / "data").stat()
    switch = {} if os.geteuid() else {"user": owner.st_uid, "group": owner.st_gid}
    with subprocess.Popen(["sleep", "60"], cwd="/", **switch) as stranger:  # type: ignore[call-overload]
        pid_file = running.dir / "data" / "postmaster.pid"
        pid_file.write_text(
            f"{stranger.pid}\n{running.dir}/data\n1\n5432\n/nowhere\n\n  0 0\nready\n"
        )
        try:
            assert running.status().state == "stopped"
            running.start()
            assert one(running, "select 1") == 1
            assert stranger.poll() is None
        finally:
            stranger.terminate()


@pytest.mark.parametrize("text", ["", "no number\n", "999999999\n"])
def test_a_broken_pid_file_does_not_stop_a_start(running: PrivateServer, text: str) -> None:
    running.stop()
    (running.dir / "data" / "postmaster.pid").write_text(text)

    running.start()

    assert one(running, "select 1") == 1


def test_port_is_opened_only_when_asked_for(running: PrivateServer, cli: Cli) -> None:
    running.stop()
    port = free_port()
    running.start(port=port)
    try:
        with psycopg.connect(running.dsn("app", tcp=True)) as connection:
            assert connection.info.port == port
        with pytest.raises(psycopg.OperationalError):
            psycopg.connect(f"postgresql://app:wrong@127.0.0.1:{port}/pyworker")
        assert one(running, "select 1") == 1
        with pytest.raises(ServerError, match="already runs without TCP port"):
            running.start(port=port + 1 if port < 65535 else port - 1)
    finally:
        running.stop()
    running.start()
    with pytest.raises(ServerError, match="no TCP port"):
        running.dsn(tcp=True)


def test_a_taken_port_is_one_clear_error(running: PrivateServer) -> None:
    running.stop()
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        with pytest.raises(ServerError, match="did not start") as failure:
            running.start(port=taken.getsockname()[1])
    assert "in use" in str(failure.value)


def test_a_busy_session_delays_a_smart_stop_with_a_clear_error(running: PrivateServer) -> None:
    with (
        psycopg.connect(running.dsn()),
        pytest.raises(ServerError, match="did not stop within") as failure,
    ):
        running.stop("smart", timeout=1)
    assert "--mode" in str(failure.value)
    running.stop()


def test_destroy_asks_first(running: PrivateServer, cli: Cli) -> None:
    refused = cli("destroy", "--dir", running.dir)

    assert refused.returncode == 1
    assert "--yes" in refused.stderr
    assert running.status().state == "running"


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root to give up the right to trace")
def test_root_without_the_right_to_trace_sees_its_server(running: PrivateServer, cli: Cli) -> None:
    """As in a container: root may then not look at another user's processes."""
    code = (
        "from pyworker.server import PrivateServer as P;"
        f" print(P({str(running.dir)!r}).status().state)"
    )
    argv = [
        "setpriv",
        "--bounding-set",
        "-sys_ptrace",
        "--inh-caps",
        "-all",
        sys.executable,
        "-c",
        code,
    ]
    done = subprocess.run(argv, capture_output=True, text=True, check=True)

    assert done.stdout.strip() == "running"

"""`pyworker run --http`: a process as people start it."""

import json
import os
import re
import socket
import subprocess
import sys
from contextlib import ExitStack
from http.client import HTTPConnection
from pathlib import Path
from typing import Any

from kit import warm
from kit.daemon import Supervise, Supervisor, supervise  # noqa: F401  a fixture
from support import Database, wait_until

RUN = [sys.executable, "-m", "pyworker", "run"]


def port_of(daemon: Supervisor) -> int:
    url = daemon.wait_for("http_started")["url"]
    return int(url.rpartition(":")[2])


def get(port: int, path: str) -> tuple[int, Any]:
    client = HTTPConnection("127.0.0.1", port, timeout=30)
    client.request("GET", path)
    got = client.getresponse()
    content = json.loads(got.read())
    client.close()
    return got.status, content


def test_a_daemon_that_serves(database: Database, supervise: Supervise, tmp_path: Path) -> None:  # noqa: F811
    daemon = supervise(database.dsn("supervisor"), "--http", "127.0.0.1:0")
    port = port_of(daemon)
    status, said = get(port, "/ready")
    assert (status, said["ready"]) == (200, True)
    assert get(port, "/health")[1]["status"] == "ok"

    # its port is taken
    other = warm.run(
        [*RUN, "--http", f"127.0.0.1:{port}"],
        env={**os.environ, "PYWORKER_DSN": database.dsn("supervisor")},
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert (other.returncode, f"port {port} of 127.0.0.1 is in use" in other.stderr) == (2, True)

    # clients that say nothing, more than there is room for, keep it from nothing
    with ExitStack() as held:
        for _ in range(150):
            held.enter_context(socket.create_connection(("127.0.0.1", port), 30)).sendall(b"GET ")
        job = database.value("select jobs.enqueue('pg_catalog.now')")
        wait_until(lambda: database.job(job)["state"] == "succeeded")
        assert get(port, "/live")[0] == 200

    # it ends at once, whoever is connected, and leaves nothing behind
    with socket.create_connection(("127.0.0.1", port), 30):
        assert (daemon.stop(), daemon.complaints) == (0, [])
    assert daemon.lines[-1]["event"] == "supervisor_stopped"


def test_a_daemon_whose_database_is_away(supervise: Supervise, tmp_path: Path) -> None:  # noqa: F811
    """It waits, and says so; the token comes from a file."""
    token = tmp_path / "token"
    token.write_text("0123456789abcdef0123")
    token.chmod(0o600)
    dsn = f"host={tmp_path} dbname=absent user=absent"
    options = ("--wait", "--http", "127.0.0.1:0", "--http-token-file", str(token))
    daemon = supervise(dsn, *options, started=False)
    daemon.wait_for("server_lost")
    assert daemon.events("http_started")[0]["access"] == "token"
    port = port_of(daemon)
    assert get(port, "/live")[0] == 200
    assert get(port, "/ready") == (
        503,
        {"ready": False, "error": "the connection to the database cannot be made"},
    )
    assert get(port, "/health")[0] == 401
    assert daemon.stop() == 0
    assert not re.search("0123456789abcdef0123", "".join(daemon.text))


def test_without_the_option_nothing_listens(database: Database, supervise: Supervise) -> None:  # noqa: F811
    daemon = supervise(database.dsn("supervisor"))
    listening = subprocess.run(
        ["ls", "-l", f"/proc/{daemon.process.pid}/fd"], capture_output=True, text=True, check=True
    ).stdout
    sockets = set(re.findall(r"socket:\[(\d+)\]", listening))
    table = Path(f"/proc/{daemon.process.pid}/net/tcp").read_text().splitlines()[1:]
    listeners = {line.split()[9] for line in table if line.split()[3] == "0A"}
    assert not sockets & listeners
    assert daemon.events("http_started") == []
    assert daemon.stop() == 0

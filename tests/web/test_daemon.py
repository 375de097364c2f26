"""`pyworker run --http`: a process as people start it."""

import json
import os
import re
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from http.client import HTTPConnection
from pathlib import Path
from typing import Any

from kit import warm
from kit.daemon import Supervise, Supervisor, supervise  # noqa: F401  a fixture
from support import Database, wait_until

from pyworker.config import Settings
from pyworker.supervisor import decisions, loop

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


def ask(*arguments: str, **environment: str) -> tuple[int, str]:
    """Run `pyworker healthcheck`."""
    done = warm.run(
        [sys.executable, "-m", "pyworker", "healthcheck", *arguments],
        env={**os.environ, **environment}, capture_output=True, text=True, check=False,
    )  # fmt: skip
    return done.returncode, done.stdout + done.stderr


@contextmanager
def systemd(path: Path) -> Iterator[tuple[dict[str, str], list[str]]]:
    """Listen as systemd does; gives the environment, and what was said."""
    said: list[str] = []
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as line:
        line.bind(str(path))

        def listen() -> None:
            while (got := line.recv(4096)) != b"end":
                said.extend(got.decode().splitlines())

        listener = threading.Thread(target=listen)
        listener.start()
        yield {"NOTIFY_SOCKET": str(path), "WATCHDOG_USEC": "60000000"}, said
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as last:
            last.sendto(b"end", str(path))
        listener.join()


def test_a_daemon_that_serves(database: Database, supervise: Supervise, tmp_path: Path) -> None:  # noqa: F811
    with systemd(tmp_path / "notify") as (environment, said_to_systemd):
        daemon = supervise(
            database.dsn("supervisor"), "--http", "127.0.0.1:0", environment=environment
        )
        wait_until(lambda: "READY=1" in said_to_systemd)
        assert said_to_systemd[:2] == [
            "WATCHDOG=1",
            "STATUS=waiting for the server: it is not reached yet",
        ]
        # each turn says so, once a second at most; a job makes it turn
        database.value("select jobs.enqueue('pg_catalog.pg_sleep', '{\"$1\": 2}')")
        wait_until(lambda: said_to_systemd.count("WATCHDOG=1") > 2)
    # it is not there any more, and nothing minds
    port = port_of(daemon)
    url = f"http://127.0.0.1:{port}"
    assert ask("--url", url) == (0, "ready\n")
    assert ask(PYWORKER_HTTP=f"127.0.0.1:{port}") == (0, "ready\n")
    assert ask("--url", f"{url}/health?strict") == (0, "ok\n")
    code, text = ask("--url", f"{url}/nowhere")
    assert (code, "/nowhere says 404: there is no such page" in text) == (1, True)
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
        assert daemon.stop() == 0
    assert "Traceback" not in "".join(daemon.complaints)
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
    url = f"http://127.0.0.1:{port}/health"
    assert "says 401" in ask("--url", url)[1]
    code, text = ask("--url", url, PYWORKER_HTTP_TOKEN_FILE=str(token))
    assert (code, "the connection to the database cannot be made" in text) == (1, True)
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


def test_a_healthcheck_of_nothing() -> None:
    code, text = ask(PYWORKER_HTTP="")
    assert (code, "there is no address to ask" in text) == (2, True)
    code, text = ask("--url", "127.0.0.1:8470")
    assert (code, "is no URL" in text) == (2, True)
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    code, text = ask("--url", f"http://127.0.0.1:{port}")
    assert (code, "no answer from" in text, "--http" in text) == (1, True, True)


def test_the_unit_gives_up_after_the_supervisor_itself_would() -> None:
    unit = (Path(__file__).parents[2] / "docs/systemd/pyworker.service").read_text()
    lines = dict(line.split("=", 1) for line in unit.splitlines() if re.match(r"\w+=", line))
    assert (lines["Type"], lines["TimeoutStartSec"]) == ("notify", "infinity")
    given_up_after = Settings.model_fields["stall_after"].default + loop._HANG_MARGIN
    assert int(lines["WatchdogSec"]) > given_up_after + decisions.IDLE * 1.2

"""A password that is known to the test: the daemon and the demo show it nowhere."""

import contextlib
import os
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from kit.server import private_server
from psycopg.conninfo import conninfo_to_dict
from support import Database, wait_until

from pyworker.server import PrivateServer

from .canary import CANARY, DONE, Run, shows, uri


class Watch:
    """Reads the command lines of the processes that this one started, and that those started,
    over and over.
    """

    def __init__(self) -> None:
        self.seen: set[str] = set()
        self._end = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)

    def __enter__(self) -> "Watch":
        self._thread.start()
        return self

    def __exit__(self, *_error: object) -> None:
        self._end.set()
        self._thread.join()

    def _watch(self) -> None:
        while not self._end.wait(0.02):
            found: dict[int, tuple[int, str]] = {}
            for folder in Path("/proc").iterdir():
                if folder.name.isdigit():
                    with contextlib.suppress(OSError):
                        line = (
                            (folder / "cmdline")
                            .read_bytes()
                            .replace(b"\0", b" ")
                            .decode(errors="replace")
                        )
                        parent = (
                            (folder / "stat")
                            .read_text(errors="replace")
                            .rpartition(")")[2]
                            .split()[1]
                        )
                        found[int(folder.name)] = (int(parent), line)
            self.seen |= {
                line for pid, (_parent, line) in found.items() if self._is_ours(pid, found)
            }

    def _is_ours(self, pid: int, found: dict[int, tuple[int, str]]) -> bool:
        while pid in found:
            pid = found[pid][0]
            if pid == os.getpid():
                return True
        return False


@pytest.fixture
def watch() -> Iterator[Watch]:
    with Watch() as watching:
        yield watching


def test_the_daemon_neither_logs_it_nor_shows_it(
    database: Database, watch: Watch, tmp_path: Path
) -> None:
    """A loss, an owner that is not there, a job whose error quotes a DSN: the log tells of all,
    without a password.
    """
    database.run(
        "create function app.leak() returns void language plpgsql as $$ begin"
        " raise exception 'cannot open %, nor %', 'postgresql://u:kanarienvogel@h/d',"
        " 'host=h password=''kanarien v'''"
        " using errcode = '22012', hint = 'look at password=kanarienvogel'; end $$"
    )
    job = database.value("select jobs.enqueue('leak')")
    log = tmp_path / "log"
    with log.open("wb") as file:
        daemon = subprocess.Popen(
            [sys.executable, "-m", "pyworker", "run", "--owner", "app", "--owner", "nobody",
                "--log-level", "debug"],
            env={**os.environ, "PYWORKER_DSN": uri(database, "supervisor"), "PGPASSWORD": CANARY},
            stdout=file, stderr=file, stdin=subprocess.DEVNULL,
        )  # fmt: skip
    try:
        wait_until(lambda: "job_failed" in log.read_text(), 30)
        database.admin(
            "select pg_terminate_backend(pid) from pg_stat_activity"
            " where application_name = 'pyworker supervisor' and datname = %s",
            [database.name],
        )
        wait_until(lambda: "server_back" in log.read_text(), 30)
        wait_until(lambda: any("pyworker run" in line for line in watch.seen))
    finally:
        daemon.terminate()
        assert daemon.wait(20) == DONE
    text = log.read_text()
    assert "cannot open postgresql://u:***@h/d, nor host=h password=***" in text
    assert [shows(line) for line in watch.seen if shows(line)] == []
    assert shows(text) == []
    assert database.job(job)["state"] == "failed"
    wait_until(lambda: not database.background(), 20)


@pytest.fixture
def own_server() -> Iterator[PrivateServer]:
    """A server of the test's own: the demo makes a database that somebody may have kept on the
    shared one.
    """
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    with private_server("secrets", port=port) as private:
        yield private


@pytest.mark.timeout(300)
def test_the_demo_shows_no_password_and_none_is_in_argv(
    own_server: PrivateServer, watch: Watch, run: Run
) -> None:
    """Over TCP, where passwords count: the administrator's, and those that it makes for
    its roles.
    """
    given = own_server.dsn(tcp=True)
    done = run("demo", PYWORKER_DSN=given, PYWORKER_SERVER_DIR="/nonexistent")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "password=***" in done.stdout
    secret = str(conninfo_to_dict(given)["password"])
    assert secret not in done.stdout + done.stderr + own_server.log_file.read_text()
    daemons = [line for line in watch.seen if "-m pyworker run" in line]
    assert daemons
    assert not any(secret in line for line in watch.seen)
    assert not any("passfile" in line or "host=" in line for line in daemons)

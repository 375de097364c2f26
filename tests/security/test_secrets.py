"""A password that is known to the test goes in wherever one can go in, and comes out nowhere."""

import contextlib
import json
import os
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from urllib.parse import quote

import pytest
from click.testing import CliRunner, Result
from kit import warm
from kit.server import private_server
from psycopg.conninfo import conninfo_to_dict
from support import Database, wait_until

from pyworker.cli import main
from pyworker.server import PrivateServer

CANARY = "kanarien@vogel/ 1'x"
PIECES = ("kanarien", "vogel", quote(CANARY, safe=""))
DONE = 0

Run = Callable[..., "subprocess.CompletedProcess[str]"]


def shows(text: str) -> list[str]:
    return [piece for piece in PIECES if piece in text]


def uri(database: Database, role: str = "postgres", password: str = CANARY) -> str:
    given = conninfo_to_dict(database.dsn(role))
    host = quote(str(given["host"]), safe="")
    return f"postgresql://{given['user']}:{quote(password, safe='')}@/{database.name}?host={host}"


def keywords(database: Database, role: str = "postgres") -> str:
    given = conninfo_to_dict(database.dsn(role))
    value = CANARY.replace("'", "\\'")
    return f"host={given['host']} user={given['user']} dbname={database.name} password='{value}'"


@pytest.fixture
def run(tmp_path: Path) -> Run:
    """Run a command; what it prints, whatever becomes of it, holds nothing of the canary."""

    def call(*arguments: str, **environment: str) -> "subprocess.CompletedProcess[str]":
        kept = {name: value for name, value in os.environ.items() if name != "PYWORKER_DSN"}
        done = warm.run(
            [sys.executable, "-m", "pyworker", *arguments],
            env={**kept, **environment}, cwd=tmp_path, stdin=subprocess.DEVNULL,
            capture_output=True, text=True, check=False, timeout=90,
        )  # fmt: skip
        assert shows(done.stdout + done.stderr) == []
        return done

    return call


@pytest.fixture
def run_inside(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Result]:
    """The same without a process of its own: for the many forms of one way that `run` has gone."""

    def call(*arguments: str, **environment: str) -> Result:
        monkeypatch.delenv("PYWORKER_DSN", raising=False)
        monkeypatch.chdir(tmp_path)
        done = CliRunner().invoke(main, arguments, env=environment)
        assert shows(done.output) == []
        assert done.exception is None or isinstance(done.exception, SystemExit)
        return done

    return call


COMMANDS = [
    ["status"],
    ["status", "--json"],
    ["check"],
    ["check", "--json"],
    ["check", "--sql"],
    ["install"],
    ["upgrade"],
    ["install", "--sql"],
    ["uninstall"],
    [
        "run",
        "--until-empty",
        "--owner",
        "nobody-of-that-name",
        "--log-level",
        "debug",
        "--allow-superuser",
    ],
    ["run"],  # a superuser: refused
    ["server", "status"],
    ["bench", "--list"],
    ["torture", "--help"],
]


@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
@pytest.mark.parametrize("form", [uri, keywords])
def test_no_command_prints_it(
    database: Database, run: Run, command: list[str], form: Callable[..., str]
) -> None:
    done = run(*command, PYWORKER_DSN=form(database))
    assert "Traceback" not in done.stderr
    if command[0] in ("status", "check", "install", "upgrade"):
        assert done.stdout, done.stderr


UNREADABLE = [
    "postgresql://u:kanarien@vogel@h/d",
    "postgresql://u:kanarien/vogel@h/d",
    "postgresql://u:1/vogel@h/d",
    "postgresql://u:kanarien%vogel@h/d",
    "host=h user=u password=1 kanarien vogel",
    "host=h user=u password='kanarien vogel",
    "host=h kanarien=vogel",
    "kanarien",
]


def give(tmp_path: Path, way: str, dsn: str) -> tuple[list[str], dict[str, str]]:
    """Give a DSN on one of the three ways: the arguments and the environment for it."""
    if way == "file":
        (tmp_path / "pyworker.toml").write_text(f"dsn = {json.dumps(dsn)}\n")
    return ["--dsn", dsn] if way == "flag" else [], {
        "PYWORKER_DSN": dsn
    } if way == "variable" else {}


@pytest.mark.parametrize("way", ["flag", "variable", "file"])
@pytest.mark.parametrize("command", ["status", "run"])
def test_what_cannot_be_read_is_not_quoted(
    run: Run, run_inside: Callable[..., Result], tmp_path: Path, way: str, command: str
) -> None:
    """Each form; the first in a process as a user starts it."""
    arguments, environment = give(tmp_path, way, UNREADABLE[0])
    real = run(command, *arguments, **environment)
    assert real.returncode == 2
    assert 'pyworker: setting "dsn" is wrong\nDETAIL: ' in real.stderr
    assert "Traceback" not in real.stderr
    for dsn in UNREADABLE:
        arguments, environment = give(tmp_path, way, dsn)
        done = run_inside(command, *arguments, **environment)
        assert done.exit_code == 2, dsn
        assert 'pyworker: setting "dsn" is wrong\nDETAIL: ' in done.stderr


UNREACHABLE = [
    "postgresql://u:kanarienvogel@/d?host=/nowhere",
    "postgresql://u:kanarienvogel@127.0.0.1:1/d",
    "postgresql://u@/d?host=/nowhere&password=kanarienvogel",
    "host=/nowhere user=u password=kanarienvogel",
    "host=/nowhere user=u options='-c a.password=kanarienvogel'",
    "host=127.0.0.1 port=1 sslkey=/nowhere sslpassword=kanarienvogel",
    "service=none password=kanarienvogel",
]


@pytest.mark.parametrize("command", ["status", "check", "run", "install", "demo"])
def test_a_server_that_cannot_be_reached_is_told_of_without_it(
    run: Run, run_inside: Callable[..., Result], command: str
) -> None:
    """Each form; the first in a process as a user starts it."""
    real = run(command, PYWORKER_DSN=UNREACHABLE[0], PGPASSWORD="kanarienvogel")
    assert real.returncode in (1, 4), real.stderr
    for dsn in UNREACHABLE:
        done = run_inside(command, PYWORKER_DSN=dsn, PGPASSWORD="kanarienvogel")
        assert done.exit_code in (1, 4), (dsn, done.output)


def test_a_password_on_the_command_line_is_warned_about(database: Database, run: Run) -> None:
    done = run("status", "--dsn", uri(database))
    assert "the password in --dsn shows in the list of processes" in done.stderr
    assert "warning" not in run("status", "--dsn", database.dsn("postgres")).stderr
    # What was typed in the wrong place is quoted, but for its password.
    done = run("status", "postgresql://u:kanarienvogel@h/d")
    assert (done.returncode, "postgresql://u:***@h/d" in done.stderr) == (2, True)


def test_pass_files_and_service_files_show_nothing(
    database: Database, run: Run, tmp_path: Path
) -> None:
    given = conninfo_to_dict(database.dsn("postgres"))
    services, passes = tmp_path / "services", tmp_path / "pass"
    services.write_text(
        f"[here]\nhost={given['host']}\ndbname={database.name}\nuser=postgres\npassword={CANARY}\n"
    )
    passes.write_text("*:*:*:*:kanarienvogel\n")
    passes.chmod(0o644)  # libpq says that it is too open, and does not use it
    files = {"PGSERVICEFILE": str(services), "PGPASSFILE": str(passes)}
    assert run("status", PYWORKER_DSN="service=here", **files).stdout
    assert run("run", PYWORKER_DSN="service=here", **files).returncode == 2
    services.write_text("[here]\nkanarienvogel\n")
    assert run("status", PYWORKER_DSN="service=here", **files).returncode == 1


def test_an_error_that_nobody_expected_hides_it_too(run: Run, tmp_path: Path) -> None:
    (tmp_path / "sitecustomize.py").write_text(
        "import pyworker.cli.status as s\n"
        "def fail(*_a, **_k):\n    raise LookupError('no postgresql://u:kanarienvogel@h/d"
        " and password = kanarien')\n"
        "s.resolve_dsn = fail\n"
    )
    done = run("status", PYTHONPATH=str(tmp_path))
    assert "LookupError: no postgresql://u:***@h/d and password = ***" in done.stderr


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

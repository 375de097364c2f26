"""A password that is known to the test goes in wherever one can go in, and comes out nowhere."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from psycopg.conninfo import conninfo_to_dict
from support import Database

from pyworker.cli import main

from .canary import CANARY, Run, keywords, shows, uri


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

"""The wheel: what is in it, and that pyworker works from it alone, outside the checkout."""

import os
import subprocess
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

from pyworker.cli import CHECKOUT_COMMANDS, COMMANDS
from tests.schema.conftest import SQL, Database

TOP = SQL.parent
PIP = ["-m", "pip", "--disable-pip-version-check", "--quiet"]

pytestmark = [pytest.mark.timeout(300)]  # pip fetches what pyworker needs


def run(*argv: str | Path, cwd: Path, **environment: str) -> "subprocess.CompletedProcess[str]":
    """Run a program with nothing of this process's own Python in its environment."""
    clean = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("PYTHON", "PYWORKER", "VIRTUAL"))
    }
    return subprocess.run(
        argv,
        cwd=cwd,
        env={**clean, **environment},
        capture_output=True,
        text=True,
        check=False,
        timeout=240,
    )


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel, built from the checkout."""
    directory = tmp_path_factory.mktemp("wheel")
    done = run(
        sys.executable, *PIP, "wheel", "--no-deps", "--wheel-dir", directory, TOP, cwd=directory
    )
    assert done.returncode == 0, done.stderr
    (made,) = directory.glob("pyworker-*.whl")
    return made


@pytest.fixture(scope="module")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The program `pyworker` of an empty virtual environment into which the wheel was installed."""
    environment = tmp_path_factory.mktemp("installed")
    assert (
        run(sys.executable, "-m", "venv", "--without-pip", environment, cwd=environment).returncode
        == 0
    )
    place = ["--python", environment / "bin" / "python"]
    done = run(sys.executable, *PIP, *place, "install", "--no-compile", wheel, cwd=environment)
    assert done.returncode == 0, done.stderr
    return environment / "bin" / "pyworker"


def test_it_holds_the_package_and_its_sql_and_nothing_else(wheel: Path) -> None:
    names = [name for name in zipfile.ZipFile(wheel).namelist() if ".dist-info/" not in name]

    assert {name.partition("/")[0] for name in names} == {"pyworker"}
    in_package = {name.removeprefix("pyworker/") for name in names}
    ours = {path.relative_to(SQL).as_posix() for path in SQL.rglob("*.sql")}
    assert {name.removeprefix("_sql/") for name in in_package if name.startswith("_sql/")} >= ours
    sources = {
        path.relative_to(TOP / "pyworker").as_posix() for path in (TOP / "pyworker").rglob("*.py")
    }
    assert {name for name in in_package if name.endswith(".py")} == sources


def test_its_help_lists_only_what_is_there(installed: Path, tmp_path: Path) -> None:
    done = run(installed, "--help", cwd=tmp_path)

    assert done.returncode == 0, done.stderr
    listing = done.stdout.partition("Commands:\n")[2].partition("\n\n")[0]
    listed = {line.split()[0] for line in listing.splitlines()}
    assert listed == set(COMMANDS) - set(CHECKOUT_COMMANDS)
    for command in CHECKOUT_COMMANDS:
        assert run(installed, command, "--help", cwd=tmp_path).returncode == 2


def test_it_installs_and_runs_jobs(
    installed: Path,
    tmp_path: Path,
    new_role: Callable[[str], str],
    new_database: Callable[[], Database],
) -> None:
    owner, database = new_role("login"), new_database()
    dsn = database.dsn()

    done = run(installed, "install", cwd=tmp_path, PYWORKER_DSN=dsn)
    assert done.returncode == 0, done.stderr
    database.run(f"grant jobs_producer, jobs_runner to {owner}")
    ((job,),) = database.run(
        "select jobs.enqueue('pg_catalog.abs(integer)', '{\"$1\": -7}')", role=owner
    )

    done = run(installed, "run", "--once", "--allow-superuser", cwd=tmp_path, PYWORKER_DSN=dsn)
    assert done.returncode == 0, done.stderr
    assert database.run("select state, result from jobs.job where id = %s", job) == [
        ("succeeded", 7)
    ]

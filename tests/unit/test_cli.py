"""The command line without a server: what it says of what was typed,
and what the shell completes.
"""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner

from pyworker.cli import COMMANDS, main


@pytest.mark.parametrize("command", ["check", "install", "upgrade", "uninstall", "run", "status"])
def test_a_word_that_is_no_dsn_is_one_error(command: str) -> None:
    done = CliRunner().invoke(main, [command, "--dsn", "foo"])

    assert done.exit_code == 2
    assert "password" not in done.output
    assert done.output.splitlines() == [
        'pyworker: setting "dsn" is wrong',
        (
            "DETAIL: it is neither a URI (postgresql://...) nor a list of name=value pairs (from"
            " --dsn)."
        ),
        "HINT: Correct --dsn. What it is: the database, as a libpq URI or keyword string.",
    ]


def test_a_password_in_a_dsn_is_warned_about() -> None:
    done = CliRunner().invoke(main, ["check", "--dsn", "postgresql://u:s3cret@127.0.0.1:1/d"])

    assert "the password in --dsn shows" in done.output
    assert "s3cret" not in done.output


@pytest.mark.parametrize("command", ["check", "status", "run"])
def test_a_server_that_is_not_there_is_one_error_with_a_way_out(command: str) -> None:
    done = CliRunner().invoke(main, [command, "--dsn", "host=/nowhere dbname=d user=u"])

    assert done.exit_code == (4 if command == "run" else 1)
    first, *rest = done.output.splitlines()
    assert first.startswith(
        'pyworker: connection to server on socket "/nowhere/.s.PGSQL.5432" failed'
    )
    assert [line.partition(":")[0] for line in rest] == ["DETAIL", "HINT"]
    assert "pyworker server start" in rest[1]


def _complete(shell: str, words: list[str]) -> list[str]:
    """Ask as the shell's own script does."""
    typed = {"COMP_WORDS": " ".join(words), "COMP_CWORD": str(len(words) - 1)}
    if shell == "fish":
        typed["COMP_CWORD"] = words[-1]
    program = Path(sys.executable).with_name("pyworker")
    done = subprocess.run(
        [program],
        env={**os.environ, "_PYWORKER_COMPLETE": f"{shell}_complete", **typed},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.split()


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_the_shell_completes_commands_and_options(shell: str) -> None:
    found = " ".join(_complete(shell, ["pyworker", ""]))
    assert all(name in found for name in COMMANDS)
    assert "--until-empty" in " ".join(_complete(shell, ["pyworker", "run", "--"]))
    assert "destroy" in " ".join(_complete(shell, ["pyworker", "server", "d"]))


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_the_line_of_the_readme_gives_a_script(shell: str) -> None:
    page = (Path(__file__).parents[2] / "README.md").read_text(encoding="utf-8")
    assert f"_PYWORKER_COMPLETE={shell}_source pyworker" in page
    program = Path(sys.executable).with_name("pyworker")
    done = subprocess.run(
        [program],
        env={**os.environ, "_PYWORKER_COMPLETE": f"{shell}_source"},
        capture_output=True,
        text=True,
        check=False,
    )
    if shell == "bash" and done.returncode != 0:
        pytest.skip(
            "click asks a bash of this machine for its version, and there is none that it knows"
        )
    assert "_PYWORKER_COMPLETE" in done.stdout

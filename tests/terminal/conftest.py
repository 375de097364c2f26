"""Commands about jobs, run in this process against a database that a module shares."""

import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest
from click.testing import CliRunner
from support import Database

from pyworker.cli import main


@dataclass(frozen=True, kw_only=True)
class Said:
    """What a command printed, and its exit code."""

    code: int
    out: str
    err: str

    def json(self) -> Any:
        return json.loads(self.out)


Command = Callable[..., Said]


@pytest.fixture
def command(shared: Database) -> Command:
    """Run `pyworker ...` as a role, with what is typed."""

    def run(*words: object, role: str = "app", typed: str = "") -> Said:
        done = CliRunner().invoke(
            main,
            [str(word) for word in words],
            env={"PYWORKER_DSN": shared.dsn(role)},
            input=typed,
        )
        assert done.exception is None or isinstance(done.exception, SystemExit), done.exception
        return Said(code=done.exit_code, out=done.stdout, err=done.stderr)

    return run

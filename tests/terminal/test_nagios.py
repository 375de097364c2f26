"""`pyworker check --nagios`: one line, and the codes that monitors read."""

import re

import pytest

from pyworker.check import Finding
from tests.terminal.conftest import Command


@pytest.mark.parametrize(
    ("statuses", "code", "line"),
    [
        (["ok", "ok"], 0, r"PYWORKER OK - 2 checks \| ok=2 warning=0 critical=0"),
        (["ok", "warning"], 1, r"PYWORKER WARNING - b: so / so \| ok=1 warning=1 critical=0"),
        (
            ["warning", "critical"],
            2,
            r"PYWORKER CRITICAL - b: so / so; a: so / so \| ok=0 warning=1 critical=1",
        ),
    ],
)
def test_the_worst_status_is_the_code(
    command: Command,
    monkeypatch: pytest.MonkeyPatch,
    statuses: list[str],
    code: int,
    line: str,
) -> None:
    found = [
        Finding(check=name, status=status, detail="so | so", remedy=None)
        for name, status in zip("ab", statuses, strict=True)
    ]
    monkeypatch.setattr("pyworker.cli.check.run_checks", lambda _dsn: found)
    said = command("check", "--nagios")
    assert said.code == code
    assert re.fullmatch(line + "\n", said.out)


def test_a_real_database_and_none(command: Command) -> None:
    said = command("check", "--nagios", role="postgres")
    assert said.code in (0, 1, 2)
    assert re.fullmatch(
        r"PYWORKER (OK|WARNING|CRITICAL) - .+ \| ok=\d+ warning=\d+ critical=\d+\n", said.out
    )
    away = command("check", "--nagios", "--dsn", "host=/nowhere dbname=d user=u")
    assert (away.code, away.out.startswith("PYWORKER CRITICAL - connection")) == (2, True)
    wrong = command("check", "--nagios", "--dsn", "foo")
    assert (wrong.code, wrong.out) == (3, 'PYWORKER UNKNOWN - setting "dsn" is wrong\n')
    both = command("check", "--nagios", "--json")
    assert both.code == 2

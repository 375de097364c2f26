"""What the DSN or PGOPTIONS sets for a connection holds beside what pyworker sets, which wins."""

import pytest

from pyworker.database.connection import with_settings

OURS = ("statement_timeout=0", "search_path=a b")


@pytest.mark.parametrize(
    ("given", "variable", "options"),
    [
        (None, None, "-c statement_timeout=0 -c search_path=a\\ b"),
        (None, "-c work_mem=1MB", "-c work_mem=1MB -c statement_timeout=0 -c search_path=a\\ b"),
        ("-c jit=off", "-c work_mem=1MB", "-c jit=off -c statement_timeout=0 -c search_path=a\\ b"),
        ("", "-c work_mem=1MB", "-c statement_timeout=0 -c search_path=a\\ b"),
    ],
)
def test_options_of_a_connection(
    monkeypatch: pytest.MonkeyPatch, given: str | None, variable: str | None, options: str
) -> None:
    if variable is None:
        monkeypatch.delenv("PGOPTIONS", raising=False)
    else:
        monkeypatch.setenv("PGOPTIONS", variable)
    assert with_settings(given, OURS) == options

"""Wrong usage of a command is told before anything is made."""

import sys
from pathlib import Path

import pytest
from kit import warm


@pytest.mark.parametrize("option", ["--scenario", "--mutant"])
def test_a_name_that_torture_does_not_know_leaves_nothing(tmp_path: Path, option: str) -> None:
    done = warm.run(
        [sys.executable, "-m", "pyworker", "torture", option, "unheard_of"],
        capture_output=True, text=True, check=False, env={"TMPDIR": str(tmp_path)},
    )  # fmt: skip

    assert done.returncode == 2
    assert "unheard_of" in done.stderr
    assert list(tmp_path.iterdir()) == []

"""A minute of torture, with the faults of a known seed and with those that nobody has seen yet."""

import random
import re
import subprocess
import sys
from pathlib import Path

import pytest

SECONDS = 60


@pytest.mark.timeout(900)
@pytest.mark.parametrize("seed", [1, None], ids=["known seed", "fresh seed"])
def test_a_minute_of_torture_violates_nothing(seed: int | None, tmp_path: Path) -> None:
    drawn = random.SystemRandom().randrange(10**6) if seed is None else seed
    tmp_path.chmod(0o755)
    for folder in (tmp_path.parent, tmp_path.parent.parent):
        folder.chmod(0o755)  # the server's user passes through
    done = subprocess.run(
        [sys.executable, "-m", "pyworker", "torture", "--seed", str(drawn), "--seconds", str(SECONDS),
         "--dir", str(tmp_path / "t")],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    said = f"{done.stdout}\n{done.stderr}\nseed {drawn}"
    assert done.returncode == 0, said
    closing = re.search(r"^torture: (\d+) scenarios, \d+ faults, (\d+) jobs, 0 violations$", done.stdout, re.MULTILINE)
    assert closing, said
    assert int(closing[1]) >= 2, said
    assert int(closing[2]) > 500, said


def test_a_scenario_that_is_not_there_is_wrong_usage() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "pyworker", "torture", "--scenario", "unheard_of"],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 2
    assert "unheard_of" in done.stderr

"""A minute of torture, with the faults of a known seed and with those that nobody has seen yet."""

import random
import re
import shutil
import subprocess
import sys

import pytest
from kit.server import furnish, open_directory

SECONDS = 60


@pytest.mark.timeout(900)
@pytest.mark.parametrize("seed", [1, None], ids=["known seed", "fresh seed"])
def test_a_minute_of_torture_violates_nothing(seed: int | None) -> None:
    drawn = random.SystemRandom().randrange(10**6) if seed is None else seed
    place = open_directory("pw-torture-")
    furnish(place / "t", durable=True)
    done = subprocess.run(
        [sys.executable, "-m", "pyworker", "torture", "--seed", str(drawn), "--seconds", str(SECONDS),
         "--dir", str(place / "t")],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    shutil.rmtree(place)
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

"""Some seconds of torture with the faults of a known seed; `make torture` draws a new one each
time, for a minute.
"""

import re
import shutil
import sys

import pytest
from kit import warm
from kit.server import furnish, open_directory

SEED = 1
SCENARIO = "postmaster_killed"
SECONDS = 20


@pytest.mark.alone
@pytest.mark.timeout(900)
def test_some_seconds_of_torture_violate_nothing() -> None:
    place = open_directory("pw-torture-")
    furnish(place / "t" / "server", durable=True)
    done = warm.run(
        [sys.executable, "-m", "pyworker", "torture", "--seed", str(SEED), "--seconds",
            str(SECONDS),
         "--scenario", SCENARIO, "--dir", str(place / "t")],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    shutil.rmtree(place)
    said = f"{done.stdout}\n{done.stderr}"
    assert done.returncode == 0, said
    closing = re.search(
        r"^torture: (\d+) scenarios, \d+ faults, (\d+) jobs, 0 violations$",
        done.stdout,
        re.MULTILINE,
    )
    assert closing, said
    assert int(closing[1]) == 1, said
    assert int(closing[2]) > 100, said


@pytest.mark.alone
@pytest.mark.timeout(900)
def test_some_seconds_of_interrupted_operations_violate_nothing() -> None:
    """A handful of kills; two hundred are a command: SCENARIO=operations_interrupted."""
    place = open_directory("pw-torture-")
    furnish(place / "t" / "server", durable=True)
    done = warm.run(
        [sys.executable, "-m", "pyworker", "torture", "--seed", str(SEED), "--seconds",
            str(SECONDS),
         "--scenario", "operations_interrupted", "--dir", str(place / "t")],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    shutil.rmtree(place)
    said = f"{done.stdout}\n{done.stderr}"
    assert done.returncode == 0, said
    closing = re.search(
        r"^torture: 1 scenarios, (\d+) faults, 0 jobs, 0 violations$", done.stdout, re.MULTILINE
    )
    assert closing, said
    assert int(closing[1]) >= 1, said
    interruptions = re.search(r"'interruptions': (\d+)", said)
    assert interruptions, said
    assert int(interruptions[1]) >= 1, said


def test_a_scenario_that_is_not_there_is_wrong_usage() -> None:
    done = warm.run(
        [sys.executable, "-m", "pyworker", "torture", "--scenario", "unheard_of"],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 2
    assert "unheard_of" in done.stderr

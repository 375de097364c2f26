"""A failpoint ends or freezes the process exactly where it is armed,
and costs nothing elsewhere.
"""

import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest

import pyworker.supervisor
from pyworker.supervisor.failpoint import EXIT_CODE, FAILPOINTS, VARIABLE, arm

SCRIPT = """
from pyworker.supervisor.failpoint import reach
for name in ("mid_job", "after_claim", "after_claim"):
    reach(name)
    print(name, flush=True)
"""


def run(armed: str | None) -> subprocess.Popen[str]:
    environment = {name: value for name, value in os.environ.items() if name != VARIABLE}
    if armed is not None:
        environment[VARIABLE] = armed
    return subprocess.Popen(
        [sys.executable, "-c", SCRIPT], env=environment, stdout=subprocess.PIPE, text=True
    )


@pytest.mark.parametrize(
    ("armed", "printed", "code"),
    [
        (None, 3, 0),
        ("after_end", 3, 0),
        ("mid_job", 0, EXIT_CODE),
        ("after_claim", 1, EXIT_CODE),
        ("after_claim:2", 2, EXIT_CODE),
        ("after_claim:3", 3, 0),
    ],
)
def test_it_ends_there(armed: str | None, printed: int, code: int) -> None:
    process = run(armed)
    text, _ = process.communicate(timeout=30)
    assert (len(text.splitlines()), process.returncode) == (printed, code)


def test_it_freezes_there() -> None:
    process = run("after_claim:2:stop")
    _, status = os.waitpid(process.pid, os.WUNTRACED)
    assert os.WIFSTOPPED(status)
    process.send_signal(signal.SIGCONT)
    text, _ = process.communicate(timeout=30)
    assert (len(text.splitlines()), process.returncode) == (3, 0)


@pytest.mark.parametrize("armed", ["no_such_place", "mid_job:1:2", "mid_job:go"])
def test_a_place_that_is_not_there_is_an_error(armed: str) -> None:
    with pytest.raises(ValueError, match="is no failpoint"):
        arm(armed)


def test_each_one_stands_in_the_code_once() -> None:
    top = Path(pyworker.supervisor.__file__).parent
    reached = [
        name
        for file in top.rglob("*.py")
        for name in re.findall(r'reach\("(\w+)"\)', file.read_text("utf-8"))
    ]
    assert sorted(reached) == sorted(FAILPOINTS)

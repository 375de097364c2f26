"""`make test`: all tests in parallel, then those that measure time, alone; and how long it took.

WORKERS=n changes the number of processes; what is given as arguments goes to pytest.
"""

import os
import subprocess
import sys
import time

#: How long a run of all tests may take on two cores. A run that takes longer says so;
#: it does not fail, because the machine may have had other work.
GOAL = 480
#: Most tests wait for a server most of the time.
WORKERS_PER_CORE = 2
_NOTHING_COLLECTED = 5


def _minutes(seconds: float) -> str:
    return f"{int(seconds) // 60}:{int(seconds) % 60:02}"


def _pytest(*arguments: str) -> int:
    code = subprocess.run([sys.executable, "-m", "pytest", *arguments], check=False).returncode
    return 0 if code == _NOTHING_COLLECTED else code


def main(given: list[str]) -> int:
    """Run the tests; returns the exit code."""
    workers = os.environ.get("WORKERS") or str(min(8, WORKERS_PER_CORE * (os.cpu_count() or 1)))
    slowest = ["--durations=15", "--durations-min=1"]
    begun = time.monotonic()
    parallel = _pytest(
        "--numprocesses", workers, "--dist", "worksteal", "-m", "not alone", *slowest, *given
    )
    if parallel in (2, 3, 4):  # interrupted, an error of pytest's own, wrong usage
        return parallel
    print("== the tests that measure time, one after the other", flush=True)
    alone = _pytest("-m", "alone", *slowest, *given)
    took = time.monotonic() - begun
    verdict = "within" if took <= GOAL else "LONGER THAN"
    print(
        f"== the tests took {_minutes(took)}, {verdict} the {_minutes(GOAL)} that all of them may"
        " take on two cores"
    )
    return parallel or alone


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

"""Places at which a supervisor under test ends or freezes itself: exactly there, and not somewhere
near.

For tests only. PYWORKER_FAILPOINT arms one place for the life of the process: `NAME` ends it there
at once, as SIGKILL would: no cleanup, connections closed by the kernel. `NAME:stop`
freezes it there, as SIGSTOP does. `NAME:2` or `NAME:2:stop` waits for the second time that it gets
there. Where nothing is armed, `reach` is a call that does nothing. A place that does not exist is
an error at the start, so that no test waits for one in vain.
"""

import os
import signal
from collections.abc import Callable
from typing import Final

__all__ = ["FAILPOINTS", "VARIABLE", "arm", "reach"]

VARIABLE: Final = "PYWORKER_FAILPOINT"
EXIT_CODE: Final = 137  # what a shell says of a process that SIGKILL ended

FAILPOINTS: Final = {
    "after_claim": "a tick has shown sessions at work; nothing was done about it yet",
    "after_launch": "sessions were launched; no record says so yet",
    "mid_job": "a tick has shown a job that runs",
    "before_signal": "reasons to stop are committed; no signal was sent yet",
    "after_end": "outcomes wait to be logged; no supervisor has looked at them",
    "before_commit_of_outcomes": "outcomes were written to the log; the database has not "
    "committed that yet",
}


def _nothing(name: str) -> None:
    """Do nothing: no place is armed."""


def _armed(point: str, times: int, *, stop: bool) -> Callable[[str], None]:
    left = times

    def act(name: str) -> None:
        nonlocal left
        if name != point:
            return
        left -= 1
        if left == 0:
            if stop:
                signal.raise_signal(signal.SIGSTOP)
            else:
                os._exit(EXIT_CODE)

    return act


def arm(text: str | None) -> Callable[[str], None]:
    """Read what is armed; nothing, when there is no text."""
    if not text:
        return _nothing
    name, *rest = text.split(":")
    numbers = [part for part in rest if part.isdecimal()]
    if (
        name not in FAILPOINTS
        or len(numbers) > 1
        or any(part != "stop" for part in rest if not part.isdecimal())
    ):
        raise ValueError(f'{VARIABLE}: "{text}" is no failpoint; there are {", ".join(FAILPOINTS)}')
    return _armed(name, int(numbers[0]) if numbers else 1, stop="stop" in rest)


reach: Callable[[str], None] = arm(os.environ.get(VARIABLE))

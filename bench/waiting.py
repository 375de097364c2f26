"""The one place that waits."""

import time
from collections.abc import Callable

from pyworker.errors import WorkError

__all__ = ["wait_until"]


def wait_until(
    condition: Callable[[], object], seconds: float, *, what: str, step: float = 0.05
) -> None:
    """Wait until something is so; an error says what did not come."""
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            raise WorkError(
                f"a measurement waits in vain for {what}",
                detail=f"It is not there after {seconds:g} s.",
            )
        time.sleep(step)

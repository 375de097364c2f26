"""Waiting, and what ends a wait."""

import time
from contextlib import suppress

import pytest

from pyworker.supervisor.signals import Stopped, WakeupPipe


def fail() -> None:
    raise ValueError("at once")


def test_a_call_that_ends_at_once_does_not_cut_the_next_pause_short() -> None:
    """Else a server that refuses at once is asked again at once, a hundred times a second."""
    wake = WakeupPipe()
    for _ in range(5):
        with pytest.raises(ValueError, match="at once"):
            wake.call(fail)
        begun = time.monotonic()
        wake.pause(0.05)
        assert time.monotonic() - begun >= 0.049


def test_a_stop_during_a_call_is_not_lost() -> None:
    wake = WakeupPipe()
    with suppress(Stopped):  # heeded here, or at the next pause
        wake.call(lambda: wake.stop("SIGTERM"))
    with pytest.raises(Stopped):
        wake.pause(10)

"""An ordinary client beside the jobs: one small INSERT ten times a second,
and how long each took.
"""

import threading
import time
from contextlib import suppress
from math import ceil

import psycopg

from tests.torture.scenario import Violation
from tests.torture.world import World

__all__ = ["Foreground", "p99"]

_EVERY = 0.1
_LONGEST = 5.0  # seconds that a single statement may take on a machine that is busy to its limit
_FEW = 50  # statements, of which the slowest says nothing about a hundredth
_AGAIN = 0.5  # seconds between two tries to connect


def p99(seconds: list[float]) -> float:
    """Give the value that 99 of 100 do not exceed; 0 where there are none."""
    ordered = sorted(seconds)
    return ordered[ceil(len(ordered) * 0.99) - 1] if ordered else 0.0


class Foreground(threading.Thread):
    """The thread of that client. A server that is away is no slow answer; what it says when it is
    there is one.
    """

    def __init__(self, world: World) -> None:
        """Nothing was measured yet."""
        super().__init__(name="foreground", daemon=True)
        self._world = world
        self._end = threading.Event()
        self.seconds: list[float] = []
        self.error: BaseException | None = None

    def run(self) -> None:
        """Insert until told to end."""
        try:
            while not self._end.wait(_AGAIN):
                with (
                    suppress(psycopg.OperationalError, psycopg.InterfaceError),
                    self._world.connect("app") as line,
                ):
                    while not self._end.wait(_EVERY):
                        begun = time.monotonic()
                        line.execute("insert into stage.foreground default values")
                        self.seconds.append(time.monotonic() - begun)
        except BaseException as error:  # noqa: BLE001  told by whoever ends this thread
            self.error = error

    def finish(self) -> list[Violation]:
        """End it; returns what took too long."""
        self._end.set()
        self.join(30)
        if self.error is not None:
            raise self.error
        scenario, count = self._world.scenario, len(self.seconds)
        told = []
        if max(self.seconds, default=0.0) > _LONGEST:
            told.append(
                f"expected {_LONGEST:g} s at most;"
                f" an ordinary INSERT took {max(self.seconds):.1f} s"
            )
        if count > _FEW and p99(self.seconds) > scenario.foreground:
            told.append(
                f"expected {scenario.foreground:g} s at most for 99 of 100 ordinary INSERTs;"
                f" of {count} the slowest"
                f" hundredth took {p99(self.seconds):.2f} s or more"
            )
        return [scenario.violation("I12", text) for text in told]

"""The time between two ticks: how long it is, and what ends it early."""

import random
from time import monotonic, sleep

import psycopg

from pyworker.database.records import Tick
from pyworker.supervisor.control import ControlConnection
from pyworker.supervisor.decisions import pace_after
from pyworker.supervisor.guard import ConnectionLost, Guard
from pyworker.supervisor.signals import WakeupPipe
from pyworker.supervisor.state import State

__all__ = ["Pause"]

#: Seconds between a notification and the tick, on average; after the first notification there is
#: none.
_WAKEUP_JITTER = 0.001
#: The same after many notifications without work: any role can send them, as often as it likes.
_WAKEUP_JITTER_MAX = 0.05


class Pause:
    """Waits between ticks, and tells the database whether enqueuers have to notify this
    supervisor.
    """

    def __init__(self, guard: Guard, wakeup: WakeupPipe) -> None:
        """Begin awake: no enqueuer has to notify."""
        self._guard = guard
        self._wakeup = wakeup
        self._asleep = False
        self._looks = 0  # ticks since it fell asleep
        self._notifications = 0  # in a row, without work

    def start_over(self) -> None:
        """Begin awake again, for a new registration."""
        self._asleep = False

    def after(
        self, control: ControlConnection, tick: Tick, state: State, begun: float, deadline: float
    ) -> None:
        """Wait until the next tick is due, or something happens."""
        on_their_way = state.launches.pending.total() + len(control.launcher.busy())
        blocked = any(
            demand.session_demand > demand.active_sessions
            for demand in tick.owners
            if demand.owner in state.owners.served
        )
        jitter = random.uniform(0.8, 1.2)  # noqa: S311  no secret
        self._looks = self._looks + 1 if self._asleep else 0
        pace = pace_after(
            tick, on_their_way=on_their_way, blocked=blocked, jitter=jitter, looks=self._looks
        )
        if not pace.idle:
            self._notifications = 0
        if pace.idle != self._asleep:
            work_is_there = self._guard.call(
                "sleep", lambda: control.gateway.supervisor_sleep(control.number, asleep=pace.idle)
            )
            self._asleep = pace.idle
            if work_is_there and pace.idle:
                return
        until = min(begun + pace.seconds, deadline, control.launcher.closes_at())
        self.wait(control, until - monotonic(), wake_on_notify=pace.idle)

    def wait(self, control: ControlConnection, seconds: float, *, wake_on_notify: bool) -> None:
        """Wait that long, until a signal, a launch that ended or, with `wake_on_notify`, an
        enqueuer's notification.
        """
        self._guard.duty = "wait"
        until = monotonic() + seconds
        try:
            while True:
                if control.gateway.receive():
                    # so that many do not tick as one
                    jitter = random.uniform(0, self._jitter_limit())  # noqa: S311
                    self._notifications += 1
                    if wake_on_notify:
                        self._wakeup.wait(jitter)
                        return
                    sleep(
                        max(0.0, min(jitter, until - monotonic()))
                    )  # a poke meanwhile ends the wait below
                left = until - monotonic()
                if left <= 0 or not self._wakeup.wait(left, control.connection.fileno()):
                    self._notifications = 0
                    return
        except psycopg.Error as error:
            raise ConnectionLost from error

    def _jitter_limit(self) -> float:
        if not self._notifications:
            return 0.0
        return 2 * min(_WAKEUP_JITTER * 2.0 ** min(self._notifications, 10), _WAKEUP_JITTER_MAX)

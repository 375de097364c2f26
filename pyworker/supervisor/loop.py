"""The loop: it times, waits and stops. What is done in a round is in `duties`, what to do is
decided in `decisions`.
"""

from time import monotonic

import psycopg

from pyworker.database.connection import Interrupted, ServerStalled, connect_reader, reason_of
from pyworker.database.gateway import Gateway
from pyworker.database.records import Tick
from pyworker.errors import ConfigError
from pyworker.log import EventLog
from pyworker.supervisor.control import ControlConnection, Options, Refused, open_again, open_first
from pyworker.supervisor.decisions import deadline_after, is_empty
from pyworker.supervisor.drain import Drain
from pyworker.supervisor.duties.maintenance import maintain
from pyworker.supervisor.duties.observe import observe
from pyworker.supervisor.duties.outcomes import take_outcomes
from pyworker.supervisor.duties.owners import (
    log_unknown_owners,
    refresh_owners,
    refuse_unknown_owners,
)
from pyworker.supervisor.duties.sessions import apply_launch_results, launch, note_owners
from pyworker.supervisor.duties.stop import send_stop_signals
from pyworker.supervisor.duties.stuck import watch_stuck
from pyworker.supervisor.exit_codes import Exit
from pyworker.supervisor.failpoint import reach
from pyworker.supervisor.guard import ConnectionLost, Guard
from pyworker.supervisor.life import Life
from pyworker.supervisor.pause import Pause
from pyworker.supervisor.signals import Stopped, WakeupPipe
from pyworker.supervisor.state import State, Upkeep
from pyworker.supervisor.stuck_watch import StuckWatch
from pyworker.supervisor.warnings import warnings_of
from pyworker.supervisor.watchdog import Watchdog

__all__ = ["Supervisor"]

_CLOSE_TIMEOUT = 0.1  # seconds that closing the registration may take
_HANG_MARGIN = 10.0  # seconds beyond the call timeout after which the process itself counts as hung
_LONGEST_RETRY = 5.0  # seconds between two tries of a tick that fails


class _TickFails(Exception):
    """The tick has failed for a whole call timeout, and without it the end that was asked for
    cannot be seen.
    """


class Supervisor:
    """One supervisor, from its start to its end."""

    def __init__(
        self, options: Options, log: EventLog, wakeup: WakeupPipe, life: Life | None = None
    ) -> None:
        """Nothing is connected yet. `life`: what other threads may know."""
        self._life = life or Life(wakeup.poke)
        self._options = options
        self._log = log
        self._wakeup = wakeup
        self._state = State(
            stuck=StuckWatch(options.stuck_after), upkeep=Upkeep(vacuum_jobs=options.vacuum_jobs)
        )
        self._guard = Guard(log, self._state.throttle)
        self._pause = Pause(self._guard, wakeup)
        self._control: ControlConnection | None = None
        self._running = 0
        self._failures = 0  # of the tick, in a row
        self._failing_since = 0.0
        self._ends_since: float | None = None  # while the tick fails: asked to end since then
        self._drain = Drain()
        self._watchdog = Watchdog(options.call_timeout + _HANG_MARGIN, self._life.turns)

    def run(self) -> int:
        """Supervise until told to stop, or until there is nothing left to do; returns the exit
        code.
        """
        begun = monotonic()
        reason, code = "failure", Exit.FAILED
        started = False
        try:
            self._watchdog.feed()
            self._life.waits("it is not reached yet")
            self._use(open_first(self._options, self._wakeup, self._log, self._watchdog.feed))
            started = True
            self._wakeup.drain = self._options.drain
            reason, code = self._serve(), Exit.DONE
        except (Stopped, Interrupted):
            reason, code = self._wakeup.reason, Exit.DONE
        except Refused as error:
            reason, code = error.event, error.exit_code
            self._log.emit(error.event, **error.facts())
        except ConfigError:
            reason, code = "setting", Exit.USAGE
            raise
        except _TickFails:
            pass  # each failure was logged: duty_failed
        except ServerStalled:
            reason, code = "server_stalled", Exit.STALLED
            wait = self._what_it_waits_for()
            self._log.emit(
                "server_stalled",
                duty=self._guard.duty,
                seconds=self._options.call_timeout,
                wait_event=wait,
            )
        finally:
            self._watchdog.stop()
            if self._state.stuck.stuck and code == Exit.DONE:
                code = Exit.STUCK
            if started:
                self._leave(reason, code, begun)
        return code

    def _use(self, control: ControlConnection | None) -> None:
        self._control = control
        self._guard.connection = control.connection if control else None

    def _what_it_waits_for(self) -> str | None:
        """Look, from a second connection, what our process in the server waits for: SyncRep, a
        lock.
        """
        if self._control is None:
            return None
        try:
            with connect_reader(self._options.dsn) as connection:
                connection.call_timeout = 2.0
                return Gateway(connection).wait_of(self._control.connection.pid)
        except (psycopg.Error, ServerStalled):
            return None

    def _leave(self, reason: str, code: Exit, begun: float) -> None:
        drained = self._options.drain and self._wakeup.stops == 1
        self._log.emit("supervisor_stopping", reason=reason, drain=drained, running=self._running)
        if self._control is not None:
            self._control.close(
                call_timeout=_CLOSE_TIMEOUT if code in (Exit.DONE, Exit.STUCK) else None
            )
        self._log.emit(
            "supervisor_stopped", reason=reason, exit_code=int(code), uptime=monotonic() - begun
        )

    def _serve(self) -> str:
        announced = False
        while True:
            control = self._control
            assert control is not None  # noqa: S101  opened before
            try:
                self._refresh_owners(control)
                if not announced:
                    self._log.emit(
                        "supervisor_started",
                        **control.facts(self._options),
                        owners=sorted(self._state.owners.served),
                    )
                    announced = True
                    for risk in warnings_of(control.connection, privileges=control.privileges):
                        self._log.emit("risk", **risk)
                log_unknown_owners(self._state, self._log, monotonic())
                if self._options.until_empty:
                    refuse_unknown_owners(self._state, self._options.owners_from)
                return self._rounds(control)
            except ConnectionLost as lost:
                control.close()
                self._use(None)
                self._pause.start_over()
                self._state.start_over()
                reason = reason_of(lost.__cause__ or lost)
                self._life.waits(reason)
                self._use(
                    open_again(self._options, self._wakeup, self._log, self._watchdog.feed, reason)
                )

    def _rounds(self, control: ControlConnection) -> str:
        while True:
            self._watchdog.feed()
            if self._wakeup.at_once:
                return self._wakeup.reason
            begun = monotonic()
            tick = self._guard.call("tick", control.tick)
            if tick is None:
                control = self._control = self._tick_failed(control)
                self._give_up_on_an_end()
                self._without_tick(control)
                retry = min(1.0 * 2 ** min(self._failures - 1, 3), _LONGEST_RETRY)
                self._pause.wait(control, retry, wake_on_notify=False)
                continue
            self._life.ticked()
            deadline = monotonic() + deadline_after(tick)
            self._failures = 0
            end = self._round(control, tick)
            if end:
                return end
            self._pause.after(control, tick, self._state, begun, deadline)

    def _round(self, control: ControlConnection, tick: Tick) -> str | None:
        """Do what a tick calls for; returns why to end, if so."""
        options, state, log, now = self._options, self._state, self._log, monotonic()
        gateway, launcher = control.gateway, control.launcher
        self._running = tick.running
        draining = self._wakeup.stops > 0
        observe(tick, state, log, now)
        if tick.sessions:
            reach("after_claim")
        if tick.running:
            reach("mid_job")
        if tick.stopping:
            reach("before_signal")
            self._guard.call(
                "send_stop_signals", lambda: send_stop_signals(gateway, control.number, log)
            )
        results = launcher.collect()
        apply_launch_results(results, tick, state, log, now)
        self._guard.call(
            "note_owners", lambda: note_owners(gateway, control.number, results, tick, state)
        )
        if not draining:
            given, user = options.owners, control.user
            self._guard.call(
                "launch",
                lambda: launch(gateway, launcher, tick, state, now, given=given, own_user=user),
            )
        launcher.close_idle(now)
        over = self._over(control, tick, draining=draining)
        if tick.outbox or over:
            reach("after_end")
            self._guard.call(
                "take_outcomes", lambda: take_outcomes(gateway, state, log, now, at_once=bool(over))
            )
        self._guard.call("maintain", lambda: maintain(gateway, state, log, now))
        watch_stuck(tick, state, log, now, given=options.owners)
        return over

    def _over(self, control: ControlConnection, tick: Tick, *, draining: bool) -> str | None:
        if draining:
            done = self._guard.call("drain", lambda: self._drain.over(control.gateway, tick))
            return self._wakeup.reason if done else None
        on_their_way = self._state.launches.pending.total() + len(control.launcher.busy())
        if not self._options.until_empty:
            return None
        if is_empty(tick, served=self._state.owners.served, on_their_way=on_their_way):
            return "empty"
        return "stuck" if self._state.stuck.stuck and not tick.running else None

    def _tick_failed(self, control: ControlConnection) -> ControlConnection:
        """Register anew at the second failure in a row: the database may have forgotten us, if we
        were suspended.
        """
        now = monotonic()
        self._failures += 1
        self._failing_since = now if self._failures == 1 else self._failing_since
        renewed = (
            self._guard.call(
                "register", lambda: control.register(self._options.name, self._options.owners)
            )
            if self._failures == 2
            else None
        )
        if renewed is None:
            return control
        self._log.emit(
            "registration_renewed", supervisor=renewed.number, reason="the tick failed twice"
        )
        self._pause.start_over()
        self._state.owners.unreached = {}  # what the old number said does not count for the new one
        return renewed

    def _give_up_on_an_end(self) -> None:
        """Raise where the process is to end by itself, but cannot see what still runs or waits
        while the tick fails.
        """
        now = monotonic()
        if not (self._wakeup.stops or self._options.until_empty):
            self._ends_since = None
            return
        self._ends_since = self._ends_since or now
        if now - max(self._failing_since, self._ends_since) > self._options.call_timeout:
            raise _TickFails

    def _without_tick(self, control: ControlConnection) -> None:
        """Do what needs no tick; the server answers, so the rest of the work goes on."""
        gateway, state, log, now = control.gateway, self._state, self._log, monotonic()
        self._guard.call(
            "send_stop_signals", lambda: send_stop_signals(gateway, control.number, log)
        )
        self._guard.call(
            "take_outcomes", lambda: take_outcomes(gateway, state, log, now, at_once=False)
        )
        self._guard.call("maintain", lambda: maintain(gateway, state, log, now))

    def _refresh_owners(self, control: ControlConnection) -> None:
        given, state = self._options.owners, self._state
        self._guard.call(
            "owners",
            lambda: refresh_owners(control.gateway, given, control.user, state, monotonic()),
        )

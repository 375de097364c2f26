"""The loop: it times, waits and stops. What is done in a round is in `duties`, what to do is decided in `verdicts`."""

import random
from collections.abc import Callable
from time import monotonic, sleep
from typing import TypeVar

import psycopg

from pyworker.connection import Interrupted, ServerStalled, connect_reader, is_loss, reason_of
from pyworker.errors import ConfigError
from pyworker.gateway import Gateway
from pyworker.log import Sink
from pyworker.records import Tick
from pyworker.supervisor import duties
from pyworker.supervisor.drain import Drain
from pyworker.supervisor.exits import Exit
from pyworker.supervisor.failpoint import reach
from pyworker.supervisor.memory import StuckWatch
from pyworker.supervisor.risks import risks_of
from pyworker.supervisor.session import NotOurs, Options, Session, open_again, open_first
from pyworker.supervisor.signals import Stopped, Wake
from pyworker.supervisor.verdicts import deadline_after, is_empty, pace_after
from pyworker.supervisor.watchdog import Watchdog

__all__ = ["Supervisor"]

T = TypeVar("T")
_FAREWELL = 0.1  # seconds to take leave of the database in
_HANG_MARGIN = 10.0  # seconds beyond the patience after which the process itself counts as hung
_UNREADABLE = (ValueError, TypeError, LookupError, AttributeError, RecursionError)  # of what a job put into its outcome
_BREATH = 0.001  # seconds between a ring and the tick, on average; after the first one there is none
_LONGEST_RETRY = 5.0  # seconds between two tries of a tick that fails
_LULL = 0.05  # the same, after many rings for nothing: any role can ring, as often as it likes


class _Lost(Exception):
    """The connection is gone."""


class _TickFails(Exception):
    """The tick has failed for the whole patience, and the end that was asked for cannot be told without it."""


class Supervisor:
    """One supervisor, from its start to its end."""

    def __init__(self, options: Options, log: Sink, wake: Wake) -> None:
        """Nothing is connected yet."""
        self._options = options
        self._log = log
        self._wake = wake
        self._memory = duties.Memory(stuck=StuckWatch(options.stuck_after), vacuum_jobs=options.vacuum_jobs)
        self._session: Session | None = None
        self._duty = "start"
        self._asleep = False
        self._looks = 0  # ticks since it fell asleep
        self._rings = 0  # in a row, for nothing
        self._running = 0
        self._failures = 0  # of the tick, in a row
        self._failing_since = 0.0
        self._ends_since: float | None = None  # while the tick fails: asked to end since then
        self._drain = Drain()
        self._watchdog = Watchdog(options.patience + _HANG_MARGIN)

    def run(self) -> int:
        """Supervise until told to stop, or until there is nothing left to do; returns the exit code."""
        begun = monotonic()
        reason, code = "failure", Exit.FAILED
        started = False
        try:
            self._watchdog.feed()
            self._session = open_first(self._options, self._wake, self._log, self._watchdog.feed)
            started = True
            self._wake.patient = self._options.drain
            reason, code = self._serve(), Exit.DONE
        except (Stopped, Interrupted):
            reason, code = self._wake.reason, Exit.DONE
        except NotOurs as error:
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
            self._log.emit("server_stalled", duty=self._duty, seconds=self._options.patience, wait_event=wait)
        finally:
            self._watchdog.stop()
            if self._memory.stuck.stuck and code == Exit.DONE:
                code = Exit.STUCK
            if started:
                self._leave(reason, code, begun)
        return code

    def _what_it_waits_for(self) -> str | None:
        """Look, from a second connection, what our process in the server waits for: SyncRep, a lock."""
        if self._session is None:
            return None
        try:
            with connect_reader(self._options.dsn) as line:
                line.patience = 2.0
                return Gateway(line).wait_of(self._session.line.pid)
        except (psycopg.Error, ServerStalled):
            return None

    def _leave(self, reason: str, code: Exit, begun: float) -> None:
        drained = self._options.drain and self._wake.stops == 1
        self._log.emit("supervisor_stopping", reason=reason, drain=drained, running=self._running)
        if self._session is not None:
            self._session.close(patience=_FAREWELL if code in (Exit.DONE, Exit.STUCK) else None)
        self._log.emit("supervisor_stopped", reason=reason, exit_code=int(code), uptime=monotonic() - begun)

    def _serve(self) -> str:
        announced = False
        while True:
            session = self._session
            assert session is not None  # noqa: S101  opened before
            try:
                self._refresh_owners(session)
                if not announced:
                    self._log.emit(
                        "supervisor_started", **session.facts(self._options), owners=sorted(self._memory.served)
                    )
                    announced = True
                    for risk in risks_of(session.line, powers=session.powers):
                        self._log.emit("risk", **risk)
                duties.tell_strangers(self._memory, self._log, monotonic())
                if self._options.until_empty:
                    duties.refuse_strangers(self._memory)
                return self._rounds(session)
            except _Lost as lost:
                session.close()
                self._session = None
                self._asleep = False
                self._memory.start_over()
                reason = reason_of(lost.__cause__ or lost)
                self._session = open_again(self._options, self._wake, self._log, self._watchdog.feed, reason)

    def _rounds(self, session: Session) -> str:
        while True:
            self._watchdog.feed()
            if self._wake.at_once:
                return self._wake.reason
            begun = monotonic()
            tick = self._guarded("tick", session.tick)
            if tick is None:
                session = self._session = self._tick_failed(session)
                self._give_up_on_an_end()
                self._without_tick(session)
                self._wait(session, min(1.0 * 2 ** min(self._failures - 1, 3), _LONGEST_RETRY), heed=False)
                continue
            deadline = monotonic() + deadline_after(tick)
            self._failures = 0
            end = self._round(session, tick)
            if end:
                return end
            self._rest(session, tick, begun, deadline)

    def _round(self, session: Session, tick: Tick) -> str | None:
        """Do what a tick calls for; returns why to end, if so."""
        options, memory, log, now = self._options, self._memory, self._log, monotonic()
        gateway, launcher = session.gateway, session.launcher
        self._running = tick.running
        draining = self._wake.stops > 0
        duties.observe(tick, memory, log, now)
        if tick.sessions:
            reach("after_claim")
        if tick.running:
            reach("mid_job")
        if tick.stopping:
            reach("before_signal")
            self._guarded("press", lambda: duties.press(gateway, session.number, log))
        results = launcher.collect()
        duties.settle(results, tick, memory, log, now)
        self._guarded("note_owners", lambda: duties.note_owners(gateway, session.number, results, tick, memory))
        if not draining:
            given, user = options.owners, session.user
            self._guarded(
                "launch", lambda: duties.launch(gateway, launcher, tick, memory, now, given=given, own_user=user)
            )
        launcher.close_idle(now)
        over = self._over(session, tick, draining=draining)
        if tick.feed or over:
            reach("after_end")
            self._guarded("take_outcomes", lambda: duties.take_outcomes(gateway, memory, log, now, at_once=bool(over)))
        self._guarded("maintain", lambda: duties.maintain(gateway, memory, log, now))
        duties.watch_stuck(tick, memory, log, now, given=options.owners)
        return over

    def _over(self, session: Session, tick: Tick, *, draining: bool) -> str | None:
        if draining:
            done = self._guarded("drain", lambda: self._drain.over(session.gateway, tick))
            return self._wake.reason if done else None
        on_their_way = self._memory.unseen.total() + len(session.launcher.busy())
        if not self._options.until_empty:
            return None
        if is_empty(tick, served=self._memory.served, on_their_way=on_their_way):
            return "empty"
        return "stuck" if self._memory.stuck.stuck and not tick.running else None
        return None

    def _rest(self, session: Session, tick: Tick, begun: float, deadline: float) -> None:
        """Wait until the next tick is due, or something happens."""
        memory = self._memory
        on_their_way = memory.unseen.total() + len(session.launcher.busy())
        wanting = any(demand.wanted > demand.live for demand in tick.owners if demand.owner in memory.served)
        jitter = random.uniform(0.8, 1.2)  # noqa: S311  no secret
        self._looks = self._looks + 1 if self._asleep else 0
        pace = pace_after(tick, on_their_way=on_their_way, blocked=wanting, jitter=jitter, looks=self._looks)
        if not pace.idle:
            self._rings = 0
        if pace.idle != self._asleep:
            rings = self._guarded("sleep", lambda: session.gateway.supervisor_sleep(session.number, asleep=pace.idle))
            self._asleep = pace.idle
            if rings and pace.idle:
                return
        until = min(begun + pace.seconds, deadline, session.launcher.closes_at())
        self._wait(session, until - monotonic(), heed=pace.idle)

    def _wait(self, session: Session, seconds: float, *, heed: bool) -> None:
        """Wait that long, until a signal, a launch that ended or, where that is heeded, an enqueuer's ring."""
        self._duty = "wait"
        until = monotonic() + seconds
        try:
            while True:
                if session.gateway.receive():
                    most = 2 * min(_BREATH * 2.0 ** min(self._rings, 10), _LULL) if self._rings else 0.0
                    breath = random.uniform(0, most)  # noqa: S311  so that many do not tick as one
                    self._rings += 1
                    if heed:
                        self._wake.wait(breath)
                        return
                    sleep(max(0.0, min(breath, until - monotonic())))  # what pokes meanwhile ends the wait below
                left = until - monotonic()
                if left <= 0 or not self._wake.wait(left, session.line.fileno()):
                    self._rings = 0
                    return
        except psycopg.Error as error:
            raise _Lost from error

    def _guarded(self, duty: str, work: Callable[[], T]) -> T | None:
        """Do one call. A lost connection ends the round; any other error is told, and costs no other duty anything."""
        self._duty = duty
        session = self._session
        try:
            return work()
        except psycopg.Error as error:
            if is_loss(session.line if session else None, error):
                raise _Lost from error
            self._tell_failed(duty, error, error.sqlstate, error.diag.message_hint)
        except _UNREADABLE as error:
            self._tell_failed(duty, error, None, "The database gave an answer that this version cannot read.")
        return None

    def _tell_failed(self, duty: str, error: Exception, sqlstate: str | None, hint: str | None) -> None:
        suppressed = self._memory.throttle.allow(f"duty {duty} {sqlstate}", monotonic())
        if suppressed is not None:
            self._log.emit(
                "duty_failed", duty=duty, sqlstate=sqlstate, message=reason_of(error), hint=hint, suppressed=suppressed
            )

    def _tick_failed(self, session: Session) -> Session:
        """Register anew at the second failure in a row: the database may have forgotten us, if we were suspended."""
        now = monotonic()
        self._failures += 1
        self._failing_since = now if self._failures == 1 else self._failing_since
        renewed = (
            self._guarded("register", lambda: session.register(self._options.name, self._options.owners))
            if self._failures == 2
            else None
        )
        if renewed is None:
            return session
        self._log.emit("registration_renewed", supervisor=renewed.number, reason="the tick failed twice")
        self._asleep = False
        self._memory.unreached = {}  # what the old number said does not count for the new one
        return renewed

    def _give_up_on_an_end(self) -> None:
        """Raise where the process is to end by itself, but cannot see what still runs or waits while the tick fails."""
        now = monotonic()
        if not (self._wake.stops or self._options.until_empty):
            self._ends_since = None
            return
        self._ends_since = self._ends_since or now
        if now - max(self._failing_since, self._ends_since) > self._options.patience:
            raise _TickFails

    def _without_tick(self, session: Session) -> None:
        """Do what needs no tick; the server answers, so the rest of the work goes on."""
        gateway, memory, log, now = session.gateway, self._memory, self._log, monotonic()
        self._guarded("press", lambda: duties.press(gateway, session.number, log))
        self._guarded("take_outcomes", lambda: duties.take_outcomes(gateway, memory, log, now, at_once=False))
        self._guarded("maintain", lambda: duties.maintain(gateway, memory, log, now))

    def _refresh_owners(self, session: Session) -> None:
        given, memory = self._options.owners, self._memory
        self._guarded(
            "owners", lambda: duties.refresh_owners(session.gateway, given, session.user, memory, monotonic())
        )

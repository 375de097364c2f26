"""The supervisor's own connection: opened, registered, lost and found again."""

import contextlib
import os
import socket
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from datetime import timedelta
from time import monotonic

import psycopg
from tenacity import Retrying, retry_if_exception_type, wait_exponential, wait_random

from pyworker import __version__
from pyworker.database.connection import (
    DeadlineConnection,
    ServerStalled,
    connect_control,
    is_standby,
    reason_of,
)
from pyworker.database.gateway import Gateway
from pyworker.database.records import Tick
from pyworker.errors import ConfigError, convert_database_errors
from pyworker.log import EventLog
from pyworker.schema.files import read_version
from pyworker.supervisor.exit_codes import Exit
from pyworker.supervisor.launcher import Launcher
from pyworker.supervisor.outage import Reasons
from pyworker.supervisor.session_limit import SessionLimit, processors_of
from pyworker.supervisor.signals import WakeupPipe
from pyworker.supervisor.warnings import described

__all__ = [
    "LONGEST_PAUSE",
    "ControlConnection",
    "Options",
    "Refused",
    "open_again",
    "open_first",
]

_FIRST_PAUSE = 0.1
LONGEST_PAUSE = 1.0  # between two tries to reach a server that is lost
_CLOSED = "42501"  # not permitted
_COPY = "PW060"  # a copy of another installation
_MISMATCH = {
    "3F000",  # no schema
    "42883",  # no such function
    "42P01",  # no such table
}
_OUR_MISMATCH = ("PW053", "PW09")
#: What a refusal is called in the log, what the process leaves with, and what helps where the
#: database says nothing.
_REFUSALS: dict[str, tuple[str, Exit, str]] = {
    _CLOSED: (
        "role_refused",
        Exit.CLOSED,
        (
            "Run `pyworker check`; the role that runs the daemon has to be a member of "
            "jobs_supervisor."
        ),
    ),
    _COPY: (
        "database_is_copy",
        Exit.COPY,
        "Where this is the installation now, an operator runs: select jobs.reconcile();",
    ),
}
_MISMATCH_REFUSAL = (
    "schema_mismatch",
    Exit.SCHEMA,
    (
        "Run `pyworker upgrade`, or `pyworker install` where there is none; `pyworker check` tells "
        "what is missing."
    ),
)


@dataclass(frozen=True, kw_only=True)
class Options:
    """How one supervisor is to run."""

    dsn: str = field(repr=False)  # it may hold a password
    name: str
    owners: tuple[str, ...] = ()
    owners_from: str = "--owner"  # where a person corrects them
    drain: bool = False
    until_empty: bool = False
    wait: bool = False
    linger: float = 5.0
    call_timeout: float = 30.0
    stuck_after: float = 30.0
    vacuum_jobs: int = 40_000
    processors: int | None = None  # of the server; None: this machine's, where it is here
    allow_superuser: bool = False


class Refused(Exception):
    """The database does not serve it: another schema, no right, or a copy; the cause says how."""

    def __init__(self, role: str, sqlstate: str | None) -> None:
        """`role`: who asked; `sqlstate`: the refusal's."""
        super().__init__(role)
        self._role = role
        self.event, self.exit_code, self._remedy = _REFUSALS.get(sqlstate or "", _MISMATCH_REFUSAL)

    def facts(self) -> dict[str, object]:
        """Tell how, for the log."""
        cause = self.__cause__
        diagnostic = cause.diag if isinstance(cause, psycopg.Error) else None
        state = diagnostic.sqlstate if diagnostic else None
        about, hint = "", diagnostic.message_hint if diagnostic else None
        if self.exit_code == Exit.CLOSED:
            about = f"the role {self._role} may not use it: "
        elif state in _MISMATCH:  # the server's own hint is about the call
            about, hint = "the schema is missing, or is not the one of this program: ", None
        return {
            "sqlstate": state,
            "message": about + reason_of(cause or self),
            "hint": hint or self._remedy,
        }


@dataclass(frozen=True, kw_only=True)
class ControlConnection:
    """The supervisor's own connection, and what was registered through it."""

    connection: DeadlineConnection
    gateway: Gateway
    launcher: Launcher
    limit: SessionLimit
    number: int
    privileges: str | None = None  # what its login has that no supervisor needs

    @property
    def user(self) -> str:
        """The role that the supervisor itself is."""
        return self.connection.info.user

    def facts(self, options: Options) -> dict[str, object]:
        """Tell who supervises what, for the log."""
        return {
            "supervisor": self.number,
            "name": options.name,
            "version": __version__,
            "pid": os.getpid(),
            "host": socket.gethostname(),
            "user": self.user,
            "database": self.connection.info.dbname,
            "server_version": self.connection.info.parameter_status("server_version"),
        }

    def tick(self) -> Tick:
        """Dispatch, rescue, and see how things stand. A schema without it was upgraded under us."""
        try:
            tick = self.gateway.supervisor_tick(self.number)
        except psycopg.Error as error:
            if error.sqlstate in _MISMATCH:
                raise Refused(self.user, error.sqlstate) from error
            raise
        return replace(tick, owners=self.limit.apply(tick.owners, monotonic()))

    def register(self, name: str, owners: Sequence[str] = ()) -> "ControlConnection":
        """Register once more, where the database has forgotten this supervisor."""
        number = _register(self.gateway, self.user, name, owners)
        return replace(self, number=number)

    def close(self, *, call_timeout: float | None = None) -> None:
        """Give everything back; with `call_timeout`, take the registration back first, within that
        time.
        """
        if call_timeout is not None and not self.connection.closed:
            self.connection.call_timeout = call_timeout
            self.connection.interrupted = lambda: False
            # Where this fails, the database notices by itself that the connection is gone.
            with contextlib.suppress(psycopg.Error, ServerStalled):
                self.gateway.supervisor_close(self.number)
        self.launcher.close()
        self.connection.close()


@contextlib.contextmanager
def _refusals(role: str) -> Iterator[None]:
    """Tell a database that does not serve this supervisor from a call that failed."""
    try:
        yield
    except psycopg.Error as error:
        state = error.sqlstate or ""
        if state in _MISMATCH or state in _REFUSALS or state.startswith(_OUR_MISMATCH):
            raise Refused(role, state) from error
        raise


def _register(gateway: Gateway, role: str, name: str, owners: Sequence[str]) -> int:
    with _refusals(role):
        gateway.assert_program_fits(read_version())
        number = gateway.supervisor_open(name, socket.gethostname(), os.getpid(), __version__)
        if owners:  # jobs of all others are told that they wait for another supervisor
            gateway.supervisor_serves(number, owners)
    return number


def _privileges(gateway: Gateway, user: str, options: Options) -> str | None:
    """Look before anything is written: what the daemon reads comes from others, and a superuser's
    mistake is total.
    """
    privileges = gateway.login_privileges()
    if privileges and not options.allow_superuser:
        raise ConfigError(
            f'the login "{user}" {described(privileges)}, and the supervisor needs none',
            detail=(
                "A person who gets hold of the daemon, or of its DSN, could do everything in the "
                "server and on its host."
            )
            if "SUPERUSER" in privileges
            else "A person who gets hold of the daemon, or of its DSN, has that power.",
            hint=(
                "Use a role with LOGIN that is a member of jobs_supervisor. --allow-superuser "
                "runs it all the same."
            ),
        )
    return privileges


def _open(options: Options, wakeup: WakeupPipe) -> ControlConnection:
    connection = wakeup.call(lambda: connect_control(options.dsn, options.call_timeout))
    try:
        connection.call_timeout = options.call_timeout
        connection.interrupted = lambda: wakeup.at_once
        gateway = Gateway(connection)
        privileges = _privileges(gateway, connection.info.user, options)
        number = _register(gateway, connection.info.user, options.name, options.owners)
        gateway.listen()
    except BaseException:
        connection.close()
        raise
    launcher = Launcher(
        options.dsn,
        connection.info.user,
        linger=timedelta(seconds=0 if options.until_empty else options.linger),
        call_timeout=options.call_timeout,
        done=wakeup.poke,
    )
    return ControlConnection(
        connection=connection,
        gateway=gateway,
        launcher=launcher,
        limit=SessionLimit(processors_of(connection.info.host, options.processors)),
        number=number,
        privileges=privileges,
    )


def open_first(
    options: Options, wakeup: WakeupPipe, log: EventLog, feed: Callable[[], None]
) -> ControlConnection:
    """Connect at the start. No server is an error, unless it is to be waited for; a standby waits,
    and so does a lock on our tables.
    """
    try:
        return _open(options, wakeup)
    except psycopg.Error as error:
        if isinstance(error, psycopg.errors.LockNotAvailable):
            return open_again(options, wakeup, log, feed, reason_of(error), "registration_waits")
        if not (options.wait or is_standby(error)):
            with convert_database_errors():
                raise
        return open_again(options, wakeup, log, feed, reason_of(error))


def open_again(
    options: Options,
    wakeup: WakeupPipe,
    log: EventLog,
    feed: Callable[[], None],
    reason: str,
    event: str = "server_lost",
) -> ControlConnection:
    """Say once what is lost, and each reason that keeps it away; try until it is back."""
    lost_at = monotonic()
    log.emit(event, reason=reason)
    reasons = Reasons(log, reason)
    for attempt in Retrying(
        retry=retry_if_exception_type((psycopg.Error, ServerStalled)),
        wait=wait_exponential(multiplier=_FIRST_PAUSE, max=LONGEST_PAUSE)
        + wait_random(0, _FIRST_PAUSE),
        sleep=wakeup.pause,
        before=lambda _state: feed(),
        before_sleep=lambda state: reasons.note(
            state.outcome.exception() if state.outcome else None
        ),
        reraise=True,
    ):
        with attempt:
            control = _open(options, wakeup)
    log.emit("server_back", outage=monotonic() - lost_at, supervisor=control.number)
    return control

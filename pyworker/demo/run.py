"""The demo from its start to its end."""

from contextlib import ExitStack
from functools import partial
from time import monotonic, sleep
from typing import Any

import psycopg
from psycopg import sql

from pyworker.config import Settings
from pyworker.demo.checks import Check, check_database, print_checks
from pyworker.demo.daemon import Daemon, count_outcomes
from pyworker.demo.data import NOUNS, data_directory, load
from pyworker.demo.order import Order
from pyworker.demo.place import DATABASE, Place, open_place
from pyworker.demo.screen import Screen
from pyworker.demo.stages import Stages
from pyworker.demo.statements import read_file, read_statements
from pyworker.errors import convert_database_errors
from pyworker.schema import apply_schema

__all__ = ["run_demo"]

_SETTLE = 10.0  # seconds that sessions may take to end, and outcomes to reach the log


def run_demo(settings: Settings) -> bool:
    """Run it; returns whether everything was exactly right."""
    begun = monotonic()
    screen = Screen()
    directory = data_directory()
    screen.line(
        "pyworker demo: every flight that left New York in 2013, and the jobs that work on them",
        "bold",
    )
    screen.line()
    with convert_database_errors(), ExitStack() as stack:
        with screen.step("server", "starting the server") as step:
            place = stack.enter_context(open_place(settings, step.progress))
            step.result = place.server
        admin = stack.enter_context(psycopg.connect(place.admin, autocommit=True))
        with screen.step("database", "installing the schema") as step:
            step.result = _install(admin, place)
        connect = partial(
            psycopg.connect, place.app, autocommit=True, application_name="pyworker demo"
        )
        app = stack.enter_context(connect())
        with screen.step("data", "loading the data") as step:
            app.execute(read_file("tables.sql").encode())
            app.execute(read_file("functions.sql").encode())
            rows = load(app, directory, step.progress)
            app.execute(read_file("filled.sql").encode())
            step.result = ", ".join(
                f"{count:,} {NOUNS.get(table, table)}" for table, count in reversed(rows.items())
            )
        daemon = Daemon(place.supervisor, place.app_role, place.log, place.environment)
        with screen.step("supervisor", "starting the supervisor") as step:
            stack.enter_context(daemon)
            step.result = (
                f'process {daemon.pid}, as "{place.supervisor_role}", for the jobs of '
                f'"{place.app_role}"'
            )
        seen = Stages(app, screen, connect, daemon).run()
        seen += Order(app, admin, screen, daemon.assert_alive).run()
        right = _finish(app, screen, daemon, seen)
        stack.close()
        screen.line()
        screen.line(
            f"{'Everything is exactly right' if right else 'Something is WRONG'}, "
            f"after {monotonic() - begun:.1f} s. Nothing is left running that was not before.",
            "bold",
        )
        screen.line(
            f"Look at it yourself: {place.afterwards}    (\\dv+ jobs.* and \\df+ jobs.* are "
            f"the manual)"
        )
    return right


def _install(admin: psycopg.Connection[Any], place: Place) -> str:
    apply_schema(place.admin, "install")
    roles = {
        "app": sql.Identifier(place.app_role),
        "supervisor": sql.Identifier(place.supervisor_role),
    }
    for statement in read_file("roles.sql").encode().split(b";\n"):
        admin.execute(sql.SQL(statement.decode()).format(**roles))
    row = admin.execute(
        "select extversion from pg_extension where extname = 'pg_background'"
    ).fetchone()
    version = admin.info.parameter_status("server_version")
    return (
        f"{DATABASE}, made anew in PostgreSQL {version}, with pg_background "
        f"{row[0] if row else '?'}"
    )


def _finish(
    app: psycopg.Connection[Any], screen: Screen, daemon: Daemon, seen: list[Check]
) -> bool:
    """Wait until all is quiet, show the views, stop the supervisor, and check."""
    watching = read_statements("watch.sql")

    def sessions() -> int:
        row = app.execute(watching["sessions"].encode()).fetchone()
        return int(row[0]) if row else 0

    def outcomes() -> dict[str, int]:
        return {
            str(outcome): int(count)
            for outcome, count in app.execute(watching["outcomes"].encode()).fetchall()
        }

    def logged() -> tuple[dict[str, int], int]:
        counts = count_outcomes(daemon.lines())
        interrupted = counts.pop("interrupted", 0)  # not charged, so no attempt of jobs.attempts
        return counts, interrupted

    with screen.quietly("waiting for the worker sessions to end"):
        until = monotonic() + _SETTLE
        while monotonic() < until and (sessions() or logged()[0] != outcomes()):
            sleep(0.05)
    for statement in read_statements("views.sql").values():
        cursor = app.execute(statement.encode())
        screen.table(
            statement, [column.name for column in cursor.description or ()], cursor.fetchall()
        )
    with screen.quietly("stopping the supervisor and checking"):
        code = daemon.stop()
        counts, interrupted = logged()
        stored = outcomes()
        checks = check_database(app)
    return print_checks(
        screen,
        [
            *checks,
            *seen,
            Check(
                name="outcomes in the supervisor's log, as in jobs.attempts",
                found=_tell(counts),
                expected=_tell(stored),
            ),
            Check(
                name="attempts in that log that were interrupted, and not charged",
                found=str(interrupted),
                expected="2",
            ),
            Check(name="exit code of the supervisor after SIGTERM", found=str(code), expected="0"),
        ],
    )


def _tell(counts: dict[str, int]) -> str:
    return ", ".join(f"{outcome} {count}" for outcome, count in sorted(counts.items()))

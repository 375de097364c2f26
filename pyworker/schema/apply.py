"""Installs and upgrades: executes the steps of `script.plan` in one transaction.

The installer is the one part of pyworker that knows the tables of `jobs_internal`: it makes them.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import psycopg
from psycopg import Connection
from psycopg.conninfo import conninfo_to_dict, make_conninfo
from psycopg.errors import Diagnostic
from psycopg.rows import TupleRow

from pyworker.database.connection import with_settings
from pyworker.errors import SchemaError, convert_database_errors
from pyworker.schema.files import read_source
from pyworker.schema.script import BRING_PGMQ, FRESH, Command, Step, When, plan
from pyworker.schema.sessions import sessions_sent_home

__all__ = ["Applied", "Warned", "apply_schema", "connect", "locate"]

#: Two databases of one cluster that install at once meet in the roles, which belong to both; the
#: loser tries again.
_ROLE_RACES = ("XX000", "23505", "42710")
_DEADLOCK = "40P01"
_TRIES = 8
_HINTS = {
    "55P03": "A session holds a lock that this needs. Pause the queues with jobs.pause(), see "
    "pg_stat_activity for old transactions, then run this again. Nothing was changed.",
    "2BP01": "An object of yours needs one of pyworker's that changes. Drop it, run this again, "
    "then make it anew. Nothing was changed.",
}


# Said while connecting, because a timeout that a role brings along counts from its first statement.
_SETTINGS = (
    "statement_timeout=0",
    "idle_in_transaction_session_timeout=0",
    "default_transaction_isolation=read committed",
    "default_transaction_read_only=off",
    "client_min_messages=warning",
)


@dataclass(frozen=True, kw_only=True)
class Warned:
    """A warning of the server."""

    message: str
    detail: str | None
    hint: str | None

    def __str__(self) -> str:
        """Render it as errors are."""
        more = [("DETAIL", self.detail), ("HINT", self.hint)]
        return "\n".join(
            [f"warning: {self.message}", *(f"{name}: {text}" for name, text in more if text)]
        )


@dataclass(frozen=True, kw_only=True)
class Applied:
    """What an install or upgrade found and did."""

    database: str
    before: int | None
    after: int
    migrations: tuple[str, ...]
    pgmq: bool
    warnings: tuple[Warned, ...]

    @property
    def fresh(self) -> bool:
        """Tell whether nothing was installed before."""
        return self.before is None


def connect(dsn: str) -> Connection[TupleRow]:
    """Connect for reading and changing the schema, whatever the role's defaults are."""
    given = conninfo_to_dict(dsn)
    options = given.get("options")
    ours: dict[str, str | int | None] = {
        "application_name": "pyworker schema",
        "connect_timeout": 10,
        "options": with_settings(None if options is None else str(options), _SETTINGS),
    }
    return psycopg.connect(make_conninfo("", **{**given, **ours}), autocommit=True)


def _execute(connection: Connection[TupleRow], step: Step) -> None:
    try:
        # Bytes, and no parameters: the text goes to the server as it is, any number of statements
        # at once.
        connection.execute(step.text.encode())
    except psycopg.Error as error:
        raise locate(error, step.text, step.where) from error


def locate(error: psycopg.Error, text: str, where: str) -> SchemaError:
    """Make our error of the server's, with the file and line where the server says them."""
    said = error.diag
    detail, hint, state = said.message_detail, said.message_hint, error.sqlstate
    if not (state or "").startswith("PW"):
        line = ""
        if said.statement_position:
            line = f", line {text.count(chr(10), 0, int(said.statement_position) - 1) + 1}"
        detail = " ".join(filter(None, [detail, f"In {where}{line}; SQLSTATE {state}."]))
        hint = _HINTS.get(state or "", hint or "Nothing was changed.")
    return SchemaError(said.message_primary or str(error), detail=detail, hint=hint, sqlstate=state)


def _truth(connection: Connection[TupleRow], query: str) -> bool:
    row = connection.execute(query.encode()).fetchone()
    return bool(row and row[0])


def _versions(connection: Connection[TupleRow]) -> set[int]:
    return {
        row[0] for row in connection.execute("select version from jobs_internal.schema_migration")
    }


def _apply_once(connection: Connection[TupleRow], steps: list[Step], after: int) -> Applied:
    warnings: list[Warned] = []
    done: list[str] = []
    have: set[int] = set()
    fresh = pgmq = False

    def note(said: Diagnostic) -> None:
        if said.severity_nonlocalized == "WARNING":
            warnings.append(
                Warned(
                    message=said.message_primary or "",
                    detail=said.message_detail,
                    hint=said.message_hint,
                )
            )

    connection.add_notice_handler(note)
    try:
        with connection.transaction():
            for step in steps:
                if step.when is When.PGMQ:
                    pgmq = _truth(connection, BRING_PGMQ)
                wanted = {
                    When.ALWAYS: True,
                    When.FRESH: fresh,
                    When.PENDING: not fresh and step.version not in have,
                    When.PGMQ: pgmq,
                }[step.when]
                if wanted:
                    _execute(connection, step)
                    if step.when is When.PENDING and step.file:
                        done.append(step.file.path)
                if step.locks:
                    fresh = _truth(connection, FRESH)
                if step.records and not fresh:
                    have = _versions(connection)
    finally:
        connection.remove_notice_handler(note)
    return Applied(
        database=connection.info.dbname,
        before=max(have, default=None),
        after=after,
        migrations=tuple(done),
        pgmq=pgmq,
        warnings=tuple(warnings),
    )


def _silent(_line: str) -> None:
    pass


def apply_schema(
    dsn: str,
    command: Command,
    root: Path | None = None,
    *,
    wait: float = 60.0,
    tell: Callable[[str], None] = _silent,
) -> Applied:
    """Install or upgrade; all of it happens, or nothing.

    Where an upgrade changes tables, worker sessions leave first: `wait` is how many seconds they
    have for the jobs that they run, `tell` hears of it.
    """
    source = read_source(root)
    steps = plan(source, command)
    with (
        convert_database_errors(),
        connect(dsn) as connection,
        sessions_sent_home(connection, source.version if command == "upgrade" else 0, wait, tell),
    ):
        for tried in range(1, _TRIES + 1):
            try:
                return _apply_once(connection, steps, source.version)
            except SchemaError as error:
                roles = "setup/roles" in (error.detail or "") and error.sqlstate in _ROLE_RACES
                # A worker session that began meanwhile waits for a table, and we for one of its.
                if tried == _TRIES or not (roles or error.sqlstate == _DEADLOCK):
                    raise
                time.sleep(0.1 * tried)
        raise AssertionError("unreachable")

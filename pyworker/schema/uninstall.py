"""Uninstalls: says what would go, then runs sql/uninstall.sql in one transaction."""

from dataclasses import dataclass
from pathlib import Path
from typing import LiteralString

from psycopg import Connection, Error
from psycopg.errors import Diagnostic, InsufficientPrivilege
from psycopg.rows import TupleRow

from pyworker.errors import SchemaError, convert_database_errors
from pyworker.schema.apply import connect, locate
from pyworker.schema.files import read_source

_ROLES = [
    "jobs_owner",
    "jobs_producer",
    "jobs_runner",
    "jobs_operator",
    "jobs_reader",
    "jobs_supervisor",
]

__all__ = ["Removal", "Removed", "drop_schema", "look", "uninstall_script"]


@dataclass(frozen=True, kw_only=True)
class Removal:
    """What an uninstall would drop."""

    database: str
    schemas: tuple[str, ...]
    unfinished: int
    finished: int
    sessions: int
    queues: int
    roles: tuple[str, ...]
    members: tuple[str, ...]
    elsewhere: tuple[str, ...]

    @property
    def nothing(self) -> bool:
        """Tell whether there is nothing to drop."""
        return not self.schemas and not self.queues

    def __str__(self) -> str:
        """List it for people."""
        lines = [
            f'From database "{self.database}" would be dropped:',
            f"  schemas: {', '.join(self.schemas) or 'none'}",
            (
                f"  jobs: {self.unfinished} unfinished, {self.finished} finished, with arguments, "
                f"results and history"
            ),
            f"  pgmq queues: {self.queues}, named pyworker_*",
        ]
        if self.elsewhere:
            lines.append(
                f"  no roles: these databases use pyworker too: {', '.join(self.elsewhere)}"
            )
        else:
            lines.append(f"  roles, where they have no members: {', '.join(self.roles) or 'none'}")
        if self.members:
            loss = "keep what they grant there" if self.elsewhere else "lose what they grant"
            lines.append(f"  members of these roles, who {loss}: {', '.join(self.members)}")
        if self.sessions:
            lines.append(f"  worker sessions at work now: {self.sessions}; they end")
        return "\n".join([*lines, "The extensions pg_background and pgmq stay."])


@dataclass(frozen=True, kw_only=True)
class Removed:
    """What an uninstall said while it worked."""

    notices: tuple[str, ...]
    kept: tuple[str, ...]


def _count(connection: Connection[TupleRow], relation: LiteralString, query: LiteralString) -> int:
    try:
        there = connection.execute(
            "select pg_catalog.to_regclass(%s) is not null", [relation]
        ).fetchone()
        if not there or not there[0]:
            return 0
        row = connection.execute(query).fetchone()
    except InsufficientPrivilege as error:
        raise SchemaError(
            f'role "{connection.info.user}" may not uninstall pyworker',
            detail=error.diag.message_primary,
            hint="Connect as a superuser, or as a role that is a member of jobs_owner.",
            sqlstate=error.sqlstate,
        ) from error
    return int(row[0]) if row else 0


def _names(
    connection: Connection[TupleRow], query: LiteralString, *values: list[str]
) -> tuple[str, ...]:
    return tuple(row[0] for row in connection.execute(query, values or None))


def look(dsn: str) -> Removal:
    """Find out what would be dropped; nothing is changed."""
    with convert_database_errors(), connect(dsn) as connection:
        return Removal(
            database=connection.info.dbname,
            schemas=_names(
                connection,
                (
                    "select nspname from pg_catalog.pg_namespace"
                    " where nspname in ('jobs', 'jobs_internal') order by 1"
                ),
            ),
            unfinished=_count(
                connection, "jobs_internal.job", "select count(*) from jobs_internal.job"
            ),
            finished=_count(
                connection, "jobs_internal.finished", "select count(*) from jobs_internal.finished"
            ),
            sessions=_count(connection, "jobs.sessions", "select count(*) from jobs.sessions"),
            queues=_count(
                connection,
                "pgmq.meta",
                "select count(*) from pgmq.meta where queue_name like 'pyworker\\_%'",
            ),
            roles=_names(
                connection,
                "select rolname from pg_catalog.pg_roles where rolname = any (%s) order by 1",
                _ROLES,
            ),
            members=_names(
                connection,
                "select distinct m.member::regrole::text from pg_catalog.pg_auth_members m"
                " join pg_catalog.pg_roles r on r.oid = m.roleid"
                " where r.rolname = any (%s) and m.member::regrole::text <> all (%s) order by 1",
                _ROLES,
                [*_ROLES, connection.info.user],
            ),
            elsewhere=_names(
                connection,
                "select distinct b.datname::text from pg_catalog.pg_shdepend s"
                " join pg_catalog.pg_database b on b.oid = s.dbid"
                " where s.refclassid = 'pg_catalog.pg_authid'::regclass and s.deptype = 'o'"
                " and s.refobjid = pg_catalog.to_regrole('jobs_owner')"
                " and b.datname <> pg_catalog.current_database()"
                " order by 1",
            ),
        )


def uninstall_script(*, cascade: bool = False, root: Path | None = None) -> str:
    """Write what an uninstall runs, for psql."""
    along = "set local pyworker.cascade = 'on';\n" if cascade else ""
    return f"\\set ON_ERROR_STOP on\nbegin;\n{along}{read_source(root).uninstall.text}commit;\n"


def drop_schema(dsn: str, *, cascade: bool = False, root: Path | None = None) -> Removed:
    """Drop it all, or nothing."""
    text = read_source(root).uninstall.text
    notices: list[str] = []
    kept: list[str] = []

    def note(said: Diagnostic) -> None:
        wanted = {"NOTICE": notices, "WARNING": kept}.get(said.severity_nonlocalized or "")
        if wanted is not None and said.message_primary:
            wanted.append(said.message_primary)

    with convert_database_errors(), connect(dsn) as connection:
        connection.add_notice_handler(note)
        try:
            with connection.transaction():
                if cascade:
                    connection.execute("set local pyworker.cascade = 'on'")
                connection.execute(text.encode())
        except Error as error:
            if error.sqlstate == "55P03":
                raise SchemaError(
                    "another session is still working with pyworker's tables",
                    detail="A lock could not be had in 10 s. Nothing was changed.",
                    hint=(
                        "Stop the supervisors, run jobs.pause(), wait for the running jobs, "
                        "then try again."
                    ),
                    sqlstate=error.sqlstate,
                ) from error
            raise locate(error, text, "sql/uninstall.sql") from error
    return Removed(notices=tuple(notices), kept=tuple(kept))

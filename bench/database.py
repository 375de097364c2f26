"""Where the measurements run: databases of their own, with an ordinary role that enqueues and runs
the jobs.
"""

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psycopg
from psycopg import Connection, sql

from pyworker.schema import apply_schema
from pyworker.server import PrivateServer

__all__ = ["APPLICATION", "Database", "drop_leftovers", "make_database", "operator", "tenant"]

Row = tuple[Any, ...]
PREFIX = "pyworker_bench_"
APPLICATION = "pyworker bench"  #: application_name of our own connections
_STAGE = Path(__file__).with_name("stage.sql")
#: What a drain leaves: emptied between measurements, so that none pays for the one before it.
_LEFT = """
select format('%I.%I', n.nspname, c.relname)
from pg_class as c join pg_namespace as n on n.oid = c.relnamespace
where c.relkind in ('r', 'p') and not c.relispartition and (
  n.nspname = 'jobs_internal'
    and c.relname in ('job', 'finished', 'attempt', 'log_line', 'statement', 'outbox',
      'stop_request', 'queue_minute_stats', 'progress_message')
  or n.nspname = 'pgmq' and c.relname like 'q\\_pyworker\\_%')
"""


class Database:
    """One database with pyworker in it, on the server of the run."""

    def __init__(self, server: PrivateServer, name: str) -> None:
        """Speak of a database that is there."""
        self.server = server
        self.name = name
        self._admin: Connection[Row] | None = None

    def dsn(self, role: str = "app") -> str:
        """Return the DSN of the database for a role."""
        return self.server.dsn(role, self.name)

    def connect(self, role: str = "app", **options: Any) -> Connection[Row]:
        """Connect, each statement a transaction of its own."""
        return psycopg.connect(
            self.dsn(role), autocommit=True, application_name=APPLICATION, **options
        )

    def rows(self, query: str, arguments: Sequence[Any] | None = None) -> list[Row]:
        """Run a statement as administrator."""
        if self._admin is None or self._admin.closed:
            self._admin = self.connect("postgres")
        cursor = self._admin.execute(query.encode(), arguments)
        return cursor.fetchall() if cursor.description else []

    def value(self, query: str, arguments: Sequence[Any] | None = None) -> Any:
        """Run a query as administrator and give its one value."""
        return self.rows(query, arguments)[0][0]

    def empty(self) -> None:
        """Forget all jobs and their history. What is known of functions, queues and lanes stays."""
        names = ", ".join(str(row[0]) for row in self.rows(_LEFT))
        self.rows(f"truncate {names}, bench.plain, bench.ledger, bench.mark")

    def setting(self, name: str) -> str:
        """Look up a setting of pyworker."""
        return str(self.value("select value from jobs.settings where name = %s", (name,)))

    def close(self) -> None:
        """Close the administrator's connection."""
        if self._admin is not None:
            self._admin.close()


def operator() -> str:
    """Name the operator of this run: a role for the benchmark only, dropped at its end."""
    return f"{PREFIX}{os.getpid()}_operator"


def tenant() -> str:
    """Name a second owner of jobs, for this run only."""
    return f"{PREFIX}{os.getpid()}_tenant"


@contextmanager
def make_database(server: PrivateServer, name: str) -> Iterator[Database]:
    """Make a database, install the schema, and drop it all at the end."""
    name = f"{PREFIX}{os.getpid()}_{name}"
    _drop(server, name)
    with psycopg.connect(server.dsn(), autocommit=True) as admin:
        admin.execute(sql.SQL("create database {}").format(sql.Identifier(name)))
    database = Database(server, name)
    try:
        apply_schema(server.dsn(dbname=name), "install")
        for role, groups in (
            (operator(), "jobs_operator"),
            (tenant(), "jobs_producer, jobs_runner"),
        ):
            if not database.value("select count(*) from pg_roles where rolname = %s", (role,)):
                database.rows(f"create role {role} login")
            database.rows(f"grant {groups} to {role}")
        database.rows("grant jobs_producer, jobs_runner to app")
        database.rows("grant jobs_supervisor to supervisor")
        if database.value(
            "select count(*) from pg_available_extensions where name = 'pg_stat_statements'"
        ):
            database.rows("create extension pg_stat_statements")
        database.rows(_STAGE.read_text(encoding="utf-8"))
        database.rows("reset role")
        yield database
    finally:
        database.close()
        _drop(server, name)


def _drop(server: PrivateServer, name: str) -> None:
    with psycopg.connect(server.dsn(), autocommit=True) as admin:
        admin.execute(
            sql.SQL("drop database if exists {} with (force)").format(sql.Identifier(name))
        )


def drop_leftovers(server: PrivateServer, *, ours: bool = False) -> None:
    """Drop what benchmarks left that were killed; `ours`: the roles of this run, once its databases
    are gone.
    """
    with psycopg.connect(server.dsn(), autocommit=True) as admin:
        for kind, query in (
            ("database", "select datname from pg_database"),
            ("role", "select rolname from pg_roles"),
        ):
            for (name,) in admin.execute(query.encode()).fetchall():
                pid = str(name).removeprefix(PREFIX).partition("_")[0]
                if not str(name).startswith(PREFIX) or not pid.isdecimal():
                    continue
                if (int(pid) == os.getpid() and ours) or not Path(f"/proc/{pid}").exists():
                    force = " with (force)" if kind == "database" else ""
                    admin.execute(f'drop {kind} if exists "{name}"{force}'.encode())

"""The server of a run: private, small, made at the start and destroyed at the end,
with a template of the databases.
"""

import logging
import os
import secrets
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import psycopg
from psycopg import sql
from psycopg.conninfo import make_conninfo

from pyworker.errors import ServerError
from pyworker.schema import apply_schema
from pyworker.server import PrivateServer
from pyworker.server.process import processes_in

__all__ = [
    "TEMPLATE",
    "copy_template",
    "drop_database",
    "end_leftovers",
    "fresh_seed",
    "torture_server",
]

TEMPLATE = "torture_template"
_STAGE = Path(__file__).with_name("stage.sql")

#: Small, so that everything that can run out or wrap around does; fsync stays on,
#: or a crash would prove nothing.
_TUNING = {
    "fsync": "on",
    "full_page_writes": "on",
    "synchronous_commit": "on",
    "shared_buffers": "32MB",
    "max_connections": "60",
    "max_worker_processes": "40",
    "max_wal_size": "256MB",
    "checkpoint_timeout": "30s",
    "autovacuum_naptime": "5s",
    "deadlock_timeout": "300ms",
    "jit": "off",
    # Its segments are then files of its own directory: what a neighbour leaves behind is not
    # counted as ours.
    "dynamic_shared_memory_type": "mmap",
    "log_line_prefix": "%m [%p] %e %q%u@%d %a ",
}
#: Login roles, and the roles of ours that each is a member of.
#: app and supervisor are there in every private server.
_LOGINS = {
    "app": ("jobs_producer", "jobs_runner"),
    "other": ("jobs_producer", "jobs_runner"),
    "apart": ("jobs_producer", "jobs_runner"),  # has no jobs but those of a scenario
    "reader": ("jobs_reader",),
    "operator": ("jobs_operator",),
    "supervisor": ("jobs_supervisor",),
}
#: Settings of pyworker in the template: sessions and leases are short, so that many of them begin
#: and end.
_CONFIGURED = {"lease_seconds": "3", "session_seconds": "6", "timeout_margin_ms": "1000"}


@contextmanager
def torture_server(directory: Path) -> Iterator[PrivateServer]:
    """Make the server in a directory of its own, and destroy it at the end."""
    # that a broken connection is not rolled back is no news
    logging.getLogger("psycopg").setLevel(logging.ERROR)
    server = PrivateServer(directory)
    server.start()
    try:
        with psycopg.connect(server.dsn(), autocommit=True) as admin:
            for name, value in _TUNING.items():
                admin.execute(
                    sql.SQL("alter system set {} = {}").format(sql.Identifier(name), value)
                )
        server.restart("fast")
        _make_template(server)
        yield server
    finally:
        end_leftovers(server)
        try:
            server.destroy()
        except ServerError:
            # PostgreSQL 18 may wait for ever when it is told to stop in the moment in which it
            # comes up after a crash.
            server.stop("immediate")
            server.destroy()


def _make_template(server: PrivateServer) -> None:
    with psycopg.connect(server.dsn(), autocommit=True) as admin:
        for login in _LOGINS:
            with suppress(psycopg.errors.DuplicateObject):
                admin.execute(sql.SQL("create role {} login").format(sql.Identifier(login)))
        admin.execute(sql.SQL("create database {}").format(sql.Identifier(TEMPLATE)))
    apply_schema(server.dsn(dbname=TEMPLATE), "install")
    with psycopg.connect(server.dsn(dbname=TEMPLATE), autocommit=True) as admin:
        for login, groups in _LOGINS.items():
            for group in groups:
                admin.execute(
                    sql.SQL("grant {} to {}").format(sql.Identifier(group), sql.Identifier(login))
                )
        admin.execute("create extension if not exists pg_stat_statements")
        admin.execute(_STAGE.read_bytes())
        for name, value in _CONFIGURED.items():
            admin.execute("select jobs.configure(%s, %s)", [name, value])
        admin.execute("select jobs.alter_queue('default', backoff => '50 ms')")
        admin.execute("select jobs.create_queue('narrow', concurrency => 2, backoff => '50 ms')")


def end_leftovers(server: PrivateServer) -> list[int]:
    """End the processes that a dead postmaster left behind, so that the server can be started;
    returns their pids.
    """
    if server.status().state == "running":
        return []
    data = server.dir / "data"
    left = list(processes_in(data)) if data.exists() else []
    for number, patience in ((signal.SIGTERM, 5.0), (signal.SIGKILL, 5.0)):
        for pid in processes_in(data) if data.exists() else ():
            with suppress(ProcessLookupError):
                os.kill(pid, number)
        until = time.monotonic() + patience
        while list(processes_in(data)) and time.monotonic() < until:
            time.sleep(0.05)
    return left


def copy_template(server: PrivateServer, name: str) -> str:
    """Make a database from the template, where jobs are to run; returns a DSN that stays good while
    it is down.
    """
    base = make_conninfo(server.dsn())
    with psycopg.connect(base, autocommit=True) as admin:
        admin.execute(
            sql.SQL("create database {} template {}").format(
                sql.Identifier(name), sql.Identifier(TEMPLATE)
            )
        )
    with psycopg.connect(server.dsn(dbname=name), autocommit=True) as admin:
        admin.execute("select jobs.reconcile()")
    return base


def drop_database(server: PrivateServer, name: str) -> None:
    """Drop a database with whoever is still in it."""
    with psycopg.connect(server.dsn(), autocommit=True) as admin:
        admin.execute(
            sql.SQL("drop database if exists {} with (force)").format(sql.Identifier(name))
        )


def fresh_seed() -> int:
    """Draw a seed."""
    return secrets.randbelow(10**6)

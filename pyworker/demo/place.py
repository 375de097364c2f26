"""Where the demo runs: a database of its own on the private server, or on the one that PYWORKER_DSN
names.
"""

import os
import secrets
import shutil
import sys
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psycopg
from psycopg import sql
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from pyworker.config import Settings
from pyworker.dsn import mask_dsn
from pyworker.errors import PyworkerError
from pyworker.server import PrivateServer, Progress

__all__ = ["DATABASE", "Place", "open_place"]

DATABASE = "pyworker_demo"
_END_SESSIONS = """
select pg_terminate_backend(pid) from pg_stat_activity
where datname = %s and backend_type <> 'client backend'
"""
_LOCK = 7_266_813  # one demo at a time on a server
#: On a server of another user the demo's roles have names of their own: their passwords are
#: set anew each time.
_FOREIGN_ROLES = ("pyworker_demo", "pyworker_demo_supervisor")


@dataclass(frozen=True, kw_only=True)
class Place:
    """A server that the demo may use, and how to reach it: `base` is a database that is there
    anyway.
    """

    server: str
    base: str = field(repr=False)  # a DSN may hold a password
    admin: str = field(repr=False)
    app: str = field(repr=False)
    supervisor: str = field(repr=False)
    app_role: str
    supervisor_role: str
    log: Path
    afterwards: str
    environment: Mapping[str, str] = field(default_factory=dict)


@contextmanager
def open_place(settings: Settings, progress: Progress) -> Iterator[Place]:
    """Find or start the server and make the database anew; leave the server as it was found."""
    with ExitStack() as stack:
        if settings.dsn is not None:
            place = stack.enter_context(_foreign(settings.dsn.get_secret_value()))
        else:
            place = stack.enter_context(_private(settings, progress))
        stack.enter_context(_alone(place))
        yield place


@contextmanager
def _private(settings: Settings, progress: Progress) -> Iterator[Place]:
    server = PrivateServer(settings=settings)
    before = server.status().state
    try:
        server.start(progress)
        how = {"running": "it runs already and goes on", "stopped": "started"}.get(
            before, "fetched, made and started"
        )
        directory = f" --dir {settings.server_dir}" if settings.server_dir else ""
        # `make demo` runs it from a virtual environment that the person has not activated.
        command = "pyworker" if shutil.which("pyworker") else sys.argv[0]
        start = "" if before == "running" else f"{command} server start{directory}; "
        yield Place(
            server=f"private, in {server.dir}: {how}",
            base=server.dsn(),
            admin=server.dsn(dbname=DATABASE),
            app=server.dsn("app", DATABASE),
            supervisor=server.dsn("supervisor", DATABASE),
            app_role="app",
            supervisor_role="supervisor",
            log=server.log_file.with_name("demo-supervisor.log"),
            afterwards=f"{start}{command} server psql{directory} --dbname {DATABASE}",
        )
    finally:
        if before != "running":
            server.stop()


@contextmanager
def _foreign(dsn: str) -> Iterator[Place]:
    given = conninfo_to_dict(dsn)
    admin = make_conninfo(dsn, dbname=DATABASE)
    app, supervisor = _FOREIGN_ROLES
    passwords = {role: secrets.token_urlsafe(18) for role in _FOREIGN_ROLES}
    with tempfile.TemporaryDirectory(prefix="pyworker-demo-") as folder:
        passfile = Path(folder) / "pgpass"
        passfile.touch(mode=0o600)
        passfile.write_text(
            "".join(f"*:*:*:{role}:{passwords[role]}\n" for role in _FOREIGN_ROLES),
            encoding="utf-8",
        )
        with psycopg.connect(dsn, autocommit=True) as connection:
            _make_roles(connection, passwords)
        plain = {
            name: value
            for name, value in given.items()
            if name not in ("password", "user", "dbname")
        }

        def of(role: str) -> str:
            return make_conninfo("", **plain, user=role, dbname=DATABASE, passfile=str(passfile))

        yield Place(
            server=(
                f"yours; login roles {app} and {supervisor} and database {DATABASE} are "
                f"the demo's own"
            ),
            base=dsn,
            admin=admin,
            app=of(app),
            supervisor=of(supervisor),
            app_role=app,
            supervisor_role=supervisor,
            log=Path(folder) / "supervisor.log",
            afterwards=f"psql '{mask_dsn(admin)}'",
            environment={"PGPASSFILE": os.fspath(passfile)},
        )


def _make_roles(connection: psycopg.Connection[Any], passwords: Mapping[str, str]) -> None:
    for role, password in passwords.items():
        known = connection.execute("select from pg_roles where rolname = %s", (role,)).fetchone()
        verb = sql.SQL("create role" if known is None else "alter role")
        connection.execute(
            sql.SQL("{} {} login password {}").format(
                verb, sql.Identifier(role), sql.Literal(password)
            )
        )


@contextmanager
def _alone(place: Place) -> Iterator[None]:
    """Make the database anew, and hold off another demo on the same server until the end."""
    with psycopg.connect(place.base, autocommit=True) as connection:
        row = connection.execute("select pg_try_advisory_lock(%s)", (_LOCK,)).fetchone()
        if not row or not row[0]:
            raise PyworkerError("another demo runs on this server", hint="Wait until it has ended.")
        name = sql.Identifier(DATABASE)
        connection.execute(sql.SQL("drop database if exists {} with (force)").format(name))
        connection.execute(sql.SQL("create database {} template template0").format(name))
        try:
            yield
        finally:  # nothing is left to end, unless the demo was interrupted
            connection.execute(_END_SESSIONS, (DATABASE,))

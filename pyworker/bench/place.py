"""Where the measurements run: a database of their own, with an ordinary role that enqueues and runs the jobs."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import psycopg
from psycopg import Connection, sql

from pyworker.schema import apply_schema
from pyworker.server import PrivateServer

__all__ = ["Place", "bench_database"]

DATABASE = "pyworker_bench"
SETUP = """
create schema bench authorization app;
set role app;
create table bench.plain (id bigint generated always as identity primary key, at timestamptz default now());
create function bench.noop() returns void language plpgsql as $$ begin end $$;
create function bench.stamp() returns double precision language sql as
$$ select extract(epoch from clock_timestamp()) $$;
"""


@dataclass(frozen=True, kw_only=True)
class Place:
    """The server and the database of a run."""

    server: PrivateServer

    def dsn(self, role: str = "app") -> str:
        """Return the DSN of the database for a role."""
        return self.server.dsn(role, DATABASE)

    def connect(self, role: str = "app") -> Connection[tuple[object, ...]]:
        """Connect, each statement a transaction of its own."""
        return psycopg.connect(self.dsn(role), autocommit=True)


@contextmanager
def bench_database(server: PrivateServer) -> Iterator[Place]:
    """Make the database anew, install the schema, and drop it all at the end."""
    place = Place(server=server)
    drop = sql.SQL("drop database if exists {} with (force)").format(sql.Identifier(DATABASE))
    with psycopg.connect(server.dsn(), autocommit=True) as admin:
        admin.execute(drop)
        admin.execute(sql.SQL("create database {}").format(sql.Identifier(DATABASE)))
    try:
        apply_schema(server.dsn(dbname=DATABASE), "install")
        with place.connect("postgres") as admin:
            admin.execute("grant jobs_producer, jobs_runner to app")
            admin.execute("grant jobs_supervisor to supervisor")
            admin.execute("create extension if not exists pg_stat_statements")
            admin.execute(SETUP)
        yield place
    finally:
        with psycopg.connect(server.dsn(), autocommit=True) as admin:
            admin.execute(drop)

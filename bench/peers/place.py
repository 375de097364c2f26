"""A server of the comparison's own, with the programs of the private server: it is made for the
run, and destroyed at its end. Each measurement has a fresh database on it.
"""

import os
from collections.abc import Iterator
from contextlib import contextmanager

import psycopg
from psycopg import sql

from bench.database import PREFIX
from pyworker.server import PrivateServer, Progress
from pyworker.server.cluster import create_cluster
from pyworker.server.layout import Layout
from pyworker.server.osuser import server_user
from pyworker.server.prefix import read_prefix
from pyworker.server.progress import Quiet

__all__ = ["fresh_database", "own_server"]

#: A gigabyte of buffers, as a small server has; the log is kept for pg_walinspect to read.
_SETTINGS = "shared_buffers = 1GB\nwal_keep_size = 4GB\n"


@contextmanager
def own_server(
    programs: PrivateServer, progress: Progress | None = None
) -> Iterator[PrivateServer]:
    """Run a second server beside the private one, from the same programs."""
    origin = Layout(root=programs.dir)
    if read_prefix(origin.prefix) is None:
        programs.start(progress)
        programs.stop()
    prefix = read_prefix(origin.prefix)
    assert prefix is not None  # noqa: S101  it has just been started
    server = PrivateServer(
        programs.dir.with_name(f"{programs.dir.name}-peers"), settings=programs.settings
    )
    server.destroy()  # what a run left that was killed
    layout = Layout(root=server.dir)
    layout.mark(made=layout.claim())
    try:
        layout.prefix.symlink_to(origin.prefix.resolve())
        user = server_user(server.settings, owned=origin.data)
        create_cluster(layout, prefix, user, Quiet())
        with (layout.data / "postgresql.conf").open("a", encoding="utf-8") as file:
            file.write(_SETTINGS)
        server.start()
        yield server
    finally:
        server.destroy()


@contextmanager
def fresh_database(server: PrivateServer, name: str) -> Iterator[str]:
    """Make a database that belongs to the ordinary role, which goes at the end."""
    name = f"{PREFIX}{os.getpid()}_{name}"
    with psycopg.connect(server.dsn(dbname="postgres"), autocommit=True) as administrator:
        administrator.execute(sql.SQL("create database {} owner app").format(sql.Identifier(name)))
        try:
            yield name
        finally:
            administrator.execute(
                sql.SQL("drop database {} with (force)").format(sql.Identifier(name))
            )

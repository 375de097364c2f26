"""The jobs that run in a private server's databases: counted before a stop, and waited for by `stop
--drain`.

A drain pauses everything in each database that was not paused, and notes where: the next start
resumes there. So nothing begins between the last look and the stop.
"""

import json
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import LiteralString

import psycopg
from psycopg import Connection
from psycopg.rows import TupleRow

from pyworker.server.files import write_atomically

__all__ = ["Running", "describe", "drain", "resume_drained", "running_jobs"]

#: Database -> the jobs that run in it.
Running = Mapping[str, tuple[int, ...]]

_LOOK_AGAIN = 0.2  # seconds between two looks at what runs
_SHOWN = 10
_TIMEOUTS = "-c statement_timeout=20s -c lock_timeout=10s"


@contextmanager
def _connected(dsn: str) -> Iterator["Connection[TupleRow]"]:
    with psycopg.connect(dsn, autocommit=True, connect_timeout=5, options=_TIMEOUTS) as connection:
        yield connection


def _column(connection: "Connection[TupleRow]", query: LiteralString) -> list[object]:
    return [row[0] for row in connection.execute(query).fetchall()]


def _databases(dsn_of: Callable[[str], str]) -> list[str]:
    with _connected(dsn_of("postgres")) as connection:
        names = _column(
            connection, "select datname from pg_catalog.pg_database where datallowconn order by 1"
        )
    return [str(name) for name in names]


def _is_installed(connection: "Connection[TupleRow]") -> bool:
    return _column(connection, "select pg_catalog.to_regclass('jobs.running') is not null") == [
        True
    ]


def running_jobs(dsn_of: Callable[[str], str]) -> Running:
    """Find the jobs that run, in all databases; `dsn_of` gives a database's DSN for its
    administrator.
    """
    found: dict[str, tuple[int, ...]] = {}
    for name in _databases(dsn_of):
        with (
            suppress(psycopg.Error),
            _connected(dsn_of(name)) as connection,
        ):  # a database that was dropped meanwhile
            if _is_installed(connection):
                ids = [
                    int(str(one))
                    for one in _column(connection, "select id from jobs.running order by id")
                ]
                if ids:
                    found[name] = tuple(ids)
    return found


def count(running: Running) -> int:
    """Count the jobs of all databases."""
    return sum(len(ids) for ids in running.values())


def describe(running: Running) -> str:
    """Name them for people: how many, then which."""
    total = count(running)
    places = []
    for name, ids in running.items():
        more = f" and {len(ids) - _SHOWN} more" if len(ids) > _SHOWN else ""
        places.append(f'{", ".join(map(str, ids[:_SHOWN]))}{more} in database "{name}"')
    return f"{total} running {'job' if total == 1 else 'jobs'} ({'; '.join(places)})"


def drain(dsn_of: Callable[[str], str], record: Path, tell: Callable[[Running], None]) -> None:
    """Let no job begin, and wait until none runs; `tell` hears of changes. Interrupted,
    it resumes.
    """
    try:
        for name in _databases(dsn_of):
            with _connected(dsn_of(name)) as connection:
                if _is_installed(connection):
                    _pause(connection, name, record)
        seen: Running | None = None
        while True:
            running = running_jobs(dsn_of)
            if running != seen and running:
                tell(running)
            seen = running
            if not running:
                return
            time.sleep(_LOOK_AGAIN)
    except BaseException:
        resume_drained(dsn_of, record)
        raise


def _pause(connection: "Connection[TupleRow]", name: str, record: Path) -> None:
    with connection.transaction():
        if _column(connection, "select jobs.pause()") == [True]:
            write_atomically(
                record, json.dumps([*_noted(record), name])
            )  # before the commit: no pause without a note


def _noted(record: Path) -> list[str]:
    try:
        return [str(name) for name in json.loads(record.read_text(encoding="utf-8"))]
    except (OSError, ValueError):
        return []


def resume_drained(dsn_of: Callable[[str], str], record: Path) -> None:
    """Resume what a drain has paused, and forget the note; a database that is gone since has
    nothing to resume.
    """
    for name in _noted(record):
        with suppress(psycopg.Error), _connected(dsn_of(name)) as connection:
            _column(connection, "select jobs.resume()")
    record.unlink(missing_ok=True)

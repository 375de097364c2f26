"""Reasons to wait, and what leads to each: a case for each code of jobs.explain."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from psycopg.types.json import Jsonb
from stage import (
    own_name,
    put,
)
from support import Database

Told = dict[str, Any]


def explain(database: Database, job: int, role: str = "app") -> Told:
    """Give what jobs.explain says of a job."""
    return database.record("select * from jobs.explain(%s)", [job], role=role)


def supervised(database: Database) -> int:
    """Connect a supervisor, which does nothing but be there."""
    return int(
        database.value(
            "select jobs_internal.supervisor_open('idle', 'here', 1, '0')", role="supervisor"
        )
    )


def queued(database: Database, **options: Any) -> int:
    """Have a job in its lane, with a supervisor there and nothing in the way."""
    put(database, "app.note", {"n": 0})
    database.drain()
    supervised(database)
    return put(database, "app.note", {"n": 1}, options=Jsonb(options))


@contextmanager
def tenant(database: Database) -> Iterator[tuple[str, int]]:
    """Have an owner of the test's own, with a job that is due and a supervisor there;
    it is gone afterwards.
    """
    name = own_name("tenant")
    database.admin(f"create role {name} login")
    try:
        database.admin(f"grant jobs_producer, jobs_runner to {name}")
        job = int(database.value("select jobs.enqueue('pg_catalog.now')", role=name))
        database.line(name).close()
        supervised(database)
        yield name, job
    finally:
        database.admin("delete from jobs_internal.job")
        database.admin(f"drop role if exists {name}")


def make_window(database: Database) -> None:
    """Make a window that opens once a year, and is closed."""
    database.run(
        "select jobs.create_window('night', '0 0 1 1 *', '1 hour'), jobs.close_window('night')",
        role="operator",
    )


def run_the_remedy(database: Database, remedy: str, role: str) -> None:
    """Run it as it is printed."""
    assert remedy.startswith("select jobs."), remedy
    database.run(remedy, role=role)


Case = Callable[[Database], Iterator[tuple[int, str, Told]]]
CASES: dict[str, Case] = {}


def case(code: str) -> Callable[[Case], Case]:
    """Name the code that a case is about."""

    def keep(made: Case) -> Case:
        CASES[code] = made
        return made

    return keep

"""Recipes that are run, cut off at a step of the test's choice, and looked at afterwards."""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any

from stage import gate_shut, put_steps, wait_at_gate, wait_for_lock
from support import Database

Steps = list[dict[str, str]]

#: A table with rows, and what they are about.
POINTS = (
    "create table app.points (n integer, m integer);"
    " insert into app.points select n, n % 7 from generate_series(1, 1000) as n;"
    " create index points_n on app.points (n)"
)
#: The recipe of NOT NULL, by the version of the server.
NOT_NULL = {
    "18": "jobs.not_null_steps('app.points', 'm')",
    # what a server before 18 gets; it works on a later one too
    "17": "jobs_internal.not_null_recipe('app.points'::regclass, 'app.points', 'm', 170000)",
}
SETTINGS = {"lock_timeout": "60s"}  # it does not give up while a test holds a lock


def recipe(database: Database, call: str) -> Steps:
    """Give the steps of a recipe, as app."""
    steps: Steps = database.value(f"select {call}")
    return steps


def enqueue(database: Database, steps: Iterable[object], **options: Any) -> int:
    """Enqueue steps, and give the number of the job."""
    return put_steps(database, *steps, **{"settings": SETTINGS, **options})


@contextmanager
def stopped_at(
    database: Database,
    steps: Steps,
    place: int,
    *,
    relation: str = "app.points",
    hold: str = "lock table app.points in access exclusive mode",
) -> Iterator[tuple[int, int]]:
    """Enqueue steps, and let the one at this place, from 1, wait for the lock of a relation, which
    a transaction that has run `hold` has: gives the number of the job, and the pid of the session
    that waits.
    """
    gate = {"statement": "select app.gate(0)", "rollback": "select"}  # nothing to take back
    gated = [*steps[: place - 1], gate, *steps[place - 1 :]]
    job = enqueue(database, gated)
    with database.server.connect("postgres", database.name) as holder:
        holder.autocommit = False
        with gate_shut(database):
            database.run("select jobs.start()")
            wait_at_gate(database)
            holder.execute(hold.encode())
        yield job, wait_for_lock(database, relation)
        holder.rollback()


def invalid(database: Database) -> list[str]:
    """List the indexes that are not valid."""
    return [
        name
        for (name,) in database.admin(
            "select indexrelid::regclass::text from pg_index where not indisvalid"
        )
    ]


def constraints(database: Database, table: str = "app.points") -> list[tuple[str, str, bool]]:
    """List the constraints of a table: name, kind, whether it is validated."""
    return database.admin(  # type: ignore[return-value]
        "select conname::text, contype::text, convalidated from pg_constraint"
        " where conrelid = %s::regclass order by 1",
        [table],
    )


def take_back(database: Database, job: int) -> None:
    """Undo a job, and see that it came to its end."""
    undo = database.value("select jobs.undo(%s)", [job])
    database.drain()
    assert database.job(undo)["state"] == "succeeded", database.job(undo)


def definitions(database: Database) -> list[str]:
    """List the indexes of the table."""
    return [
        row[0]
        for row in database.admin(
            "select pg_get_indexdef(indexrelid) from pg_index"
            " where indrelid = 'app.points'::regclass"
        )
    ]


def is_not_null(database: Database) -> bool:
    """Tell whether the column is NOT NULL."""
    return bool(
        database.value(
            "select attnotnull from pg_attribute where attrelid = 'app.points'::regclass"
            " and attname = 'm'"
        )
    )


def left(database: Database) -> list[tuple[str, str, bool]]:
    """Constraints but for NOT NULL."""
    return [row for row in constraints(database) if row[1] != "n"]

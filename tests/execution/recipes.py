"""Recipes that are run, cut off at a step of the test's choice, and looked at afterwards."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from stage import gate_shut, wait_at_gate
from support import Database, wait_until

Steps = list[dict[str, str]]

#: A table with rows, and what they are about.
POINTS = (
    "create table app.points (n integer, m integer);"
    " insert into app.points select n, n % 7 from generate_series(1, 1000) as n;"
    " create index points_n on app.points (n)"
)
SETTINGS = {"lock_timeout": "60s"}  # it does not give up while a test holds a lock


def recipe(database: Database, call: str) -> Steps:
    """Give the steps of a recipe, as app."""
    steps: Steps = database.value(f"select {call}")
    return steps


def enqueue(database: Database, steps: object, **options: Any) -> int:
    """Enqueue steps, and give the number of the job."""
    given = {"settings": SETTINGS, **options}
    more = "".join(f", {name} => %s" for name in given)
    values = [json.dumps(v) if isinstance(v, dict) else v for v in given.values()]
    return int(database.value(f"select jobs.enqueue_steps(%s{more})", [json.dumps(steps), *values]))


def waiting_for(database: Database, relation: str) -> int:
    """Wait until one of our sessions waits for this relation; gives its pid."""
    rows = wait_until(
        lambda: database.admin(
            "select l.pid from pg_locks as l join pg_stat_activity as a on a.pid = l.pid"
            " where not l.granted and l.relation = %s::regclass"
            " and a.backend_type = 'pg_background'",
            [relation],
        )
    )
    return int(rows[0][0])


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
        yield job, waiting_for(database, relation)
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

"""One operation of a round: what it needs, how it is enqueued, and how its end is explained."""

from contextlib import ExitStack, suppress
from dataclasses import dataclass
from typing import Any

import psycopg

from tests.torture.operations.cases import STAGE, Case
from tests.torture.operations.catalog import Facts, read_facts
from tests.torture.world import World

__all__ = [
    "Operation",
    "end_of",
    "enqueue",
    "has_reason",
    "prepare",
    "running",
    "seen",
    "stand_beside",
]

_ROWS = 40_000  # of each table: an operation takes some hundred milliseconds
#: How an attempt may end, by what was done to it.
_REASONS = ("57014", "57P01", "57P02", "57P03", "PWL01", "PWL02", "PWC02", "PWD01")


@dataclass(kw_only=True)
class Operation:
    """One operation of a round."""

    case: Case
    schema: str
    before: Facts
    job: int = 0
    timeout: float | None = None
    attempts: int = 5


def prepare(world: World, case: Case, schema: str) -> Operation:
    """Make its tables, in a schema of its own."""
    world.rows(f"create schema {schema} authorization app")
    with world.connect("app", search_path=schema) as line:
        for statement in (STAGE.format(rows=_ROWS) + case.before).split(";\n"):
            line.execute(statement.encode())
    # as a rebuild that was killed leaves it, but of a stranger
    world.rows(
        "set allow_system_table_mods = on; update pg_index set indisvalid = false"
        f" where indexrelid = '{schema}.strange_ccnew'::regclass;"
        " reset allow_system_table_mods"
    )
    return Operation(case=case, schema=schema, before=read_facts(world, schema))


def enqueue(world: World, one: Operation) -> None:
    """Enqueue it, as its owner."""
    given = {
        "timeout": None if one.timeout is None else f"{one.timeout} s",
        "attempts": one.attempts,
        "statement": one.case.statement,
    }
    call = (
        f"jobs.enqueue_steps({one.case.steps.format(schema=one.schema)},"
        if one.case.steps
        else "jobs.enqueue_sql(%(statement)s,"
    )
    with world.connect("app", search_path=one.schema) as line:
        row = line.execute(
            f"select {call} timeout => %(timeout)s::interval,"
            " max_attempts => %(attempts)s)".encode(),
            given,
        ).fetchone()
        assert row is not None
        one.job = int(row[0])


def has_reason(one: Operation, hows: list[str], state: str, code: str | None) -> bool:
    """Tell whether what was done explains the end of an operation that did not succeed."""
    if one.case.fails is not None and (state, code) == ("failed", one.case.fails):
        return True
    if state == "cancelled":
        return "cancel" in hows
    if code == "PWT01":
        return one.timeout is not None
    unseen = {"PWD01"} if not one.case.name.endswith("unnamed") else set()
    return one.attempts == 1 and code in set(_REASONS) - unseen and bool(hows)


def seen(world: World, one: Operation, index: str) -> bool:
    """Tell whether a watcher saw that index being built. Of one without a name that no watcher saw,
    nothing tells whose it is: the job is in doubt, and says so.
    """
    query = (
        "select s.identity -> 'built' @> to_jsonb(to_regclass(%(index)s)::oid::bigint)"
        " from (select job_id, identity from jobs_internal.statement"
        " union all select job_id, identity from jobs_internal.finished_statement) as s"
        " where s.job_id = %(job)s"
    )
    given = {"index": f"{one.schema}.{index}", "job": one.job}
    return any(row[0] for row in world.rows(query, given))


def stand_beside(world: World, schema: str, what: str, seconds: float) -> None:
    """Hold a transaction open that a concurrent operation waits for."""
    if what == "none":
        return
    with ExitStack() as stack, suppress(psycopg.OperationalError):
        line = stack.enter_context(world.connect("app"))
        with line.transaction():
            if what == "writer":
                line.execute(f"lock table {schema}.t in row exclusive mode".encode())
            else:
                line.execute("set transaction isolation level repeatable read")
                line.execute("select 1 from stage.orders")
            world.pause(seconds)


def running(
    world: World, operations: list[Operation]
) -> list[tuple[int, int | None, int | None, str]]:
    return [
        (int(row[0]), row[1], row[2], row[3])
        for row in world.rows(_RUNNING, [[one.job for one in operations]])
    ]


def end_of(world: World, job: int) -> tuple[str, str | None, str]:
    row: Any = world.rows(_END, [job])[0]
    return row[0], row[1], row[2]


_RUNNING = """
select r.id, r.pid, r.child_pid, coalesce(o.phase, 'none shown') from jobs.running as r
left join jobs.operations as o on o.id = r.id where r.id = any (%s) order by 1
"""
_END = """
select state, error ->> 'sqlstate', coalesce(error ->> 'message', '') from jobs.job where id = %s
"""

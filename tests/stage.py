"""The stage of the tests that run jobs: a template with things to call (stage.sql),
and short ways to say things.
"""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from psycopg import Connection
from psycopg.types.json import Jsonb
from support import PATIENCE, Database, Row, Server, wait_until

STAGE = Path(__file__).with_name("stage.sql")
UNFINISHED = ("scheduled", "queued", "running")


@contextmanager
def staged(server: Server, template: str, tier: str) -> Iterator[str]:
    """Make the template of a tier: the common one with stage.sql in it."""
    name = f"{template}_{tier}"
    with server.administrate() as connection:
        connection.execute(
            f"create database {name} template {template} strategy {server.copying}".encode()
        )
    with server.connect("app", name) as connection:
        connection.execute(STAGE.read_bytes())
    with server.connect(database=name) as connection:
        connection.execute(f"grant create on database {name} to app".encode())
    yield name
    with server.connect() as connection:
        connection.execute(f"drop database {name} with (force)".encode())


def _call(
    database: Database, function: str, first: dict[str, Any], options: dict[str, Any], role: str
) -> int:
    given = {
        name: Jsonb(value) if isinstance(value, dict) else value
        for name, value in {**first, **options}.items()
    }
    names = ", ".join(f"{name} => %({name})s" for name in given)
    row = database.line(role).execute(f"select {function}({names})".encode(), given).fetchone()
    assert row is not None
    return int(row[0])


def put(
    database: Database,
    task: str,
    args: dict[str, Any] | None = None,
    *,
    role: str = "app",
    **options: Any,
) -> int:
    """Enqueue a call, committed."""
    return _call(database, "jobs.enqueue", {"task": task, "args": args or {}}, options, role)


def put_sql(database: Database, statement: str, *, role: str = "app", **options: Any) -> int:
    """Enqueue a statement, committed."""
    return _call(database, "jobs.enqueue_sql", {"statement": statement}, options, role)


def put_steps(database: Database, *steps: object, role: str = "app", **options: Any) -> int:
    """Enqueue steps, committed."""
    return _call(database, "jobs.enqueue_steps", {"steps": Jsonb(steps)}, options, role)


def put_many(
    database: Database, task: str, args: list[dict[str, Any]], **options: Any
) -> list[int]:
    """Enqueue many calls, committed."""
    names = "".join(f", {name} => %({name})s" for name in options)
    rows = database.run(
        f"select jobs.enqueue_many(%(task)s, %(args)s::jsonb[]{names})",
        {"task": task, "args": [Jsonb(one) for one in args], **options},
    )
    return [int(row[0]) for row in rows]


def make_lane(
    database: Database, *, queue: str = "default", role: str = "app", priority: str = "normal"
) -> None:
    """Have a lane made: run one job in it."""
    put(database, "pg_catalog.now", queue=queue, role=role, priority=priority)
    database.drain(role=role)


def drain_once(
    database: Database, *, sessions: int = 1, role: str = "app", timeout: float = 60.0
) -> None:
    """Start so many sessions, once, and wait until all that was due is finished and they
    have left.
    """
    started = database.value("select jobs.start(%s)", [sessions], role=role)
    assert started == sessions

    def over() -> bool:
        due = database.admin(
            "select 1 from jobs_internal.job as j join jobs_internal.queue as q on"
            " q.id = j.queue_id"
            " where (j.state <> 'scheduled' or j.due_at <= now()) and not q.paused limit 1"
        )
        return not due and not database.background()

    wait_until(over, timeout)


def know_as_short(database: Database) -> None:
    """Make every function that was ever enqueued known to be short, so that its jobs share
    transactions.
    """
    database.admin(
        "insert into jobs_internal.call_stats (call_template_id, owner, runs, avg_ms)"
        " select s.id, r.oid, 1, 0.2 from jobs_internal.call_template as s, pg_roles as r where"
        " r.rolname in ('app', 'other')"
        " on conflict (call_template_id, owner) do update set avg_ms = 0.2"
    )
    database.admin("update jobs_internal.lane set avg_ms = 0.2")


def state(database: Database, job: int) -> str:
    """Give a job's state."""
    return str(database.value("select state from jobs.job where id = %s", [job], role="postgres"))


def wait_for(
    database: Database, job: int, *states: str, timeout: float = PATIENCE
) -> dict[str, Any]:
    """Wait until a job is in one of the states (finished, if none is named); gives its row."""
    wanted = states or ("succeeded", "failed", "cancelled", "in_doubt")
    try:
        wait_until(lambda: state(database, job) in wanted, timeout)
    except AssertionError:
        raise AssertionError(
            f"job {job} is not {wanted}: {database.job(job, role='postgres')}"
        ) from None
    return database.job(job, role="postgres")


def ledger(database: Database) -> list[int | None]:
    """List the effects that were committed, in order of their number."""
    return [row[0] for row in database.admin("select n from app.ledger order by n nulls first")]


def attempts(database: Database, job: int) -> list[tuple[int, str | None]]:
    """List the attempts of a job with their outcomes."""
    rows = database.admin(
        "select attempt, outcome from jobs.attempts where job_id = %s order by attempt", [job]
    )
    return [(row[0], row[1]) for row in rows]


def running(database: Database, job: int) -> dict[str, Any] | None:
    """Give the row of jobs.running, None when there is none."""
    found = database.admin("select 1 from jobs.running where id = %s", [job])
    return (
        database.record("select * from jobs.running where id = %s", [job], role="postgres")
        if found
        else None
    )


def wait_running(database: Database, job: int, timeout: float = PATIENCE) -> dict[str, Any]:
    """Wait until a job runs and is shown to run."""
    wait_until(lambda: running(database, job) is not None, timeout)
    row = running(database, job)
    assert row is not None
    return row


@contextmanager
def gate_shut(database: Database) -> Iterator[Connection[Row]]:
    """Keep the jobs that call app.gate inside of it."""
    with database.server.connect("postgres", database.name) as holder:
        holder.execute("select pg_advisory_lock(1)")
        yield holder


def wait_at_gate(database: Database, count: int = 1) -> list[int]:
    """Wait until so many sessions wait at the gate; gives their pids."""

    def waiting() -> list[int]:
        rows = database.admin(
            "select pid from pg_locks where locktype = 'advisory' and objid = 1 and not granted"
            " and database = (select oid from pg_database where datname = current_database())"
            " order by pid"
        )
        return [row[0] for row in rows] if len(rows) >= count else []

    return wait_until(waiting)


@contextmanager
def holding(database: Database, *statements: str, role: str = "app") -> Iterator[Connection[Row]]:
    """Hold what statements of an open transaction hold, until the block ends and undoes it."""
    with database.server.connect(role, database.name) as holder:
        holder.autocommit = False
        for statement in statements:
            holder.execute(statement.encode())
        yield holder
        holder.rollback()


def wait_for_lock(database: Database, relation: str) -> int:
    """Wait until one of our sessions waits for the lock of a relation; gives its pid."""
    rows = wait_until(
        lambda: database.admin(
            "select l.pid from pg_locks as l join pg_stat_activity as a on a.pid = l.pid"
            " where not l.granted and l.relation = %s::regclass"
            " and a.backend_type = 'pg_background'",
            [relation],
        )
    )
    return int(rows[0][0])


def quick_retries(database: Database, queue: str = "default") -> None:
    """Make the back-off of a queue short."""
    database.admin("select jobs.alter_queue(%s, backoff => '10 ms')", [queue])


def own_name(kind: str) -> str:
    """Give a name for a role that no other run uses."""
    return f"pw_{kind}_{os.getpid()}"


def step_history(database: Database, timeout: float = 30.0) -> int:
    """Do rounds of the upkeep until it has nothing more to do; gives how many stretches of
    history went.
    """
    gone = 0

    def over() -> bool:
        nonlocal gone
        if database.background():
            return False  # the next step waits for it
        removed, more = database.run(
            "select (m ->> 'removed')::int, (m ->> 'more')::boolean"
            " from jobs_internal.maintain() as m",
            role="supervisor",
        )[0]
        gone += removed
        return not more and not database.background()

    wait_until(over, timeout)
    return gone


def age_history(database: Database, by: str) -> None:
    """Make what has finished so far so much older: the buckets that hold it are closed,
    and were so long ago.
    """
    database.admin(
        "update jobs_internal.history_bucket set opened_at = opened_at - interval '400 days'"
        " where left_at is null"
    )

    def closed() -> bool:
        step_history(database)
        return not database.admin(
            "select 1 from jobs_internal.history_bucket where left_at is not null"
            " and closed_at is null"
        )

    wait_until(closed)  # a transaction that was open when it was left may still write to it
    database.admin(
        "update jobs_internal.history_bucket set opened_at = opened_at - %(by)s::interval,"
        " left_at = left_at - %(by)s::interval, closed_at = closed_at - %(by)s::interval"
        " where closed_at is not null",
        {"by": by},
    )

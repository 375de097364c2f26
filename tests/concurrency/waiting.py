"""How a race is driven to its moment: one side holds a lock, the other is seen to wait for it."""

from collections.abc import Callable
from concurrent.futures import Future
from typing import Any

from psycopg import Connection
from support import Database, Row, wait_until

#: Send a statement without waiting for its answer: the value, or the SQLSTATE of its error.
Ask = Callable[[Connection[Row], str], "Future[Any]"]


def waits(database: Database, line: Connection[Row]) -> None:
    """Wait until a connection waits for a lock."""
    pid = line.info.backend_pid
    wait_until(
        lambda: database.admin(
            "select 1 from pg_stat_activity where pid = %s and wait_event_type = 'Lock'", [pid]
        ),
        10,
    )


def waits_for(database: Database, line: Connection[Row], holder: Connection[Row]) -> None:
    """Wait until a connection waits for another one."""
    question = "select %s = any (pg_blocking_pids(%s))"
    wait_until(
        lambda: database.admin(question, [holder.info.backend_pid, line.info.backend_pid])[0][0], 10
    )


def begin(line: Connection[Row], statement: str) -> Any:
    """Run a statement in a transaction that stays open."""
    line.execute("begin")
    row = line.execute(statement.encode()).fetchone()
    return row[0] if row else None


def lane(database: Database) -> str:
    """Name the table of the first lane."""
    return str(
        database.admin("select 'pgmq.q_' || pgmq_queue from jobs_internal.lane limit 1")[0][0]
    )


#: All that a supervisor ever asks of the database.
ROUND = (
    "select jobs_internal.supervisor_tick(%(number)s)",
    "select jobs_internal.supervisor_send_stop_signals(%(number)s)",
    "select jobs_internal.take_outcomes(1000)",
    "select jobs_internal.supervisor_sleep(%(number)s, true)",
    "select jobs_internal.supervisor_sleep(%(number)s, false)",
    'select jobs_internal.note_unreached(%(number)s, \'{"app": "why"}\')',
    "select jobs_internal.note_unreached(%(number)s, '{}')",
    "select jobs_internal.supervisor_serves(%(number)s, array['app'])",
    "select jobs_internal.runners()",
    "select jobs_internal.maintain()",
    "select jobs_internal.supervisor_open('two', 'here', 2, '1')",
    "select jobs_internal.supervisor_close(%(number)s + 1000000)",
)

"""Two parties that meet at one job."""

from typing import Any

from support import Database

from .waiting import lane

RESCUE = "select jobs_internal.rescue()"


PRESS = "select count(*) from jobs_internal.supervisor_send_stop_signals(1)"


def message(database: Database, job: int) -> tuple[Any, ...]:
    """Give token and delivery count of a job's message."""
    query = f"select vt::text, read_ct from {lane(database)} where (message ->> 'job')::bigint = %s"
    return database.admin(query, [job])[0]

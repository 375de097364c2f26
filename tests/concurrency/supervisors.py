"""Two supervisors of one database."""

from typing import Any

from support import Database

RESCUE = "select jobs_internal.rescue()"


def tick(part: str, number: int = 1) -> str:
    return f"select (jobs_internal.supervisor_tick({number}) ->> '{part}')::integer"


def two(database: Database) -> tuple[Any, Any]:
    return database.connect("supervisor"), database.connect("supervisor")

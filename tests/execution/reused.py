"""Short ways to enqueue a call whose result is reused, and to see that."""

from typing import Any

from stage import put
from support import Database

HOUR = {"reuse_for": "1 hour"}


def ask(database: Database, n: int = 1, *, role: str = "app", **options: Any) -> int:
    """Enqueue the call whose results are reused."""
    return put(database, "app.note", {"n": n}, role=role, **{"options": HOUR, **options})


def reused(database: Database, job: int) -> int:
    return int(database.value("select reused from jobs.job where id = %s", [job]))

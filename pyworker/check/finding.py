"""What `check` reports: one finding per thing looked at, and one way to look."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Literal, LiteralString

from psycopg import Connection
from psycopg.rows import TupleRow, dict_row

from pyworker.schema.files import Source

__all__ = ["Check", "Finding", "Status", "Target"]

Status = Literal["ok", "warning", "critical"]


@dataclass(frozen=True, kw_only=True)
class Finding:
    """One thing looked at. `remedy` is a line to type: SQL, or a command of the shell in
    backquotes.

    `choice`: what to do is for a person to decide, or to fill in; no script does it.
    """

    check: str
    status: Status
    detail: str
    remedy: str | None = None
    choice: bool = False


@dataclass(frozen=True, kw_only=True)
class Target:
    """The database that is looked at, and the files it should agree with."""

    connection: Connection[TupleRow]
    source: Source

    def rows(self, query: LiteralString, *values: Any) -> list[dict[str, Any]]:
        """Ask, and give all rows."""
        with self.connection.cursor(row_factory=dict_row) as cursor:
            return cursor.execute(query, values or None).fetchall()

    def value(self, query: LiteralString, *values: Any) -> Any:
        """Ask for one value."""
        row = self.connection.execute(query, values or None).fetchone()
        return row[0] if row else None

    def setting(self, name: str) -> str | None:
        """Read a setting of the server; None where it does not exist."""
        found = self.value("select pg_catalog.current_setting(%s, true)", name)
        return None if found in (None, "") else str(found)

    def has(self, schema: str, name: str) -> bool:
        """Tell whether a table or view is there, for any role that asks."""
        return bool(
            self.value(
                "select exists (select from pg_catalog.pg_class c join pg_catalog.pg_namespace n"
                " on n.oid = c.relnamespace where n.nspname = %s and c.relname = %s)",
                schema,
                name,
            )
        )

    @property
    def is_here(self) -> bool:
        """Tell whether the server runs on this machine, so that its files are those that we see."""
        return self.connection.info.host.startswith("/")

    def installed(self) -> bool:
        """Tell whether the database holds a schema of ours."""
        return self.has("jobs_internal", "schema_migration")


Check = Callable[[Target], Iterator[Finding]]

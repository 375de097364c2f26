"""The public views as lists: which columns one may ask for, in which order they come, and the
statement that reads one page.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import LiteralString

from psycopg import sql

__all__ = ["LISTS", "LONGEST", "Listed", "Page", "columns_of", "page_of"]

LONGEST = 500  #: rows of one page


@dataclass(frozen=True, kw_only=True)
class Listed:
    """One view: what makes its rows distinct, in the order in which they come."""

    key: tuple[str, ...]
    filters: tuple[str, ...]
    descends: bool = True
    time: str | None = None  # that `since` and `until` are about
    wide: tuple[str, ...] = ()  # columns that are shown only where one job is asked for


def _listed(
    key: str, filters: str = "", *, descends: bool = True, time: str | None = None, wide: str = ""
) -> Listed:
    return Listed(
        key=tuple(key.split()),
        filters=tuple(filters.split()),
        descends=descends,
        time=time,
        wide=tuple(wide.split()),
    )


#: View of schema jobs -> how it is listed.
LISTS: dict[str, Listed] = {
    "job": _listed(
        "id",
        "id state queue owner task priority batch unique_key",
        time="created_at",
        wide="args result error settings statement done_when rollback",
    ),
    "queued": _listed("id", "id state queue owner task priority", descends=False, time="due_at"),
    "running": _listed("id", "id queue owner task", descends=False, time="started_at"),
    "failed": _listed(
        "finished_at id", "id state queue owner task outcome sqlstate", time="finished_at"
    ),
    "attempts": _listed(
        "job_id attempt", "job_id outcome", time="finished_at", wide="result error"
    ),
    "log_lines": _listed("job_id attempt n", "job_id level", time="at"),
    "operations": _listed("id", "id state kind object owner outcome", time="created_at"),
    "phases": _listed("job_id attempt n", "job_id attempt"),
    "steps": _listed(
        "id step",
        "id owner state",
        descends=False,
        wide="statement done_when rollback result",
    ),
    "batches": _listed("id", "id name owner state", time="created_at"),
    "queues": _listed("queue", "queue paused", descends=False),
    "windows": _listed("name", "name open", descends=False),
    "concurrency_keys": _listed("key owner", "key owner", descends=False),
    "schedules": _listed("name owner", "name owner paused queue task", descends=False),
    "schedule_runs": _listed("due_at owner name rerun", "name owner outcome job_id", time="due_at"),
    "cost": _listed("day queue owner task", "day queue owner task", time="day"),
    "sessions": _listed("id", "id owner queue job_id", descends=False),
    "supervisors": _listed("id", "id name host", descends=False),
    "marks": _listed("id", "id kind name owner job_id", time="at"),
    "audit": _listed("id", "id login action", time="at"),
}


@dataclass(frozen=True, kw_only=True)
class Page:
    """Which rows of a view are asked for. The texts are the client's, and travel as parameters."""

    view: str
    filters: Mapping[str, str]
    since: str | None = None
    until: str | None = None
    after: Sequence[str] | None = None  # the key of the last row of the page before
    limit: int = 50

    @property
    def is_about_one(self) -> bool:
        """Tell whether one job is asked for: then its wide columns are shown."""
        return "id" in self.filters or "job_id" in self.filters


def columns_of(view: str) -> sql.Composed:
    """Ask for a view's columns."""
    return sql.SQL("select * from jobs.{} limit 0").format(sql.Identifier(view))


def page_of(page: Page, columns: Sequence[str]) -> tuple[sql.Composed, list[object]]:
    """Write the statement for a page, one row longer than asked: so that it is known whether there
    is another one.
    """
    listed = LISTS[page.view]
    shown = [one for one in columns if page.is_about_one or one not in listed.wide]
    conditions: list[sql.Composable] = []
    values: list[object] = []

    def require(name: str, operator: LiteralString, value: object) -> None:
        conditions.append(sql.SQL("{} {} %s").format(sql.Identifier(name), sql.SQL(operator)))
        values.append(value)

    for name, value in page.filters.items():
        require(name, "=", value)
    if listed.time is not None and page.since is not None:
        require(listed.time, ">=", page.since)
    if listed.time is not None and page.until is not None:
        require(listed.time, "<", page.until)
    if page.after is not None:
        if len(listed.key) > 1:  # what an index of the first column can tell
            require(listed.key[0], "<=" if listed.descends else ">=", page.after[0])
        conditions.append(
            sql.SQL("({}) {} ({})").format(
                sql.SQL(", ").join(map(sql.Identifier, listed.key)),
                sql.SQL("<" if listed.descends else ">"),
                sql.SQL(", ").join([sql.Placeholder()] * len(listed.key)),
            )
        )
        values.extend(page.after)
    direction = sql.SQL(" desc") if listed.descends else sql.SQL("")
    statement = sql.SQL("select {} from jobs.{}{} order by {} limit %s").format(
        sql.SQL(", ").join(map(sql.Identifier, shown)),
        sql.Identifier(page.view),
        sql.SQL(" where ") + sql.SQL(" and ").join(conditions) if conditions else sql.SQL(""),
        sql.SQL(", ").join(sql.Identifier(name) + direction for name in listed.key),
    )
    return statement, [*values, page.limit + 1]

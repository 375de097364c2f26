"""The database, as HTTP reads it: public views, and nothing that writes.

One connection of its own, as the supervisor's login: opened when something is asked for, closed
when nothing was for a while. One statement at a time; a call that takes too long is given up with
its connection, and the next one opens another.
"""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any, LiteralString, TypeVar

import psycopg
from psycopg import sql
from psycopg.abc import Buffer
from psycopg.adapt import Loader
from psycopg.conninfo import conninfo_to_dict, make_conninfo
from psycopg.rows import dict_row
from psycopg.types.json import set_json_loads

from pyworker.database.connection import read_json, reading_parameters
from pyworker.database.lists import Page, columns_of, page_of

__all__ = ["Readings", "Unavailable"]

T = TypeVar("T")
Connection = psycopg.AsyncConnection[dict[str, Any]]

_CALL_SECONDS = 6.0  # that a call may take, a little more than its statement
_STATEMENT_SECONDS = 5
_IDLE_SECONDS = 40.0  # until a connection that is not used is closed
_TOO_LONG = ("57014", "55P03")  # a statement that was ended, a lock that was not given
_WAITING = 8  # requests that wait for the connection at most


class Unavailable(Exception):
    """The database cannot be asked just now; the message is one sentence for the client, without a
    name or an address.
    """


class _Moment(Loader):
    """A time as ISO 8601 has it; infinity, which Python's own times do not have, is that word."""

    def load(self, data: Buffer) -> str:
        """Read what the server writes in UTC."""
        text = bytes(data).decode()
        return f"{text[:10]}T{text[11:]}:00" if text.endswith("+00") else text


async def _columns(connection: Connection, view: str) -> list[str]:
    found = await connection.execute(columns_of(view))
    return [column.name for column in found.description or ()]


class Readings:
    """Reads through a connection that is there only while it is needed."""

    def __init__(self, dsn: str) -> None:
        """Nothing is connected yet."""
        self._dsn = dsn
        self._connection: Connection | None = None
        self._lock = asyncio.Lock()
        self._waiting = 0
        self._columns: dict[str, list[str]] = {}
        self._idle: asyncio.TimerHandle | None = None

    async def assert_program_fits(self, schema: int) -> None:
        """Raise where the database's schema is older than the one that this program is for."""
        await self._rows("select jobs_internal.assert_program_fits(%s)", schema)

    async def health(self) -> list[dict[str, Any]]:
        """Read jobs.health."""
        return await self._rows("select * from jobs.health")

    async def metrics(self) -> list[dict[str, Any]]:
        """Read jobs.metrics."""
        return await self._rows("select * from jobs.metrics")

    async def page(self, page: Page) -> tuple[list[dict[str, Any]], bool]:
        """Read one page of a public view; also tells whether there is another one."""
        if page.view not in self._columns:
            self._columns[page.view] = await self._call(lambda line: _columns(line, page.view))
        statement, values = page_of(page, self._columns[page.view])
        rows = await self._rows(statement, *values)
        return rows[: page.limit], len(rows) > page.limit

    async def _rows(
        self, statement: sql.SQL | sql.Composed | LiteralString, *arguments: object
    ) -> list[dict[str, Any]]:
        async def read(connection: Connection) -> list[dict[str, Any]]:
            return await (await connection.execute(statement, arguments)).fetchall()

        return await self._call(read)

    async def _call(self, work: Callable[[Connection], Awaitable[T]]) -> T:
        if self._waiting >= _WAITING:
            raise Unavailable("too many requests wait for the database")
        self._waiting += 1
        try:
            async with self._lock:
                return await self._within_time(work)
        finally:
            self._waiting -= 1

    async def _within_time(self, work: Callable[[Connection], Awaitable[T]]) -> T:
        if self._idle is not None:
            self._idle.cancel()
        task = asyncio.create_task(self._work(work))
        try:
            done, _pending = await asyncio.wait({task}, timeout=_CALL_SECONDS)
        except asyncio.CancelledError:
            self._give_up(task)
            raise
        if not done:
            self._give_up(task)
            raise Unavailable(f"the database gave no answer within {_CALL_SECONDS:.0f} s")
        self._idle = asyncio.get_running_loop().call_later(_IDLE_SECONDS, self.close)
        return task.result()

    async def _work(self, work: Callable[[Connection], Awaitable[T]]) -> T:
        used = self._connection is not None
        try:
            return await work(await self._connected())
        except psycopg.OperationalError as error:
            reached = self._connection
            if reached is not None and not reached.closed:
                if error.sqlstate not in _TOO_LONG:
                    raise
                raise Unavailable("the database took too long to answer") from error
            self.close()
            if used:  # it may have been lost while it was idle
                return await self._work(work)
            said = "was lost during the request" if reached is not None else "cannot be made"
            raise Unavailable(f"the connection to the database {said}") from error

    async def _connected(self) -> Connection:
        if self._connection is None:
            parameters = reading_parameters(conninfo_to_dict(self._dsn), _STATEMENT_SECONDS)
            self._connection = await psycopg.AsyncConnection[dict[str, Any]].connect(
                make_conninfo("", **parameters), autocommit=True, row_factory=dict_row
            )
            set_json_loads(read_json, self._connection)
            self._connection.adapters.register_loader("timestamptz", _Moment)
        return self._connection

    def _give_up(self, task: "asyncio.Task[T]") -> None:
        """Leave a call behind: its connection is of no more use, and ends when the call does."""
        connection, self._connection = self._connection, None

        def over(ended: "asyncio.Task[T]") -> None:
            if not ended.cancelled():
                ended.exception()
            if connection is not None:
                connection.pgconn.finish()

        task.add_done_callback(over)
        task.cancel()

    def close(self) -> None:
        """Close the connection, if there is one."""
        if self._connection is not None:
            self._connection.pgconn.finish()
            self._connection = None

"""The server that tests run on."""

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import psycopg
from kit.server import copy_strategy
from psycopg import Connection
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from pyworker.server import PrivateServer

ADMINISTRATOR = "postgres"

Row = tuple[Any, ...]


@dataclass(frozen=True, kw_only=True)
class Server:
    """A server for tests: a private one, or the one of PYWORKER_DSN."""

    conninfo: str  #: as administrator
    private: PrivateServer | None = None
    #: a connection for what maintains it; one that tests stop would wait for it
    keeps: bool = False
    _seen: dict[str, str] = field(default_factory=dict)
    _kept: list[Connection[Row]] = field(default_factory=list)

    def dsn(self, role: str | None = None, database: str | None = None) -> str:
        """Render a DSN for a role and a database; None: the administrator,
        the database of the DSN.
        """
        given: dict[str, Any] = {}
        if role is not None and role != ADMINISTRATOR:
            given["user"] = role
        if database is not None:
            given["dbname"] = database
        return make_conninfo(self.conninfo, **given)

    def connect(
        self, role: str | None = None, database: str | None = None, **options: Any
    ) -> Connection[Row]:
        """Open a connection that commits at once and never hangs a test; options are settings of
        the session.
        """
        settings = {
            "statement_timeout": "30s",
            "idle_in_transaction_session_timeout": "60s",
            **options,
        }
        ours = " ".join(
            f"-c {name}={str(value).replace(' ', chr(92) + ' ')}"
            for name, value in settings.items()
        )
        dsn = make_conninfo(
            self.dsn(role, database), options=ours, application_name=f"test {role or ADMINISTRATOR}"
        )
        return psycopg.connect(dsn, autocommit=True)

    @property
    def copying(self) -> str:
        """How a database is copied here in the least time."""
        if "copying" not in self._seen:
            with self.connect() as connection:
                self._seen["copying"] = copy_strategy(connection)
        return self._seen["copying"]

    @contextmanager
    def administrate(self, database: str | None = None) -> Iterator[Connection[Row]]:
        """Connect as administrator; the block runs alone among all test runs on this server."""
        # Many runs wait for one another here, and copying a database takes its time on a busy
        # machine.
        with self.connect(database=database, statement_timeout="0") as connection:
            connection.execute("select pg_advisory_lock(hashtext('pyworker tests'))")
            yield connection

    def maintain(self, *statements: str) -> None:
        """Run statements that may be repeated, alone among all test runs on this server."""
        if self._kept:
            try:
                return self._maintain(self._kept[0], statements)
            except psycopg.OperationalError:
                if not self._kept[0].closed:
                    raise  # else a test has ended all sessions
        self.close()
        self._kept.append(self.connect(statement_timeout="0"))
        self._maintain(self._kept[0], statements)
        if not self.keeps:
            self.close()
        return None

    @staticmethod
    def _maintain(connection: Connection[Row], statements: Sequence[str]) -> None:
        connection.execute("select pg_advisory_lock(hashtext('pyworker tests'))")
        try:
            for statement in statements:
                connection.execute(statement.encode())
        finally:
            if not connection.closed:
                connection.execute("select pg_advisory_unlock_all()")

    def close(self) -> None:
        """Close the connection that is kept."""
        while self._kept:
            self._kept.pop().close()

    @property
    def password(self) -> str | None:
        """The password of the DSN, which the roles of the tests share."""
        found = conninfo_to_dict(self.conninfo).get("password") or os.environ.get("PGPASSWORD")
        return str(found) if found else None

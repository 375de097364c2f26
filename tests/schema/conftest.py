"""A fresh database for each test, on a real server."""

import re
import shutil
import subprocess
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import uuid4

import psycopg
import pytest
from click.testing import CliRunner, Result
from databases import MAKE_ORIGINAL
from kit.functions import counting, note_calls
from kit.server import copy_strategy, private_server

from pyworker.cli import main
from pyworker.schema import apply_schema
from pyworker.server import PrivateServer

SQL = Path(__file__).parents[2] / "sql"


@dataclass(frozen=True, kw_only=True)
class Database:
    """One database of the server, and the ways to reach it."""

    server: PrivateServer
    name: str

    def dsn(self, role: str = "postgres") -> str:
        return self.server.dsn(role, self.name)

    def run(self, query: str, *values: Any, role: str = "postgres") -> list[tuple[Any, ...]]:
        with psycopg.connect(self.dsn(role), autocommit=True) as connection:
            cursor = connection.execute(query, values or None)
            return cursor.fetchall() if cursor.description else []

    def value(self, query: str, *values: Any) -> Any:
        return self.run(query, *values)[0][0]

    def psql(self, *arguments: str | Path, text: str = "") -> "subprocess.CompletedProcess[str]":
        return subprocess.run(
            [self.server.bin("psql"), "-X", "-v", "ON_ERROR_STOP=1", *arguments],
            env=self.server.environment("postgres", self.name),
            input=text,
            capture_output=True,
            text=True,
            check=False,
        )

    def dump(self) -> str:
        """The schemas jobs and jobs_internal as SQL, with rights."""
        arguments = ["--schema-only", "--schema=jobs", "--schema=jobs_internal"]
        done = subprocess.run(
            [self.server.bin("pg_dump"), *arguments],
            env=self.server.environment("postgres", self.name),
            capture_output=True,
            text=True,
            check=True,
        )
        return re.sub(r"(?m)^\\(un)?restrict .*$", "", done.stdout)

    def cli(self, *arguments: str, role: str = "postgres", text: str | None = None) -> Result:
        return CliRunner().invoke(main, [*arguments, "--dsn", self.dsn(role)], input=text)


@pytest.fixture(scope="session")
def schema_server() -> Iterator[PrivateServer]:
    """A server as a user's is: `pyworker check` finds nothing wrong with it."""
    with private_server("schema", durable=True) as server:
        yield server


@pytest.fixture
def new_database(schema_server: PrivateServer) -> Iterator[Callable[..., Database]]:
    """Make databases, empty ones unless a template is named; they are dropped after the test."""
    made: list[Database] = []

    def make(template: str = "template0") -> Database:
        database = Database(server=schema_server, name=f"schema_{uuid4().hex[:12]}")
        with psycopg.connect(schema_server.dsn(), autocommit=True) as connection:
            connection.execute(
                f"create database {database.name} template {template} strategy"
                f" {copy_strategy(connection)}"
            )
        made.append(database)
        return database

    yield make
    for database in made if counting() else ():
        with psycopg.connect(
            database.dsn(), autocommit=True, options="-c statement_timeout=0"
        ) as connection:
            note_calls(connection)
    with psycopg.connect(schema_server.dsn(), autocommit=True) as connection:
        for database in made:
            connection.execute(f"drop database {database.name} with (force)")


@pytest.fixture(scope="session")
def installed_template(schema_server: PrivateServer) -> str:
    """The name of a database with pyworker in it, to which nobody is connected."""
    name = "schema_installed"
    with psycopg.connect(schema_server.dsn(), autocommit=True) as connection:
        connection.execute(
            f"create database {name} template template0 strategy {copy_strategy(connection)}"
        )
    apply_schema(schema_server.dsn(dbname=name), "install")
    return name


@pytest.fixture
def database(request: pytest.FixtureRequest, new_database: Callable[..., Database]) -> Database:
    """The database of the test: empty, unless it asks for `installed` too."""
    if "installed" not in request.fixturenames:
        return new_database()
    made = new_database(request.getfixturevalue("installed_template"))
    made.run(MAKE_ORIGINAL)
    return made


@pytest.fixture
def installed(database: Database) -> Database:
    """The database of the test, with pyworker in it: as installed, and told that it is no copy."""
    return database


@pytest.fixture
def new_role(schema_server: PrivateServer) -> Iterator[Callable[[str], str]]:
    """Make roles with some attributes; they are dropped after the databases."""
    made: list[str] = []

    def make(attributes: str) -> str:
        name = f"role_{uuid4().hex[:12]}"
        with psycopg.connect(schema_server.dsn(), autocommit=True) as connection:
            connection.execute(f"create role {name} {attributes}")
        made.append(name)
        return name

    yield make
    with psycopg.connect(schema_server.dsn(), autocommit=True) as connection:
        for name in made:
            connection.execute(f"drop role {name}")


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """A copy of the SQL files, for a version that differs."""
    copy = tmp_path / "sql"
    shutil.copytree(SQL, copy)
    (copy / "migrations").mkdir(exist_ok=True)
    return copy


def add(path: Path, text: str) -> None:
    """Append to a file, or make it; a new one gets its line in install.sql, before the grants."""
    contents = path.parent.parent / "install.sql"
    if not path.exists() and path.parent.name != "migrations":
        line, before = f"\\ir {path.parent.name}/{path.name}", "\\ir setup/grants.sql"
        contents.write_text(contents.read_text().replace(before, f"{line}\n{before}"))
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a", encoding="utf-8") as file:
        file.write(f"\n{text}\n")


A_JOB = """
insert into jobs_internal.job (
  id, queue_id, owner, priority, state, max_attempts, run_at, due_at, created_at)
select 42, q.id, 'postgres'::regrole, 1, 'scheduled', 1, now(), now(), now()
from jobs_internal.queue q where q.name = 'default'
"""

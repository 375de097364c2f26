"""sql/catalog.txt is what a fresh installation holds."""

import difflib
import importlib
from pathlib import Path
from types import ModuleType

import pytest
from support import Database, Server

TOP = Path(__file__).parents[2]
CATALOG = TOP / "sql/catalog.txt"
REMEDY = (
    "sql/catalog.txt is not what the SQL makes. Where the change is meant, make the file anew:"
    " install pyworker into an empty database, run `python docs/sql_catalog.py DSN`, and commit it."
)


@pytest.fixture(name="generator")
def _generator(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    monkeypatch.syspath_prepend(TOP / "docs")
    return importlib.import_module("sql_catalog")


def _difference(made: str) -> str:
    written = CATALOG.read_text(encoding="utf-8")
    return "\n".join(
        difflib.unified_diff(
            written.splitlines(), made.splitlines(), "sql/catalog.txt", "made", lineterm="", n=2
        )
    )


def test_the_catalog_is_what_a_fresh_install_makes(
    server: Server, template: str, generator: ModuleType
) -> None:
    difference = _difference(generator.catalog(server.dsn(database=template)))
    assert difference == "", f"{REMEDY}\n{difference}"


def test_lines_fit() -> None:
    lines = CATALOG.read_text(encoding="utf-8").splitlines()
    assert [line for line in lines if len(line) > 100] == []
    assert not any(line.endswith(" ") for line in lines)


def test_the_catalog_is_not_applied() -> None:
    assert CATALOG.name not in (TOP / "sql/install.sql").read_text(encoding="utf-8")
    assert CATALOG.suffix != ".sql"


#: A change of the schema, and what the difference says of it.
CHANGES = {
    "alter table jobs_internal.job add planted integer default 7": "+  planted integer default 7",
    "alter table jobs_internal.job alter created_at drop not null": (
        "-  created_at timestamp with time zone not null"
    ),
    "create index planted on jobs_internal.job (created_at)": (
        "+  index jobs_internal.planted btree (created_at)"
    ),
    "alter table jobs_internal.job add constraint planted check (id > 0)": (
        "+  constraint planted CHECK ((id > 0))"
    ),
    "grant select on jobs_internal.job to jobs_reader": "+  select for jobs_reader",
    "revoke select on jobs.queued from jobs_reader": (
        "+  select for jobs_operator, jobs_producer, jobs_runner, jobs_supervisor"
    ),
    "grant execute on procedure jobs_internal.work to public": "+  execute for jobs_runner, public",
    "alter function jobs_internal.wake(integer) security invoker": (
        "+  volatile, plpgsql, with the rights of the caller"
    ),
    "alter function jobs_internal.wake(integer) stable": (
        "+  stable, plpgsql, with the rights of the owner"
    ),
    "alter function jobs_internal.wake(integer) reset search_path": (
        "-  set search_path=pg_catalog, pg_temp"
    ),
    "drop function jobs_internal.background(text) cascade": (
        "-function jobs_internal.background(p_function text) returns text"
    ),
    "grant usage on schema jobs to public": (
        "+  usage for jobs_operator, jobs_producer, jobs_reader, jobs_runner,"
        " jobs_supervisor, public"
    ),
}


@pytest.mark.parametrize("change", CHANGES)
def test_a_change_is_seen(database: Database, generator: ModuleType, change: str) -> None:
    database.admin(change)
    made = generator.catalog(database.server.dsn(database=database.name))
    assert CHANGES[change] in _difference(made).splitlines()

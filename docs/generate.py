"""Make the tables of docs/reference: `python docs/generate.py DSN`, on a fresh database with this
version's schema.

A page is prose with blocks between `<!-- made: NAME -->` and `<!-- end -->`. What the database says
of itself (comments, rights, jobs.errors, jobs.settings) and what the commands say with --help fills
them. A test compares. events.md is made by `python docs/events_page.py`.
"""

import importlib
import re
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import click
import psycopg
from psycopg.rows import dict_row
from queries import FUNCTIONS, GROUPS, OBJECTS, ROLES, VIEWS

from pyworker.cli import COMMANDS, main
from pyworker.config import Settings

REFERENCE = Path(__file__).parent / "reference"
SQL = Path(__file__).parents[1] / "sql"

Connection = psycopg.Connection[Any]


def _rows(connection: Connection, query: str) -> list[dict[str, Any]]:
    with connection.cursor(row_factory=dict_row) as cursor:
        return cursor.execute(query.encode()).fetchall()


def _table(head: Iterable[str], rows: Iterable[Iterable[object]]) -> Iterator[str]:
    columns = list(head)
    yield f"| {' | '.join(columns)} |"
    yield "|---" * len(columns) + "|"
    for row in rows:
        cells = (str(cell).replace("|", "\\|").replace("\n", " ") for cell in row)
        yield f"| {' | '.join(cells)} |"


def _for(roles: list[str]) -> str:
    if not roles:
        return "For administrators: superusers, and who may act as `jobs_owner`."
    return f"For {', '.join(f'`{role}`' for role in roles)}."


def _signature(row: dict[str, Any]) -> str:
    arguments = re.sub(r"::(text|jsonb|interval|integer|bigint|boolean)\b", "", row["arguments"])
    arguments = arguments.replace("DEFAULT", "default")
    if len(arguments) > 80:
        arguments = "\n  " + re.sub(r", (?=\w+ )", ",\n  ", arguments) + "\n"
    if row["procedure"]:
        return f"call jobs.{row['name']}({arguments.replace('IN ', '')})"
    return f"jobs.{row['name']}({arguments}) returns {row['result'].replace('SETOF', 'setof')}"


def functions(connection: Connection) -> Iterator[str]:
    """List the functions of schema jobs, by groups."""
    known = {row["name"]: row for row in _rows(connection, FUNCTIONS)}
    grouped = {name for names in GROUPS.values() for name in names}
    if grouped != known.keys():
        raise SystemExit(f"GROUPS and schema jobs differ: {sorted(grouped ^ known.keys())}")
    for heading, names in GROUPS.items():
        yield f"## {heading}\n"
        for name in names:
            row = known[name]
            said = f"{row['comment']}\n\n{_for(row['roles'])}"
            yield f"### jobs.{name}\n\n```\n{_signature(row)}\n```\n\n{said}\n"


def views(connection: Connection) -> Iterator[str]:
    """List the views of schema jobs with their columns."""
    rows = _rows(connection, VIEWS)
    for view in dict.fromkeys(row["view"] for row in rows):
        columns = [row for row in rows if row["view"] == view]
        yield f"### View jobs.{view}\n\n{columns[0]['comment']}. {_for(columns[0]['roles'])}\n"
        yield from _table(
            ("column", "type", "meaning"),
            ((f"`{row['column']}`", row["type"], row["meaning"]) for row in columns),
        )
        yield ""


def _marks(roles: list[str]) -> Iterator[str]:
    for role in ROLES:
        yield "x" if role in roles else ""
    others = [role for role in roles if role not in ROLES]
    if others:
        raise SystemExit(f"rights for {others}: they belong into no table of ours")


def public_rights(connection: Connection) -> Iterator[str]:
    """List who may call and read what in schema jobs."""
    rows = [row for row in _rows(connection, OBJECTS) if row["schema"] == "jobs"]
    return _table(
        ("object", "kind", *(role.removeprefix("jobs_") for role in ROLES), "runs as"),
        (
            (f"`{row['name']}`", row["kind"], *_marks(row["roles"]),
             "" if row["definer"] is None else "owner" if row["definer"] else "caller")
            for row in rows
        ),
    )  # fmt: skip


def internal_rights(connection: Connection) -> Iterator[str]:
    """List every function of jobs_internal: who may call it, with whose rights it runs, whether its
    path is pinned.
    """
    rows = [
        row
        for row in _rows(connection, OBJECTS)
        if row["schema"] == "jobs_internal" and row["definer"] is not None
    ]
    return _table(
        ("function", *(role.removeprefix("jobs_") for role in ROLES), "runs as", "path"),
        (
            (f"`{row['name'].removeprefix('jobs_internal.')}`", *_marks(row["roles"]),
             "owner" if row["definer"] else "caller", "pinned" if row["pinned"] else "caller's")
            for row in rows
        ),
    )  # fmt: skip


def closed_objects(connection: Connection) -> Iterator[str]:
    """List what only the owner has any right on, and whose each object is."""
    rows = _rows(connection, OBJECTS)
    closed = [row for row in rows if row["schema"] == "jobs_internal" and row["definer"] is None]
    rights = {right for row in closed for right in row["roles"]}
    owners = sorted({row["owner"] for row in rows})
    yield f"Owner of every object: {', '.join(f'`{owner}`' for owner in owners)}."
    said = ", ".join(sorted(rights)) or "none"
    yield f"Rights of others on the {len(closed)} tables and sequences of `jobs_internal`: {said}."


def _yes(value: object) -> str:
    return "yes" if value else "no"


def errors(connection: Connection) -> Iterator[str]:
    """List jobs.errors."""
    rows = _rows(connection, "select * from jobs.errors")
    return _table(
        ("SQLSTATE", "retry", "meaning"),
        ((f"`{row['sqlstate']}`", _yes(row["retry"]), row["meaning"]) for row in rows),
    )


def installer(_connection: Connection) -> Iterator[str]:
    """List the errors of files that run before jobs.errors is there; sql/README.md has them."""
    said = (SQL / "README.md").read_text(encoding="utf-8")
    found = re.findall(r"^\| (PW\w{3}) \| (.*) \|$", said, re.MULTILINE)
    return _table(
        ("SQLSTATE", "meaning"), ((f"`{sqlstate}`", meaning) for sqlstate, meaning in found)
    )


def rules(connection: Connection) -> Iterator[str]:
    """List jobs.retry_rules."""
    rows = _rows(connection, "select * from jobs.retry_rules")
    return _table(
        ("pattern", "retry", "why"),
        ((f"`{row['pattern']}`", _yes(row["retry"]), row["why"]) for row in rows),
    )


def database(connection: Connection) -> Iterator[str]:
    """List jobs.settings."""
    rows = _rows(connection, "select * from jobs.settings")
    return _table(
        ("name", "default", "unit", "what it does"),
        (
            (f"`{row['name']}`", f"`{row['value']}`", row["unit"], row["description"])
            for row in rows
        ),
    )


def _default(value: object) -> str:
    if value is None or value == ():
        return ""
    return f"`{','.join(value)}`" if isinstance(value, tuple) else f"`{value}`"


def program(_connection: Connection) -> Iterator[str]:
    """List the fields of Settings."""
    return _table(
        ("in the file", "variable", "default", "meaning"),
        (
            (f"`{name}`", f"`PYWORKER_{name.upper()}`", _default(field.default), field.description)
            for name, field in Settings.model_fields.items()
        ),
    )


def _help(command: click.Command, path: str, parent: click.Context | None) -> Iterator[str]:
    context = click.Context(command, parent, info_name=path.rpartition(" ")[2], terminal_width=100)
    context.help_option_names = ["-h", "--help"]
    yield f"## {path}\n\n```\n{command.get_help(context)}\n```\n"
    if isinstance(command, click.Group) and command is not main:
        for name, child in command.commands.items():
            yield from _help(child, f"{path} {name}", context)


def commands(_connection: Connection) -> Iterator[str]:
    """List every command with its help."""
    yield from _help(main, "pyworker", None)
    root = click.Context(main, info_name="pyworker")
    for name, (module, attribute, _line) in COMMANDS.items():
        yield from _help(
            getattr(importlib.import_module(module), attribute), f"pyworker {name}", root
        )


BLOCKS = {
    "public_rights": public_rights,
    "internal_rights": internal_rights,
    "closed_objects": closed_objects,
    "functions": functions,
    "views": views,
    "errors": errors,
    "installer": installer,
    "rules": rules,
    "database": database,
    "program": program,
    "commands": commands,
}


def pages(dsn: str) -> dict[Path, str]:
    """Render every page that has a block."""
    with psycopg.connect(dsn) as connection:

        def fill(found: re.Match[str]) -> str:
            made = "\n".join(BLOCKS[found[1]](connection)).rstrip("\n")
            return f"<!-- made: {found[1]} -->\n\n{made}\n\n<!-- end -->"

        texts = {path: path.read_text(encoding="utf-8") for path in sorted(REFERENCE.glob("*.md"))}
        pattern = re.compile(r"<!-- made: (\w+) -->\n.*?<!-- end -->", re.DOTALL)
        return {
            path: pattern.sub(fill, text) for path, text in texts.items() if "<!-- made: " in text
        }


if __name__ == "__main__":
    if len(sys.argv) != 2:
        raise SystemExit(__doc__)
    for page, text in pages(sys.argv[1]).items():
        page.write_text(text, encoding="utf-8")

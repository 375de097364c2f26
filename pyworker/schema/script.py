"""The one sequence of steps that installs or upgrades.

`plan` gives the steps, each with the condition under which it applies; `apply.py` executes them,
and `render` writes them as a script for psql, which needs nothing else.
"""

from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum
from itertools import groupby
from typing import Literal

from pgmq.install import get_embedded_install_sql, get_embedded_sql_version

from pyworker.schema.files import Source, SqlFile

__all__ = [
    "BRING_PGMQ",
    "FRESH",
    "Command",
    "Step",
    "When",
    "install_script",
    "plan",
]

Command = Literal["install", "upgrade"]

BEGIN = (
    "begin;\nset local transaction_isolation = 'read committed';\nset local "
    "transaction_read_only = off;\n"
)
#: Whether the database has no schema of ours yet, and whether it needs pgmq's own SQL.
FRESH = (
    "select not exists (select from pg_catalog.pg_class c"
    " join pg_catalog.pg_namespace n on n.oid = c.relnamespace"
    " where n.nspname = 'jobs_internal' and c.relname = 'schema_migration')"
)
BRING_PGMQ = (
    "select pg_catalog.to_regnamespace('pgmq') is null"
    " and not exists (select from pg_catalog.pg_available_extensions where name = 'pgmq')"
)


class When(Enum):
    """The condition of a step."""

    ALWAYS = "always"
    FRESH = "the database has no schema of ours"
    PENDING = "it has one, without this migration"
    PGMQ = "neither schema pgmq nor its extension is there"


@dataclass(frozen=True, kw_only=True)
class Step:
    """Some SQL, and when it applies."""

    when: When
    text: str
    file: SqlFile | None = None
    version: int = 0

    @property
    def locks(self) -> bool:
        """Tell whether it takes the lock; only behind it is it known what the database holds."""
        return self.file is not None and self.file.path.startswith("setup/install_lock")

    @property
    def records(self) -> bool:
        """Tell whether it makes the record of migrations, owned by the role that applies them."""
        return self.file is not None and self.file.path.startswith("setup/versions")

    @property
    def where(self) -> str:
        """Name the place of its text, for errors."""
        return f"sql/{self.file.path}" if self.file else "the installer"


def _pgmq() -> Step:
    version = get_embedded_sql_version()
    text = get_embedded_install_sql().rstrip()
    return Step(
        when=When.PGMQ,
        text=f"{text}\ncomment on schema pgmq is 'pgmq {version}, applied by pyworker';\n",
    )


def _record(version: int, name: str, when: When) -> Step:
    values = f"values ({version}, '{name}')"  # a number and a name of ours
    insert = "insert into jobs_internal.schema_migration (version, name)"
    return Step(when=when, version=version, text=f"{insert} {values};\n")


def plan(
    source: Source, command: Command, *, pgmq: bool = True, checksum: bool = True
) -> list[Step]:
    """List the steps in order; without `checksum`, nothing in them changes when only a file's text
    does.
    """
    said = {"command": command, "schema_version": str(source.version)}
    if checksum:
        said["files_checksum"] = source.checksum
    steps = [
        Step(
            when=When.ALWAYS,
            text="".join(f"set local pyworker.{key} = '{value}';\n" for key, value in said.items()),
        )
    ]
    first = next(n for n, file in enumerate(source.schema) if file.fresh_only)
    before = [file for file in source.schema[:first] if not file.fresh_only]
    after = [file for file in source.schema[first:] if not file.fresh_only]
    for file in before:
        if pgmq and file.path.startswith("setup/extensions"):
            steps.append(_pgmq())
        steps.append(Step(when=When.ALWAYS, file=file, text=file.text))
    steps += [
        Step(when=When.FRESH, file=file, text=file.text)
        for file in source.schema
        if file.fresh_only
    ]
    steps.append(_record(0, "base", When.FRESH))
    steps += [
        _record(migration.version, migration.name, When.FRESH) for migration in source.migrations
    ]
    for migration in source.migrations:
        steps.append(
            Step(
                when=When.PENDING,
                version=migration.version,
                file=migration.file,
                text=migration.file.text,
            )
        )
        steps.append(_record(migration.version, migration.name, When.PENDING))
    return steps + [Step(when=When.ALWAYS, file=file, text=file.text) for file in after]


def _guard(step: Step) -> tuple[str, str]:
    """Give what a psql script says before and after a step."""
    match step.when:
        case When.ALWAYS:
            return "", ""
        case When.FRESH:
            return "\\if :pyworker_fresh\n", "\\endif\n"
        case When.PGMQ:
            return f"{BRING_PGMQ} as pyworker_pgmq \\gset\n\\if :pyworker_pgmq\n", "\\endif\n"
        case When.PENDING:
            lookup = "select exists (select from jobs_internal.schema_migration where version"
            condition = f"{lookup} = {step.version}) as pyworker_done \\gset\n"
            return (
                f"\\if :pyworker_fresh\n\\else\n{condition}\\if :pyworker_done\n\\else\n",
                "\\endif\n\\endif\n",
            )


def _inline(step: Step) -> str:
    title = f"-- {'-' * 8} {step.where} {'-' * 8}\n" if step.file else ""
    return f"{title}{step.text.rstrip()}\n"


def render(steps: list[Step], header: str, body: Callable[[Step], str] = _inline) -> str:
    """Write the steps as one script for psql, in one transaction that an error undoes."""
    parts = [header, "\\set ON_ERROR_STOP on\n\\set QUIET on\n", BEGIN]
    for (opening, closing), group in groupby(steps, key=_guard):
        parts.append(opening)
        for step in group:
            parts.append(body(step))
            if step.locks:
                parts.append(f"{FRESH} as pyworker_fresh \\gset\n")
        parts.append(closing)
    parts.append("commit;\n")
    return "".join(parts)


def _header(command: Command, *, included: bool) -> str:
    how = "Reads the files beside it." if included else "Needs nothing but psql."
    what = {
        "install": "Installs pyworker, or applies its functions and views again",
        "upgrade": "Brings an installed pyworker to this version",
    }[command]
    by = "Written by `python -m pyworker.schema`; do not edit.\n-- " if included else ""
    return (
        f"-- {what}, in one transaction.\n-- {by}{how}  Usage: psql -X -v ON_ERROR_STOP=1 -f "
        f"FILE DSN\n\n"
    )


def install_script(source: Source, command: Command) -> str:
    """Write everything into one script: what `--sql` prints."""
    return render(plan(source, command), _header(command, included=False))

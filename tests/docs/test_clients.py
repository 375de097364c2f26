"""The Python listings of README.md run as they stand there, each with its library,
and enqueue in its transaction.
"""

import importlib.util
import re
import subprocess
import sys

import pytest
from support import Database

from .listings import TOP

_DATA = {"customer": "customer 7"}

#: What an application has before: connections, settings, and what it imports.
_BEFORE = {
    "psycopg": "import psycopg\nfrom psycopg.types.json import Jsonb\n",
    "sqlalchemy": """import json
from sqlalchemy import create_engine, text
engine = create_engine("postgresql+psycopg://", creator=lambda: __import__("psycopg").connect(dsn))
""",
    "django": """import json
from django.conf import settings
from psycopg.conninfo import conninfo_to_dict
given = conninfo_to_dict(dsn)
place = {"NAME": given["dbname"], "USER": given["user"],
         "HOST": given.get("host", ""), "PORT": given.get("port", "")}
place["PASSWORD"] = given.get("password", "")
settings.configure(DATABASES={"default": {"ENGINE": "django.db.backends.postgresql", **place}})
from django.db import connection, transaction
""",
}
_MARK = {"psycopg": "Jsonb(", "sqlalchemy": "engine.begin()", "django": "transaction.atomic()"}


def _listing(client: str) -> str:
    page = (TOP / "README.md").read_text(encoding="utf-8")
    (found,) = [
        text
        for text in re.findall(r"^```python\n(.*?)^```$", page, re.M | re.S)
        if _MARK[client] in text
    ]
    assert len(found.splitlines()) <= 3
    return str(found)


def _run(client: str, program: str, database: Database) -> "subprocess.CompletedProcess[str]":
    text = f"dsn = {database.dsn()!r}\ndata = {_DATA!r}\n{_BEFORE[client]}{program}"
    return subprocess.run([sys.executable, "-c", text], capture_output=True, text=True, check=False)


@pytest.fixture(name="database")
def _database(shared: Database) -> Database:
    shared.run(
        "create or replace function sales(customer text) returns text language sql return customer"
    )
    return shared


@pytest.mark.parametrize("client", list(_BEFORE))
def test_an_application_enqueues(client: str, database: Database) -> None:
    if importlib.util.find_spec(client) is None:
        pytest.skip(f"{client} is not installed: it comes with the extra dev")
    done = _run(client, _listing(client) + "print(job)\n", database)

    assert done.returncode == 0, done.stderr
    database.drain()
    assert database.result(int(done.stdout)) == "customer 7"


@pytest.mark.parametrize("client", list(_BEFORE))
def test_a_transaction_that_fails_enqueues_nothing(client: str, database: Database) -> None:
    if importlib.util.find_spec(client) is None:
        pytest.skip(f"{client} is not installed: it comes with the extra dev")
    before = database.value("select count(*) from jobs.job")
    done = _run(
        client, _listing(client) + "    print(job, flush=True)\n    raise SystemExit(7)\n", database
    )

    assert done.returncode == 7, done.stderr
    assert int(done.stdout) > 0
    assert database.value("select count(*) from jobs.job") == before

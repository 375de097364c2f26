"""The schema is upgraded under a supervisor and under the job that it had started."""

import subprocess
import sys
from collections.abc import Iterator

import pytest
from databases import drop, new_name
from kit import warm
from kit.daemon import Supervise
from pgmq.install import get_embedded_install_sql
from stage import ledger, put, wait_at_gate, wait_for, wait_running
from support import Database, Server, wait_until

from tests.schema.dump import DUMPS

STAGE = """
create schema app authorization app;
create table app.ledger (n integer);
alter table app.ledger owner to app;
create function app.note(n integer) returns integer
language sql begin atomic insert into app.ledger values (n) returning n; end;
create function app.gate(n integer) returns integer
language plpgsql as $$
begin
  insert into app.ledger values (n);
  perform pg_advisory_xact_lock(1);
  return n;
end $$;
"""


NEWEST = max(DUMPS.glob("*.sql"))
#: Its functions do not know what the version of their schema is.
SILENT = DUMPS / "0001.sql"


@pytest.fixture
def older(server: Server, template: str, request: pytest.FixtureRequest) -> Iterator[Database]:
    """A database with an older schema: of the version before this one, if no other is asked for."""
    assert template  # the roles are there
    database = Database(server=server, name=new_name("upgraded"))
    with server.connect() as line:
        line.execute(f"create database {database.name} template template0".encode())
    for text in (
        get_embedded_install_sql(),
        getattr(request, "param", NEWEST).read_text(encoding="utf-8"),
        STAGE,
    ):
        assert server.private is not None
        subprocess.run(
            [server.private.bin("psql"), "-X", "-q", "-v", "ON_ERROR_STOP=1", "-f", "-"],
            env=server.private.environment("postgres", database.name), input=text, text=True,
            check=True, capture_output=True,
        )  # fmt: skip
    yield database
    drop(database)


def test_a_supervisor_lives_through_an_upgrade(
    server: Server, older: Database, supervise: Supervise
) -> None:
    """It sees that all is paused, launches nothing of the old version, and goes on with the
    new one.
    """
    database = older
    one = supervise(database.dsn("supervisor"), "--owner", "app", older=True)
    with server.connect("postgres", database.name) as holder:
        holder.execute("select pg_advisory_lock(1)")
        job = put(database, "app.gate", {"n": 1})
        wait_running(database, job)
        wait_at_gate(database)
        command = [sys.executable, "-m", "pyworker", "upgrade", "--dsn", database.dsn("postgres")]
        upgrade = warm.Warm(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        wait_until(lambda: database.admin("select paused from jobs_internal.switch") == [(True,)])
        later = put(database, "app.note", {"n": 2})
        database.close()
    said, _ = upgrade.communicate(timeout=60)
    assert upgrade.returncode == 0, said
    assert "worker sessions end their jobs first" in said
    assert [wait_for(database, number)["state"] for number in (job, later)] == [
        "succeeded",
        "succeeded",
    ]
    assert ledger(database) == [1, 2]
    assert one.process.poll() is None
    assert one.stop() == 0


@pytest.mark.parametrize(
    ("older", "asks"),
    [(SILENT, False), (NEWEST, True)],
    ids=["a schema from before it was asked", "a schema that answers"],
    indirect=["older"],
)
def test_a_newer_program_does_not_run_on_an_older_schema(
    older: Database, supervise: Supervise, *, asks: bool
) -> None:
    """It says so once, with the command that helps, and leaves with a code of its own,
    having done nothing.
    """
    if asks:
        upgrade = [sys.executable, "-m", "pyworker", "upgrade", "--dsn", older.dsn("postgres")]
        subprocess.run(upgrade, check=True, capture_output=True)
        older.admin(
            "create or replace function jobs_internal.schema_version() returns integer"
            " language sql immutable"
            " set search_path = pg_catalog, pg_temp begin atomic select 1; end"
        )
    one = supervise(older.dsn("supervisor"), "--owner", "app", "--wait", started=False)
    assert one.process.wait(60) == 5
    one.stop()
    (line,) = one.events("schema_mismatch")
    assert line["sqlstate"] == ("PW053" if asks else "42883")
    assert (
        "older than this program" in line["message"]
        if asks
        else "is not the one of this program" in line["message"]
    )
    assert "`pyworker upgrade`" in line["hint"]
    assert one.events("supervisor_started") == []
    assert older.admin("select count(*) from jobs_internal.supervisor") == [(0,)]


def test_once_upgraded_it_runs(older: Database, supervise: Supervise) -> None:
    upgrade = [sys.executable, "-m", "pyworker", "upgrade", "--dsn", older.dsn("postgres")]
    subprocess.run(upgrade, check=True, capture_output=True)
    assert supervise(older.dsn("supervisor"), "--owner", "app").stop() == 0

"""The schema is upgraded under a supervisor and under the job that it had started."""

import subprocess
import sys

from pgmq.install import get_embedded_install_sql
from stage import ledger, put, wait_at_gate, wait_for, wait_running
from support import Database, Server, drop, new_name, wait_until

from tests.schema.dump import DUMPS

from .conftest import Supervise

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


def test_a_supervisor_lives_through_an_upgrade(server: Server, template: str, supervise: Supervise) -> None:
    """It sees that all is paused, launches nothing of the old version, and goes on with the new one."""
    assert template  # the roles are there
    database = Database(server=server, name=new_name("upgraded"))
    with server.connect() as line:
        line.execute(f"create database {database.name} template template0".encode())
    for text in (get_embedded_install_sql(), max(DUMPS.glob("*.sql")).read_text(encoding="utf-8"), STAGE):
        assert server.private is not None
        subprocess.run(
            [server.private.bin("psql"), "-X", "-q", "-v", "ON_ERROR_STOP=1", "-f", "-"],
            env=server.private.environment("postgres", database.name), input=text, text=True, check=True,
            capture_output=True,
        )  # fmt: skip
    one = supervise(database.dsn("supervisor"), "--owner", "app")
    with server.connect("postgres", database.name) as holder:
        holder.execute("select pg_advisory_lock(1)")
        job = put(database, "app.gate", {"n": 1})
        wait_running(database, job)
        wait_at_gate(database)
        command = [sys.executable, "-m", "pyworker", "upgrade", "--dsn", database.dsn("postgres")]
        upgrade = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        wait_until(lambda: database.admin("select paused from jobs_internal.switch") == [(True,)])
        later = put(database, "app.note", {"n": 2})
        database.close()
    said, _ = upgrade.communicate(timeout=60)
    assert upgrade.returncode == 0, said
    assert "worker sessions end their jobs first" in said
    assert [wait_for(database, number)["state"] for number in (job, later)] == ["succeeded", "succeeded"]
    assert ledger(database) == [1, 2]
    assert one.process.poll() is None
    assert one.stop() == 0
    drop(database)

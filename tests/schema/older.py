"""A database with an older schema, and jobs of every state in it."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import psycopg
from support import wait_until

from tests.schema.conftest import Database

STAGE = """
create table app.ledger (n integer);
create function app.note(n integer) returns integer
language sql begin atomic insert into app.ledger values (n) returning n; end;
create function app.say(n integer) returns void
language plpgsql as $$
begin
  perform jobs.log('line ' || n, 'info', '{"a": 1}');
  insert into app.ledger values (n);
end $$;
create function app.fail(state text default 'P0001') returns void
language plpgsql as $$ begin
  raise exception using errcode = state, message = 'it failed', detail = 'a detail';
end $$;
create function app.gate(n integer) returns integer
language plpgsql as $$
begin
  insert into app.ledger values (n);
  perform pg_advisory_xact_lock(1);
  return n;
end $$;
"""
#: Runs at top level, and waits in the middle.
CHILD = "do $$ begin commit; perform pg_advisory_xact_lock(2); end $$"
ENDED = (
    "select count(*) = 0 from pg_stat_activity where datname = current_database()"
    " and backend_type ~ '^pg_background'"
)


@dataclass(kw_only=True)
class Old:
    """A database with an older schema, and its jobs by what they stand for."""

    database: Database
    app: str
    other: str
    jobs: dict[str, int] = field(default_factory=dict)

    def put(self, name: str, call: str, role: str | None = None) -> int:
        self.jobs[name] = int(self.database.run(f"select {call}", role=role or self.app)[0][0])
        return self.jobs[name]

    def state(self, name: str) -> str:
        return str(self.database.value("select state from jobs.job where id = %s", self.jobs[name]))

    def start(self) -> None:
        self.database.run("select jobs.start()", role=self.app)

    def drain(self) -> None:
        self.start()
        wait_until(lambda: self.database.value(ENDED))

    def waits_at(self, lock: int) -> list[Any]:
        found = self.database.run(
            "select pid from pg_locks where locktype = 'advisory' and objid = %s and not granted"
            " and database = (select oid from pg_database where datname = current_database())",
            lock,
        )
        return [row[0] for row in found]


@contextmanager
def held(database: Database, lock: int) -> Iterator[None]:
    with psycopg.connect(database.dsn(), autocommit=True) as holder:
        holder.execute("select pg_advisory_lock(%s)", [lock])
        yield


def fill(old: Old) -> None:
    """Put jobs of every state into it, through its own functions; what needs a crash is written
    by hand.
    """
    database, put = old.database, old.put
    for statement in (
        "jobs.configure('lease_seconds', '77')",
        "jobs.set_retry_rule('P0002', true, 'for a test')",
        f"jobs.set_quota('{old.app}', running => 5)",
        "jobs.create_queue('shut', 3, backoff => '1 hour')",
        "jobs.create_queue('slow', 1, backoff => '1 hour')",
    ):
        database.run(f"select {statement}")
    put("succeeded", "jobs.enqueue('app.say', '{\"n\": 1}', note => '{\"ticket\": 7}')")
    put("failed", "jobs.enqueue('app.fail', max_attempts => 1)")
    put("dismissed", "jobs.enqueue('app.fail', max_attempts => 1)")
    put("again", "jobs.enqueue('app.fail', '{\"state\": \"40001\"}', 'slow')")
    put("to_retry", "jobs.enqueue('app.fail', max_attempts => 1, queue => 'shut')")
    old.drain()
    database.run("select jobs.dismiss(%s)", old.jobs["dismissed"], role=old.app)
    with held(database, 2):
        put("in_doubt", f"jobs.enqueue_sql($s${CHILD}$s$, max_attempts => 1)")
        old.start()
        wait_until(lambda: old.waits_at(2))
        database.run(
            "select pg_terminate_backend(pid, 5000) from jobs.running where id = %s",
            old.jobs["in_doubt"],
        )
    wait_until(lambda: database.value(ENDED))
    old.drain()
    database.run("select jobs.pause('shut')")
    database.run("select jobs.retry(%s)", old.jobs["to_retry"], role=old.app)
    put(
        "waiting",
        "jobs.enqueue('app.note', '{\"n\": 2}', unique_key => 'k', queue => 'shut',"
        " priority => 'high')",
    )
    put("suspect", "jobs.enqueue('app.note', '{\"n\": 3}', 'shut')")
    put("cancelled", "jobs.enqueue('app.note', '{\"n\": 4}', 'shut')")
    put(
        "scheduled",
        "jobs.enqueue('app.note', '{\"n\": 5}', run_at => now() + interval '1 day',"
        " timeout => '1 min')",
    )
    put(
        "set",
        "jobs.enqueue('app.note', '{\"n\": 6}', 'shut', settings => '{\"work_mem\": \"8MB\"}')",
    )
    put(
        "statement",
        "jobs.enqueue_sql('vacuum app.ledger', 'shut', done_when => 'true', rollback => 'analyze')",
    )
    put("top", "jobs.enqueue_sql('insert into app.ledger values (7)', queue => 'shut')")
    database.run("select jobs.cancel(%s)", old.jobs["cancelled"], role=old.app)
    database.run("update jobs_internal.job set crashes = 1 where id = %s", old.jobs["suspect"])
    database.run(f"select jobs.publish('app.note(integer)', '{old.other}', 'shut')", role=old.app)
    put("published", "jobs.enqueue_published('app.note(integer)', '{\"n\": 8}')", role=old.other)
    database.run("update jobs_internal.lane set quarantine = '{}' where priority = 0")


def die_with_a_claim(old: Old) -> None:
    """Leave a job to a session that ended with it in its hands, before it began."""
    old.put("claimed", "jobs.enqueue('app.note', '{\"n\": 9}')")
    (takes,) = old.database.run("select pronargs from pg_proc where proname = 'open_session'")[0]
    version = "jobs_internal.schema_version()" if takes else ""
    with psycopg.connect(old.database.dsn(old.app), autocommit=True) as line:
        (session,) = line.execute(
            f"select jobs_internal.open_session({version})".encode()
        ).fetchone() or (0,)
        claim = "select cardinality((jobs_internal.claim(%s, 0, null, false, 10)).msg_ids)"
        assert line.execute(claim, [session]).fetchone() == (1,)

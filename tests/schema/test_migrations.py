"""Each older schema comes to the present one with jobs of every state in it and a session at work; none is lost."""

import re
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import psycopg
import pytest
from click.testing import Result
from pgmq.install import get_embedded_install_sql
from psycopg.rows import dict_row
from support import wait_until

from pyworker.schema import apply_schema, read_source
from tests.schema.conftest import SQL, Database
from tests.schema.dump import DUMPS

OLD = sorted(DUMPS.glob("*.sql"))
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
language plpgsql as $$ begin raise exception using errcode = state, message = 'it failed', detail = 'a detail'; end $$;
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
    "select count(*) = 0 from pg_stat_activity where datname = current_database() and backend_type ~ '^pg_background'"
)
#: What people see of jobs and settings, as far as it stays what it was.
SEEN = {
    "jobs.job": "id",
    "jobs.attempts": "job_id, attempt",
    "jobs.log_lines": "1, 2, 3",
    "jobs.queues": "queue",
    "jobs.settings": "1",
    "jobs.retry_rules": "1",
    "jobs.quotas": "1",
    "jobs.publications": "1",
}
MOMENTARY = {"waits_for"}
#: Figures of the moment, beside what was set.
FIGURES = {
    "jobs.queues": {"queued", "running", "oldest", "rate", "slots", "accepting"},
    "jobs.quotas": {"jobs_pending", "sessions", "last_minute", "over_rate"},
}
PRESENT = read_source(SQL).version
#: Tables whose rows are of sessions and supervisors that come and go.
#: Tables to which an upgrade, and a session that ends, add.
ADDED = {"audit", "queue_minute_stats", "call_stats", "daily_cost", "history_use", "rate_use", "wakeup_request"}
PASSING = {
    "session", "slot", "attempt", "lane", "supervisor", "duty", "server", "schema_migration", "schema_object", "outbox",
}  # fmt: skip


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


@pytest.fixture(params=OLD, ids=lambda path: path.stem)
def old(request: pytest.FixtureRequest, new_role: Callable[[str], str], new_database: Callable[[], Database]) -> Old:
    """The older schema, without jobs."""
    database = new_database()
    for text in (get_embedded_install_sql(), request.param.read_text(encoding="utf-8")):
        done = database.psql("-q", "-f", "-", text=text)
        assert done.returncode == 0, done.stderr
    runner = "login in role jobs_producer, jobs_runner"
    made = Old(database=database, app=new_role(runner), other=new_role(runner))
    database.run(f"create schema app authorization {made.app}")
    database.run(f"grant usage on schema app to {made.other}")
    database.run(STAGE, role=made.app)
    return made


def fill(old: Old) -> None:
    """Put jobs of every state into it, through its own functions; what needs a crash is written by hand."""
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
        database.run("select pg_terminate_backend(pid, 5000) from jobs.running where id = %s", old.jobs["in_doubt"])
    wait_until(lambda: database.value(ENDED))
    old.drain()
    database.run("select jobs.pause('shut')")
    database.run("select jobs.retry(%s)", old.jobs["to_retry"], role=old.app)
    put("waiting", "jobs.enqueue('app.note', '{\"n\": 2}', unique_key => 'k', queue => 'shut', priority => 'high')")
    put("suspect", "jobs.enqueue('app.note', '{\"n\": 3}', 'shut')")
    put("cancelled", "jobs.enqueue('app.note', '{\"n\": 4}', 'shut')")
    put("scheduled", "jobs.enqueue('app.note', '{\"n\": 5}', run_at => now() + interval '1 day', timeout => '1 min')")
    put("set", "jobs.enqueue('app.note', '{\"n\": 6}', 'shut', settings => '{\"work_mem\": \"8MB\"}')")
    put("statement", "jobs.enqueue_sql('vacuum app.ledger', 'shut', done_when => 'true', rollback => 'analyze')")
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
        (session,) = line.execute(f"select jobs_internal.open_session({version})".encode()).fetchone() or (0,)
        claim = "select cardinality((jobs_internal.claim(%s, 0, null, false, 10)).msg_ids)"
        assert line.execute(claim, [session]).fetchone() == (1,)


def seen(database: Database, views: dict[str, list[str]] | None = None) -> "Seen":
    """Read what people see; after an upgrade the columns that there were before."""
    found = {}
    with psycopg.connect(database.dsn(), autocommit=True, row_factory=dict_row) as line:
        for view, order in SEEN.items():
            columns = ", ".join(f'"{name}"' for name in views[view]) if views else "*"
            found[view] = line.execute(f"select {columns} from {view} order by {order}".encode()).fetchall()
    return found


def counts(database: Database) -> dict[str, int]:
    """Count the rows of the tables that hold more than a moment."""
    names = database.run(
        "select c.relname from pg_class as c where c.relnamespace = 'jobs_internal'::regnamespace"
        " and c.relkind in ('r', 'p') and not c.relispartition"
    )
    lasting = [name for (name,) in names if name not in PASSING]
    return {name: database.value(f"select count(*) from jobs_internal.{name}") for name in lasting}


Seen = dict[str, list[dict[str, Any]]]


def without(found: Seen, job: int) -> Seen:
    """Leave out one job, and what is of a moment only."""
    return {
        view: [
            {name: value for name, value in row.items() if name not in MOMENTARY | FIGURES.get(view, set())}
            for row in rows
            if job not in (row.get("id"), row.get("job_id"))
        ]
        for view, rows in found.items()
    }


def version(database: Database) -> int:
    return int(database.value("select max(version) from jobs_internal.schema_migration"))


def test_everything_is_there_again(old: Old, new_database: Callable[[], Database]) -> None:
    """The session at work ends its job, once; then tables change; nothing runs on functions of two versions."""
    database = old.database
    fill(old)
    done: list[Result] = []
    with held(database, 1):
        job = old.put("running", "jobs.enqueue('app.gate', '{\"n\": 100}')")
        old.start()
        (pid,) = wait_until(lambda: old.waits_at(1))
        die_with_a_claim(old)
        before, rows, number = seen(database), counts(database), version(database)

        impatient = database.cli("upgrade", "--wait", "1")
        assert impatient.exit_code == 1
        assert f"process {pid} of role {old.app}, job {job}" in impatient.output
        assert (version(database), database.value("select paused from jobs_internal.switch")) == (number, False)

        thread = threading.Thread(target=lambda: done.append(database.cli("upgrade", "--wait", "60")))
        thread.start()
        wait_until(lambda: database.value("select paused from jobs_internal.switch"))
        assert version(database) == number
    thread.join(90)
    assert done[0].exit_code == 0, done[0].output

    assert (version(database), database.value("select paused from jobs_internal.switch")) == (PRESENT, False)
    assert old.state("running") == "succeeded"
    assert database.run("select n from app.ledger order by n") == [(1,), (100,)]
    after = seen(database, {view: list(found[0]) for view, found in before.items()})
    assert without(after, job) == without(before, job)
    left = {"job": -1, "finished": 1}
    there = counts(database)
    assert {name: there[name] for name in rows if name in there and name not in ADDED} == {
        name: count + left.get(name, 0) for name, count in rows.items() if name in there and name not in ADDED
    }
    fresh = new_database()
    apply_schema(fresh.dsn(), "install")
    assert database.dump() == fresh.dump()
    finish(old)


def finish(old: Old) -> None:
    """Let all run that can: each has its effect once, and ends as it was declared to."""
    database = old.database
    assert {name: old.state(name) for name in ENDS} == ENDS
    database.run("update jobs_internal.lane set quarantine = null")
    database.run("select jobs.resume('shut')")
    for name in ("scheduled", "again"):
        database.run("select jobs.run_now(%s)", old.jobs[name])
    wait_until(lambda: database.run("select jobs_internal.rescue()") and database.value(ENDED))
    for role in (old.app, old.app, old.other):
        database.run("select jobs.start()", role=role)
        wait_until(lambda: database.value(ENDED))
    wanted = {2, 3, 5, 6, 7, 8, 9}
    assert [n for (n,) in database.run("select n from app.ledger order by n")] == sorted({1, 100} | wanted)
    assert {name: old.state(name) for name in LAST} == LAST


#: What each is before the upgrade and after it, and at the end.
ENDS = {
    "succeeded": "succeeded", "failed": "failed", "dismissed": "failed", "again": "scheduled", "to_retry": "queued",
    "in_doubt": "in_doubt", "waiting": "queued", "suspect": "queued", "cancelled": "cancelled",
    "scheduled": "scheduled", "set": "queued", "statement": "queued", "top": "queued", "published": "queued",
    "claimed": "queued",
}  # fmt: skip
LAST = {
    **ENDS, "again": "scheduled", "to_retry": "failed", "waiting": "succeeded", "suspect": "succeeded",
    "scheduled": "succeeded", "set": "succeeded", "statement": "succeeded", "top": "succeeded",
    "published": "succeeded", "claimed": "succeeded",
}  # fmt: skip


def test_psql_alone_waits_for_nobody(old: Old) -> None:
    """It refuses while a session of the older version is at work, with what to do; then it does the same."""
    database = old.database
    with held(database, 1):
        job = old.put("running", "jobs.enqueue('app.gate', '{\"n\": 1}')")
        old.start()
        (pid,) = wait_until(lambda: old.waits_at(1))
        number = version(database)
        refused = database.psql("-v", "VERBOSITY=verbose", "-f", SQL / "upgrade.sql")
        assert refused.returncode == 3
        assert "PW088" in refused.stderr
        assert f"process {pid} of role {old.app}, job {job}" in refused.stderr
        assert "jobs.pause()" in refused.stderr
        assert version(database) == number
    wait_until(lambda: database.value(ENDED))
    for _ in range(2):
        done = database.psql("-f", SQL / "upgrade.sql")
        assert done.returncode == 0, done.stderr
    assert version(database) == PRESENT
    assert old.state("running") == "succeeded"
    old.put("next", "jobs.enqueue('app.note', '{\"n\": 2}')")
    old.drain()
    assert old.state("next") == "succeeded"


def test_a_session_that_begins_during_the_upgrade_does_nothing(old: Old) -> None:
    """It was launched before, and gets its number after: it would call functions that it was not written for."""
    database = old.database
    old.put("first", "jobs.enqueue('app.note', '{\"n\": 1}')")
    old.drain()
    old.put("waiting", "jobs.enqueue('app.note', '{\"n\": 2}')")
    number = version(database)
    opened = "jobs_internal.open_session()" if number == 0 else f"jobs_internal.open_session({number})"
    found: list[Any] = []
    blocked = "select count(*) from pg_locks where not granted and relation = %s::regclass"

    def begin() -> None:
        with psycopg.connect(database.dsn(old.app), autocommit=True) as line:
            found.extend(line.execute(f"select {opened}".encode()).fetchone() or ())
            try:
                line.execute("select jobs_internal.claim(%s, 0, null, false, 10)", [found[0]])
            except psycopg.Error as error:
                found.append(error.sqlstate)

    done: list[Result] = []
    with psycopg.connect(database.dsn()) as holder:
        holder.execute("select from jobs.queues limit 0")  # the upgrade waits for this after it has locked the sessions
        upgrade = threading.Thread(target=lambda: done.append(database.cli("upgrade")))
        upgrade.start()
        wait_until(lambda: database.value(blocked, "jobs.queues"))
        session = threading.Thread(target=begin)
        session.start()
        wait_until(lambda: database.value(blocked, "jobs_internal.session"))
        holder.commit()
        upgrade.join(60)
        session.join(60)
    assert done[0].exit_code == 0, done[0].output
    assert found[1:] == ["PW052"]
    assert old.state("waiting") == "queued"
    with psycopg.connect(database.dsn(old.app), autocommit=True) as late, pytest.raises(psycopg.Error) as refused:
        late.execute(f"select {opened}".encode())
    assert refused.value.sqlstate in ("42883", "PW052")
    old.drain()
    assert old.state("waiting") == "succeeded"


def test_the_version_is_the_same_wherever_it_stands(database: Database) -> None:
    """The loop of a session says which schema it was written for; the schema, which one it is."""
    apply_schema(database.dsn(), "install")
    assert database.value("select jobs_internal.schema_version()") == PRESENT == version(database)
    loop = database.value("select prosrc from pg_proc where proname = 'work'")
    assert [int(number) for number in re.findall(r"open_\w+\((?:[^()]*, )?(\d+)\b", loop)] == [PRESENT]
    install = (SQL / "install.sql").read_text(encoding="utf-8")
    assert f"set local pyworker.schema_version = '{PRESENT}';" in install


def test_each_migration_has_the_schema_before_it() -> None:
    """python -m tests.schema.dump, before the change."""
    assert [int(path.stem) for path in OLD] == list(range(PRESENT))

"""Each older schema comes to the present one with jobs of every state in it and a session at work;
none is lost.
"""

import re
import threading
from collections.abc import Callable
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
from tests.schema.older import ENDED, STAGE, Old, die_with_a_claim, fill, held

OLD = sorted(DUMPS.glob("*.sql"))
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
#: The version from which on an owner may have sixteen sessions.
(SIXTEEN,) = (int(path.name[:4]) for path in SQL.glob("migrations/*_sixteen_sessions.sql"))
(OPERATIONS,) = (int(path.name[:4]) for path in SQL.glob("migrations/*_operations.sql"))
#: Tables whose rows are of sessions and supervisors that come and go.
#: Tables to which an upgrade, and a session that ends, add.
ADDED = {
    "audit",
    "queue_minute_stats",
    "call_stats",
    "daily_cost",
    "history_use",
    "rate_use",
    "wakeup_request",
}
PASSING = {
    "session", "slot", "attempt", "lane", "supervisor", "duty", "server", "schema_migration",
    "schema_object", "outbox",
}  # fmt: skip


@pytest.fixture(params=OLD, ids=lambda path: path.stem)
def old(
    request: pytest.FixtureRequest,
    new_role: Callable[[str], str],
    new_database: Callable[[], Database],
) -> Old:
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


def seen(database: Database, views: dict[str, list[str]] | None = None) -> "Seen":
    """Read what people see; after an upgrade the columns that there were before."""
    found = {}
    with psycopg.connect(database.dsn(), autocommit=True, row_factory=dict_row) as line:
        for view, order in SEEN.items():
            columns = ", ".join(f'"{name}"' for name in views[view]) if views else "*"
            found[view] = line.execute(
                f"select {columns} from {view} order by {order}".encode()
            ).fetchall()
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
            {
                name: value
                for name, value in row.items()
                if name not in MOMENTARY | FIGURES.get(view, set())
            }
            for row in rows
            if job not in (row.get("id"), row.get("job_id"))
        ]
        for view, rows in found.items()
    }


def raised(found: Seen, number: int) -> Seen:
    """Raise the defaults that a schema of this version had, and no operator changed."""
    if number < SIXTEEN:
        (one,) = (row for row in found["jobs.settings"] if row["name"] == "sessions_per_owner")
        (queue,) = (row for row in found["jobs.queues"] if row["queue"] == "default")
        one["value"], queue["concurrency"] = "16", 16
    if number < OPERATIONS:
        found["jobs.settings"] += [
            {
                "name": "deadlock_risk_cancels",
                "value": "own",
                "unit": "own/any",
                "description": "what on_deadlock_risk cancel_waiter may cancel: sessions of roles"
                " of the owner, or of all but superusers",
            }
        ]
        found["jobs.settings"].sort(key=lambda row: row["name"])
    return found


def version(database: Database) -> int:
    return int(database.value("select max(version) from jobs_internal.schema_migration"))


def test_everything_is_there_again(old: Old, new_database: Callable[[], Database]) -> None:
    """The session at work ends its job, once; then tables change; nothing runs on functions of two
    versions.
    """
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
        assert (version(database), database.value("select paused from jobs_internal.switch")) == (
            number,
            False,
        )

        thread = threading.Thread(
            target=lambda: done.append(database.cli("upgrade", "--wait", "60"))
        )
        thread.start()
        wait_until(lambda: database.value("select paused from jobs_internal.switch"))
        assert version(database) == number
    thread.join(90)
    assert done[0].exit_code == 0, done[0].output

    assert (version(database), database.value("select paused from jobs_internal.switch")) == (
        PRESENT,
        False,
    )
    assert old.state("running") == "succeeded"
    assert database.run("select n from app.ledger order by n") == [(1,), (100,)]
    after = seen(database, {view: list(found[0]) for view, found in before.items()})
    assert without(after, job) == raised(without(before, job), number)
    left = {"job": -1, "finished": 1, "setting": int(number < OPERATIONS)}
    there = counts(database)
    assert {name: there[name] for name in rows if name in there and name not in ADDED} == {
        name: count + left.get(name, 0)
        for name, count in rows.items()
        if name in there and name not in ADDED
    }
    fresh = new_database()
    apply_schema(fresh.dsn(), "install")
    assert database.dump() == fresh.dump()
    finish(old)


def test_a_new_default_follows_where_none_was_set_by_hand(old: Old) -> None:
    """Another option of the queue may have been; the old value may have been, on purpose."""
    database = old.database
    options = (
        "select s.value, q.concurrency, (select count(*) from jobs_internal.slot as t where"
        " t.queue_id = q.id) from jobs_internal.setting as s, jobs_internal.queue as q"
        " where s.name = 'sessions_per_owner' and q.name = 'default'"
    )
    if version(database) >= SIXTEEN:
        pytest.skip("it has the new default")
    assert database.run(options) == [("8", 8, 8)]
    with psycopg.connect(database.dsn(), autocommit=True) as line:
        for statement, expected in BY_HAND.items():
            with line.transaction(force_rollback=True):
                line.execute(statement)
                line.execute(MIGRATION)
                found = line.execute(options.encode()).fetchone()
                assert found == expected, statement


MIGRATION = (SQL / "migrations" / f"{SIXTEEN:04}_sixteen_sessions.sql").read_bytes()
BY_HAND = {
    b"select jobs.alter_queue('default', max_attempts => 5)": ("16", 16, 16),
    b"select jobs.pause('default'), jobs.configure('lease_seconds', '7')": ("16", 16, 16),
    b"select jobs.configure('sessions_per_owner', '8')": ("8", 16, 16),
    b"select jobs.configure('sessions_per_owner', '3')": ("3", 16, 16),
    b"select jobs.alter_queue('default', concurrency => 0)": ("16", None, 0),
    b"do $$ begin perform jobs.alter_queue('default', concurrency => 4),"
    b" jobs.alter_queue('default', concurrency => 8); end $$": ("16", 8, 8),
}


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
    assert [n for (n,) in database.run("select n from app.ledger order by n")] == sorted(
        {1, 100} | wanted
    )
    assert {name: old.state(name) for name in LAST} == LAST


#: What each is before the upgrade and after it, and at the end.
ENDS = {
    "succeeded": "succeeded", "failed": "failed", "dismissed": "failed", "again": "scheduled",
    "to_retry": "queued", "in_doubt": "in_doubt", "waiting": "queued", "suspect": "queued",
    "cancelled": "cancelled", "scheduled": "scheduled", "set": "queued", "statement": "queued",
    "top": "queued", "published": "queued", "claimed": "queued",
}  # fmt: skip
LAST = {
    **ENDS, "again": "scheduled", "to_retry": "failed", "waiting": "succeeded",
    "suspect": "succeeded", "scheduled": "succeeded", "set": "succeeded", "statement": "succeeded",
    "top": "succeeded", "published": "succeeded", "claimed": "succeeded",
}  # fmt: skip


def test_psql_alone_waits_for_nobody(old: Old) -> None:
    """It refuses while a session of the older version is at work, with what to do;
    then it does the same.
    """
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
    """It was launched before, and gets its number after: it would call functions that it was not
    written for.
    """
    database = old.database
    old.put("first", "jobs.enqueue('app.note', '{\"n\": 1}')")
    old.drain()
    old.put("waiting", "jobs.enqueue('app.note', '{\"n\": 2}')")
    number = version(database)
    opened = (
        "jobs_internal.open_session()" if number == 0 else f"jobs_internal.open_session({number})"
    )
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
        # the upgrade waits for this after it has locked the sessions
        holder.execute("select from jobs.queues limit 0")
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
    with (
        psycopg.connect(database.dsn(old.app), autocommit=True) as late,
        pytest.raises(psycopg.Error) as refused,
    ):
        late.execute(f"select {opened}".encode())
    assert refused.value.sqlstate in ("42883", "PW052")
    old.drain()
    assert old.state("waiting") == "succeeded"


def test_templates_are_made_anew(old: Old) -> None:
    """Those of before version 3 have no text for calls by one statement."""
    database = old.database
    number = version(database)
    old.put("before", "jobs.enqueue('app.fail', '{\"state\": \"40001\"}')")
    assert database.cli("upgrade").exit_code == 0
    old.put("after", "jobs.enqueue('app.fail', '{\"state\": \"40001\"}')")
    calls = (
        "select t.chunk_call is not null from jobs_internal.job as j"
        " join jobs_internal.call_template as t on t.id = j.call_template_id order by j.id"
    )
    assert database.run(calls) == [(number >= 3,), (True,)]


def test_the_version_is_the_same_wherever_it_stands(database: Database) -> None:
    """The loop of a session says which schema it was written for; the schema, which one it is."""
    apply_schema(database.dsn(), "install")
    assert database.value("select jobs_internal.schema_version()") == PRESENT == version(database)
    loop = database.value("select prosrc from pg_proc where proname = 'work'")
    assert [int(number) for number in re.findall(r"open_\w+\((?:[^()]*, )?(\d+)\b", loop)] == [
        PRESENT
    ]
    install = (SQL / "install.sql").read_text(encoding="utf-8")
    assert f"set local pyworker.schema_version = '{PRESENT}';" in install


def test_each_migration_has_the_schema_before_it() -> None:
    """python -m tests.schema.dump, before the change."""
    assert [int(path.stem) for path in OLD] == list(range(PRESENT))

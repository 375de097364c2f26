"""What an older schema has, and what is the same in the present one."""

from typing import Any

import psycopg
from psycopg.rows import dict_row
from support import wait_until

from pyworker.schema import read_source
from tests.schema.conftest import SQL, Database
from tests.schema.dump import DUMPS
from tests.schema.older import ENDED, Old

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


(MARKS,) = (int(path.name[:4]) for path in SQL.glob("migrations/*_marks.sql"))


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
    if number < MARKS:
        found["jobs.settings"] += [
            {
                "name": "statement_snapshots",
                "value": "on",
                "unit": "on/off",
                "description": "where pg_stat_statements is installed, the costliest statements"
                " are noted every five minutes, for jobs.compare",
            }
        ]
    found["jobs.settings"].sort(key=lambda row: row["name"])
    return found


def version(database: Database) -> int:
    return int(database.value("select max(version) from jobs_internal.schema_migration"))


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

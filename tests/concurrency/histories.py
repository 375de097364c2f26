"""Retention that meets live work."""

from psycopg import Connection
from stage import age_history, put, put_many, put_sql, state, wait_for
from support import Database, Row, wait_until

VIEWS = (
    "job",
    "queued",
    "running",
    "failed",
    "finished",
    "attempts",
    "log_lines",
    "queues",
    "health",
)


def make_old_history(database: Database) -> list[int]:
    """Jobs of some kinds whose retention has passed, though no round has noted that yet."""
    jobs = put_many(database, "app.note", [{"n": n} for n in range(20)])
    jobs.append(put(database, "app.say", {"lines": 2}))
    jobs.append(put(database, "app.stumble", {"n": 1}))
    database.drain()
    age_history(database, "8 days")
    return jobs


def read_all(line: Connection[Row]) -> None:
    """Have a reader in the middle of a long transaction: with its snapshot, and with a lock on all
    of history.
    """
    line.execute("begin isolation level repeatable read")
    for view in VIEWS:
        line.execute(f"select * from jobs.{view}".encode())


def live_work_goes_on(database: Database) -> None:
    """Enqueue, run, cancel, retry and look, all without a wait: what waited for the reader would
    wait for ever.
    """
    line = database.connect("app", lock_timeout="200ms")
    wanted = {
        put(database, "app.note", {"n": 1}): "succeeded",
        put_sql(database, "select 1"): "succeeded",
        put(database, "app.fail", max_attempts=1): "failed",
    }
    later = line.execute(
        "select jobs.enqueue('app.note', '{\"n\": 1}', run_at => '2100-01-01')"
    ).fetchone()
    assert later is not None
    line.execute("select jobs.start()")
    for job in wanted:
        wait_for(database, job, timeout=10)
    assert {job: state(database, job) for job in wanted} == wanted
    for step, done in (("cancel", "cancelled"), ("retry", "retrying"), ("cancel", "cancelled")):
        assert line.execute(f"select jobs.{step}(%s)".encode(), later).fetchone() == (done,)
    for view in VIEWS:
        line.execute(f"select * from jobs.{view} limit 100".encode())
    wait_until(lambda: not database.admin("select 1 from jobs_internal.session"))


def is_detaching(database: Database) -> list[int]:
    """List the sessions that detach a partition and wait for somebody."""
    rows = database.admin(
        "select pid from pg_stat_activity where datname = current_database()"
        " and query like 'alter table %% detach %%' and wait_event_type = 'Lock'"
    )
    return [row[0] for row in rows]


def pending_ones(database: Database) -> bool:
    return bool(
        database.value(
            "select exists (select from pg_inherits where inhdetachpending)", role="postgres"
        )
    )


def one_round(database: Database) -> None:
    """One round, in a session that would not wait either."""
    database.connect("supervisor", lock_timeout="5s").execute("select jobs_internal.maintain()")

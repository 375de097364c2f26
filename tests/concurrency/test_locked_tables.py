"""A table of ours that is locked as a whole (DDL in an open transaction, an index being built),
or all rows of one.
"""

import psycopg
import pytest
from stage import make_lane, put, put_many, put_sql
from support import Database, Row

from .byhand import Worker
from .waiting import ROUND

MODES = ("share", "access exclusive")


@pytest.mark.parametrize("mode", MODES)
def test_no_call_of_a_supervisor_waits_for_it(database: Database, mode: str) -> None:
    """Each ends at once, done or refused; what it had to do is done when the table is
    free again.
    """
    make_lane(database)
    line = database.connect("supervisor")
    number = (
        line.execute("select jobs_internal.supervisor_open('one', 'here', 1, '1')").fetchone()
        or (0,)
    )[0]
    tables = database.admin(
        "select c.oid::regclass::text from pg_class as c where c.relkind in ('r', 'p')"
        " and c.relnamespace = any ('{jobs_internal, pgmq}'::regnamespace[])"
        " and not c.relispartition order by 1"
    )
    holder = database.connect("postgres")
    waited = []
    for (table,) in tables:
        holder.execute("begin")
        holder.execute(f"lock table {table} in {mode} mode".encode())
        for call in ROUND:
            try:
                line.execute(call.encode(), {"number": number})
            except psycopg.errors.LockNotAvailable:
                pass
            except psycopg.Error as error:
                waited.append((table, call, error.sqlstate))
        holder.execute("rollback")
    assert waited == []


def test_outcomes_that_cannot_be_taken_are_named_and_stay(database: Database) -> None:
    put(database, "pg_catalog.now")
    database.drain()
    holder = database.connect("postgres")
    holder.execute("begin")
    holder.execute("lock table jobs_internal.outbox in share mode")
    line = database.connect("supervisor")
    for _ in range(3):
        assert line.execute("select jobs_internal.take_outcomes(10)").fetchall() == []
        database.admin("update jobs_internal.duty_failure set retry_at = clock_timestamp()")
    said = database.admin("select status, detail from jobs.health where \"check\" = 'rounds'")[0]
    assert said[0] == "warning"
    assert "outcomes" in said[1]
    holder.execute("rollback")
    assert len(line.execute("select jobs_internal.take_outcomes(10)").fetchall()) == 1
    assert database.admin("select * from jobs_internal.duty_failure") == []


#: Something for every part of a round to change, as long as nobody holds it.
WORK = (
    "delete from jobs_internal.queue_minute_stats",
    "delete from jobs_internal.known_role",
    "delete from jobs_internal.unreached_owner",
    "delete from jobs_internal.progress_message where job_id = 999999",
    "delete from jobs_internal.duty_failure",
    "delete from jobs_internal.stop_request",
    (
        "insert into jobs_internal.stop_request (job_id, attempt, reason, requested_by,"
        " requested_at)"
        " values (999999, 1, 'cancelled', 'app', now() - interval '1 minute'),"
        " (999998, 1, 'cancelled', 'app', now() + interval '1 hour')"
    ),
    (
        "insert into jobs_internal.queue_minute_stats"
        " values (1, now() - interval '2 hours', 1, 1, 0), (1, now() - interval '1 minute',"
        " 999999, 1, 0)"
    ),
    (
        "insert into jobs_internal.rate_use (owner, at, jobs) values ('app'::regrole,"
        " now() - interval '1 hour', 1)"
    ),
    (
        "insert into jobs_internal.outbox (at, bytes, body) values (now() - interval '8 days', 10,"
        " '{}'), (now(), 10, '{}')"
    ),
    "insert into jobs_internal.progress_message (job_id, attempt, message) values (999999, 1, 'x')",
    (
        "insert into jobs_internal.wakeup_request (lane_id) select id from jobs_internal.lane"
        " on conflict do nothing"
    ),
    (
        "update jobs_internal.lane set idle_state = 'going_idle',"
        ' quarantine = \'{"job_id": 1, "attempt": 1}\''
        " where owner = 'app'::regrole"
    ),
    "insert into jobs_internal.known_role (role, name) values ('app'::regrole, 'its old name')",
    (
        "insert into jobs_internal.supervisor (name, host, os_pid, version, pid, backend_start)"
        " values ('gone', 'there', 1, '1', 1, now())"
    ),
    (
        "insert into jobs_internal.unreached_owner (owner, supervisor_id, reason)"
        " values ('other'::regrole, 999999, 'x')"
    ),
    (
        "insert into jobs_internal.duty_failure (duty, item, error, retry_at)"
        " values ('rescue', '999999', '{\"sqlstate\": \"XX000\"}', now() - interval '1 hour')"
    ),
    "update jobs_internal.installation set postmaster = postmaster - interval '1 day'",
    (
        "update jobs_internal.server set clock = clock - interval '1 day',"
        " call_templates_swept_at = null"
    ),
    (
        "insert into jobs_internal.job (id, queue_id, owner, priority, state, max_attempts,"
        " run_at, due_at, created_at)"
        " select nextval('jobs_internal.job_id_seq'), 1, 'other'::regrole, 1, 'scheduled', 3,"
        " now(), now(), now()"
    ),
)
#: Nobody but sessions of ours ever holds a row of these, and only for as long as they work.
OURS = {"jobs_internal.duty"}


def _there_is_work(database: Database) -> Worker:
    """Make some of every kind: sessions that died with a job that was to be stopped,
    and with a claim; one overdue.
    """
    database.admin("update jobs_internal.lane set idle_state = 'active', quarantine = null")
    put_sql(database, "select 1")
    put_many(database, "app.note", [{"n": n} for n in range(3)])
    database.run("select jobs_internal.supervisor_tick(0)", role="supervisor")
    dead, idle, overdue = (Worker(database=database) for _ in range(3))
    lost, late = dead.start_first(), overdue.start_first()
    database.run("select jobs_internal.store_progress(%s, 1, 'x')", [lost])
    assert idle.claim(1)
    for statement in WORK:
        database.admin(statement)
    database.admin("update jobs_internal.job set timeout = '1 ms' where id = %s", [late])
    database.admin(
        "insert into jobs_internal.stop_request (job_id, attempt, reason, requested_by) values"
        " (%s, 1, 'cancelled', 'app')",
        [lost],
    )
    dead.die()
    idle.die()
    return overdue


@pytest.mark.timeout(300)
def test_no_statement_of_a_round_waits_for_a_row(database: Database) -> None:
    """Where one did, the limit of time for locks would end it: skip locked and nowait say
    something else.
    """
    make_lane(database)
    make_lane(database, role="other")
    line = database.connect("supervisor")
    number = (
        line.execute("select jobs_internal.supervisor_open('one', 'here', 1, '1')").fetchone()
        or (0,)
    )[0]
    waited: list[Row] = []
    for (table,) in database.admin(
        "select c.oid::regclass::text from pg_class as c where c.relkind in ('r', 'p')"
        " and not c.relispartition"
        " and c.relnamespace = 'jobs_internal'::regnamespace or c.relname ~ '^q_pyworker'"
        " and c.relkind = 'r'"
        " order by 1"
    ):
        if table in OURS:
            continue
        overdue = _there_is_work(database)
        holder = database.connect("postgres")
        holder.execute("begin")
        key = " where id <> " + str(number) if table == "jobs_internal.supervisor" else ""
        holder.execute(f"select from {table}{key} for update".encode())
        for call in ROUND:
            try:
                line.execute(call.encode(), {"number": number})
            except psycopg.Error as error:
                waited.append((table, call, error.diag.message_primary))
        waited += [
            (table, *row)
            for row in database.admin(
                "select duty, item, error ->> 'message' from jobs_internal.duty_failure"
                " where error ->> 'message' ~ 'timeout|deadlock'"
            )
        ]
        holder.execute("rollback")
        holder.close()
        overdue.die()
    assert waited == []

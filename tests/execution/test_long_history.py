"""The views stay right and fast with a million finished jobs, in some dozens of partitions."""

import pytest
from psycopg import Connection
from stage import gate_shut, make_lane, put, put_sql, wait_at_gate, wait_for
from support import Database, Row, wait_until

BUCKETS = """
with made as (
  select jobs_internal.make_bucket(1) as bucket from generate_series(1, 40)
)
insert into jobs_internal.history_use (bucket, queue_id) select bucket, 1 from made
"""

HISTORY = """
insert into jobs_internal.finished (id, bucket, queue_id, owner, priority, state, call_template_id,
  attempt, max_attempts,
  outcome, run_at, created_at, started_at, finished_at, pid, args, result, error)
select 1000 + g, 2 + g / 25001, 1,
  case when g % 2 = 0 then 'app'::regrole else 'other'::regrole end, 1,
  s.state, (select min(id) from jobs_internal.call_template), 1, 3, s.state,
  t.at, t.at, t.at, t.at + interval '1 ms', 4711, '{"n": 1}', '1',
  case when s.state = 'failed'
    then '{"sqlstate": "22012", "message": "division by zero"}'::jsonb end
from generate_series(1, 1000000) as g,
  lateral (select now() - interval '6 days' + g * interval '0.4 s' as at) as t,
  lateral (select case when g % 50 = 0 then 'failed' when g % 997 = 0 then 'cancelled'
    when g % 99991 = 0 then 'in_doubt' else 'succeeded' end as state) as s
"""

CLOSED = """
update jobs_internal.history_bucket as b
set opened_at = t.first, left_at = t.last, left_by = pg_current_xact_id(), closed_at = t.last
from (select bucket, min(finished_at) as first, max(finished_at) as last
  from jobs_internal.finished group by 1) as t
where b.id = t.bucket and b.id > 1
"""

VIEWS = {
    "job": "select * from jobs.job order by id desc limit 20",
    "any job": "select * from jobs.job limit 20",
    "one job": "select * from jobs.job where id = 501000",
    "its attempts": "select * from jobs.attempts where job_id = 501000",
    "queued": "select * from jobs.queued limit 20",
    "running": "select * from jobs.running limit 20",
    "failed": "select * from jobs.failed limit 20",
    "finished": "select * from jobs.finished limit 20",
    "attempts": "select * from jobs.attempts limit 20",
    "the latest": "select * from jobs.finished order by finished_at desc limit 20",
    "the latest failures": "select * from jobs.failed order by finished_at desc limit 20",
    "what it said": "select * from jobs.log_lines where job_id = 501000",
    "queues": "select * from jobs.queues",
    "health": "select * from jobs.health",
    "sessions": "select * from jobs.sessions limit 20",
    "log_lines": "select * from jobs.log_lines limit 20",
}


#: Pages that a view may read; the history has some 30,000.
#: What a view reads is the same on a busy machine.
MOST = 1500


def pages(line: Connection[Row], query: str) -> int:
    """Count the pages that a query reads, in memory or not, with all that its functions read."""
    row = line.execute(
        f"explain (analyze, buffers, timing off, format json) {query}".encode()
    ).fetchone()
    assert row is not None
    plan = row[0][0]["Plan"]
    return int(plan["Shared Hit Blocks"] + plan["Shared Read Blocks"])


@pytest.fixture(scope="module")
def lived(shared: Database) -> Database:
    """A database with a long history, and something going on."""
    make_lane(shared, role="other")
    with shared.server.connect("postgres", shared.name, statement_timeout="100s") as line:
        line.execute(BUCKETS.encode())
        line.execute(HISTORY.encode())
        line.execute(CLOSED.encode())
        line.execute("vacuum analyze jobs_internal.finished")
        line.execute("select setval('jobs_internal.job_id_seq', 2000000)")
    return shared


@pytest.mark.parametrize("role", ["app", "operator", "reader"])
def test_every_view_is_fast(lived: Database, role: str) -> None:
    line = lived.connect(role)
    read = {}
    for name, query in VIEWS.items():
        if "log_lines" in query and role == "reader":
            continue
        most = (
            lived.value("select count(*) from jobs_internal.health()", role="postgres")
            if name == "health"
            else 20
        )
        assert len(line.execute(query.encode()).fetchall()) <= most
        read[name] = pages(line, query)
    assert {name: count for name, count in read.items() if count > MOST} == {}


def test_the_figures_are_right(lived: Database) -> None:
    failed = lived.value("select failed from jobs.queues where queue = 'default'", role="operator")
    assert failed == lived.value(
        "select count(*) from jobs_internal.finished where state in ('failed', 'in_doubt')",
        role="postgres",
    )
    assert failed > 15_000
    newest = lived.run("select id from jobs.finished limit 5", role="operator")
    assert newest == lived.admin(
        "select id from jobs_internal.finished order by finished_at desc limit 5"
    )
    assert lived.run("select id from jobs.failed limit 5") == lived.admin(
        "select id from jobs_internal.finished where state in ('failed', 'in_doubt') and"
        " owner = 'app'::regrole"
        " order by finished_at desc limit 5"
    )
    assert lived.run(
        "select state, outcome from jobs.job join jobs.finished using (id, state) where id = 501050"
    ) == [("failed", "failed")]
    # The jobs of others are not shown.
    assert lived.run("select count(*) from jobs.job where id = 501001") == [(0,)]
    assert lived.run("select count(*) from jobs.job where id = 501001", role="other") == [(1,)]


def test_what_runs_now_is_shown_at_once(lived: Database) -> None:
    job = put(lived, "app.gate", {"n": 1})
    with gate_shut(lived):
        lived.run("select jobs.start()")
        wait_at_gate(lived)
        assert lived.run("select id, owner from jobs.running") == [(job, "app")]
        assert lived.run("select state from jobs.job where id = %s", [job]) == [("running",)]
        line = lived.line()
        assert pages(line, "select id, owner from jobs.running") < MOST
        assert pages(line, f"select state from jobs.job where id = {job}") < MOST
    wait_for(lived, job)


def test_retention_costs_the_same_however_long_the_history(lived: Database) -> None:
    """What has expired goes in whole partitions; no row of it is deleted."""
    before = lived.admin("select count(*) from jobs_internal.finished")[0][0]
    lived.admin("select jobs.alter_queue('default', retention => '5 days')")
    rows = "select tup_deleted from pg_stat_database where datname = current_database()"
    deleted = lived.admin(rows)[0][0]

    def over() -> bool:
        if lived.background():
            return False
        more = lived.value("select jobs_internal.maintain() -> 'more'", role="supervisor")
        # A part of the upkeep that was cut off, on a busy machine, is done in a later round.
        return not more and not lived.background() and bool(lived.admin(gone)[0][0])

    gone = "select min(finished_at) > now() - interval '5 days 4 hours' from jobs_internal.finished"
    wait_until(over, 60)
    left = lived.admin(
        "select count(*), min(finished_at) > now() - interval '5 days 4 hours'"
        " from jobs_internal.finished"
    )
    assert left[0][1]
    assert 0.7 * before < left[0][0] < 0.85 * before
    lived.run("select pg_stat_force_next_flush()", role="supervisor")
    deleted = lived.admin(rows)[0][0] - deleted  # of the catalog, for the most part
    assert deleted < 0.1 * (before - left[0][0]), deleted
    lived.admin("select jobs.alter_queue('default', retention => '7 days')")
    statement = put_sql(lived, "select 1")
    lived.drain()
    wait_for(lived, statement)

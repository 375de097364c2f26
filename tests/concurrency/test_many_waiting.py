"""What a person looks at first reads a few pages, however many jobs wait: pages do not change on a
busy machine.
"""

import pytest
from stage import gate_shut, make_lane, put, wait_at_gate
from support import Database

#: Pages that a look may read; the jobs of the case have some 1,000.
MOST = 300
MANY = 10_000

LOOKS = {
    "queued": "select * from jobs.queued limit 20",
    "queued_list": "select * from jobs.queued_list limit 20",
    "one that waits": "select * from jobs.queued where id = {job}",
    "one job": "select waits_for from jobs.job where id = {job}",
    "its reason": "select * from jobs.explain({job})",
    "health": "select * from jobs.health",
    "reasons": "select jobs_internal.lane_waits()",
    "silence": "select * from jobs_internal.unserved_owners('0 s')",
}


def pages(database: Database, query: str, role: str) -> int:
    """Count the pages that a query reads when its plans and the catalog are known,
    with all that its functions read.
    """
    line = database.line(role)
    line.execute(query.encode())
    row = line.execute(
        f"explain (analyze, buffers, timing off, format json) {query}".encode()
    ).fetchone()
    assert row is not None
    return int(row[0][0]["Plan"]["Shared Hit Blocks"] + row[0][0]["Plan"]["Shared Read Blocks"])


def enqueue(database: Database, role: str, count: int = MANY, **options: str) -> None:
    """Enqueue many."""
    given = "".join(f", {name} => '{value}'" for name, value in options.items())
    database.run(
        f"select count(*) from jobs.enqueue_many('pg_catalog.now', array_fill('{{}}'::jsonb,"
        f" array[{count}]){given})",
        role=role,
    )


@pytest.mark.parametrize("role", ["operator", "postgres"])
def test_a_look_at_many_that_wait(database: Database, role: str) -> None:
    """In a lane, due without a lane, and for later; each of these looks is the same work for ten
    and for a million.
    """
    make_lane(database)
    enqueue(database, "app")
    enqueue(database, "app", run_at="2100-01-01")
    enqueue(database, "other", priority="low")
    job = put(database, "pg_catalog.now", priority="low")
    database.admin("vacuum analyze jobs_internal.job")
    read = {
        name: pages(
            database, query.format(job=job), "postgres" if "jobs_internal" in query else role
        )
        for name, query in LOOKS.items()
    }
    assert {name: count for name, count in read.items() if count > MOST} == {}, read
    assert {
        row[0] for row in database.run("select waits_for from jobs.queued group by 1", role=role)
    } == {
        "its time",
        "no supervisor is connected",
    }


FIGURES = "select queue, queued, scheduled, oldest > interval '20 hours' from jobs.queues"
READ = (
    "select coalesce(sum(seq_tup_read + idx_tup_fetch), 0) from pg_stat_xact_user_tables"
    " where relname = 'job'"
)


@pytest.mark.parametrize("role", ["operator", "app"])
def test_the_queues_count_messages_and_not_the_rows_of_jobs(database: Database, role: str) -> None:
    """A job in a lane is counted as a message there, at a quarter of the cost;
    the figures are those of its row.
    """
    database.admin("select jobs.create_queue('side')")
    make_lane(database, role="other")
    make_lane(database, queue="side")
    make_lane(database)
    enqueue(database, "app")
    enqueue(database, "app", queue="side")
    enqueue(database, "other")
    for due in ("2100-01-01", "2000-01-01"):
        put(database, "pg_catalog.now", run_at=due)
    database.admin(
        "update jobs_internal.job set (created_at, run_at) = (created_at - interval '1 day',"
        " run_at - interval '1 day')"
        " where id = (select min(id) from jobs_internal.job where queue_id > 1)"
    )
    database.admin("vacuum analyze jobs_internal.job")
    with database.connect(role) as line, line.transaction():
        # the counters are those of this session
        line.execute("set local max_parallel_workers_per_gather = 0")
        figures = line.execute(FIGURES.encode()).fetchall()
        read = line.execute(READ.encode()).fetchall()[0][0]
    both = MANY if role == "app" else 2 * MANY
    assert figures == [("default", both + 1, 1, False), ("side", MANY, 0, True)]
    assert read < 20, read


def test_a_round_of_a_supervisor(database: Database) -> None:
    """While a job runs, a round reads no more pages when 100,000 wait than when 2,000 do."""
    make_lane(database)
    register = "select jobs_internal.supervisor_open('one', 'here', 1, '1')"
    number = database.value(register, role="supervisor")
    calls = [f"select {call}" for call in (
        f"jobs_internal.supervisor_tick({number})",
        f"jobs_internal.supervisor_send_stop_signals({number})",
        f"jobs_internal.supervisor_sleep({number}, true)",
        f"jobs_internal.supervisor_sleep({number}, false)",
    )]  # fmt: skip

    def read() -> int:
        return sum(pages(database, call, "supervisor") for call in calls)

    with gate_shut(database):
        put(database, "app.gate", timeout="1 hour")
        database.run("select jobs.start()")
        wait_at_gate(database)
        enqueue(database, "app", 1000)
        enqueue(database, "app", 1000, run_at="2100-01-01")
        few = min(read() for _ in range(3))
        enqueue(database, "app", 49_000)
        enqueue(database, "app", 49_000, run_at="2100-01-01")
        many = min(read() for _ in range(3))
        database.run("select jobs.pause()", role="operator")
    assert many < 1.3 * few, (few, many)

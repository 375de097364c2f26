"""Tables that were analyzed while they were empty, and are full now: no plan compares each row
with each.
"""

import time

import pytest
from stage import know_as_short, put
from support import Database, wait_until

COUNT = 8000
# times what it takes to enqueue as many; a nested loop takes ten times that,
# and grows with the square
MOST = 10.0


def fill(database: Database) -> None:
    database.run(
        "select count(*) from jobs.enqueue_many('app.note', array_fill('{\"n\": 1}'::jsonb,"
        " array[%s]))",
        [COUNT],
    )


@pytest.mark.alone
def test_mending_and_ticks_are_quick_after_a_vacuum_of_empty_tables(database: Database) -> None:
    put(database, "app.note", {"n": 1})
    database.drain()
    know_as_short(database)
    fill(database)
    database.drain(sessions=2, timeout=60)
    tables = [
        f"pgmq.q_{queue}"
        for (queue,) in database.admin("select pgmq_queue from jobs_internal.lane")
    ]
    for table in ("jobs_internal.job", *tables):
        database.admin(f"vacuum (analyze, truncate false) {table}")
    begun = time.monotonic()
    fill(database)
    # what something takes on this machine that looks at each job once
    linear = time.monotonic() - begun
    for call in (
        "jobs_internal.repair_lanes()",
        "jobs_internal.supervisor_tick(0)",
        "jobs_internal.rescue()",
    ):
        begun = time.monotonic()
        database.admin(f"select {call}")
        assert time.monotonic() - begun < MOST * linear, call
    database.drain(sessions=2, timeout=60)


def make_functions(database: Database, count: int) -> None:
    """Analyze the tables while they know one function, and make many functions that they do
    not know.
    """
    put(database, "app.note", {"n": 1})
    database.drain()
    for table in ("call_template", "call_stats", "job"):
        database.admin(f"vacuum (analyze, truncate false) jobs_internal.{table}")
    database.run(
        f"do $$ begin for i in 1 .. {count} loop"
        " execute format('create function app.f%s() returns void language sql as %L', i,"
        " 'select'); end loop; end $$"
    )


def test_functions_are_looked_up_by_key_after_an_analyze_of_few(database: Database) -> None:
    """A session that plans while hardly any function is known does not compare each job with all of
    them later.
    """
    count = 300
    make_functions(database, count)
    # What the enqueuer read is another test's: its figures are there before the sessions' begin.
    database.run(
        "select count(jobs.enqueue('app.f' || i)) from generate_series(1, %s) as i", [count]
    )
    database.run("select pg_stat_force_next_flush()")
    reads = (
        "select sum(seq_tup_read + idx_tup_fetch)::bigint from pg_stat_all_tables"
        " where schemaname = 'jobs_internal' and relname in ('call_template', 'call_stats')"
    )
    before = database.admin(reads)[0][0]
    # not a drain: what explains jobs there reads the same tables
    database.value("select jobs.start()")
    wait_until(
        lambda: (
            not database.admin("select 1 from jobs_internal.job limit 1")
            and not database.background()
        ),
        60,
    )
    per_job = (database.admin(reads)[0][0] - before) / count
    assert per_job < 20, per_job
    # Asked last: what this looks up is counted too, as soon as its session is.
    assert database.value("select count(*) from jobs.finished where task ~ 'app.f[0-9]'") == count


def test_an_enqueuer_looks_functions_up_by_key_after_an_analyze_of_few(database: Database) -> None:
    """Nor does a session that enqueues: it counts its own reads, so no moment of a flush or an
    analyze matters.
    """
    count = 300
    make_functions(database, count)
    with database.connect() as session:
        session.execute("select count(jobs.enqueue('app.f' || i)) from generate_series(1, 10) as i")
        with session.transaction():
            session.execute(
                "select count(jobs.enqueue('app.f' || i)) from generate_series(11, %s) as i",
                [count],
            )
            read = session.execute(
                "select seq_tup_read from pg_stat_xact_all_tables where relid ="
                " 'jobs_internal.call_template'::regclass::oid"
            ).fetchone()
    assert read == (0,)

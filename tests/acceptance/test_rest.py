"""Ordinary rest: what is left after a drain, and how large the queue's tables are after many jobs
with autovacuum off.

PYWORKER_REST_JOBS says how many jobs at least; their steady size is that after the first tenth and
the first vacuums. Figures are printed (pytest -s).
"""

import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest
from kit.daemon import Supervise
from stage import know_as_short, put, put_many, put_sql
from support import Database, Server, wait_until

COUNT = int(os.environ.get("PYWORKER_REST_JOBS", "80000"))
STEADY = max(COUNT // 10, 10_000)
# at least: a fast machine is through with a few jobs before the second one
FIRST_VACUUMS, VACUUMS = 2, 10
BATCH = 2000
BACKLOG = 6000
SIZES = (
    "select c.relname, pg_total_relation_size(c.oid)"
    " from pg_class as c join pg_namespace as n on n.oid = c.relnamespace"
    " where c.relkind = 'r' and (n.nspname = 'pgmq' and c.relname like 'q\\_pyworker\\_%%'"
    " or n.nspname = 'jobs_internal'"
    " and c.relname in ('job', 'session', 'slot', 'lane', 'call_stats', 'stop_request', 'outbox',"
    " 'queue_minute_stats', 'supervisor'))"
)
LOCKS = (
    "select count(*) from pg_locks where locktype = 'advisory'"
    " and database = (select oid from pg_database where datname = current_database())"
)


@contextmanager
def countable_segments(server: Server) -> Iterator[Callable[[], int]]:
    """Have the server keep dynamic shared memory in files of its own, where they can be counted."""
    assert server.private is not None

    def restarted(statement: bytes) -> None:
        with server.connect() as line:
            line.execute(statement)
        assert server.private is not None
        server.private.stop()
        server.private.start()

    def count() -> int:
        with server.connect() as line:
            found = line.execute("select count(*) from pg_ls_dir('pg_dynshmem')").fetchone()
        assert found is not None
        return int(found[0])

    restarted(b"alter system set dynamic_shared_memory_type = mmap")
    try:
        yield count
    finally:
        restarted(b"alter system reset dynamic_shared_memory_type")


def test_nothing_is_left_after_a_drain(database: Database, supervise: Supervise) -> None:
    """No session, lock, slot or shared memory; a first round lets the server's own memory grow to
    its size.
    """
    database.admin("select jobs.create_queue('narrow', 3)")
    database.close()
    with countable_segments(database.server) as segments:
        one = supervise(database.dsn("supervisor"))
        all_kinds(database)
        before = segments()
        all_kinds(database)
        assert database.admin("select count(*) from jobs_internal.session") == [(0,)]
        assert database.admin(
            "select count(*) from jobs_internal.slot where session_id is not null"
        ) == [(0,)]
        assert database.admin("select count(*) from jobs_internal.stop_request") == [(0,)]
        assert database.admin(LOCKS) == [(0,)]
        wait_until(lambda: segments() <= before, 10)
        assert one.stop() == 0
        assert database.admin("select count(*) from jobs_internal.supervisor") == [(0,)]
        database.close()


def all_kinds(database: Database) -> None:
    """Run jobs of all kinds, until nothing is due and nobody is there."""
    put_many(database, "app.note", [{"n": n} for n in range(300)])
    put_many(database, "app.note", [{"n": n} for n in range(30)], queue="narrow")
    put(database, "app.run", {"what": "select pg_advisory_lock(5)"})
    put(database, "app.nap", {"seconds": 60}, timeout="200 ms", max_attempts=1)
    for _ in range(3):
        put_sql(database, "vacuum app.ledger")
    wait_until(lambda: database.admin("select count(*) from jobs_internal.job") == [(0,)], 30)
    wait_until(lambda: not database.background(), 20)


@pytest.mark.timeout(120 + COUNT // 1000)
def test_hot_tables_stay_small_with_autovacuum_off(
    database: Database, supervise: Supervise, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PYWORKER_VACUUM_JOBS", str(min(40000, COUNT // 25)))
    for (table,) in database.admin(
        "select c.oid::regclass::text from pg_class as c"
        " join pg_namespace as n on n.oid = c.relnamespace"
        " where c.relkind = 'r' and n.nspname in ('jobs_internal', 'pgmq')"
    ):
        database.admin(f"alter table {table} set (autovacuum_enabled = off)")
    put(database, "pg_catalog.now")
    database.drain()
    for (queue,) in database.admin("select pgmq_queue from jobs_internal.lane"):
        database.admin(f"alter table pgmq.q_{queue} set (autovacuum_enabled = off)")
    know_as_short(database)
    one = supervise(database.dsn("supervisor"))
    begun = time.monotonic()
    steady: dict[str, int] = {}
    most: dict[str, int] = {}
    put_in = vacuums = 0
    while put_in < COUNT or (vacuums < VACUUMS and put_in < 5 * COUNT):
        database.run(
            "select count(*) from jobs.enqueue_many('pg_catalog.now', array_fill('{}'::jsonb,"
            " array[%s]))",
            [BATCH],
        )
        wait_until(
            lambda: database.admin("select count(*) from jobs_internal.job")[0][0] < BACKLOG, 60
        )
        sizes = dict(database.admin(SIZES))
        most = {table: max(size, most.get(table, 0)) for table, size in sizes.items()}
        if put_in < STEADY or vacuums < FIRST_VACUUMS:
            steady = most
        put_in += BATCH
        vacuums = len(one.events("maintenance_done"))
    wait_until(lambda: database.admin("select count(*) from jobs_internal.job") == [(0,)], 60)
    seconds = time.monotonic() - begun
    print(
        f"\n{put_in} jobs in {seconds:.0f} s ({put_in / seconds:.0f}/s), {vacuums} vacuums;"
        " kB steady -> most, times"
    )
    for table, size in sorted(most.items(), key=lambda item: -item[1])[:5]:
        began = steady.get(table, 0)  # a lane that was made meanwhile has none
        print(f"  {table:16} {began // 1024:8} -> {size // 1024:8}")
    assert vacuums >= VACUUMS
    grown = {
        table: (steady.get(table, 0), size)
        for table, size in most.items()
        if size > 3 * max(steady.get(table, 0), 262144)
    }
    assert grown == {}
    assert one.stop() == 0

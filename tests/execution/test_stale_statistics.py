"""Tables that were analyzed while they were empty, and are full now: no plan compares each row with each."""

import time

from stage import know_as_short, put
from support import Database

COUNT = 8000
MOST = 3.0  # seconds; a nested loop takes several times as long, and grows with the square


def fill(database: Database) -> None:
    database.run(
        "select count(*) from jobs.enqueue_many('app.note', array_fill('{\"n\": 1}'::jsonb, array[%s]))", [COUNT]
    )


def test_mending_and_ticks_are_quick_after_a_vacuum_of_empty_tables(database: Database) -> None:
    put(database, "app.note", {"n": 1})
    database.drain()
    know_as_short(database)
    fill(database)
    database.drain(sessions=2, timeout=60)
    tables = [f"pgmq.q_{queue}" for (queue,) in database.admin("select pgmq_queue from jobs_internal.lane")]
    for table in ("jobs_internal.job", *tables):
        database.admin(f"vacuum (analyze, truncate false) {table}")
    fill(database)
    for call in ("jobs_internal.mend_lanes()", "jobs_internal.supervisor_tick(0)", "jobs_internal.rescue()"):
        begun = time.monotonic()
        database.admin(f"select {call}")
        assert time.monotonic() - begun < MOST, call
    database.drain(sessions=2, timeout=60)

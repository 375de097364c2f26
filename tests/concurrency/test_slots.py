"""A queue runs no more jobs at once than it may, however its concurrency is changed while
they run.
"""

import time
from functools import partial

from stage import gate_shut, ledger, make_lane, put, put_many, state, wait_at_gate
from support import Database, sqlstate_of

from .byhand import Worker


def _limit(database: Database, concurrency: int) -> None:
    database.admin("select jobs.alter_queue('default', concurrency => %s)", [concurrency])


def test_lowered_and_raised_again_while_jobs_run(database: Database) -> None:
    """Jobs that began before a lower number still count when it is raised again."""
    _limit(database, 4)
    for number in range(8):
        put(database, "app.gate", {"n": number})
    with gate_shut(database):
        database.run("select jobs.start(4)")
        before = wait_at_gate(database, 4)
        _limit(database, 1)
        _limit(database, 4)
        database.run("select jobs.start(4)")
        time.sleep(1)  # time for a fifth, which must not come
        assert wait_at_gate(database, 4) == before
    database.drain()

    assert ledger(database) == list(range(8))
    assert database.admin(
        "select n, session_id from jobs_internal.slot where queue_id = 1 order by n"
    ) == [(number, None) for number in (1, 2, 3, 4)]


def test_lowered_while_jobs_run(database: Database) -> None:
    """What runs goes on; whoever held a slot beyond the lower number takes nothing more."""
    _limit(database, 3)
    for number in (101, 102, 103):
        put(database, "app.gate", {"n": number})
    with gate_shut(database):
        database.run("select jobs.start(3)")
        wait_at_gate(database, 3)
        _limit(database, 1)
        for _ in range(8):
            put(database, "app.crowd")
    database.drain(sessions=3)

    assert ledger(database) == [1] * 8 + [101, 102, 103]


def test_claims_that_stay_open_leave_others_a_slot(database: Database) -> None:
    """Sessions that one owner opened by hand claim in open transactions: another owner has a slot
    all the same.
    """
    _limit(database, 4)
    make_lane(database)
    mine = put(database, "pg_catalog.now", role="other")
    database.drain(role="other", timeout=60)
    assert state(database, mine) == "succeeded"
    put_many(database, "app.note", [{"n": n} for n in range(8)])
    workers = [Worker(database=database) for _ in range(6)]
    for worker in workers:
        worker.begin()
    assert 1 <= len([worker for worker in workers if worker.claim(1)]) <= 3
    mine = put(database, "pg_catalog.now", role="other")
    database.drain(role="other", timeout=60)
    assert state(database, mine) == "succeeded"

    # Nor do those leave none that claim with a snapshot in which no slot was taken.
    late = [Worker(database=database) for _ in range(4)]
    for worker in late:
        worker.line.execute("begin isolation level repeatable read")
        worker.ask("select count(*) from jobs.queues")
    for worker in workers:
        worker.commit()
    for worker in late:
        assert sqlstate_of(partial(worker.claim, 1)) in (None, "40001")
        worker.commit()
    for worker in (*workers, *late):
        if not worker.messages:
            worker.claim(1)
    assert database.admin("select count(session_id) from jobs_internal.slot") == [(3,)]
    mine = put(database, "pg_catalog.now", role="other")
    database.drain(role="other", timeout=60)
    assert state(database, mine) == "succeeded"
    for worker in (*workers, *late):
        worker.line.close()
    database.drain(timeout=60)
    assert sorted(n for n in ledger(database) if n is not None) == list(range(8))

"""No owner holds all slots of a queue that others use too, working or not."""

import pytest
from stage import gate_shut, make_lane, put, put_many, state, wait_at_gate
from support import Database, wait_until

from .byhand import Worker

HELD = (
    "select count(*) from jobs_internal.slot as t join jobs_internal.session as s on s.id = t.session_id"
    " where s.owner = %s::regrole"
)


def _held(database: Database, role: str) -> int:
    return int(database.admin(HELD, [role])[0][0])


def _tick(database: Database) -> None:
    """A round of a supervisor that launches nothing."""
    database.admin("select jobs_internal.do_part('claims')")


def _limit(database: Database, concurrency: int) -> None:
    database.admin("select jobs.alter_queue('default', concurrency => %s)", [concurrency])


@pytest.mark.parametrize("concurrency", [2, 3])
def test_one_owner_leaves_a_slot_of_a_shared_queue(database: Database, concurrency: int) -> None:
    make_lane(database, role="other")
    _limit(database, concurrency)
    for number in range(concurrency + 2):
        put(database, "app.gate", {"n": number})
    with gate_shut(database):
        database.run("select jobs.start(%s)", [concurrency + 2])
        wait_at_gate(database, concurrency - 1)
        wait_until(lambda: len(database.admin("select 1 from jobs_internal.session")) == concurrency - 1)
        assert _held(database, "app") == concurrency - 1
        job = put(database, "pg_catalog.now", role="other")
        database.run("select jobs.start()", role="other")
        wait_until(lambda: state(database, job) == "succeeded")
    database.drain()


@pytest.mark.parametrize("concurrency", [1, 3])
def test_an_owner_that_is_alone_has_all_slots(database: Database, concurrency: int) -> None:
    _limit(database, concurrency)
    for number in range(concurrency):
        put(database, "app.gate", {"n": number})
    with gate_shut(database):
        database.run("select jobs.start(%s)", [concurrency])
        wait_at_gate(database, concurrency)
    database.drain()


def test_idle_sessions_by_hand_give_their_slots_back(database: Database) -> None:
    make_lane(database)
    _limit(database, 2)
    put_many(database, "pg_catalog.now", [{}] * 6)
    idle = [Worker(database=database) for _ in range(2)]
    for worker in idle:
        assert worker.claim(1)
    assert _held(database, "app") == 2, "it is alone in its queue"
    waiting = put(database, "pg_catalog.now", role="other")
    database.admin("select jobs_internal.dispatch()")
    waiter = database.connect("other")
    number = waiter.execute("select jobs_internal.open_session()").fetchone()
    assert number

    def claimed() -> object:
        row = waiter.execute("select c.msg_ids from jobs_internal.claim(%s, 0, null, false, 1) as c", number).fetchone()
        assert row
        if not row[0]:
            _tick(database)
        return row[0]

    assert wait_until(claimed), "two seconds after they claimed something and did nothing"
    # What it claimed is not its own any more: it runs nothing without a slot.
    assert idle[0].open() == []
    assert state(database, waiting) == "queued"
    for worker in idle:
        worker.line.close()
    waiter.close()
    database.drain(role="other")
    database.drain()


def test_a_session_in_an_open_chunk_keeps_its_slot(database: Database) -> None:
    make_lane(database)
    _limit(database, 1)
    put_many(database, "pg_catalog.now", [{}] * 2)
    worker = Worker(database=database)
    assert worker.claim(1)
    worker.begin()
    assert worker.open()
    database.admin("update jobs_internal.session set lease = lease")
    put(database, "pg_catalog.now", role="other")
    database.admin("select jobs_internal.dispatch()")
    waiter = database.connect("other")
    number = waiter.execute("select jobs_internal.open_session()").fetchone()
    claim = "select c.waiting from jobs_internal.claim(%s, 0, null, false, 1) as c"
    assert waiter.execute(claim, number).fetchone() == (True,)
    database.admin("select pg_sleep(2.1)")
    assert waiter.execute(claim, number).fetchone() == (True,)
    _tick(database)
    assert _held(database, "app") == 1
    worker.rollback()
    _tick(database)
    assert _held(database, "app") == 0
    worker.line.close()
    waiter.close()
    database.drain(role="other")
    database.drain()

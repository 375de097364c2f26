"""No owner holds all slots of a queue that others use too, working or not."""

import threading

import pytest
from psycopg import Connection
from stage import gate_shut, ledger, make_lane, put, put_many, state, wait_at_gate, wait_for
from support import Database, Row, sqlstate_of, wait_until

from .byhand import Worker

HELD = (
    "select count(*) from jobs_internal.slot as t join jobs_internal.session as s on"
    " s.id = t.session_id"
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
        wait_until(
            lambda: len(database.admin("select 1 from jobs_internal.session")) == concurrency - 1
        )
        assert _held(database, "app") == concurrency - 1
        job = put(database, "pg_catalog.now", role="other")
        database.run("select jobs.start()", role="other")
        wait_until(lambda: state(database, job) == "succeeded")
    database.drain()


def _started_by_hand(database: Database, sessions: int) -> None:
    """Start worker sessions with no supervisor, and wait until each has asked for a slot,
    or has left.
    """
    ever = "select coalesce(pg_sequence_last_value('jobs_internal.session_id_seq'), 0)"
    before = database.admin(ever)[0][0]
    assert database.value("select jobs.start(%s)", [sessions]) == sessions
    wait_until(lambda: database.admin(ever)[0][0] == before + sessions)
    asking = "select 1 from jobs_internal.session where id > %s and waits_for is null"
    wait_until(lambda: not database.admin(asking, [before]))


def test_a_claim_that_is_not_committed_yet_keeps_no_slot_from_its_own_owner(
    database: Database,
) -> None:
    """While it is open, nobody can tell who may have the first slot or the last:
    the others wait for that moment.
    """
    make_lane(database, role="other")
    make_lane(database)
    _limit(database, 3)
    put_many(database, "app.gate", [{"n": n} for n in range(4)])
    worker = Worker(database=database)
    worker.begin()
    assert len(worker.claim(1)) == 1
    with gate_shut(database):
        _started_by_hand(database, 3)
        worker.commit()
        wait_at_gate(database, 1)
        assert _held(database, "app") == 2
    worker.leave()
    database.drain()


def test_a_slot_that_its_session_is_about_to_give_back_is_waited_for(database: Database) -> None:
    """It has looked for work before there was any, and leaves: who comes meanwhile is the only one
    for that job.
    """
    make_lane(database)
    _limit(database, 1)
    put(database, "pg_catalog.now")
    worker = Worker(database=database)
    worker.finish(worker.start_first())
    worker.begin()
    assert worker.claim(1) == []
    job = put(database, "pg_catalog.now")
    _started_by_hand(database, 2)
    worker.commit()
    wait_for(database, job, "succeeded")
    worker.leave()


def test_who_finds_all_slots_at_work_leaves(database: Database) -> None:
    """Without a supervisor: those who work come back for what is due, so nobody has to wait
    beside them.
    """
    _limit(database, 1)
    for number in range(2):
        put(database, "app.gate", {"n": number})
    with gate_shut(database):
        database.run("select jobs.start(3)")
        wait_at_gate(database, 1)
        wait_until(lambda: len(database.background()) == 1)
    wait_until(lambda: sorted(ledger(database)) == [0, 1])
    wait_until(lambda: not database.background())


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
    number = waiter.execute(
        "select jobs_internal.open_session(jobs_internal.schema_version())"
    ).fetchone()
    assert number

    def claimed() -> object:
        row = waiter.execute(
            "select c.msg_ids from jobs_internal.claim(%s, 0, null, false, 1) as c", number
        ).fetchone()
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


def _held_up(database: Database) -> tuple[int, list[Connection[Row]]]:
    """Let another owner's session wait for the one slot; gives its number and its connection,
    to be claimed with.
    """
    put(database, "pg_catalog.now", role="other")
    database.admin("select jobs_internal.dispatch()")
    waiter = database.connect("other")
    number = waiter.execute(
        "select jobs_internal.open_session(jobs_internal.schema_version())"
    ).fetchone()
    assert number
    return number[0], [waiter]


@pytest.mark.parametrize("held", ["open claim", "open claim at work", "open chunk", "job begun"])
def test_a_session_by_hand_that_runs_nothing_is_ended_where_others_wait(
    database: Database, held: str
) -> None:
    """One slot, and somebody who has it, and sits there: after a lease the next one has it,
    and the job is done.
    """
    make_lane(database)
    make_lane(database, role="other")
    _limit(database, 1)
    database.admin("select jobs.configure('lease_seconds', '2')")
    job = put(database, "pg_catalog.now")
    worker = Worker(database=database)
    if held == "job begun":
        worker.start_first()
    else:
        worker.begin()
        assert worker.claim(1)
        if held == "open chunk":
            worker.commit()
            worker.begin()
            assert worker.open()
            worker.show(job)
    number, (waiter,) = _held_up(database)
    if held == "open claim at work":
        sleeper = threading.Thread(
            target=lambda: sqlstate_of(lambda: worker.line.execute("select pg_sleep(600)"))
        )
        sleeper.start()

    def claimed() -> object:
        claim = "select c.msg_ids from jobs_internal.claim(%s, 0, null, false, 1) as c"
        row = waiter.execute(claim, [number]).fetchone()
        assert row
        if not row[0]:
            _tick(database)
            database.admin("select jobs_internal.do_part('rescue')")
        return row[0]

    assert wait_until(claimed), "the slot is free again"
    if held == "open claim at work":
        sleeper.join()
    worker.line.close()
    waiter.close()
    _tick(database)
    database.drain(role="other")
    database.drain()
    assert state(database, job) == "succeeded"


def test_an_operators_open_transaction_on_slots_is_nobodys_to_end(database: Database) -> None:
    make_lane(database)
    make_lane(database, role="other")
    _limit(database, 1)
    database.admin("select jobs.configure('lease_seconds', '2')")
    line = database.connect("operator")
    line.execute("begin")
    line.execute("select jobs.alter_queue('default', concurrency => 2)")
    number, (waiter,) = _held_up(database)
    for _ in range(30):
        waiter.execute("select jobs_internal.claim(%s, 0, null, false, 1)", [number])
        _tick(database)
        database.admin("select pg_sleep(0.1)")
    assert line.execute("rollback") is not None
    waiter.close()
    database.drain(role="other")


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
    number = waiter.execute(
        "select jobs_internal.open_session(jobs_internal.schema_version())"
    ).fetchone()
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

"""Two parties meet at one job: one is in the middle of its transaction when the other comes.
Neither sleeps.

Worker sessions are played by hand, step by step (byhand.py), so that each can stand still wherever
a test wants it.
"""

import pytest
from stage import attempts, know_as_short, ledger, make_lane, put, put_many, state
from support import Database, wait_until

from .byhand import Worker
from .encounters import PRESS
from .waiting import Ask, begin, lane, waits_for


def test_two_claims_at_once_share_nothing(prepared: Database) -> None:
    put_many(prepared, "app.note", [{"n": n} for n in range(4)])
    first, second = Worker(database=prepared), Worker(database=prepared)
    first.begin()
    mine = first.claim(2)
    yours = second.claim(10)
    first.commit()
    assert (len(mine), len(yours)) == (2, 2)
    assert not set(mine) & set(yours)
    first.leave()
    second.leave()
    prepared.drain()
    assert ledger(prepared) == [0, 1, 2, 3]


def test_the_last_slot_is_taken_once(prepared: Database) -> None:
    prepared.admin("select jobs.create_queue('single', 1)")
    make_lane(prepared, queue="single")
    know_as_short(prepared)
    put_many(prepared, "app.note", [{"n": n} for n in range(2)], queue="single")
    first, second = Worker(database=prepared), Worker(database=prepared)
    first.begin()
    assert len(first.claim(1)) == 1
    assert second.claim(1) == []
    first.commit()
    assert second.claim(1) == []
    first.leave()
    assert len(second.claim(1)) == 1
    second.leave()
    prepared.drain()
    assert ledger(prepared) == [0, 1]


def test_a_message_in_an_open_chunk_is_nobody_elses(prepared: Database) -> None:
    """Its lease runs out, it is claimed again: who opens a chunk of it passes it by,
    and afterwards it is gone.
    """
    job = put(prepared, "app.note", {"n": 1})
    prepared.admin("select jobs.configure('lease_seconds', '1')")
    first, second = Worker(database=prepared), Worker(database=prepared)
    first.claim()
    wait_until(
        lambda: prepared.admin(f"select 1 from {lane(prepared)} where vt < clock_timestamp()")
    )
    first.begin()
    assert len(first.open()) == 1
    assert second.claim() == []
    # It has the token all the same: as if it had claimed a moment before the chunk was opened.
    second.lane, second.messages, second.lease = first.lane, first.messages, first.lease
    second.begin()
    assert second.open() == []
    first.effect(1)
    assert first.finish_chunk([job])
    first.commit()
    assert second.open() == []
    second.rollback()
    assert (ledger(prepared), attempts(prepared, job)) == ([1], [(1, "succeeded")])
    first.leave()
    second.leave()


def test_a_job_that_is_being_written_down_is_not_signalled(prepared: Database, ask: Ask) -> None:
    job = put(prepared, "app.note", {"n": 1})
    worker = Worker(database=prepared)
    assert worker.start_first() == job
    worker.begin()
    worker.effect(1)
    worker.finish(job)
    assert prepared.value("select jobs.cancel(%s)", [job]) == "cancelling"
    wait_until(lambda: prepared.admin("select 1 from jobs_internal.stop_request"))
    assert prepared.value(PRESS, role="supervisor") == 0
    worker.commit()
    assert (state(prepared, job), ledger(prepared), attempts(prepared, job)) == (
        "succeeded",
        [1],
        [(1, "succeeded")],
    )
    wait_until(lambda: not prepared.background(), 20)
    assert (
        prepared.value(
            "select count(*) from jobs_internal.stop_request where signals_sent > 0",
            role="postgres",
        )
        == 0
    )
    worker.leave()


def test_a_reason_that_is_there_first_decides(prepared: Database) -> None:
    """The job was interrupted, and its session has not yet seen why: it is settled as what the
    reason says.
    """
    job = put(prepared, "app.note", {"n": 1})
    worker = Worker(database=prepared)
    assert worker.start_first() == job
    prepared.admin(
        "insert into jobs_internal.stop_request (job_id, attempt, reason, requested_by) values"
        " (%s, 1, 'cancelled', 'app')",
        [job],
    )
    worker.begin()
    worker.finish(job, "interrupted")
    worker.commit()
    assert (state(prepared, job), attempts(prepared, job)) == ("cancelled", [(1, "cancelled")])
    worker.leave()


def test_a_cancel_does_not_take_a_job_out_of_an_open_chunk(prepared: Database) -> None:
    job = put(prepared, "app.note", {"n": 1})
    worker = Worker(database=prepared)
    worker.claim()
    worker.begin()
    assert len(worker.open()) == 1
    assert (
        prepared.value("select jobs_internal.cancel_waiting(%s, 'app')", [job], role="postgres")
        is False
    )
    worker.effect(1)
    assert worker.finish_chunk([job])
    worker.commit()
    assert (state(prepared, job), ledger(prepared)) == ("succeeded", [1])
    worker.leave()


def test_a_chunk_passes_by_what_a_cancel_holds(prepared: Database) -> None:
    cancelled, other = put_many(prepared, "app.note", [{"n": 1}, {"n": 2}])
    worker = Worker(database=prepared)
    assert len(worker.claim()) == 2
    client = prepared.connect("app")
    assert begin(client, f"select jobs.cancel({cancelled})") == "cancelled"
    worker.begin()
    (item,) = worker.open()
    assert worker.ask("select (%(item)s::jobs_internal.work_item).job_id", {"item": item}) == other
    client.execute("commit")
    worker.effect(2)
    worker.messages = worker.messages[1:]
    assert worker.finish_chunk([other])
    worker.commit()
    worker.leave()
    prepared.drain()
    assert (state(prepared, cancelled), ledger(prepared)) == ("cancelled", [2])


def test_a_timeout_that_comes_at_the_end_hurts_nobody(prepared: Database, ask: Ask) -> None:
    """Noting it waits for nothing; the job is written down; its next attempt is another one."""
    job = put(prepared, "app.note", {"n": 1}, timeout="1 ms")
    worker = Worker(database=prepared)
    assert worker.start_first() == job
    worker.begin()
    worker.finish(job, "failed")
    supervisor = prepared.connect("supervisor")
    ask(supervisor, "select jobs_internal.supervisor_tick(1)").result(10)
    assert prepared.admin("select attempt, reason from jobs_internal.stop_request") == [
        (1, "timed_out")
    ]
    assert prepared.value(PRESS, role="supervisor") == 0
    worker.commit()
    assert attempts(prepared, job) == [(1, "failed")]
    prepared.admin("update jobs_internal.job set timeout = null, due_at = now()")
    prepared.run("select jobs_internal.supervisor_tick(1)", role="supervisor")
    assert worker.start_first() == job
    # what is there to say about the first says nothing about this
    assert prepared.value(PRESS, role="supervisor") == 0
    worker.begin()
    worker.effect(1)
    worker.finish(job, attempt=2)
    worker.commit()
    assert attempts(prepared, job) == [(1, "failed"), (2, "succeeded")]
    worker.leave()


def test_a_chunk_whose_job_was_changed_is_undone(prepared: Database, ask: Ask) -> None:
    job = put(prepared, "app.note", {"n": 1})
    worker = Worker(database=prepared)
    worker.claim()
    worker.begin()
    worker.open()
    other = prepared.connect("postgres")
    begin(other, f"update jobs_internal.job set attempt = 1 where id = {job} returning id")
    worker.effect(1)
    ending = worker.ending(job, "succeeded", 1)
    answer = ask(
        worker.line,
        f"select jobs_internal.finish_chunk({worker.number}, {worker.lane}, array{worker.messages},"
        f" array['{ending}'::jobs_internal.attempt_result])",
    )
    waits_for(prepared, worker.line, other)
    other.execute("commit")
    assert answer.result(10) is False
    worker.rollback()
    worker.leave()
    prepared.drain()
    assert (ledger(prepared), attempts(prepared, job)) == ([1], [(2, "succeeded")])


@pytest.mark.parametrize("end", ["commit", "rollback"])
def test_a_tick_passes_by_a_job_that_is_being_cancelled(prepared: Database, end: str) -> None:
    job = put(prepared, "app.note", {"n": 1}, run_at="2100-01-01")
    prepared.admin("update jobs_internal.job set due_at = now()")
    client, supervisor = prepared.connect("app"), prepared.connect("supervisor")
    assert begin(client, f"select jobs.cancel({job})") == "cancelled"
    tick = "select (jobs_internal.supervisor_tick(1) ->> 'dispatched')::integer"
    assert supervisor.execute(tick.encode()).fetchall() == [(0,)]
    client.execute(end.encode())
    assert supervisor.execute(tick.encode()).fetchall() == [(int(end == "rollback"),)]
    prepared.drain()
    assert ledger(prepared) == ([1] if end == "rollback" else [])
    assert prepared.admin(f"select count(*) from {lane(prepared)}") == [(0,)]

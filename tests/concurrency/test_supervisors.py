"""Two supervisors do the same duty at the same moment: it is done once,
and nobody waits who need not.
"""

import pytest
from stage import attempts, ledger, put, put_many, state
from support import Database, wait_until

from .byhand import Worker
from .supervisors import RESCUE, tick, two
from .waiting import Ask, begin, lane


@pytest.mark.parametrize("end", ["commit", "rollback"])
def test_a_tick_passes_by_what_another_dispatches(prepared: Database, end: str) -> None:
    put(prepared, "app.note", {"n": 1}, run_at="2100-01-01")
    prepared.admin("update jobs_internal.job set due_at = now()")
    first, second = two(prepared)
    assert begin(first, tick("dispatched")) == 1
    assert second.execute(tick("dispatched", 2)).fetchall() == [(0,)]
    first.execute(end)
    assert second.execute(tick("dispatched", 2)).fetchall() == [(int(end == "rollback"),)]
    assert prepared.admin(f"select count(*) from {lane(prepared)}") == [(1,)]
    prepared.drain()
    assert ledger(prepared) == [1]


@pytest.mark.parametrize("end", ["commit", "rollback"])
def test_two_rescuers_of_one_session(prepared: Database, end: str) -> None:
    """The second passes it by and does not wait; should the first fail, the second one can."""
    job = put(prepared, "app.note", {"n": 1}, max_attempts=3)
    worker = Worker(database=prepared)
    assert worker.start_first() == job
    worker.die()
    first, second = two(prepared)
    assert begin(first, tick("rescued")) == 1
    assert second.execute(tick("rescued", 2)).fetchall() == [(0,)]
    first.execute(end)
    assert second.execute(tick("rescued", 2)).fetchall() == [(int(end == "rollback"),)]
    assert attempts(prepared, job) == [(1, "lost")]
    prepared.admin("update jobs_internal.job set due_at = now()")
    prepared.drain()
    assert (ledger(prepared), attempts(prepared, job)) == ([1], [(1, "lost"), (2, "succeeded")])


def test_a_session_that_cannot_be_rescued_holds_up_no_other(prepared: Database, ask: Ask) -> None:
    """Somebody keeps the row of one dead session: the other one's job is seen to at once."""
    kept, other = put_many(prepared, "app.note", [{"n": 1}, {"n": 2}], max_attempts=1)
    dead = [Worker(database=prepared), Worker(database=prepared)]
    assert [one.start_first() for one in dead] == [kept, other]
    for one in dead:
        one.die()
    holder = prepared.connect("postgres")
    begin(holder, f"select id from jobs_internal.session where id = {dead[0].number} for update")
    assert ask(prepared.connect("supervisor"), tick("rescued")).result(10) == 1
    assert [state(prepared, job) for job in (kept, other)] == ["running", "failed"]
    holder.execute("commit")
    assert prepared.admin(RESCUE) == [(1,)]
    assert state(prepared, kept) == "failed"


def test_a_crash_is_counted_once(prepared: Database, ask: Ask) -> None:
    """Two come at the same time after a crash: the second leaves the judgement to the first and
    adds nothing.
    """
    jobs = put_many(prepared, "app.note", [{"n": 1}, {"n": 2}], max_attempts=3)
    dead = [Worker(database=prepared), Worker(database=prepared)]
    assert [one.start_first() for one in dead] == jobs
    for one in dead:
        one.die()
    prepared.admin("update jobs_internal.session set epoch = '2020-01-01'")
    prepared.admin("update jobs_internal.server set epoch = '2020-01-01'")
    # The judgement alone: a rescue would take the sessions away, too, and a second judge would find
    # nobody.
    first, second = prepared.connect("postgres"), prepared.connect("postgres")
    begin(first, "select jobs_internal.note_crash()::text")
    ask(second, "select jobs_internal.note_crash()::text").result(10)
    assert ask(second, RESCUE).result(10) == 0  # whom to blame is not known yet
    first.execute("commit")
    assert prepared.admin(RESCUE) == [(2,)]
    assert prepared.admin("select id, crashes, attempt from jobs_internal.job order by id") == [
        (jobs[0], 1, 0),
        (jobs[1], 1, 0),
    ]
    prepared.drain(sessions=2)
    assert ledger(prepared) == [1, 2]
    assert [attempts(prepared, job) for job in jobs] == [[(1, "succeeded")]] * 2


def test_two_suspects_start_at_once(prepared: Database) -> None:
    """While the first one's start is being committed the second goes back into its lane,
    and waits for nobody.
    """
    jobs = put_many(prepared, "app.note", [{"n": 1}, {"n": 2}])
    prepared.admin("update jobs_internal.job set crashes = 1, crash_ran = '0'")
    first, second = Worker(database=prepared), Worker(database=prepared)
    items = []
    for one in (first, second):
        one.claim(1)
        one.begin()
        items.extend(one.open())
    assert first.start(items[0]) == "alone"
    item = f"$i${items[1]}$i$::jobs_internal.work_item"
    begin_alone = f"select (jobs_internal.begin_alone({second.number}, {second.lane}, {item})).mode"
    assert second.line.execute(begin_alone.encode()).fetchall() == [("held",)]
    second.commit()
    first.commit()
    assert [state(prepared, job) for job in jobs] == ["running", "queued"]
    first.begin()
    first.effect(1)
    first.finish(jobs[0])
    first.commit()
    for one in (first, second):
        one.leave()
    prepared.drain()
    assert ledger(prepared) == [1, 2]


def test_two_press_one_reason(prepared: Database) -> None:
    """One signal is sent, and the other one does not wait for him who sends it."""
    job = put(prepared, "app.note", {"n": 1})
    worker = Worker(database=prepared)
    assert worker.start_first() == job
    prepared.admin(
        "insert into jobs_internal.stop_request (job_id, attempt, reason, requested_by) values"
        " (%s, 1, 'cancelled', 'app')",
        [job],
    )
    first, second = two(prepared)
    press = "select count(*)::integer from jobs_internal.supervisor_send_stop_signals(1)"
    assert begin(first, press) == 1
    assert second.execute(press).fetchall() == [(0,)]
    first.execute("commit")
    assert second.execute(press).fetchall() == [(0,)]  # a second signal is due after a second
    assert prepared.admin("select signals_sent from jobs_internal.stop_request") == [(1,)]
    worker.die()
    prepared.admin(RESCUE)
    assert state(prepared, job) == "cancelled"


def test_an_overdue_attempt_is_noted_once(prepared: Database, ask: Ask) -> None:
    job = put(prepared, "app.note", {"n": 1}, timeout="1 ms")
    worker = Worker(database=prepared)
    assert worker.start_first() == job
    first, second = two(prepared)
    begin(first, tick("stopping"))
    # it neither waits nor notes it a second time
    assert ask(second, tick("stopping", 2)).result(10) == 0
    first.execute("commit")
    assert second.execute(tick("stopping", 2)).fetchall() == [(1,)]
    assert prepared.admin("select job_id, attempt, reason from jobs_internal.stop_request") == [
        (job, 1, "timed_out")
    ]
    worker.die()
    prepared.admin(RESCUE)
    assert attempts(prepared, job) == [(1, "timed_out")]


def test_each_outcome_is_taken_once(prepared: Database) -> None:
    prepared.admin("delete from jobs_internal.outbox")
    for n in range(3):
        put(prepared, "app.note", {"n": n}, run_at="2100-01-01")
    for (job,) in prepared.admin("select id from jobs_internal.job"):
        assert prepared.value("select jobs.cancel(%s)", [job]) == "cancelled"
    first, second = two(prepared)
    taken = "select o -> 'others' -> 0 ->> 'job_id' from jobs_internal.take_outcomes(%s) as o"
    first.execute("begin")
    mine = first.execute(taken, [2]).fetchall()
    yours = second.execute(taken, [10]).fetchall()
    first.execute("commit")
    assert (len(mine), len(yours)) == (2, 1)
    assert not set(mine) & set(yours)
    assert second.execute(taken, [10]).fetchall() == []


def test_outcomes_whose_taker_died_are_taken_again(prepared: Database) -> None:
    prepared.admin("delete from jobs_internal.outbox")
    job = put(prepared, "app.note", {"n": 1}, run_at="2100-01-01")
    assert prepared.value("select jobs.cancel(%s)", [job]) == "cancelled"
    first, second = two(prepared)
    taken = "select o -> 'others' -> 0 ->> 'job_id' from jobs_internal.take_outcomes(10) as o"
    assert begin(first, taken) == str(job)
    first.close()
    wait_until(lambda: second.execute(taken).fetchall() == [(str(job),)])


def test_what_is_taken_back_is_taken_back_once(prepared: Database) -> None:
    """A session does not get to its claim: two supervisors give it to others,
    and count no delivery twice.
    """
    jobs = put_many(prepared, "app.note", [{"n": n} for n in range(3)])
    worker = Worker(database=prepared)
    worker.claim()
    worker.show(jobs[0])
    first, second = two(prepared)
    begin(first, tick("dispatched"))
    second.execute(tick("dispatched", 2))
    first.execute("commit")
    assert prepared.admin(f"select min(read_ct), max(read_ct) from {lane(prepared)}") == [(0, 0)]
    worker.begin()
    assert worker.open() == []
    worker.rollback()
    worker.die()
    prepared.drain()
    assert ledger(prepared) == [0, 1, 2]

"""A rescue meets another party at one job."""

from stage import attempts, ledger, put, put_many, state
from support import Database, wait_until

from .byhand import Worker
from .encounters import RESCUE, message
from .waiting import Ask, begin, lane, waits_for


def test_a_claim_passes_by_what_a_rescue_holds(prepared: Database) -> None:
    job = put(prepared, "app.note", {"n": 1})
    dead, alive = Worker(database=prepared), Worker(database=prepared)
    assert dead.claim()
    dead.die()
    rescuer = prepared.connect("postgres")
    assert begin(rescuer, RESCUE) == 1
    assert alive.claim() == []
    rescuer.execute("rollback")
    assert alive.claim() == []  # nothing was given back
    assert rescuer.execute(RESCUE).fetchall() == [(1,)]
    assert len(alive.claim()) == 1
    assert message(prepared, job)[1] == 2  # delivered twice: it runs alone
    alive.leave()
    prepared.drain()
    assert (ledger(prepared), attempts(prepared, job)) == ([1], [(1, "succeeded")])


def test_a_rescue_leaves_what_was_claimed_again(prepared: Database, ask: Ask) -> None:
    """The dead one's lease ran out, another claims and has not committed: the rescue does not wait,
    nor touch that.
    """
    job = put(prepared, "app.note", {"n": 1})
    dead, alive = Worker(database=prepared), Worker(database=prepared)
    prepared.admin("select jobs.configure('lease_seconds', '1')")
    assert dead.claim()
    dead.die()
    wait_until(
        lambda: prepared.admin(f"select 1 from {lane(prepared)} where vt < clock_timestamp()")
    )
    prepared.admin("select jobs.configure('lease_seconds', '30')")
    alive.begin()
    assert alive.claim()
    assert ask(prepared.connect("postgres"), RESCUE).result(10) == 1
    alive.commit()
    assert prepared.admin(
        "select %s::timestamptz = %s::timestamptz", [alive.lease, message(prepared, job)[0]]
    )[0][0]
    assert message(prepared, job)[1] == 2
    alive.begin()
    assert len(alive.open()) == 1
    alive.rollback()
    alive.leave()
    prepared.drain()
    assert ledger(prepared) == [1]


def test_a_session_that_lives_is_not_rescued(prepared: Database) -> None:
    """Its lease is over, its job runs alone, or it is being written down: it lives,
    and that is all that counts.
    """
    job = put(prepared, "app.note", {"n": 1})
    prepared.admin("select jobs.configure('lease_seconds', '1')")
    worker = Worker(database=prepared)
    worker.begin()
    worker.claim(1)
    (item,) = worker.open(short_ms=-1)
    assert worker.start(item) == "alone"
    worker.commit()
    wait_until(
        lambda: prepared.admin("select 1 where clock_timestamp() > %s::timestamptz", [worker.lease])
    )
    assert prepared.admin(RESCUE) == [(0,)]
    worker.begin()
    worker.effect(1)
    worker.finish(job)
    assert prepared.admin(RESCUE) == [(0,)]
    worker.commit()
    assert (state(prepared, job), ledger(prepared), attempts(prepared, job)) == (
        "succeeded",
        [1],
        [(1, "succeeded")],
    )
    worker.leave()


def test_an_end_that_finds_its_job_gone_is_undone(prepared: Database, ask: Ask) -> None:
    """Somebody holds the job row and moves it on; the end waits for that, and must not be written
    beside it.
    """
    job = put(prepared, "app.note", {"n": 1})
    worker = Worker(database=prepared)
    assert worker.start_first() == job
    other = prepared.connect("postgres")
    begin(other, f"update jobs_internal.job set attempt = 2 where id = {job} returning id")
    worker.begin()
    worker.effect(1)
    ending = worker.ending(job, "succeeded", 1)
    answer = ask(
        worker.line,
        f"select jobs_internal.finish_alone({worker.number}, {worker.lane}, '{ending}')",
    )
    waits_for(prepared, worker.line, other)
    other.execute("commit")
    assert answer.result(10) == "PW041"
    worker.rollback()
    assert (state(prepared, job), ledger(prepared)) == ("running", [])
    prepared.admin("delete from jobs_internal.job")
    worker.die()


def test_a_retry_waits_for_the_end_that_a_rescue_writes(prepared: Database) -> None:
    """Until the rescue commits, the job runs, for whoever asks; then it has failed,
    and is retried once.
    """
    job = put(prepared, "app.note", {"n": 1}, max_attempts=1)
    worker = Worker(database=prepared)
    assert worker.start_first() == job
    worker.die()
    rescuer = prepared.connect("postgres")
    assert begin(rescuer, RESCUE) == 1
    assert prepared.value("select jobs.retry(%s)", [job]) == "running"
    rescuer.execute("commit")
    assert attempts(prepared, job) == [(1, "lost")]
    assert prepared.value("select jobs.retry(%s)", [job]) == "retrying"
    assert prepared.value("select jobs.retry(%s)", [job]) == "queued"
    prepared.drain()
    assert (ledger(prepared), attempts(prepared, job)) == ([1], [(1, "lost"), (2, "succeeded")])


def test_a_rescue_does_not_touch_the_next_attempt(prepared: Database, ask: Ask) -> None:
    """Of two dead sessions the first cannot be helped yet: the second one's job runs again,
    and stays untouched.
    """
    first, second = put_many(prepared, "app.note", [{"n": 1}, {"n": 2}], max_attempts=3)
    dead = [Worker(database=prepared), Worker(database=prepared)]
    assert [one.start_first() for one in dead] == [first, second]
    for one in dead:
        one.die()
    holder = prepared.connect("postgres")
    begin(holder, f"select id from jobs_internal.job where id = {first} for update")
    # the second session: the first one's job is held
    assert ask(prepared.connect("postgres"), RESCUE).result(10) == 1
    failed = "select duty, item, error ->> 'sqlstate' from jobs_internal.duty_failure"
    assert prepared.admin(failed) == [("rescue", str(dead[0].number), "55P03")]
    prepared.admin("update jobs_internal.job set due_at = now() where id = %s", [second])
    prepared.admin("select jobs_internal.dispatch()")
    alive = Worker(database=prepared)
    assert alive.start_first() == second
    holder.execute("commit")
    prepared.admin("update jobs_internal.duty_failure set retry_at = clock_timestamp()")
    assert prepared.admin(RESCUE) == [(1,)]
    assert prepared.admin(failed) == []
    assert (state(prepared, second), attempts(prepared, second)) == (
        "running",
        [(1, "lost"), (2, None)],
    )
    alive.begin()
    alive.effect(2)
    alive.finish(second, attempt=2)
    alive.commit()
    alive.leave()
    prepared.admin("update jobs_internal.job set due_at = now()")
    prepared.drain()
    assert ledger(prepared) == [1, 2]
    assert attempts(prepared, second) == [(1, "lost"), (2, "succeeded")]

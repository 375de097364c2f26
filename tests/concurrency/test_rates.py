"""Rates of queues: so many jobs start in a period, whoever runs them."""

import pytest
from stage import gate_shut, put, put_many, state, wait_at_gate
from support import Database, sqlstate_of, wait_until

from .byhand import Worker
from .rates import alter, burst, excess, fill, limit, starts


def _explain(database: Database, job: int) -> tuple[str, bool]:
    row = database.run("select code, until > now() from jobs.explain(%s)", [job])[0]
    return row[0], row[1]


def _sent_home(database: Database) -> None:
    wait_until(lambda: not database.background())


def _work_off(database: Database, sessions: int = 1) -> None:
    """Have all that may start now run, with sessions that leave."""
    ever = "select coalesce(pg_sequence_last_value('jobs_internal.session_id_seq'), 0)"
    before = database.admin(ever)[0][0]
    database.run("select jobs.start(%s)", [sessions])
    wait_until(lambda: database.admin(ever)[0][0] >= before + sessions)
    _sent_home(database)


@pytest.mark.parametrize("rate", [40, 200])
def test_no_stretch_of_time_has_more_starts_than_its_rate(database: Database, rate: int) -> None:
    """Several sessions, and jobs that share transactions."""
    limit(database, rate)
    put_many(database, "app.note", [{"n": n} for n in range(2 * rate)], queue="q")
    database.run("select jobs.start(4)")
    wait_until(lambda: len(starts(database)) == 2 * rate)
    # one more for each session: it may be held up between its claim and its start
    assert excess(starts(database), rate) <= burst(rate) + 4
    assert starts(database)[-1] - starts(database)[0] >= 1.5
    _sent_home(database)


def test_a_period_that_is_long_has_one_start_at_a_time(database: Database) -> None:
    """Sessions that find none leave; nothing starts in the second half of the day."""
    limit(database, 2, "1 day")
    jobs = fill(database, 3)
    _work_off(database, sessions=3)
    assert sorted(state(database, job) for job in jobs) == ["queued", "queued", "succeeded"]
    waiting = next(job for job in jobs if state(database, job) == "queued")
    row = database.run(
        "select code, until between now() + interval '11 hours' and now() + interval '13 hours',"
        " remedy, reason from jobs.explain(%s)",
        [waiting],
    )[0]
    assert row[:2] == ("rate", True)
    assert "alter_queue('q', rate_limit => 0)" in row[2]
    assert "2 in 1 day" in row[3]


def test_a_session_waits_for_a_start_that_is_near(database: Database) -> None:
    """One session that was started by hand works off what comes twice a second."""
    limit(database, 2)
    jobs = fill(database, 4)
    assert database.value("select jobs.start()") == 1
    wait_until(lambda: all(state(database, job) == "succeeded" for job in jobs))
    sessions = "select count(distinct pid) from jobs.attempts where job_id = any (%s)"
    assert database.run(sessions, [jobs]) == [(1,)]
    assert excess(starts(database), 2) <= burst(2) + 1
    _sent_home(database)


def test_other_queues_go_on(database: Database) -> None:
    """A lane without a start is passed over."""
    limit(database, 1, "1 hour")
    first, second = fill(database, 2)
    others = [put(database, "pg_catalog.now") for _ in range(5)]
    _work_off(database)
    assert [state(database, job) for job in (first, second)] == ["succeeded", "queued"]
    assert {state(database, job) for job in others} == {"succeeded"}


@pytest.mark.parametrize("new", [0, 5000])
def test_another_limit_holds_at_once(database: Database, new: int) -> None:
    """Also where the next start was an hour away."""
    limit(database, 1, "1 hour")
    jobs = fill(database, 50)
    _work_off(database)
    assert sum(state(database, job) == "succeeded" for job in jobs) == 1
    alter(database, new, "1 second" if new else None)
    database.run("select jobs.start()")
    wait_until(lambda: all(state(database, job) == "succeeded" for job in jobs))
    _sent_home(database)
    alter(database, 1, "1 hour")
    jobs = fill(database, 3)
    _work_off(database)
    assert sum(state(database, job) == "succeeded" for job in jobs) <= 1


def test_a_limit_is_changed_while_jobs_run(database: Database) -> None:
    """What waits for it sees the new one, and not the end of the old period."""
    limit(database, 1, "1 second")
    jobs = fill(database, 60)
    database.run("select jobs.start(2)")
    wait_until(lambda: len(starts(database)) >= 2)
    alter(database, 1000)
    wait_until(lambda: all(state(database, job) == "succeeded" for job in jobs), 20)
    _sent_home(database)


def test_a_start_that_is_not_made_goes_back(database: Database) -> None:
    """A session that gives its claim back has not started it."""
    limit(database, 1, "1 hour")
    first, second = fill(database, 2)
    one = Worker(database=database)
    assert len(one.claim()) == 1
    one.leave()
    _work_off(database)
    assert [state(database, job) for job in (first, second)] == ["queued", "queued"]
    database.admin("select jobs_internal.do_part('claims')")
    _work_off(database)
    assert [state(database, job) for job in (first, second)] == ["succeeded", "queued"]


def test_who_does_not_give_back_has_not_given_back(database: Database) -> None:
    """A claim that is given back in a transaction that is undone brings no start."""
    limit(database, 1, "1 hour")
    fill(database, 2)
    one = Worker(database=database)
    assert len(one.claim()) == 1
    for _ in range(3):
        one.begin()
        one.ask("select jobs_internal.close_session(%(me)s, null)", {"me": one.number})
        one.rollback()
        database.admin("select jobs_internal.do_part('claims')")
    other = Worker(database=database)
    assert other.claim() == []
    one.leave()
    other.leave()


def test_a_claim_that_stays_open_holds_up_no_other(database: Database) -> None:
    """It has used its start up, and keeps no lock of the queue."""
    limit(database, 100)
    jobs = fill(database, 10)
    one = Worker(database=database)
    one.begin()
    (message,) = one.claim(1)
    assert message
    database.run("select jobs.start()")
    wait_until(lambda: sum(state(database, job) == "succeeded" for job in jobs) == 9)
    one.rollback()
    database.run("select jobs.start()")
    wait_until(lambda: all(state(database, job) == "succeeded" for job in jobs))
    one.leave()
    _sent_home(database)


def test_what_runs_again_after_a_crash_has_started_twice(database: Database) -> None:
    """It waits for a second start."""
    limit(database, 1, "1 hour")
    job = put(database, "app.gate", queue="q", max_attempts=2)
    with gate_shut(database):
        database.run("select jobs.start()")
        wait_at_gate(database, 1)
        database.admin("select pg_terminate_backend(pid) from jobs_internal.session")
        _sent_home(database)
    database.admin("select jobs_internal.rescue()")
    database.admin("update jobs_internal.job set due_at = now() where due_at is not null")
    database.admin("select jobs_internal.dispatch()")
    _work_off(database)
    assert state(database, job) == "queued"
    assert _explain(database, job) == ("rate", True)
    alter(database, 0)
    _work_off(database)
    assert state(database, job) == "succeeded"


def test_the_clock_is_set_back(database: Database) -> None:
    """The bucket would be full a year from now: one period later there is a start."""
    limit(database, 10)
    jobs = fill(database, 2)
    _work_off(database)
    assert {state(database, job) for job in jobs} == {"succeeded"}
    number = database.admin("select id from jobs_internal.queue where name = 'q'")[0][0]
    year = 365 * 86400 * 1000000 * 1024
    database.admin(
        f"select setval('jobs_internal.rate_{number}', last_value + {year})"
        f" from jobs_internal.rate_{number}"
    )
    jobs = fill(database, 2)
    database.run("select jobs.start()")
    wait_until(lambda: all(state(database, job) == "succeeded" for job in jobs))
    _sent_home(database)


def test_demand_is_what_the_rate_can_use(database: Database) -> None:
    """A supervisor launches no session for a start that is far, and few for a slow rate."""
    limit(database, 1, "1 hour")
    fill(database, 200)
    demand = "select coalesce(sum(session_demand), 0)::integer from jobs_internal.session_demand()"
    assert database.admin(demand) == [(1,)]
    _work_off(database)
    assert database.admin(demand) == [(0,)]
    alter(database, 10, "1 second")
    database.admin("update jobs_internal.lane set avg_ms = 10000")
    assert database.admin(demand) == [(3,)]
    alter(database, 0)
    assert database.admin(demand) == [(16,)]


def test_a_long_wait_for_a_start_is_no_silence(database: Database) -> None:
    """jobs.health misses no session where none could start anything."""
    limit(database, 1, "1 hour")
    fill(database, 2)
    _work_off(database)
    database.admin("update jobs_internal.lane set served_at = now() - interval '40 minutes'")
    lanes = database.admin("select 'q_' || pgmq_queue from jobs_internal.lane")
    for (lane,) in lanes:
        database.admin(
            f"update pgmq.{lane} set vt = vt - interval '1 hour',"
            " enqueued_at = enqueued_at - interval '1 hour'"
        )
    silence = "select owner::text from jobs_internal.unserved_owners('30 seconds')"
    assert database.admin(silence) == []
    number = database.admin("select id from jobs_internal.queue where name = 'q'")[0][0]
    minutes = 70 * 60 * 1000000 * 1024
    database.admin(
        f"select setval('jobs_internal.rate_{number}', last_value - {minutes})"
        f" from jobs_internal.rate_{number}"
    )
    assert database.admin(silence) == [("app",)]
    alter(database, 0)
    assert database.admin(silence) == [("app",)]


def test_what_is_refused(database: Database) -> None:
    """Nothing is changed by it."""

    def refused(function: str, **options: object) -> str | None:
        given = "".join(f", {name} => %({name})s" for name in options)
        return sqlstate_of(
            lambda: database.run(f"select jobs.{function}('q'{given})", options, role="operator")
        )

    for function in ("create_queue", "alter_queue"):
        for wrong in (-1, 0 if function == "create_queue" else -2):
            assert refused(function, rate_limit=wrong) == "PW026"
        for wrong in ("0", "-1 second", "infinity", "1 month", "1 year", "366 days", "1 us"):
            assert refused(function, rate_limit=1, rate_period=wrong) == "PW026", wrong
        assert refused(function, rate_limit=1001, rate_period="1 ms") == "PW026"
        if function == "create_queue":
            assert refused(function, rate_period="1 second") == "PW121"
            limit(database, 5, "1 day -12:00")
    shown = "select rate_limit, rate_period::text from jobs.queues where queue = 'q'"
    assert database.run(shown) == [(5, "12:00:00")]
    assert refused("alter_queue", rate_limit=0, rate_period="1 second") == "PW121"
    assert database.run(shown) == [(5, "12:00:00")]
    database.run("select jobs.alter_queue('q', timeout => '1 s')", role="operator")
    assert database.run(shown) == [(5, "12:00:00")]
    database.run("select jobs.alter_queue('q', rate_limit => 7)", role="operator")
    assert database.run(shown) == [(7, "12:00:00")]
    database.run("select jobs.alter_queue('q', rate_limit => 0)", role="operator")
    assert database.run(shown) == [(None, None)]
    assert refused("alter_queue", rate_period="1 second") == "PW121"
    database.run("select jobs.alter_queue('q', rate_limit => 7)", role="operator")
    assert database.run(shown) == [(7, "00:00:01")]
    told = database.admin("select after ->> 'rate_limit' from jobs_internal.audit order by id desc")
    assert told[:3] == [("7",), (None,), ("7",)]


def test_a_queue_that_is_dropped_leaves_no_bucket(database: Database) -> None:
    limit(database, 5)
    fill(database, 1)
    _work_off(database)
    database.run("select jobs.drop_queue('q')", role="operator")
    left = (
        "select relname from pg_class where relkind = 'S' and relname ~ '^rate_[0-9]' union all"
        " select queue_id::text from jobs_internal.rate_bucket"
    )
    assert len(database.admin(left)) == 2

    def gone() -> bool:
        database.admin("select jobs_internal.remove_dropped_queues()")
        return database.admin(left) == []

    wait_until(gone)

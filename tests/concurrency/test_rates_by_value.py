"""Rates by an argument: each value of it has the limit of its queue for itself."""

from typing import Any

from psycopg.types.json import Jsonb
from stage import put, state
from support import Database, wait_until

from .byhand import Worker
from .rates import excess


def _limit(database: Database, starts: int, period: str) -> None:
    database.run(
        "select jobs.create_queue('q', rate_limit => %s, rate_period => %s, rate_by => 'n')",
        [starts, period],
        role="operator",
    )


def _fill(database: Database, *values: int, **more: Any) -> list[int]:
    jobs = [put(database, "app.note", {"n": n}, queue="q", **more) for n in values]
    database.admin("select jobs_internal.dispatch()")
    return jobs


def _settle(database: Database) -> None:
    """Have sessions come until each job has run, or has a time that is not near."""
    near = "state <> 'scheduled' or due_at < now() + interval '5 s'"

    def over() -> bool:
        database.run("select jobs.start()")
        wait_until(lambda: not database.background())
        return not database.admin(f"select 1 from jobs_internal.job where {near}")

    wait_until(over)


def _ran(database: Database, jobs: list[int]) -> list[bool]:
    return [state(database, job) == "succeeded" for job in jobs]


def test_each_value_has_the_limit_for_itself(database: Database) -> None:
    """Jobs without the argument share one; those that wait do so outside of their lane."""
    _limit(database, 1, "1 hour")
    jobs = _fill(database, 1, 2, 1, 3, 2, 1)
    others = [put(database, "pg_catalog.now", queue="q") for _ in range(2)]
    _settle(database)
    assert _ran(database, jobs + others) == [True, True, False, True, False, False, True, False]
    rows = database.admin(
        "select id, round(extract(epoch from due_at - now()) / 3600) from jobs_internal.job"
        " order by id"
    )
    assert rows == [(jobs[2], 1), (jobs[4], 1), (jobs[5], 2), (others[1], 1)]
    told = "select code, until > now() from jobs.explain(%s)"
    assert {database.run(told, [job])[0] for job, _ in rows} == {("rate_by", True)}


def test_no_stretch_of_time_has_more_starts_of_a_value(database: Database) -> None:
    """And none is forgotten: with sessions that come again and again, all have run."""
    _limit(database, 2, "1 second")
    _fill(database, *(8 * [1]), *(8 * [2]))

    def over() -> bool:
        database.run("select jobs.start(2)")
        wait_until(lambda: not database.background())
        return not database.admin("select 1 from jobs_internal.job")

    wait_until(over)
    for value in (1, 2):
        rows = database.admin(
            "select extract(epoch from started_at)::float8 from jobs.job"
            " where args ->> 'n' = %s order by 1",
            [str(value)],
        )
        # what is two seconds late starts at once, and not what is later
        assert excess([row[0] for row in rows], 2) <= 1 + 0.08 * 2 + 2 * 2 + 1
        assert rows[-1][0] - rows[0][0] > 1.5


def test_another_limit_is_for_those_that_wait_too(database: Database) -> None:
    _limit(database, 1, "1 hour")
    jobs = _fill(database, *(20 * [1]))
    _settle(database)
    assert sum(_ran(database, jobs)) == 1
    database.run("select jobs.alter_queue('q', rate_limit => 0)", role="operator")
    row = database.run("select rate_limit, rate_by from jobs.queues where queue = 'q'")
    assert row == [(None, None)]
    _settle(database)
    assert all(_ran(database, jobs))
    assert database.admin("select 1 from jobs_internal.rate_wait") == []


def test_who_wants_it_now_gets_no_start(database: Database) -> None:
    """jobs.run_now makes the time come; the job keeps its place."""
    _limit(database, 1, "1 hour")
    jobs = _fill(database, 1, 1, 1)
    _settle(database)
    times = "select id, due_at from jobs_internal.job order by id"
    before = database.admin(times)
    assert len(before) == 2
    database.run("select jobs.run_now(%s)", [before[1][0]])
    _settle(database)
    assert database.admin(times) == before
    database.run("select jobs.cancel(%s)", [before[0][0]])
    assert state(database, before[0][0]) == "cancelled"
    assert sum(_ran(database, jobs)) == 1


def test_what_is_late_comes_behind_those_that_have_a_time(database: Database) -> None:
    """After ten hours without a session nothing piles up."""
    _limit(database, 1, "1 hour")
    jobs = _fill(database, *(6 * [1]))
    _settle(database)
    database.admin("update jobs_internal.job set due_at = due_at - interval '10 hours'")
    database.admin("update jobs_internal.rate_wait set at = at - interval '10 hours'")
    database.admin("update jobs_internal.rate_value set next_at = next_at - interval '10 hours'")
    _settle(database)
    assert sum(_ran(database, jobs)) == 2


def test_a_value_that_another_session_decides_about_is_left_to_it(database: Database) -> None:
    """No session waits for that: it takes jobs of other values, and comes back."""
    _limit(database, 1, "1 hour")
    _fill(database, 2, 3)
    _settle(database)
    database.admin("update jobs_internal.rate_value set next_at = now() - interval '1 minute'")
    jobs = _fill(database, 2, 2, 3)
    one = Worker(database=database)
    with database.connect("postgres") as line, line.transaction():
        line.execute("select from jobs_internal.rate_value where value = '=2' for update")
        (later,) = one.claim(1)
        one.leave()
    two = Worker(database=database)
    (first,) = two.claim(1)
    assert first == later - 2
    two.leave()
    assert [state(database, job) for job in jobs] == ["queued", "queued", "queued"]


def test_a_place_of_a_key_is_given_back(database: Database) -> None:
    """A job that waits for its time holds none."""
    _limit(database, 1, "1 hour")
    options = Jsonb({"concurrency_key": "k"})
    jobs = _fill(database, 1, 1, 2, options=options)

    def over() -> bool:
        database.admin("select jobs_internal.dispatch(), jobs_internal.admit_waiting()")
        database.run("select jobs.start()")
        return _ran(database, jobs) == [True, False, True]

    wait_until(over)
    assert database.admin("select 1 from jobs_internal.key_held") == []


def test_what_is_over_is_swept(database: Database) -> None:
    _limit(database, 1, "1 hour")
    _fill(database, 1, 1)
    _settle(database)
    database.admin("select jobs_internal.sweep_rates()")
    assert len(database.admin("select 1 from jobs_internal.rate_value")) == 1
    database.admin("update jobs_internal.rate_value set next_at = now() - interval '2 hours'")
    database.admin("update jobs_internal.rate_wait set at = now() - interval '2 hours'")
    database.run("select count(jobs.cancel(id)) from jobs.queued")
    database.run("select count(jobs.cancel(id)) from jobs.job where state = 'scheduled'")
    database.admin("select jobs_internal.sweep_rates()")
    assert database.admin("select 1 from jobs_internal.rate_value") == []
    assert database.admin("select 1 from jobs_internal.rate_wait") == []

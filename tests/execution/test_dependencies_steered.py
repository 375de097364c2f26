"""Jobs that wait for others, and what people do with them and with those they wait for."""

import pytest
from psycopg.types.json import Jsonb
from stage import age_history, put, put_many, put_sql, state, step_history
from support import Database, sqlstate_of

from .dependents import after, chain, error, follow, left, states, waits

HEALTH = "select status, detail, remedy from jobs.health where \"check\" = 'dependencies'"


def test_all_that_wait_are_cancelled_and_come_back(database: Database) -> None:
    """A tree with two ways to its end; what waits for any end runs."""
    parent = put(database, "app.stumble", {"n": 1, "times": 1}, max_attempts=1)
    left_side, right_side = after(database, parent), after(database, parent)
    end = after(database, left_side, right_side)
    behind = chain(database, end, 3)
    anyway = after(database, end, wants="finished", args={"n": 5})
    tree = [left_side, right_side, end, *behind]
    database.drain()
    follow(database)
    database.drain()
    assert states(database, parent, *tree) == ["failed"] + ["cancelled"] * 6
    assert state(database, anyway) == "succeeded"
    assert error(database, end) == (
        "PW105",
        f"job {left_side}, which it waited for, was cancelled",
    )
    assert database.value("select jobs.retry(%s)", [parent]) == "retrying"
    follow(database)
    assert all(waits(database, job) for job in tree)
    database.drain()
    follow(database)
    database.drain()
    assert set(states(database, parent, *tree)) == {"succeeded"}
    assert left(database) == []


def test_one_that_waits_for_two_that_failed(database: Database) -> None:
    """It comes back when neither is failed any more; by its own retry at once."""
    one, two = (put(database, "app.stumble", {"n": n}, max_attempts=1) for n in (1, 2))
    child, other = after(database, one, two), after(database, one, two)
    database.drain()
    follow(database)
    assert states(database, child, other) == ["cancelled"] * 2
    assert database.value("select jobs.retry(%s)", [other]) == "retrying"
    assert not waits(database, other)
    database.run("select jobs.retry(%s)", [one])
    database.drain()
    follow(database)
    assert states(database, child, other) == ["cancelled", "succeeded"]
    database.run("select jobs.retry(%s)", [two])
    database.drain()
    follow(database)
    database.drain()
    assert states(database, one, two, child) == ["succeeded"] * 3
    assert left(database) == []


def test_a_retry_still_waits_for_the_others(database: Database) -> None:
    """A person forgives the parent that failed, not the one that has not ended."""
    failed = put(database, "app.fail", max_attempts=1)
    later = put(database, "app.note", {"n": 1}, run_at="2100-01-01T00:00:00Z")
    child = after(database, failed, later)
    database.drain()
    follow(database)
    assert state(database, child) == "cancelled"
    database.run("select jobs.retry(%s)", [child])
    assert waits(database, child)
    database.run("select jobs.run_now(%s)", [later])
    database.drain()
    assert states(database, child) == ["succeeded"]
    follow(database)  # of its own retry
    assert left(database) == []


def test_a_child_that_a_person_cancelled_stays_so(database: Database) -> None:
    """Whatever becomes of its parent."""
    parent = put(database, "app.stumble", {"n": 1}, max_attempts=1)
    child = after(database, parent)
    assert database.value("select jobs.cancel(%s)", [child]) == "cancelled"
    database.drain()
    follow(database)
    database.run("select jobs.retry(%s)", [parent])
    database.drain()
    follow(database)
    assert states(database, parent, child) == ["succeeded", "cancelled"]
    assert error(database, child)[0] == "PWC01"
    assert left(database) == []


def test_its_own_time(database: Database) -> None:
    """It waits for both: its time, and its parent; run_now makes the time come."""
    parent = put(database, "app.note", {"n": 1})
    one, two = (after(database, parent, run_at="2100-01-01T00:00:00Z") for _ in range(2))
    assert database.value("select jobs.run_now(%s)", [one]) == "scheduled"
    assert all(waits(database, job) for job in (one, two))
    database.drain()
    assert states(database, one, two) == ["succeeded", "scheduled"]
    assert database.job(two)["waits_for"] == "its time"
    assert database.value("select jobs.set_priority(%s, 'low')", [two]) == "scheduled"


def test_a_parent_in_doubt_has_not_ended(database: Database) -> None:
    """Its child waits until it is cancelled."""
    parent = put(database, "app.note", {"n": 1})
    database.drain()
    database.admin("update jobs_internal.finished set state = 'in_doubt' where id = %s", [parent])
    child = after(database, parent, wants="failed")
    follow(database)
    assert waits(database, child)
    ((status, detail, remedy),) = database.admin(HEALTH)
    assert (status, detail) == ("warning", "jobs wait for 1 job that is in doubt")
    assert "jobs.retry(id) or jobs.cancel(id)" in remedy
    assert database.value("select jobs.cancel(%s)", [parent]) == "cancelled"
    follow(database)
    database.drain()
    assert state(database, child) == "succeeded"


def test_a_parent_in_doubt_whose_history_has_gone(database: Database) -> None:
    """What waits for it would wait for ever: the upkeep has it looked at."""
    parent = put(database, "app.note", {"n": 1})
    database.drain()
    database.admin("update jobs_internal.finished set state = 'in_doubt' where id = %s", [parent])
    child, anyway = after(database, parent), after(database, parent, wants="finished")
    follow(database)
    age_history(database, "100 days")
    step_history(database)
    assert waits(database, child)
    database.admin("select jobs_internal.sweep_counters()")
    follow(database)
    assert error(database, child) == (
        "PW105",
        f"job {parent}, which it waited for, is not known any more",
    )
    database.drain()
    assert state(database, anyway) == "succeeded"
    assert left(database) == [("dependency", parent, child)]  # broken


def test_the_deadline_of_one_that_comes_back_counts(database: Database) -> None:
    """The retry of a parent does not say that what waited for it may be late."""
    parent = put(database, "app.stumble", {"n": 1, "times": 1}, max_attempts=1)
    child = after(database, parent, options={"deadline": "2099-01-01T00:00:00Z"})
    database.drain()
    follow(database)
    assert states(database, parent, child) == ["failed", "cancelled"]
    database.run("select jobs.retry(%s)", [parent])
    follow(database)
    assert waits(database, child)
    also = database.record("select also from jobs.explain(%s)", [child])["also"]
    assert [one for one in also if "if it has not started by 2099-01-01" in one]


def test_a_parent_without_a_time_is_told(database: Database) -> None:
    parent = put(database, "app.note", {"n": 1}, run_at="infinity")
    after(database, parent)
    ((status, detail, remedy),) = database.admin(HEALTH)
    assert (status, detail) == ("warning", "jobs wait for 1 job that has no time")
    assert "jobs.run_now(id)" in remedy
    database.run("select jobs.run_now(%s)", [parent])
    assert [row[0] for row in database.admin(HEALTH)] == ["ok"]


def test_other_kinds_of_jobs(database: Database) -> None:
    """Many at once, statements, and steps: a parent has ended with its last step."""
    options = Jsonb({"after": [put(database, "app.note", {"n": 1})]})
    steps = int(
        database.value(
            'select jobs.enqueue_steps(\'["select 1", "select 2"]\', options => %s)', [options]
        )
    )
    options = Jsonb({"after": [steps]})
    jobs = put_many(database, "app.note", [{"n": 2}, {"n": 3}], options=options)
    jobs.append(put_sql(database, "vacuum app.ledger", options=options))
    assert all(waits(database, job) for job in [steps, *jobs])
    assert database.job(jobs[0])["after"] == [steps]
    database.drain()
    assert set(states(database, steps, *jobs)) == {"succeeded"}


def test_whose_jobs(database: Database) -> None:
    """One's own, and those that one enqueued by a publication; others are not there."""
    database.run("select jobs.publish('app.note', 'other')")
    theirs = put(database, "app.note", {"n": 1})
    published = database.value(
        "select jobs.enqueue_published('app.note', '{\"n\": 1}')", role="other"
    )
    call = "select jobs.enqueue('pg_catalog.now', options => %s)"
    for wrong in (theirs, 987654321):
        given = [Jsonb({"after": [wrong]})]
        assert sqlstate_of(lambda given=given: database.run(call, given, role="other")) == "PW104"
    given = [Jsonb({"after": [987654321], "after_state": "finished"})]
    assert sqlstate_of(lambda: database.run(call, given)) == "PW104"
    child = database.value(call, [Jsonb({"after": [published]})], role="other")
    assert waits(database, child)
    database.drain()
    assert waits(database, child)
    follow(database)
    database.drain(role="other")
    assert state(database, child) == "succeeded"


def test_a_parent_whose_history_has_gone(database: Database) -> None:
    """Only whether it has ended can be known of it."""
    parent = put(database, "app.note", {"n": 1})
    waiting = after(database, parent)
    with database.connect("postgres") as held, held.transaction():
        held.execute("select jobs_internal.become_follower('app'::regrole)")
        database.drain()
    database.admin("delete from jobs_internal.finished where id = %s", [parent])
    follow(database)
    database.drain()
    assert state(database, waiting) == "succeeded"
    assert sqlstate_of(lambda: after(database, parent)) == "PW104"
    child = after(database, parent, wants="finished")
    database.drain()
    assert state(database, child) == "succeeded"


@pytest.mark.parametrize(
    "options",
    [
        {"after": [1.5]},
        {"after": ["1"]},
        {"after": [-1]},
        {"after": [10**30]},
        {"after": 1},
        {"after": list(range(20001))},
        {"after": [], "after_state": "done"},
        {"after_state": "failed"},
    ],
)
def test_what_is_refused(database: Database, options: dict[str, object]) -> None:
    """With a message of ours, and nothing is enqueued."""
    call = "select jobs.enqueue('pg_catalog.now', options => %s)"
    assert sqlstate_of(lambda: database.run(call, [Jsonb(options)])) == "PW029"
    assert database.run("select count(*) from jobs.job") == [(0,)]


def test_a_key_that_is_taken(database: Database) -> None:
    """The job that has it keeps its parents, and gets no others."""
    one, two = (put(database, "app.note", {"n": n}) for n in (1, 2))
    child = after(database, one, unique_key="k")
    assert after(database, two, unique_key="k") == child
    assert [row[1:] for row in left(database) if row[0] == "dependency"] == [(one, child)]


def test_a_queue_with_one_that_waits(database: Database) -> None:
    """It is not dropped; of a dropped one nothing comes back."""
    database.run("select jobs.create_queue('aside')", role="operator")
    parent = put(database, "app.fail", max_attempts=1)
    child = after(database, parent, queue="aside")
    drop = "select jobs.drop_queue('aside')"
    assert sqlstate_of(lambda: database.run(drop, role="operator")) == "PW028"
    database.drain()
    follow(database)
    assert state(database, child) == "cancelled"
    database.run(drop, role="operator")
    database.run("select jobs.retry(%s)", [parent])
    follow(database)
    assert state(database, child) == "cancelled"

"""Retries, run_now, wait, await, the life of a key."""

import time

from stage import (
    attempts,
    drain_once,
    gate_shut,
    ledger,
    make_lane,
    put,
    put_sql,
    quick_retries,
    state,
    wait_at_gate,
    wait_for,
)
from support import Database, sqlstate_of, wait_until


def test_retry_delays_grow_with_jitter_up_to_the_cap(database: Database) -> None:
    database.admin(
        "select jobs.alter_queue('default', backoff => '8 s', backoff_cap => '1 minute')"
    )
    for attempt, base in [(1, 8), (2, 16), (3, 32), (4, 60), (30, 60), (1000, 60)]:
        (low, high, kinds) = database.admin(
            "select extract(epoch from min(b)), extract(epoch from max(b)), count(distinct b)"
            " from (select jobs_internal.backoff(1, %s) as b from generate_series(1, 200)) as t",
            [attempt],
        )[0]
        assert base * 0.75 <= low < base * 0.85
        assert base * 1.15 < high <= base * 1.25
        assert kinds > 100
    job = put(database, "app.stumble", {"n": 1})
    drain_once(database)
    due, ended = database.run(
        "select q.due_at, a.finished_at from jobs.queued as q"
        " join jobs.attempts as a on a.job_id = q.id"
        " where q.id = %s",
        [job],
    )[0]
    # the view shows whole seconds
    assert 5 < (due - ended).total_seconds() < 11
    assert state(database, job) == "scheduled"
    # What waits for its time is in no pgmq queue.
    (lane,) = database.admin("select pgmq_queue from jobs_internal.lane")[0]
    assert database.admin(f"select count(*) from pgmq.q_{lane}") == [(0,)]
    assert database.value("select jobs.run_now(%s)", [job]) == "queued"
    drain_once(database)
    assert database.result(job) == 1


def test_max_attempts_ends_it(database: Database) -> None:
    quick_retries(database)
    job = put(database, "app.stumble", {"n": 1, "times": 9}, max_attempts=4)
    database.drain()
    assert attempts(database, job) == [(n, "failed") for n in range(1, 5)]
    assert state(database, job) == "failed"
    assert ledger(database) == []


def test_retry_rules_are_the_operators(database: Database) -> None:
    quick_retries(database)
    first = put(database, "app.fail", {"state": "22012"})
    database.drain()
    assert attempts(database, first) == [(1, "failed")]
    database.run("select jobs.set_retry_rule('22012', true, 'they pass here')", role="operator")
    assert database.run("select retry, why from jobs.retry_rules where pattern = '22012'") == [
        (True, "they pass here")
    ]
    second = put(database, "app.fail", {"state": "22012"})
    other = put(database, "app.fail", {"state": "22003"})
    database.drain()
    assert len(attempts(database, second)) == 3
    assert len(attempts(database, other)) == 1
    database.run("select jobs.set_retry_rule('22012', null)", role="operator")
    database.run("select jobs.set_retry_rule('*', false)", role="operator")
    third, fourth = (
        put(database, "app.fail", {"state": "22012"}),
        put(database, "app.fail", {"state": "P0001"}),
    )
    database.drain()
    assert [len(attempts(database, one)) for one in (third, fourth)] == [1, 1]
    assert sqlstate_of(lambda: database.run("select jobs.set_retry_rule('*', true)")) == "42501"


def test_a_job_in_the_future_waits_outside_the_lane(database: Database) -> None:
    make_lane(database)
    job = put(database, "app.note", {"n": 1}, run_at="2100-01-01")
    for_ever = put(database, "app.note", {"n": 2}, run_at="infinity")
    drain_once(database)
    assert [state(database, one) for one in (job, for_ever)] == ["scheduled", "scheduled"]
    (lane,) = database.admin("select pgmq_queue from jobs_internal.lane")[0]
    assert database.admin(f"select count(*) from pgmq.q_{lane}") == [(0,)]
    assert database.value("select scheduled from jobs.queues where queue = 'default'") == 2
    assert database.value("select jobs.run_now(%s)", [job]) == "queued"
    assert database.value("select jobs.run_now(%s)", [job]) == "queued"
    assert database.admin(f"select count(*) from pgmq.q_{lane}") == [(1,)]
    drain_once(database)
    assert ledger(database) == [1]
    assert database.value("select jobs.run_now(%s)", [job]) == "succeeded"
    assert database.value("select jobs.cancel(%s)", [for_ever]) == "cancelled"


def test_a_job_that_becomes_due_runs(database: Database) -> None:
    soon = database.value("select clock_timestamp() + interval '3 s'")
    job = put(database, "app.note", {"n": 1}, run_at=soon)
    database.run("select jobs.start()")
    assert state(database, job) == "scheduled" or database.value(
        "select clock_timestamp() >= %s", [soon]
    )

    def started() -> bool:
        database.run("select jobs.start()")
        return state(database, job) == "succeeded"

    wait_until(started, 60, 0.1)
    assert database.job(job)["started_at"] >= soon


def test_the_life_of_a_unique_key(database: Database) -> None:
    make_lane(database)
    first = put(database, "app.fail", {"state": "22012"}, unique_key="k")
    assert put(database, "app.note", {"n": 1}, unique_key="k") == first
    assert (
        put(database, "app.note", {"n": 9}, unique_key="k", role="app", run_at="2100-01-01")
        == first
    )
    database.drain()
    assert state(database, first) == "failed"
    second = put(database, "app.gate", {"n": 2}, unique_key="k")
    assert second != first
    assert sqlstate_of(lambda: database.run("select jobs.retry(%s)", [first])) == "PW032"
    with gate_shut(database):
        database.run("select jobs.start()")
        wait_at_gate(database)
        assert put(database, "app.note", {"n": 3}, unique_key="k") == second
    wait_for(database, second)
    wait_until(lambda: not database.background(), 10)
    assert database.value("select jobs.retry(%s)", [first]) == "retrying"
    assert put(database, "app.note", {"n": 4}, unique_key="k") == first
    database.drain()
    assert ledger(database) == [2]


def test_a_retry_keeps_the_history(database: Database) -> None:
    quick_retries(database)
    job = put(
        database,
        "app.stumble",
        {"n": 1, "state": "22012", "times": 2},
        max_attempts=1,
        note={"ticket": "T-1"},
    )
    database.drain()
    for expected in ("failed", "succeeded"):
        assert database.value("select jobs.retry(%s)", [job]) == "retrying"
        assert database.value("select jobs.retry(%s)", [job]) in ("queued", "scheduled")
        database.drain()
        assert state(database, job) == expected
    assert attempts(database, job) == [(1, "failed"), (2, "failed"), (3, "succeeded")]
    assert database.job(job)["note"] == {"ticket": "T-1"}
    assert ledger(database) == [1]


def test_wait_and_what_it_refuses(database: Database) -> None:
    job = put(database, "app.note", {"n": 1})
    line = database.connect("app")

    def refused(statement: str) -> str | None:
        return sqlstate_of(lambda: line.execute(statement.encode()))

    begun = time.monotonic()
    assert refused(f"select jobs.wait({job}, '100 ms')") == "PW036"
    assert time.monotonic() - begun >= 0.1
    assert (
        refused(f"begin isolation level repeatable read; select jobs.wait({job}, '1 s')") == "PW033"
    )
    line.execute("rollback")
    child = put_sql(database, "vacuum app.ledger")
    procedure = put(database, "app.two_commits", {"n": 10})
    assert refused(f"select jobs.wait({child}, '1 s')") == "PW034"
    assert refused(f"select jobs.wait({procedure}, '1 s')") == "PW034"
    line.execute("begin")
    own = line.execute("select jobs.enqueue('app.note', '{\"n\": 2}')").fetchone()
    assert own is not None
    assert refused(f"select jobs.wait({own[0]}, '1 s')") == "PW035"
    line.execute("rollback")
    line.execute("begin; savepoint s")
    own = line.execute("select jobs.enqueue('app.note', '{\"n\": 2}')").fetchone()
    line.execute("release s")
    assert own is not None
    assert refused(f"select jobs.wait({own[0]}, '1 s')") == "PW035"
    line.execute("rollback")
    assert refused("select jobs.wait(4711, '1 s')") == "PW030"
    line.execute("select jobs.start()")
    assert line.execute("select jobs.wait(%s, '20 s')", [job]).fetchall() == [("succeeded",)]
    for one in (child, procedure):
        line.execute(f"call jobs.await({one}, '20 s')")
        assert state(database, one) == "succeeded"
    assert line.execute("select jobs.wait(%s, '1 s')", [child]).fetchall() == [("succeeded",)]
    bad = put(database, "app.fail", {"state": "22012"})
    line.execute("select jobs.start()")
    assert line.execute("select jobs.wait(%s, '20 s')", [bad]).fetchall() == [("failed",)]
    never = put(database, "app.note", {"n": 1}, run_at="2100-01-01")
    assert refused(f"call jobs.await({never}, '50 ms')") == "PW036"


def test_a_job_in_doubt_can_be_left_at_that(database: Database) -> None:
    """Somebody looked: it is not asked about any more, and what is known of its attempt stays."""
    job = put(database, "app.fail", max_attempts=1)
    database.drain()
    database.admin(
        "update jobs_internal.finished set state = 'in_doubt', outcome = 'in_doubt' where id = %s",
        [job],
    )
    health = "select status from jobs.health where \"check\" = 'in doubt'"
    assert database.admin(health) == [("warning",)]
    assert database.value("select jobs.cancel(%s)", [job]) == "cancelled"
    assert database.admin(health) == [("ok",)]
    assert state(database, job) == "cancelled"
    assert attempts(database, job) == [(1, "in_doubt")]
    assert database.value("select jobs.retry(%s)", [job]) == "retrying"

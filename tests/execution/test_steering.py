"""Retries, cancel, retry, run_now, wait, await, pause, priorities, order, slots."""

import time
from functools import partial
from typing import Any

import pytest
from stage import (
    attempts,
    drain_once,
    gate_shut,
    know_as_short,
    ledger,
    make_lane,
    put,
    put_many,
    put_sql,
    quick_retries,
    running,
    state,
    wait_at_gate,
    wait_for,
    wait_running,
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
    assert 6 <= (due - ended).total_seconds() < 11
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


def test_cancel_of_what_has_not_started(database: Database) -> None:
    make_lane(database)
    scheduled = put(database, "app.note", {"n": 1}, run_at="2100-01-01")
    queued = put(database, "app.note", {"n": 2})
    statement = put_sql(database, "insert into app.ledger (n) values (3)")
    child = put_sql(database, "call app.two_commits(4)")
    jobs = (scheduled, queued, statement, child)
    assert [database.value("select jobs.cancel(%s)", [job]) for job in jobs] == ["cancelled"] * 4
    assert [database.value("select jobs.cancel(%s)", [job]) for job in jobs] == ["cancelled"] * 4
    database.drain()
    assert {state(database, job) for job in jobs} == {"cancelled"}
    assert ledger(database) == []
    assert [database.value("select jobs.retry(%s)", [job]) for job in jobs] == ["retrying"] * 4
    database.drain()
    assert {state(database, job) for job in jobs} == {"succeeded"}
    assert ledger(database) == [1, 2, 3, 4, 5]
    assert sqlstate_of(lambda: database.run("select jobs.retry(%s)", [queued])) == "PW031"
    assert database.value("select jobs.cancel(%s)", [queued]) == "succeeded"


RUNNING = {
    "alone": "app.gate",
    "in a chunk": "app.gate",
    "statement": "insert into app.ledger (n) select 1 from pg_advisory_xact_lock(1)",
    "child": "call app.watched(1, 'x')",
    "procedure": "app.watched",
}


def _enqueue_running(database: Database, kind: str, **options: Any) -> int:
    if kind in ("alone", "in a chunk"):
        if kind == "in a chunk":
            put(database, "app.gate", {"n": 0})
            database.drain()
            know_as_short(database)
            database.run("truncate app.ledger")
        return put(database, RUNNING[kind], {"n": 1}, **options)
    if kind == "procedure":
        return put(database, RUNNING[kind], {"n": 1, "secret": "x"}, **options)
    return put_sql(database, RUNNING[kind], **options)


@pytest.mark.parametrize("kind", RUNNING)
def test_cancel_of_what_runs(database: Database, kind: str) -> None:
    job = _enqueue_running(database, kind)
    after = put(database, "app.note", {"n": 100})
    with gate_shut(database):
        database.run("select jobs.start()")
        (pid,) = wait_at_gate(database)
        wait_running(database, job)
        line = database.connect("app")
        with line.transaction(force_rollback=True):
            # A rollback of the caller does not undo it.
            assert line.execute("select jobs.cancel(%s)", [job]).fetchall() == [("cancelling",)]
        # Nothing else ends it: its gate stays shut, no supervisor is there, and it has no timeout.
        found = wait_for(database, job, timeout=20)
        assert found["state"] == "cancelled"
        assert found["error"]["sqlstate"] == "PWC01"
        # It is really stopped.
        if kind in ("child", "procedure"):
            wait_until(
                lambda: not database.admin("select 1 from pg_stat_activity where pid = %s", [pid]),
                5,
            )
        here = "database = (select oid from pg_database where datname = current_database())"
        waiting = (
            "select 1 from pg_locks where locktype = 'advisory' and objid = 1 and not granted"
            f" and {here}"
        )
        wait_until(lambda: not database.admin(waiting), 5)
    assert attempts(database, job) == [(1, "cancelled")]
    wait_for(database, after)
    wait_until(lambda: not database.background(), 10)
    assert state(database, after) == "succeeded"
    assert ledger(database) == ([1, 100] if kind in ("child", "procedure") else [100])
    assert database.value("select jobs.retry(%s)", [job]) == "retrying"
    database.drain()
    assert state(database, job) == "succeeded"


def test_an_operator_cancels_anybodys_job(database: Database) -> None:
    job = put(database, "app.gate")
    with gate_shut(database):
        database.run("select jobs.start()")
        wait_at_gate(database)
        assert (
            sqlstate_of(lambda: database.run("select jobs.cancel(%s)", [job], role="other"))
            == "PW030"
        )
        assert database.value("select jobs.cancel(%s)", [job], role="operator") == "cancelling"
        assert wait_for(database, job)["state"] == "cancelled"


def test_cancels_between_short_jobs_hit_no_innocent(database: Database) -> None:
    quick_retries(database)
    put(database, "app.nap", {"seconds": 0.0, "n": 0}, max_attempts=1)
    database.drain()
    know_as_short(database)
    database.run("truncate app.ledger")
    jobs = put_many(
        database, "app.nap", [{"seconds": 0.002, "n": n} for n in range(500)], max_attempts=1
    )
    database.run("select jobs.start(2)")
    asked = set()
    answers = set()
    for job in jobs[20::7]:
        answers.add(database.value("select jobs.cancel(%s)", [job]))
        asked.add(job)
    database.drain()
    states: dict[int, str] = dict(
        database.run("select id, state from jobs.job where id = any (%s)", [jobs])
    )
    assert {job for job, what in states.items() if what == "cancelled"} <= asked
    assert {what for job, what in states.items() if job not in asked} == {"succeeded"}
    assert {states[job] for job in asked} <= {"cancelled", "succeeded"}
    done = [row[0] for row in database.run("select job from app.ledger order by 1")]
    assert done == sorted(job for job, what in states.items() if what == "succeeded")
    assert answers & {"cancelled", "cancelling"}


def test_a_cancelled_job_is_not_retried_when_it_fails_by_itself(database: Database) -> None:
    """The reason is there, and the attempt ends with an error of its own before the
    signal comes.
    """
    job = put(
        database,
        "app.run",
        {"what": "select pg_advisory_xact_lock(1); select 1 / 0"},
        max_attempts=5,
    )
    database.admin("select jobs.set_retry_rule('22012', true)")
    with gate_shut(database):
        database.run("select jobs.start()")
        wait_at_gate(database)
        database.admin(
            "insert into jobs_internal.stop_request values (%s, 1, 'cancelled', 'app')", [job]
        )
    assert wait_for(database, job)["state"] == "cancelled"
    wait_until(lambda: not database.background(), 10)
    assert attempts(database, job) == [(1, "failed")]


def test_a_cancel_whose_reason_comes_after_the_attempt_holds(database: Database) -> None:
    """Between the look at a running job and the reason, the attempt failed and waits for
    its retry.
    """
    job = put(database, "app.stumble", {"n": 1, "times": 9}, max_attempts=5)
    drain_once(database)
    assert state(database, job) == "scheduled"
    database.admin(f"call jobs_internal.stop_job({job}, 1, 'app')")
    assert state(database, job) == "cancelled"
    assert database.admin("select count(*) from jobs_internal.stop_request") == [(0,)]


def test_pause_and_resume(database: Database) -> None:
    database.admin("select jobs.create_queue('side')")
    for queue in ("default", "side"):
        make_lane(database, queue=queue)
    assert database.value("select jobs.pause('default')", role="operator") is True
    assert database.value("select jobs.pause('default')", role="operator") is False
    held = put(database, "app.note", {"n": 1})
    free = put(database, "app.note", {"n": 2}, queue="side")
    database.run("select jobs.start()")
    wait_for(database, free)
    wait_until(lambda: not database.background(), 10)
    assert state(database, held) == "queued"
    assert database.run("select queue, paused from jobs.queues order by 1") == [
        ("default", True),
        ("side", False),
    ]
    assert database.value("select jobs.pause()", role="operator") is True
    later = put(database, "app.note", {"n": 3}, queue="side")
    assert database.value("select jobs.resume('default')", role="operator") is True
    database.run("select jobs.start()")
    wait_until(lambda: not database.background(), 10)
    assert ledger(database) == [2]
    assert database.value("select status from jobs.health where \"check\" = 'switch'") == "warning"
    assert database.value("select jobs.resume()", role="operator") is True
    database.drain()
    assert ledger(database) == [1, 2, 3]
    assert state(database, later) == "succeeded"


@pytest.mark.parametrize("everything", [True, False], ids=["everything", "the queue"])
def test_pause_while_claimed(database: Database, *, everything: bool) -> None:
    put(database, "app.note", {"n": -1})
    put(database, "app.gate", {"n": -1})
    database.drain()
    know_as_short(database)
    database.admin("select jobs.configure('chunk_ms', '1')")
    database.admin("select jobs.configure('lease_seconds', '3600')")
    database.run("truncate app.ledger")
    warm = put_many(database, "app.note", [{"n": n} for n in range(100)])
    gate = put(database, "app.gate", {"n": 100})
    rest = put_many(database, "app.note", [{"n": n} for n in range(101, 300)])
    which = "" if everything else "'default'"
    with gate_shut(database):
        database.run("select jobs.start()")
        wait_at_gate(database)
        database.run(f"select jobs.pause({which})", role="operator")
    wait_for(database, gate)
    wait_until(lambda: not database.background(), 10)
    # What ran went on; what its session had claimed did not start.
    done = ledger(database)
    assert done[:101] == list(range(101))
    assert len(done) < 180
    assert state(database, rest[-1]) == "queued"
    database.run(f"select jobs.resume({which})", role="operator")
    database.drain(timeout=60)  # what was claimed and not run is not held until its lease ends
    assert ledger(database) == list(range(300))
    assert {state(database, job) for job in (*warm, *rest)} == {"succeeded"}


def _sessions_are(database: Database, count: int) -> bool:
    return len(database.background()) == count


def test_the_concurrency_of_a_queue_holds(database: Database) -> None:
    database.admin("select jobs.create_queue('narrow', 2)")
    put(database, "app.crowd", queue="narrow")
    put(database, "app.gate", queue="narrow")
    database.drain()
    database.run("truncate app.ledger")
    put_many(database, "app.crowd", [{} for _ in range(24)], queue="narrow")
    database.drain(sessions=4)
    assert len(ledger(database)) == 24
    assert max(n or 0 for n in ledger(database)) <= 2
    for concurrency in (3, 1):
        database.run(
            "select jobs.alter_queue('narrow', concurrency => %s)", [concurrency], role="operator"
        )
        put_many(database, "app.gate", [{} for _ in range(6)], queue="narrow")
        # so that no claim takes more than one
        database.admin("update jobs_internal.call_stats set avg_ms = 1000")
        database.admin("update jobs_internal.lane set avg_ms = 1000")
        with gate_shut(database):
            database.run("select jobs.start(5)")
            wait_at_gate(database, concurrency)
            # The other sessions found no free slot, and left.
            wait_until(partial(_sessions_are, database, concurrency), 10)
            assert len(wait_at_gate(database)) == concurrency
            assert database.run(
                "select running, slots from jobs.queues where queue = 'narrow'"
            ) == [(concurrency, concurrency)]
        database.drain()


def test_priorities_decide_the_order(database: Database) -> None:
    for priority in ("high", "normal", "low"):
        make_lane(database, priority=priority)
    for priority, n in [("low", 3), ("normal", 2), ("high", 1)]:
        put_many(database, "app.note", [{"n": n} for _ in range(5)], priority=priority)
    drain_once(database)
    assert [row[0] for row in database.run("select n from app.ledger order by at")] == [1] * 5 + [
        2
    ] * 5 + [3] * 5


@pytest.mark.parametrize("slow", [None, 1.2], ids=["short jobs", "with a slow one"])
def test_first_in_first_out_in_a_lane(database: Database, slow: float | None) -> None:
    put(database, "app.nap", {"seconds": 0, "n": -1})
    database.drain()
    know_as_short(database)
    database.admin("select jobs.configure('claim_jobs', '300')")
    database.run("truncate app.ledger")
    put_many(
        database,
        "app.nap",
        [{"seconds": slow if slow and n == 200 else 0, "n": n} for n in range(1500)],
    )
    drain_once(database)
    order = [row[0] for row in database.run("select n from app.ledger order by at, n")]
    assert order == list(range(1500))


def test_order_when_a_claim_is_given_back(database: Database) -> None:
    """A job of unknown duration sends the rest of its claim back; what comes behind it does not
    overtake.
    """
    put(database, "app.note", {"n": -1})
    database.drain()
    know_as_short(database)
    # so that there is something behind a claim
    database.admin("select jobs.configure('claim_jobs', '100')")
    database.run("truncate app.ledger")
    put_many(database, "app.note", [{"n": n} for n in range(30)])
    put(database, "app.echo", {"what": 1})
    put_many(database, "app.note", [{"n": n} for n in range(30, 400)])
    drain_once(database)
    order = [row[0] for row in database.run("select n from app.ledger order by at, n")]
    assert order == list(range(400))


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


def test_a_process_that_blocks_in_several_ways_is_named_once(database: Database) -> None:
    """A parallel query holds its locks in each of its processes, and the server names its leader
    for each.
    """
    database.admin("create table app.many as select 1 as n")
    database.admin("alter table app.many owner to app")
    with database.connect("app") as holder:
        holder.execute("set debug_parallel_query = on")
        leader = holder.info.backend_pid
        holder.pgconn.send_query(b"select n, pg_sleep(600) from app.many")
        try:
            members = (
                "select count(*) from pg_locks where relation = 'app.many'::regclass and granted"
            )
            wait_until(lambda: database.admin(members)[0][0] >= 2)
            job = put_sql(database, "truncate app.many")
            database.run("select jobs.start()")
            wait_until(lambda: (running(database, job) or {}).get("blocked_by"), 10)
            row = running(database, job)
            assert row is not None
            assert database.admin("select pg_blocking_pids(%s)", [row["pid"]]) == [
                ([leader, leader],)
            ]
            assert row["blocked_by"] == [leader]
        finally:
            database.admin("select pg_cancel_backend(%s)", [leader])
            while holder.pgconn.get_result():
                pass
    assert wait_for(database, job)["state"] == "succeeded"


def test_progress_is_seen_in_the_middle_of_the_transaction(database: Database) -> None:
    job = put(database, "app.report", {"done": 30, "total": 120, "message": "reading"})
    with gate_shut(database):
        database.run("select jobs.start()")
        wait_at_gate(database)
        wait_until(lambda: (running(database, job) or {}).get("message"), 5)
        row = running(database, job)
        assert row is not None
        assert (row["done"], row["total"], row["percent"], row["message"]) == (
            30,
            120,
            25,
            "reading",
        )
        assert (row["task"], row["owner"], row["child_pid"]) == ("app.report", "app", None)
        assert row["eta"] >= row["started_at"]
        assert row["wait_event"] == "Lock:advisory"
        holders = database.admin(
            "select pid from pg_locks where locktype = 'advisory' and objid = 1 and granted"
            " and database = (select oid from pg_database where datname = current_database())"
        )
        assert row["blocked_by"] == [holders[0][0]]
        assert database.run("select pid from jobs.sessions") == [(row["pid"],)]
        assert database.run(
            "select count(*) from jobs.running where id = %s", [job], role="other"
        ) == [(0,)]
    assert wait_for(database, job)["state"] == "succeeded"
    wait_until(lambda: not database.background(), 10)
    assert running(database, job) is None
    # outside a job it does nothing
    assert sqlstate_of(lambda: database.run("select jobs.progress(-1, 10)")) is None
    bad = put(database, "app.run", {"what": "select jobs.progress(-1, 10)"})
    database.drain()
    assert database.job(bad)["error"]["sqlstate"] == "PW023"


def test_progress_of_a_job_in_a_chunk(database: Database) -> None:
    put(database, "app.report", {"done": 1, "total": 2, "message": None})
    database.drain()
    know_as_short(database)
    job = put(database, "app.report", {"done": 1.5, "total": 2, "message": None})
    with gate_shut(database):
        database.run("select jobs.start()")
        wait_at_gate(database)
        row = wait_running(database, job)
        assert (row["done"], row["total"], row["percent"]) == (1.5, 2, 75)
        assert state(database, job) == "running"
        assert database.run("select queued, running from jobs.queues where queue = 'default'") == [
            (0, 1)
        ]
        assert attempts(database, job) == [(1, None)]
    assert wait_for(database, job)["state"] == "succeeded"


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


STUBBORN = """
create function app.stubborn() returns void language plpgsql as $$
begin
  for i in 1 .. 20 loop
    begin perform pg_sleep(0.5); exception when query_canceled then null; end;
  end loop;
end $$
"""
PRESSING = "select count(*) from pg_stat_activity where query like 'call jobs_internal.stop_job(%'"


def test_who_cancels_many_jobs_leaves_worker_slots_to_others(database: Database) -> None:
    """It has a few sessions for that at most, and with no supervisor all of its jobs are signalled
    all the same.
    """
    database.run(STUBBORN)
    jobs = [put(database, "app.stubborn", max_attempts=1) for _ in range(7)]
    database.run("select jobs.start(7)")
    wait_until(lambda: {state(database, job) for job in jobs} == {"running"})
    most = 0
    for job in jobs:
        assert database.value("select jobs.cancel(%s)", [job]) == "cancelling"
        most = max(most, database.admin(PRESSING)[0][0])
    signalled = "select count(*) from jobs_internal.stop_request where signals_sent > 0"
    wait_until(lambda: database.admin(signalled)[0][0] == 7)
    assert max(most, database.admin(PRESSING)[0][0]) <= 4
    for job in jobs:
        wait_for(database, job)


def test_who_cancels_again_and_again_takes_no_further_worker_slot(database: Database) -> None:
    """One session presses a job that does not listen; the calls that come meanwhile leave it to
    that one.
    """
    database.run(STUBBORN)
    job = put(database, "app.stubborn", max_attempts=1)
    database.run("select jobs.start()")
    wait_until(lambda: state(database, job) == "running")
    assert database.value("select jobs.cancel(%s)", [job]) == "cancelling"
    wait_until(lambda: database.admin("select 1 from jobs_internal.stop_request"))
    told = {database.value("select jobs.cancel(%s)", [job]) for _ in range(20)}
    assert database.admin(PRESSING)[0][0] <= 1
    assert told == {"cancelling"}
    wait_for(database, job)

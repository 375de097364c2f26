"""What holds with supervisors at work: time limits, cancels, retries, rescues,
and a server that falls over.
"""

import json
import signal
from functools import partial
from typing import Any

import pytest
from kit.daemon import Supervise, Supervisor
from psycopg import sql
from stage import (
    attempts,
    gate_shut,
    know_as_short,
    ledger,
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
from support import Database, wait_until

SLOW: dict[str, tuple[str, dict[str, Any] | None]] = {
    "alone": ("app.nap", {"seconds": 600}),
    "statement": ("insert into app.ledger (n) select 1 from pg_sleep(600)", None),
    "child": (
        "do $$ begin insert into app.ledger (n) values (1); commit; perform pg_sleep(600); end $$",
        None,
    ),
    "procedure": ("app.sleep_in_child", {"seconds": 600}),
}
PROCEDURE = (
    "create procedure app.sleep_in_child(seconds float8) language plpgsql as"
    " $$ begin insert into app.ledger (n) values (1); commit; perform pg_sleep(seconds); end $$"
)


def enqueue(database: Database, kind: str, **options: Any) -> int:
    task, args = SLOW[kind]
    return (
        put_sql(database, task, **options) if args is None else put(database, task, args, **options)
    )


def told_to_stop(one: Supervisor) -> set[int]:
    """Give the jobs that this supervisor has sent a signal."""
    return {line["job_id"] for line in one.events("stop_signal_sent")}


def test_time_limits_are_kept_by_the_supervisor(database: Database, supervise: Supervise) -> None:
    """The server's own limits come an hour later: what ends in time was ended by the supervisor."""
    database.admin("select jobs.configure('timeout_margin_ms', '3600000')")
    database.run(PROCEDURE)
    put(database, "app.nap", {"seconds": 0})
    database.drain()
    know_as_short(database)
    one = supervise(database.dsn("supervisor"))
    jobs = {
        kind: enqueue(database, kind, timeout="700 ms", max_attempts=1)
        for kind in SLOW
        if kind != "alone"
    }
    jobs["in a chunk"] = put(
        database, "app.nap", {"seconds": 600}, timeout="700 ms", max_attempts=1
    )
    jobs["alone"] = put(
        database,
        "app.nap",
        {"seconds": 600},
        timeout="700 ms",
        max_attempts=1,
        settings={"work_mem": "1MB"},
    )
    neighbour = put(database, "app.note", {"n": 50})
    for kind, job in jobs.items():
        found = wait_for(database, job)
        assert (kind, found["state"], found["error"]["sqlstate"]) == (kind, "failed", "PWT01")
        assert attempts(database, job) == [(1, "timed_out")]
        assert database.run(
            "select finished_at - started_at >= '700 ms' from jobs.attempts where job_id = %s",
            [job],
        ) == [(True,)]
    assert wait_for(database, neighbour)["state"] == "succeeded"
    wait_until(
        lambda: (
            not database.admin(
                "select 1 from pg_stat_activity where wait_event = 'PgSleep' and query ~ '600'"
            )
        )
    )
    assert ledger(database).count(50) == 1
    assert one.stop() == 0
    assert told_to_stop(one) == set(jobs.values())


@pytest.mark.parametrize("kind", SLOW)
def test_cancel_stops_it_at_once(database: Database, supervise: Supervise, kind: str) -> None:
    database.run(PROCEDURE)
    one = supervise(database.dsn("supervisor"))
    job = enqueue(database, kind)
    wait_running(database, job)
    wait_until(lambda: (running(database, job) or {}).get("wait_event") == "Timeout:PgSleep")
    assert database.value("select jobs.cancel(%s)", [job]) == "cancelling"
    assert wait_for(database, job)["state"] == "cancelled"  # long before it would end by itself
    assert one.wait_for("job_cancelled")["job_id"] == job
    one.stop()


def test_a_cancel_of_a_stubborn_job_climbs_the_ladder(
    database: Database, supervise: Supervise
) -> None:
    """It swallows the first cancels; the last word is a terminate, and never anything stronger."""
    database.run(
        "create function app.stubborn() returns void language plpgsql as $$ begin"
        " for i in 1 .. 2 loop begin perform pg_sleep(600); exception when query_canceled then"
        " perform nextval('app.hits'); end; end loop; perform pg_sleep(600); end $$"
    )
    one = supervise(database.dsn("supervisor"))
    job = put(database, "app.stubborn")
    wait_running(database, job)
    database.run("select jobs.cancel(%s)", [job])
    assert wait_for(database, job)["state"] == "cancelled"
    assert database.admin("select last_value from app.hits") == [(2,)]
    one.stop()


def test_a_job_that_will_not_stop_costs_its_lane_only(
    database: Database, supervise: Supervise
) -> None:
    """Cancelled twice, terminated, and it goes on: quarantine, with the process and the runbook in
    jobs.health.
    """
    database.run(
        "create table app.enough (yes boolean);"
        "create function app.stubborn() returns void language plpgsql as $$ begin"
        " insert into app.ledger (n) values (1);"
        " while not exists (select from app.enough) loop"
        " begin perform pg_sleep(0.05); exception when query_canceled then null; end;"
        " end loop; end $$"
    )
    database.admin("grant usage on schema app to other; grant all on app.ledger to other")
    one = supervise(database.dsn("supervisor"))
    job = put(database, "app.stubborn")
    pid = wait_running(database, job)["pid"]
    database.run("select jobs.cancel(%s)", [job])
    health = "select status, detail, remedy from jobs.health where \"check\" = 'unstoppable jobs'"
    wait_until(lambda: database.admin(health)[0][0] == "critical", 60)
    after = (
        "select (quarantine ->> 'since')::timestamptz - (select requested_at"
        " from jobs_internal.stop_request)"
    )
    assert database.admin(
        f"{after} >= '10 s' from jobs_internal.lane where quarantine is not null"
    ) == [(True,)]
    _, detail, remedy = database.admin(health)[0]
    assert f"job {job} in process {pid}" in detail
    assert f"where id in ({job})" in remedy
    assert f"select pg_terminate_backend({pid});" in remedy
    assert "docs/operations.md: A job that will not stop" in remedy
    assert database.admin(
        "select signals_sent >= 3 from jobs_internal.stop_request where job_id = %s", [job]
    ) == [(True,)]
    held = put(database, "app.note", {"n": 2})
    others = [
        put(database, "app.note", {"n": 3}, priority="high"),
        put(database, "app.note", {"n": 4}, role="other"),
    ]
    assert [wait_for(database, other)["state"] for other in others] == ["succeeded", "succeeded"]
    assert state(database, held) == "queued"
    assert state(database, job) == "running"
    database.run("insert into app.enough values (true)")
    wait_for(database, job)
    assert wait_for(database, held)["state"] == "succeeded"
    wait_until(lambda: database.admin(health) == [("ok", "none", None)])
    one.stop()


def test_retries_come_when_they_are_due(database: Database, supervise: Supervise) -> None:
    """It rests for an hour unless it planned to look: it did, for the time at which something
    is due.
    """
    quick_retries(database)
    one = supervise(database.dsn("supervisor"), looks=False)
    job = put(database, "app.stumble", {"n": 1, "times": 2})
    later = put(
        database,
        "app.note",
        {"n": 2},
        run_at=database.value("select clock_timestamp() + interval '1 second'"),
    )
    assert wait_for(database, job)["state"] == "succeeded"
    found = wait_for(database, later)
    assert found["started_at"] >= found["run_at"]
    assert one.events("attempt_failed")[0]["job_id"] == job
    one.stop()


def test_a_lost_session_is_rescued_without_being_asked(
    database: Database, supervise: Supervise
) -> None:
    quick_retries(database)
    database.run(
        "create function app.die_first(n integer) returns void language plpgsql as $$ begin"
        " insert into app.ledger (n) values (n);"
        " if app.attempt() = 1 then perform set_config('transaction_timeout', '1', false),"
        " pg_sleep(1); end if; end $$"
    )
    one = supervise(database.dsn("supervisor"))
    job = put(database, "app.die_first", {"n": 1})
    assert wait_for(database, job)["state"] == "succeeded"
    assert attempts(database, job) == [(1, "lost"), (2, "succeeded")]
    assert ledger(database) == [1]
    one.wait_for("rescued")
    one.stop()


def _more_than(database: Database, count: int) -> bool:
    return len(ledger(database)) > count


def test_sessions_killed_under_load_lose_nothing(database: Database, supervise: Supervise) -> None:
    """Worker sessions are cancelled and terminated at random while two supervisors drain."""
    quick_retries(database)
    put(database, "app.nap", {"seconds": 0, "n": -1})
    database.drain()
    know_as_short(database)
    database.run("truncate app.ledger")
    both = [supervise(database.dsn("supervisor")) for _ in range(2)]
    jobs = put_many(
        database, "app.nap", [{"seconds": 0.004, "n": n} for n in range(600)], max_attempts=5
    )
    hits = 0
    while len(ledger(database)) < 550 and hits < 25:
        pid = database.admin(
            "select pid from jobs.sessions where job_id is not null order by random() limit 1"
        )
        if pid:
            signal_name = "pg_cancel_backend" if hits % 2 else "pg_terminate_backend"
            database.admin(f"select {signal_name}(%s)", [pid[0][0]])
            hits += 1
            wait_until(partial(_more_than, database, min(len(ledger(database)), 599)), 20)
    assert hits > 3
    wait_until(lambda: not database.admin("select 1 from jobs_internal.job"), 40)
    for one in both:
        assert one.stop() == 0
    states: dict[str, int] = dict(
        database.run("select state, count(*) from jobs.job where id = any (%s) group by 1", [jobs])
    )
    assert states == {"succeeded": 600}
    assert ledger(database) == list(range(600))
    wait_until(lambda: not database.background(), 10)


def test_a_supervisor_that_is_stopped_in_its_tracks(
    database: Database, supervise: Supervise
) -> None:
    """SIGSTOP: it holds connections and does nothing. Another one does it all."""
    first = supervise(database.dsn("supervisor"))
    first.signal(signal.SIGSTOP)
    second = supervise(database.dsn("supervisor"))
    put_many(database, "app.note", [{"n": n} for n in range(200)])
    late = put(database, "app.nap", {"seconds": 600}, timeout="300 ms", max_attempts=1)
    wait_until(lambda: len(ledger(database)) == 200, 20)
    assert wait_for(database, late)["error"]["sqlstate"] == "PWT01"
    first.signal(signal.SIGCONT)
    assert first.stop() == 0
    assert second.stop() == 0


def test_the_concurrency_of_a_queue_holds_with_two_supervisors(
    database: Database, supervise: Supervise
) -> None:
    database.admin("select jobs.create_queue('narrow', 2)")
    both = [supervise(database.dsn("supervisor")) for _ in range(2)]
    put_many(database, "app.crowd", [{} for _ in range(30)], queue="narrow")
    wait_until(lambda: len(ledger(database)) == 30, 20)
    assert max(n or 0 for n in ledger(database)) <= 2
    for one in both:
        one.stop()


def test_a_left_child_is_watched_over_by_the_supervisor(
    database: Database, supervise: Supervise
) -> None:
    one = supervise(database.dsn("supervisor"))
    job = put_sql(database, "call app.watched(1, 'x')", timeout="3 s", max_attempts=1)
    with gate_shut(database):
        (child,) = wait_at_gate(database)
        row = wait_running(database, job)
        database.admin("select pg_terminate_backend(%s)", [row["pid"]])
        # Its watcher is gone; its time limit is not.
        found = wait_for(database, job, timeout=10)
        assert found["error"]["sqlstate"] == "PWT01"
        assert attempts(database, job) == [(1, "timed_out")]
        assert not database.admin("select 1 from pg_stat_activity where pid = %s", [child])
    assert ledger(database) == [1]
    one.stop()


def test_a_server_that_falls_over_under_load(database: Database, supervise: Supervise) -> None:
    quick_retries(database)
    private = database.server.private
    assert private is not None
    one = supervise(database.dsn("supervisor"))
    slow = put(database, "app.nap", {"seconds": 1.5, "n": 5000}, max_attempts=3)
    child = put_sql(
        database,
        "do $$ begin perform pg_sleep(1.5); insert into app.ledger (n) values (6000);"
        " commit; end $$",
        done_when="exists (select from app.ledger where n = 6000)",
    )
    put_many(database, "app.nap", [{"seconds": 0.002, "n": n} for n in range(1500)], max_attempts=3)
    wait_running(database, slow)
    wait_running(database, child)
    wait_until(lambda: len(ledger(database)) > 100, 20)
    private.stop(mode="immediate")
    one.wait_for("server_lost")
    private.start()
    database.close()
    begun = len(ledger(database))
    wait_until(lambda: len(ledger(database)) > begun)  # before a lease would have ended
    wait_until(lambda: not database.admin("select 1 from jobs_internal.job"), 40)
    assert ledger(database) == [*range(1500), 5000, 6000]
    assert state(database, slow) == "succeeded"
    assert state(database, child) == "succeeded"
    assert attempts(database, slow) == [(1, "succeeded")]
    assert database.run("select distinct state from jobs.job") == [("succeeded",)]
    assert one.stop() == 0


def test_a_fast_stop_is_fast_and_charges_nothing(database: Database, supervise: Supervise) -> None:
    private = database.server.private
    assert private is not None
    one = supervise(database.dsn("supervisor"))
    job = put(database, "app.nap", {"seconds": 600, "n": 1}, max_attempts=1)
    quick = put_many(
        database, "app.nap", [{"seconds": 0.005, "n": n} for n in range(2, 300)], max_attempts=1
    )
    wait_running(database, job)
    wait_until(lambda: len(ledger(database)) > 10, 20)
    database.close()
    private.stop(mode="fast")  # it gives up long before the job ends by itself
    private.start()
    wait_running(database, job)
    assert attempts(database, job) == [(1, None)]
    assert database.value("select jobs.cancel(%s)", [job]) == "cancelling"
    wait_until(lambda: not database.admin("select 1 from jobs_internal.job"), 30)
    assert {state(database, one) for one in quick} == {"succeeded"}
    assert ledger(database) == list(range(2, 300))
    one.stop()


def test_old_history_goes_by_itself(
    database: Database, supervise: Supervise, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A supervisor rolls, closes and drops: once it has begun, step by step and at once,
    without waiting for work.
    """
    monkeypatch.setenv("PYWORKER_VACUUM_JOBS", "1000")  # upkeep after so many jobs
    one = supervise(database.dsn("supervisor"))
    buckets = "select id, closed_at is not null from jobs_internal.history_bucket order by id"

    def work() -> int:
        jobs = put_many(database, "pg_catalog.now", [{} for _ in range(1200)])
        wait_until(lambda: not database.admin("select 1 from jobs_internal.job"), 30)
        return jobs[-1]

    work()
    database.admin("update jobs_internal.history_bucket set opened_at = now() - interval '1 day'")
    work()
    wait_until(lambda: database.admin(buckets) == [(1, True), (2, False)], 20)
    database.admin(
        "update jobs_internal.history_bucket set closed_at = now() - interval '8 days' where id = 1"
    )
    last = work()
    wait_until(lambda: database.admin(buckets) == [(2, False)], 25)
    assert database.run("select min(id) > %s - 1200 from jobs.job", [last]) == [(True,)]
    wait_until(lambda: [done for done in one.events("maintenance_done") if done["removed"]], 5)
    assert [done["removed"] for done in one.events("maintenance_done") if done["removed"]] == [1]
    assert one.stop() == 0


def test_owners_whose_names_have_spaces_and_commas(
    database: Database, supervise: Supervise
) -> None:
    """As PYWORKER_OWNERS names them: separated by commas, or in a JSON array."""
    roles = ("odd role", 'a, "b"')
    with database.server.administrate() as connection:
        for role in roles:
            made = sql.SQL("create role {} login in role jobs_producer, jobs_runner")
            connection.execute(made.format(sql.Identifier(role)))
    try:
        for owners, role in (
            ("app, odd role", roles[0]),
            (json.dumps(["app", roles[1]]), roles[1]),
        ):
            one = supervise(database.dsn("supervisor"), environment={"PYWORKER_OWNERS": owners})
            job = put(database, "pg_catalog.now", role=role)
            assert wait_for(database, job)["state"] == "succeeded"
            assert one.events("supervisor_started")[0]["owners"] == sorted(["app", role])
            assert one.stop() == 0
            wait_until(lambda: not database.background())
    finally:
        for role in roles:
            database.line("postgres").execute(sql.SQL("drop role {}").format(sql.Identifier(role)))


def test_sessions_follow_what_they_gain(database: Database, supervise: Supervise) -> None:
    """With one processor: jobs that wait have all the sessions that an owner may have,
    those that compute a few.
    """
    database.run(
        "create function app.compute(n integer) returns void language plpgsql as"
        " $$ declare k bigint := 0; begin for i in 1 .. n loop k := k + i; end loop; end $$"
    )
    most = int(
        database.admin("select value from jobs.settings where name = 'sessions_per_owner'")[0][0]
    )
    one = supervise(database.dsn("supervisor"), environment={"PYWORKER_PROCESSORS": "1"})
    for _ in range(40):
        put(database, "app.compute", {"n": 1_000_000})
    wait_until(lambda: not database.admin("select 1 from jobs_internal.job limit 1"), 60)
    ever = database.admin("select pg_sequence_last_value('jobs_internal.session_id_seq')")[0][0]
    assert ever < most, ever
    with gate_shut(database):
        for number in range(most):
            put(database, "app.gate", {"n": number})
        wait_at_gate(database, most)
    wait_until(lambda: not database.admin("select 1 from jobs_internal.job limit 1"), 60)
    assert one.stop() == 0

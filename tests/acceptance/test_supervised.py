"""What holds with supervisors at work: time limits, cancels, retries, many owners."""

import json

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
    quick_retries,
    running,
    state,
    wait_at_gate,
    wait_for,
    wait_running,
)
from support import Database, wait_until

from .slow_jobs import PROCEDURE, SLOW, enqueue


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

"""The daemon against the real schema: real sessions, real signals, a real restart."""

import re
import signal
import sys
import time
from functools import partial

import psycopg
import pytest
from kit import warm

from pyworker.server import PrivateServer
from pyworker.supervisor.control import LONGEST_PAUSE

from .conftest import RESTS, Daemon, Real, Start, statements_a_second, wait_until


def successes(*daemons: Daemon) -> int:
    """How many successes they have logged, one by one or summed."""
    return sum(
        len(daemon.events("job_succeeded"))
        + sum(line["count"] for line in daemon.events("jobs_succeeded"))
        for daemon in daemons
    )


def wait_for_rest(real: Real) -> None:
    wait_until(
        lambda: (
            real.sql(f"select asleep and {RESTS} from jobs.supervisors", admin=True) == [(True,)]
        )
    )


def test_every_outcome_has_its_line(real: Real, start: Start) -> None:
    daemon = start(real.dsn)
    good = real.enqueue("leave", number=1)
    bad = real.enqueue("fail")
    again = real.enqueue("stumble", options="max_attempts := 5")
    late = real.enqueue("nap", seconds=30, options="timeout := '300ms', max_attempts := 1")
    assert daemon.wait_for("job_succeeded")["job_id"] == good
    failed = daemon.wait_for("job_failed")
    assert (failed["job_id"], failed["sqlstate"], failed["message"]) == (bad, "22012", "no luck")
    retried = daemon.wait_for("attempt_failed")
    assert (retried["job_id"], retried["state"]) == (again, "scheduled")
    assert retried["retry_at"] > retried["at"]
    assert daemon.wait_for("stop_signal_sent")["job_id"] == late
    assert daemon.wait_for("job_timed_out")["job_id"] == late
    assert daemon.stop() == 0


def test_a_cancelled_job_has_its_line(real: Real, start: Start) -> None:
    daemon = start(real.dsn)
    job = real.enqueue("nap", seconds=30)
    real.wait_for(job, "running")
    real.sql("select jobs.cancel(%s)", job)
    assert daemon.wait_for("job_cancelled")["job_id"] == job
    daemon.stop()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_stopping_it_leaves_running_jobs_alone(
    real: Real, start: Start, number: signal.Signals
) -> None:
    first = start(real.dsn)
    with psycopg.connect(real.admin) as holder:
        holder.execute("select pg_advisory_lock(1)")
        job = real.enqueue("gate")
        real.wait_for(job, "running")
        assert first.stop(number) == 0  # it does not wait for it: `stop` would give up
        assert real.wait_for(job, "running", "succeeded", "failed") == "running"
    assert real.wait_for(job, "succeeded", "failed") == "succeeded"
    assert successes(first) == 0
    second = start(real.dsn)
    assert second.wait_for("job_succeeded")["job_id"] == job
    second.stop()


def test_drain_waits_for_the_running_job(real: Real, start: Start) -> None:
    daemon = start(real.dsn, "--drain")
    job = real.enqueue("nap", seconds=1.5)
    real.wait_for(job, "running")
    assert daemon.stop() == 0
    assert real.sql("select state from jobs.job where id = %s", job) == [("succeeded",)]
    assert daemon.events("job_succeeded")[0]["job_id"] == job


def test_a_restart_of_the_server_under_load(
    server: PrivateServer, real: Real, start: Start
) -> None:
    daemon = start(real.dsn)
    long = real.enqueue("nap", seconds=1)
    real.enqueue_many("leave", [{"number": number} for number in range(2000)])
    real.wait_for(long, "running")
    server.restart()
    daemon.wait_for("server_back")
    # seconds between two tries: how long it takes to be back, on a machine that has time
    assert LONGEST_PAUSE < 5
    wait_until(lambda: successes(daemon) == 2001, 40)
    daemon.stop()
    assert [len(daemon.events(name)) for name in ("server_lost", "server_back")] == [1, 1]
    assert real.sql("select count(*), count(distinct number) from public.effect") == [(2000, 2000)]
    assert daemon.events("owner_unreachable") == []


def test_two_supervisors_log_each_outcome_once(real: Real, start: Start) -> None:
    both = [start(real.dsn), start(real.dsn)]
    real.enqueue_many("leave", [{"number": number} for number in range(3000)])
    bad = [real.enqueue("fail") for _ in range(10)]
    wait_until(
        lambda: (
            successes(*both) == 3000 and sum(len(one.events("job_failed")) for one in both) == 10
        ),
        30,
    )
    for daemon in both:
        assert daemon.stop() == 0
    assert sorted(line["job_id"] for daemon in both for line in daemon.events("job_failed")) == bad
    assert successes(*both) == 3000
    assert real.sql("select count(*), count(distinct number) from public.effect") == [(3000, 3000)]


def test_a_supervisor_that_is_killed_is_no_loss(real: Real, start: Start) -> None:
    first = start(real.dsn)
    real.enqueue_many("leave", [{"number": number} for number in range(2000)])
    first.wait_for("sessions_launched")
    first.kill()
    second = start(real.dsn, "--until-empty")
    assert second.end(40) == 0
    assert real.sql("select count(*), count(distinct number) from public.effect") == [(2000, 2000)]
    assert successes(first, second) >= 2000  # a crash may repeat lines, and loses none


def test_idle_it_sends_less_than_a_statement_in_three_seconds(real: Real, start: Start) -> None:
    real.sql("create extension if not exists pg_stat_statements", admin=True)
    daemon = start(real.dsn)
    real.enqueue("leave", number=1)  # it has made a lane, launched a session, and logged
    daemon.wait_for("job_succeeded")
    wait_for_rest(real)
    assert statements_a_second(partial(real.sql, admin=True), "supervisor", "app") < 0.3
    daemon.stop()


def test_asleep_it_is_woken_by_whoever_enqueues(real: Real, start: Start) -> None:
    """It rests for an hour: nothing but the ring ends that."""
    daemon = start(real.dsn, looks=False)
    real.enqueue("leave", number=1)
    daemon.wait_for("job_succeeded")
    for number in (2, 3):
        wait_for_rest(real)
        real.wait_for(real.enqueue("leave", number=number), "succeeded")
    daemon.stop()


def test_pause_without_a_name_stops_everything(real: Real, start: Start) -> None:
    daemon = start(real.dsn)
    real.sql("select jobs.pause()", admin=True)
    daemon.wait_for("everything_paused")
    job = real.enqueue("leave", number=1)
    shown = warm.run(
        [sys.executable, "-m", "pyworker", "status", "--dsn", real.dsn],
        capture_output=True,
        text=True,
        check=False,
    )
    assert re.search("EVERYTHING IS PAUSED", "".join(shown.stdout.splitlines()[:2]))
    time.sleep(1.5)  # longer than a supervisor sleeps: it must not start meanwhile
    assert real.sql("select count(*) from public.effect") == [(0,)]
    real.sql("select jobs.resume()", admin=True)
    daemon.wait_for("everything_resumed")
    assert real.wait_for(job, "succeeded") == "succeeded"
    daemon.stop()


def test_until_empty_runs_what_is_due_and_leaves(real: Real, start: Start) -> None:
    real.enqueue_many("leave", [{"number": number} for number in range(200)])
    later = real.enqueue("leave", number=0, options="run_at := now() + interval '1 hour'")
    daemon = start(real.dsn, "--until-empty", ready=False)
    assert daemon.end(30) == 0
    assert successes(daemon) == 200
    assert real.sql("select state from jobs.job where id = %s", later) == [("scheduled",)]


def test_timeouts_are_kept_by_it(real: Real, start: Start) -> None:
    """The server's own limits come a minute later, and it looks at what runs only when it planned
    to: at the time.
    """
    real.sql("select jobs.configure('timeout_margin_ms', '60000')", admin=True)
    daemon = start(real.dsn)
    jobs = [
        real.enqueue("nap", seconds=90, options="timeout := '400ms', max_attempts := 1")
        for _ in range(7)
    ]
    daemon.wait_for("job_timed_out", len(jobs))
    daemon.stop()
    assert sorted({line["job_id"] for line in daemon.events("stop_signal_sent")}) == sorted(jobs)
    assert all(400 <= line["ms"] < 30_000 for line in daemon.events("job_timed_out"))


def test_owners_are_served_as_themselves(real: Real, start: Start) -> None:
    daemon = start(real.dsn, "--owner", "app")
    real.enqueue("leave", number=1)
    daemon.wait_for("sessions_launched")
    with psycopg.connect(real.admin) as connection:
        users = wait_until(
            lambda: connection.execute(
                "select distinct usename from pg_stat_activity"
                " where application_name = 'pyworker launcher'"
            ).fetchall()
        )
    assert users == [("app",)]
    daemon.stop()

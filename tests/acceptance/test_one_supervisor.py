"""What a supervisor is asked for day by day: a line for each outcome, a clean stop, rest,
and a pause.
"""

import re
import signal
import sys
import time

import pytest
from kit import warm
from kit.daemon import Supervise, Supervisor
from stage import gate_shut, ledger, put, put_many, state, wait_at_gate, wait_for, wait_running
from support import Database, wait_until

from .scripted import RESTS


def successes(*supervisors: Supervisor) -> int:
    return sum(one.successes() for one in supervisors)


def wait_for_rest(database: Database) -> None:
    wait_until(
        lambda: database.admin(f"select asleep and {RESTS} from jobs.supervisors") == [(True,)],
        60,
    )


def statements_a_second(database: Database, *roles: str) -> float:
    """Measure how many statements a supervisor at rest sends, the first looks after it fell asleep
    among them.

    A busy machine makes the looks later, and the figure smaller.
    """
    count = (
        "select coalesce(sum(calls), 0) from pg_stat_statements s"
        " join pg_roles r on r.oid = s.userid where rolname = any (%s) and toplevel"
        " and dbid = (select oid from pg_database where datname = current_database())"
    )
    before, begun = database.admin(count, [list(roles)])[0][0], time.monotonic()

    def over() -> float | None:
        calls = float(database.admin(count, [list(roles)])[0][0] - before)
        seconds = time.monotonic() - begun
        return calls / seconds if calls >= 2 and seconds > 20 else None

    return float(wait_until(over, 60) or 0)


def test_every_outcome_has_its_line(database: Database, supervise: Supervise) -> None:
    daemon = supervise(database.dsn("supervisor"))
    good = put(database, "app.note", {"n": 1})
    bad = put(database, "app.fail", {"state": "22012"})
    again = put(database, "app.stumble", {"n": 2}, max_attempts=5)
    late = put(database, "app.nap", {"seconds": 30}, timeout="300ms", max_attempts=1)
    assert daemon.wait_for("job_succeeded")["job_id"] == good
    failed = daemon.wait_for("job_failed")
    assert (failed["job_id"], failed["sqlstate"], failed["message"]) == (bad, "22012", "it failed")
    retried = daemon.wait_for("attempt_failed")
    assert (retried["job_id"], retried["state"]) == (again, "scheduled")
    assert retried["retry_at"] > retried["at"]
    assert daemon.wait_for("stop_signal_sent")["job_id"] == late
    assert daemon.wait_for("job_timed_out")["job_id"] == late
    assert daemon.stop() == 0


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_stopping_it_leaves_running_jobs_alone(
    database: Database, supervise: Supervise, number: signal.Signals
) -> None:
    first = supervise(database.dsn("supervisor"))
    with gate_shut(database):
        job = put(database, "app.gate")
        wait_at_gate(database)
        assert first.stop(number) == 0  # it does not wait for it: `stop` would give up
        assert state(database, job) == "running"
    assert wait_for(database, job)["state"] == "succeeded"
    assert successes(first) == 0
    second = supervise(database.dsn("supervisor"))
    assert second.wait_for("job_succeeded")["job_id"] == job
    second.stop()


def test_drain_waits_for_the_running_job(database: Database, supervise: Supervise) -> None:
    daemon = supervise(database.dsn("supervisor"), "--drain")
    job = put(database, "app.nap", {"seconds": 1.5})
    wait_running(database, job)
    assert daemon.stop() == 0
    assert state(database, job) == "succeeded"
    assert daemon.events("job_succeeded")[0]["job_id"] == job


def test_two_supervisors_log_each_outcome_once(database: Database, supervise: Supervise) -> None:
    both = [supervise(database.dsn("supervisor")), supervise(database.dsn("supervisor"))]
    put_many(database, "app.note", [{"n": n} for n in range(3000)])
    bad = [put(database, "app.fail", max_attempts=1) for _ in range(10)]
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
    assert ledger(database) == list(range(3000))


def test_a_supervisor_that_is_killed_is_no_loss(database: Database, supervise: Supervise) -> None:
    first = supervise(database.dsn("supervisor"))
    put_many(database, "app.note", [{"n": n} for n in range(2000)])
    first.wait_for("sessions_launched")
    first.kill()
    second = supervise(database.dsn("supervisor"), "--until-empty")
    assert second.end() == 0
    assert ledger(database) == list(range(2000))
    assert successes(first, second) >= 2000  # a crash may repeat lines, and loses none


def test_idle_it_sends_less_than_a_statement_in_three_seconds(
    database: Database, supervise: Supervise
) -> None:
    database.admin("create extension if not exists pg_stat_statements")
    daemon = supervise(database.dsn("supervisor"))
    put(database, "app.note", {"n": 1})  # it has made a lane, launched a session, and logged
    daemon.wait_for("job_succeeded")
    wait_for_rest(database)
    assert statements_a_second(database, "supervisor", "app") < 0.3
    daemon.stop()


def test_asleep_it_is_woken_by_whoever_enqueues(database: Database, supervise: Supervise) -> None:
    """It rests for an hour: nothing but the ring ends that, for a job and for its line."""
    daemon = supervise(database.dsn("supervisor"), looks=False)
    for n in (1, 2, 3):
        wait_for_rest(database)
        wait_for(database, put(database, "app.note", {"n": n}))
        daemon.wait_for("job_succeeded", n)
    daemon.stop()


def test_pause_without_a_name_stops_everything(database: Database, supervise: Supervise) -> None:
    daemon = supervise(database.dsn("supervisor"))
    database.admin("select jobs.pause()")
    daemon.wait_for("everything_paused")
    job = put(database, "app.note", {"n": 1})
    shown = warm.run(
        [sys.executable, "-m", "pyworker", "status", "--dsn", database.dsn("supervisor")],
        capture_output=True,
        text=True,
        check=False,
    )
    assert re.search("EVERYTHING IS PAUSED", "".join(shown.stdout.splitlines()[:2]))
    time.sleep(1.5)  # longer than a supervisor sleeps: it must not start meanwhile
    assert ledger(database) == []
    database.admin("select jobs.resume()")
    daemon.wait_for("everything_resumed")
    assert wait_for(database, job)["state"] == "succeeded"
    daemon.stop()


def test_until_empty_runs_what_is_due_and_leaves(database: Database, supervise: Supervise) -> None:
    put_many(database, "app.note", [{"n": n} for n in range(200)])
    bad = put(database, "app.fail", max_attempts=1)
    later = put(database, "app.note", {"n": 0}, run_at="2100-01-01")
    daemon = supervise(database.dsn("supervisor"), "--until-empty")
    assert daemon.end() == 0
    assert successes(daemon) == 200
    assert [line["job_id"] for line in daemon.events("job_failed")] == [bad]
    assert state(database, later) == "scheduled"


def test_owners_are_served_as_themselves(database: Database, supervise: Supervise) -> None:
    daemon = supervise(database.dsn("supervisor"), "--owner", "app")
    put(database, "app.note", {"n": 1})
    daemon.wait_for("sessions_launched")
    users = wait_until(
        lambda: database.admin(
            "select distinct usename from pg_stat_activity"
            " where application_name = 'pyworker launcher' and datname = current_database()"
        )
    )
    assert users == [("app",)]
    daemon.stop()

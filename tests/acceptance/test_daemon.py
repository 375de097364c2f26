"""The daemon as a process, against a database that does as it is told."""

import re
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from kit import warm
from kit.daemon import PATIENCE, Supervise
from support import Server, wait_until

from pyworker.supervisor.control import LONGEST_PAUSE

from .scripted import RESTS, Scripted


def commit(*succeeded: int, **other: Any) -> dict[str, Any]:
    base = {
        "at": "2025-01-01T00:00:00.5+00:00",
        "queue": "default",
        "owner": "app",
        "session": 4,
        "pid": 9,
    }
    done = (
        [{"task": "f", "job_ids": list(succeeded), "ms": [1.0] * len(succeeded)}]
        if succeeded
        else []
    )
    bad = {
        "task": "g",
        "attempt": 1,
        "max_attempts": 1,
        "outcome": "failed",
        "state": "failed",
        "ms": 2.0,
    }
    return {**base, "succeeded": done, "others": [{**bad, **other}] if other else []}


def counted_looks(scripted: Scripted) -> None:
    """A job runs, and each look at what runs is counted: a drain has begun when there was one."""
    scripted.sql("create sequence public.looks; grant usage on sequence public.looks to supervisor")
    scripted.sql(
        "create or replace view jobs.running as select id, task, started_at"
        " from jobs_internal.running"
        " where nextval('public.looks') > 0"
    )
    scripted.sql("insert into jobs_internal.running (id, task) values (1, 'f')")


def wait_for_rest(scripted: Scripted) -> None:
    wait_until(
        lambda: scripted.sql(f"select asleep and {RESTS} from jobs_internal.script") == [(True,)]
    )


def wait_for_a_look(scripted: Scripted) -> None:
    wait_until(lambda: scripted.sql("select is_called from public.looks") == [(True,)])


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_stops_it_at_once_and_cleanly(
    scripted: Scripted, supervise: Supervise, number: signal.Signals
) -> None:
    """It rests for an hour: nothing but the signal ends that."""
    daemon = supervise(scripted.dsn, looks=False)
    wait_for_rest(scripted)
    code = daemon.stop(number)
    assert (code, daemon.complaints) == (0, [])
    assert [line["event"] for line in daemon.lines][-2:] == [
        "supervisor_stopping",
        "supervisor_stopped",
    ]
    assert daemon.lines[-1]["reason"] == number.name
    assert scripted.sql("select closed from jobs_internal.script") == [(1,)]


def test_a_signal_stops_it_while_the_server_gives_no_answer(
    scripted: Scripted, supervise: Supervise
) -> None:
    daemon = supervise(scripted.dsn, environment={"PYWORKER_STALL_AFTER": "3600"})
    scripted.set(tick_sleeps=3600)
    wait_until(lambda: scripted.sql("select 1 from pg_stat_activity where wait_event = 'PgSleep'"))
    assert daemon.stop() == 0  # it does not wait for the answer: `stop` would give up


def test_it_survives_a_restart_and_says_so_once(
    server: Server, scripted: Scripted, supervise: Supervise
) -> None:
    # seconds between two tries: how long it takes to be back, on a machine that has time
    assert LONGEST_PAUSE < 5
    assert server.private is not None
    daemon = supervise(scripted.dsn)
    server.private.stop()
    server.private.start()
    daemon.wait_for("server_back")
    scripted.feed(commit(1))
    scripted.sql("notify pyworker")
    daemon.wait_for("job_succeeded")
    daemon.stop()
    assert [
        len(daemon.events(name)) for name in ("server_lost", "server_back", "supervisor_started")
    ] == [1, 1, 1]
    assert daemon.events("server_back")[0]["outage"] > 0
    told = {line["event"] for line in daemon.lines if line["level"] in ("warning", "error")}
    # that one where the restart takes its time
    assert told - {"server_unreachable"} == {"server_lost"}


def test_it_survives_a_lost_connection(scripted: Scripted, supervise: Supervise) -> None:
    daemon = supervise(scripted.dsn)
    scripted.sql(
        "select pg_terminate_backend(pid) from pg_stat_activity"
        " where application_name = 'pyworker supervisor'"
    )
    daemon.wait_for("server_back")
    daemon.stop()
    assert len(daemon.events("server_lost")) == 1


def test_many_successes_are_summed_and_every_failure_keeps_its_line(
    scripted: Scripted, supervise: Supervise
) -> None:
    scripted.feed(*(commit(*range(50 * n, 50 * n + 50), job_id=n) for n in range(2500)))
    daemon = supervise(scripted.dsn)
    wait_until(
        lambda: sum(line["count"] for line in daemon.events("jobs_succeeded")) == 125_000, 30
    )
    daemon.stop()
    assert len(daemon.events("jobs_succeeded")) <= 3
    assert daemon.events("job_succeeded") == []
    assert Counter(line["job_id"] for line in daemon.events("job_failed")) == Counter(range(2500))


def test_drain_waits_for_running_jobs_and_launches_nothing(
    scripted: Scripted, supervise: Supervise
) -> None:
    counted_looks(scripted)
    daemon = supervise(scripted.dsn, "--drain")
    daemon.signal(signal.SIGTERM)
    wait_for_a_look(scripted)
    scripted.set(owners=[{"owner": "app", "session_demand": 1}])
    scripted.feed(commit(1))
    daemon.wait_for("job_succeeded")
    assert daemon.process.poll() is None
    scripted.sql("delete from jobs_internal.running")
    assert daemon.end() == 0
    assert daemon.events("supervisor_stopping")[0]["drain"] is True
    assert daemon.events("sessions_launched") == []


def test_drain_does_not_wait_for_jobs_that_began_later(
    scripted: Scripted, supervise: Supervise
) -> None:
    counted_looks(scripted)
    daemon = supervise(scripted.dsn, "--drain")
    daemon.signal(signal.SIGTERM)
    wait_for_a_look(scripted)
    scripted.sql("update jobs_internal.running set id = 2")
    assert daemon.end() == 0


def test_a_second_signal_ends_a_drain(scripted: Scripted, supervise: Supervise) -> None:
    """The job never ends, so without the second signal the drain never does: `stop` would give up
    waiting.
    """
    counted_looks(scripted)
    daemon = supervise(scripted.dsn, "--drain")
    daemon.signal(signal.SIGTERM)
    wait_for_a_look(scripted)  # the first was heard: two signals at once would be one
    assert daemon.stop() == 0


def test_no_free_slot_is_back_pressure_told_once(scripted: Scripted, supervise: Supervise) -> None:
    scripted.set(slots=1, owners=[{"owner": "app", "session_demand": 3}])
    daemon = supervise(scripted.dsn, environment={"PYWORKER_PROCESSORS": "3"})
    warning = daemon.wait_for("no_worker_slot")
    assert (warning["asked"], warning["launched"]) == (3, 1)
    time.sleep(1)  # some more tries
    scripted.set(slots=9)
    daemon.wait_for("sessions_launched", 2)
    daemon.stop()
    assert len(daemon.events("no_worker_slot")) == 1
    assert [line["count"] for line in daemon.events("sessions_launched")] == [1, 2]


def test_sessions_on_their_way_are_not_launched_twice(
    scripted: Scripted, supervise: Supervise
) -> None:
    scripted.set(show_up=False, owners=[{"owner": "app", "session_demand": 2}])
    daemon = supervise(scripted.dsn)
    daemon.wait_for("sessions_launched")
    time.sleep(1.5)  # time for a second launch, which must not come
    assert [line["count"] for line in daemon.events("sessions_launched")] == [2]
    daemon.stop()


def test_stuck_jobs_are_told_and_seen_in_the_exit_code(
    scripted: Scripted, supervise: Supervise
) -> None:
    scripted.set(show_up=False, owners=[{"owner": "app", "session_demand": 2}])
    daemon = supervise(scripted.dsn, environment={"PYWORKER_STUCK_AFTER": "1"})
    line = daemon.wait_for("jobs_stuck")
    assert (line["owner"], line["level"]) == ("app", "critical")
    assert daemon.stop() == 3


def test_signals_pauses_and_problems_are_told(scripted: Scripted, supervise: Supervise) -> None:
    daemon = supervise(scripted.dsn)
    scripted.set(
        tick={
            "paused": True,
            "stopping": 1,
            "problems": [{"problem": "lane_quarantined", "lane": 4}],
        }
    )
    assert daemon.wait_for("stop_signal_sent")["reason"] == "timed_out"
    daemon.wait_for("everything_paused")
    assert daemon.wait_for("problem")["detail"] == {"lane": 4}
    scripted.set(tick={"rescued": 2})
    daemon.wait_for("everything_resumed")
    assert daemon.wait_for("rescued")["count"] == 2
    daemon.stop()
    assert len(daemon.events("problem")) == 1


def test_a_failing_duty_costs_the_others_nothing(scripted: Scripted, supervise: Supervise) -> None:
    scripted.sql("alter function jobs_internal.supervisor_send_stop_signals rename to gone")
    scripted.set(tick={"stopping": 1})
    daemon = supervise(scripted.dsn)
    assert daemon.wait_for("duty_failed")["duty"] == "send_stop_signals"
    scripted.feed(commit(job_id=1))
    daemon.wait_for("job_failed")
    daemon.stop()


def test_passwords_stay_out_of_the_log_and_of_the_arguments(
    scripted: Scripted, supervise: Supervise
) -> None:
    scripted.set(owners=[{"owner": "ghost", "session_demand": 1}])
    daemon = supervise(f"{scripted.dsn}&password=hunter2", "--owner", "ghost")
    daemon.wait_for("owner_unreachable")
    assert b"hunter2" not in Path(f"/proc/{daemon.process.pid}/cmdline").read_bytes()
    daemon.stop()
    assert "hunter2" not in "".join(daemon.text + daemon.complaints)


def status(dsn: str, *arguments: str) -> "subprocess.CompletedProcess[str]":
    command = [sys.executable, "-m", "pyworker", "status", "--dsn", dsn, *arguments]
    return warm.run(command, capture_output=True, text=True, check=False)


def test_status_shows_the_pause_on_top_and_a_critical_check_in_its_code(scripted: Scripted) -> None:
    assert status(scripted.dsn).returncode == 0
    scripted.sql(
        "update jobs_internal.health set status = 'warning', detail = 'EVERYTHING IS PAUSED by bob'"
    )
    scripted.sql(
        "insert into jobs_internal.running values (5, E'evil \\x1b[31m [bold]task[/bold]')"
    )
    shown = status(scripted.dsn)
    assert re.search("EVERYTHING IS PAUSED", shown.stdout.splitlines()[1])
    assert "\x1b[31m" not in shown.stdout
    assert '"paused": true' in status(scripted.dsn, "--json").stdout
    scripted.sql("update jobs_internal.health set status = 'critical'")
    assert status(scripted.dsn).returncode == 1


def test_an_outcome_whose_line_cannot_be_written_stays_in_the_feed(scripted: Scripted) -> None:
    process = warm.Warm(
        [sys.executable, "-m", "pyworker", "run", "--dsn", scripted.dsn],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
    )
    assert process.stdout is not None
    assert b"supervisor_started" in process.stdout.readline()
    process.stdout.close()
    scripted.feed(commit(job_id=1))
    assert process.wait(PATIENCE) == 1
    assert scripted.sql("select count(*) from jobs_internal.outbox") == [(1,)]

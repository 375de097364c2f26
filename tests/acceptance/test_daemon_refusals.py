"""What the daemon says, and with which exit code it leaves, where it cannot do its work."""

import os
import signal

from kit.daemon import Supervise
from support import Server, wait_until

from .scripted import Scripted


def test_an_unreachable_server_at_the_start_is_an_error(
    scripted: Scripted, supervise: Supervise
) -> None:
    daemon = supervise(scripted.dsn.replace("host=", "host=/nowhere"), started=False)
    assert daemon.end() == 4
    assert "pyworker: " in daemon.complaints[0]
    assert daemon.lines == []


def test_an_unreachable_server_at_the_start_is_waited_for_on_request(
    server: Server, scripted: Scripted, supervise: Supervise
) -> None:
    server.private.stop()
    daemon = supervise(scripted.dsn, "--wait", started=False)
    daemon.wait_for("server_lost")
    server.private.start()
    daemon.wait_for("supervisor_started")
    daemon.stop()
    assert len(daemon.events("server_lost")) == 1


def test_a_server_that_gives_no_answer_ends_it_with_a_failure(
    scripted: Scripted, supervise: Supervise
) -> None:
    """The server ends a tick that takes long by itself; a stopped process does nothing more."""
    daemon = supervise(scripted.dsn, environment={"PYWORKER_STALL_AFTER": "12"})
    scripted.set(tick_sleeps=30)
    sleeping = "select pid from pg_stat_activity where wait_event = 'PgSleep'"
    pid = wait_until(lambda: scripted.sql(sleeping))[0][0]
    os.kill(pid, signal.SIGSTOP)
    try:
        assert daemon.end() == 6
    finally:
        os.kill(pid, signal.SIGCONT)
    assert daemon.events("server_stalled")[0]["duty"] == "tick"
    assert daemon.events("server_stalled")[0]["wait_event"] == "Timeout:PgSleep"


def test_a_missing_schema_is_told_and_has_its_own_code(
    server: Server, empty: str, supervise: Supervise
) -> None:
    daemon = supervise(server.dsn("supervisor", empty), started=False)
    assert daemon.end() == 5
    line = daemon.events("schema_mismatch")[0]
    assert line["sqlstate"] == "3F000"
    assert "pyworker install" in line["hint"]


def test_a_schema_of_another_version_is_told(scripted: Scripted, supervise: Supervise) -> None:
    scripted.set(version_fits=False)
    daemon = supervise(scripted.dsn, started=False)
    assert daemon.end() == 5
    line = daemon.events("schema_mismatch")[0]
    assert (line["sqlstate"], line["hint"]) == ("PW091", "Upgrade.")


def test_a_schema_that_is_upgraded_under_it_is_told(
    scripted: Scripted, supervise: Supervise
) -> None:
    """An older program finds nothing that it could call: it says what to do, and leaves."""
    daemon = supervise(scripted.dsn)
    daemon.wait_for("supervisor_started")
    scripted.sql("drop function jobs_internal.supervisor_tick(bigint)")
    assert daemon.wait_for("schema_mismatch")["sqlstate"] == "42883"
    assert daemon.end() == 5


def test_a_role_that_may_not_supervise_is_named(scripted: Scripted, supervise: Supervise) -> None:
    scripted.sql("revoke usage on schema jobs_internal from public")
    daemon = supervise(scripted.dsn, started=False)
    assert daemon.end() == 7
    assert daemon.events("schema_mismatch") == []
    (line,) = daemon.events("role_refused")
    assert line["sqlstate"] == "42501"
    assert line["message"].startswith(
        "the role supervisor may not use it: permission denied for schema"
    )
    assert "jobs_supervisor" in line["hint"]


def test_a_copy_is_told_and_has_its_own_code(scripted: Scripted, supervise: Supervise) -> None:
    scripted.sql(
        "create or replace function jobs_internal.supervisor_open("
        "p_name text, p_host text, p_os_pid int, p_version text) returns bigint language plpgsql"
        " as $$ begin raise exception using errcode = 'PW060', message = 'a copy'; end $$"
    )
    daemon = supervise(scripted.dsn, started=False)
    assert daemon.end() == 8
    assert daemon.events("schema_mismatch") == []
    (line,) = daemon.events("database_is_copy")
    assert (line["sqlstate"], line["message"]) == ("PW060", "a copy")
    assert "jobs.reconcile()" in line["hint"]


def test_an_unreachable_owner_holds_up_nobody(scripted: Scripted, supervise: Supervise) -> None:
    scripted.set(
        owners=[{"owner": "ghost", "session_demand": 1}, {"owner": "app", "session_demand": 1}]
    )
    daemon = supervise(scripted.dsn, "--owner", "ghost", "--owner", "app")
    assert daemon.wait_for("sessions_launched")["owner"] == "app"
    warning = daemon.wait_for("owner_unreachable", 2)
    assert warning["owner"] == "ghost"
    assert 'role "ghost" does not exist' in warning["reason"]
    daemon.stop()
    assert len(daemon.events("owner_unreachable")) == 2
    assert len(daemon.events("sessions_launched")) == 1


def test_an_owner_that_is_nobody_is_told_at_once(scripted: Scripted, supervise: Supervise) -> None:
    daemon = supervise(scripted.dsn, "--owner", "app", "--owner", "supervisor", "--owner", "nosuch")
    warning = daemon.wait_for("owner_unreachable")
    assert (warning["owner"], warning["level"], warning["retry_in"]) == ("nosuch", "warning", None)
    assert "member of jobs_runner" in warning["reason"]
    daemon.stop()
    assert len(daemon.events("owner_unreachable")) == 1


def test_once_with_an_owner_that_is_nobody_is_an_error(
    scripted: Scripted, supervise: Supervise
) -> None:
    daemon = supervise(scripted.dsn, "--owner", "app", "--owner", "nosuch", "--once", started=False)
    assert daemon.end() == 2
    assert daemon.complaints[0] == 'pyworker: owner "nosuch" cannot be served\n'
    assert "jobs_runner" in daemon.complaints[1]
    assert daemon.complaints[2].startswith("HINT: Correct --owner, or: ")
    assert daemon.events("supervisor_stopped")[0]["exit_code"] == 2


def test_the_place_to_correct_it_is_the_one_where_it_was_given(
    scripted: Scripted, supervise: Supervise
) -> None:
    daemon = supervise(
        scripted.dsn, "--once", started=False, environment={"PYWORKER_OWNERS": "app, nosuch"}
    )
    assert daemon.end() == 2
    assert daemon.complaints[2].startswith("HINT: Correct PYWORKER_OWNERS, or: ")

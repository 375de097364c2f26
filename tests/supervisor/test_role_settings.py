"""Roles and databases whose settings name another role: jobs run as the login all the same."""

from collections.abc import Iterator
from contextlib import contextmanager

import psycopg
import pytest

from .conftest import Real, Start, wait_until

FORMS = {
    "role": "alter role app",
    "role in database": "alter role app in database {database}",
    "database": "alter database {database}",
    "all roles": "alter role all",
}


def _admin(real: Real, statement: str) -> list[tuple[object, ...]]:
    """As administrator, whatever role the settings give it."""
    with psycopg.connect(
        real.admin, autocommit=True, options="-c role=none -c default_transaction_read_only=off"
    ) as line:
        cursor = line.execute(statement.encode())
        return cursor.fetchall() if cursor.description else []


@pytest.fixture(name="group")
def _group(real: Real) -> Iterator[str]:
    """A role that owns the objects, and that the logins take on when they connect."""
    _admin(
        real,
        "create role pw_grp in role jobs_producer, jobs_runner; grant pw_grp to app, supervisor",
    )
    _admin(real, "grant create on schema public to pw_grp, app")
    yield "pw_grp"
    _admin(real, "drop owned by pw_grp; drop role pw_grp; revoke create on schema public from app")


@contextmanager
def _set(real: Real, form: str, setting: str, value: str) -> Iterator[None]:
    database = _admin(real, "select current_database()")[0][0]
    alter = FORMS[form].format(database=database)
    _admin(real, f"{alter} set {setting} = {value}")
    try:
        yield
    finally:
        _admin(real, f"{alter} reset {setting}")


TELL = """
create table public.told (who text, login text);
grant all on public.told to public;
create function public.tell() returns text language plpgsql as
$$ begin insert into public.told values (current_user, session_user); return current_user; end $$;
create function public.turn() returns text language plpgsql as
$$ begin perform set_config('role', 'pw_grp', false); return public.tell(); end $$;
create procedure public.tell_twice() language plpgsql as
$$ begin perform public.tell(); commit; perform public.tell(); end $$;
create table public.mine (a int);
alter table public.mine owner to app;
"""


@pytest.mark.parametrize("form", FORMS)
def test_jobs_run_as_the_login(real: Real, start: Start, group: str, form: str) -> None:
    """Functions, procedures and statements, in a row and alone, by a supervisor and by
    jobs.start().
    """
    _admin(real, TELL)
    with _set(real, form, "role", f"'{group}'"):
        assert real.sql("select current_user, session_user") == [(group, "app")]
        for task in ("public.tell", "public.turn", "public.tell_twice"):
            real.enqueue(task)
        real.sql(
            "select count(*) from jobs.enqueue_many('public.tell', array_fill('{}'::jsonb,"
            " array[40]))"
        )
        for statement in (
            "insert into public.told select current_user, session_user",
            "vacuum public.mine",
        ):
            real.sql("select jobs.enqueue_sql(%s)", statement)
        daemon = start(real.dsn, "--owner", "app", "--until-empty")
        assert daemon.end(40) == 0, daemon.lines
        assert _admin(real, "select id from jobs.job where state <> 'succeeded'") == []
        # the second is the job that took the role on itself
        expected = [("app", "app"), (group, "app")]
        assert _admin(real, "select distinct who, login from public.told order by 1") == expected
        assert _admin(real, f"select count(*) from public.told where who = '{group}'") == [(1,)]
        # By hand, in a session that took the role on when it connected.
        job = real.enqueue("public.tell")
        assert real.sql("select current_user, jobs.start(), current_user") == [(group, 1, group)]
        assert real.wait_for(job, "succeeded", "failed") == "succeeded"
        assert real.sql("select result from jobs.job where id = %s", job) == [("app",)]
        job = real.enqueue("pg_sleep", **{"$1": 60})
        real.sql("select jobs.start()")
        real.wait_for(job, "running")
        assert real.sql("select jobs.cancel(%s)", job) == [("cancelling",)]
        assert real.wait_for(job, "cancelled") == "cancelled"
    wait_until(lambda: not real.sql("select 1 from jobs.sessions"))


def test_a_role_that_was_taken_on_by_hand_is_refused(real: Real, group: str) -> None:
    with psycopg.connect(real.dsn, user="app", autocommit=True) as line:
        line.execute(f"set role {group}".encode())
        with pytest.raises(psycopg.Error) as caught:
            line.execute("select jobs.start()")
    assert caught.value.sqlstate == "PW051"
    assert "set role none" in str(caught.value.diag.message_hint).lower(), (
        "RESET ROLE goes back to what ALTER ROLE says"
    )


OTHERS = {
    "search_path": "pg_temp, public",
    "default_transaction_isolation": "'serializable'",
    "default_transaction_read_only": "on",
    "default_transaction_deferrable": "on",
    "session_authorization": "'app'",
    "statement_timeout": "'20ms'",
}


@pytest.mark.parametrize("form", ["role in database", "database"])
@pytest.mark.parametrize("setting", OTHERS)
def test_other_settings_stop_no_job(real: Real, start: Start, setting: str, form: str) -> None:
    jobs = [real.enqueue("leave", number=1), real.enqueue("nap", seconds=0.1)]
    with _set(real, form, setting, OTHERS[setting]):
        daemon = start(real.dsn, "--owner", "app", "--until-empty")
        assert daemon.end(40) == 0, daemon.lines
    assert [real.wait_for(job, "succeeded", "failed") for job in jobs] == ["succeeded", "succeeded"]


def test_a_connection_does_not_outlive_a_failed_launch(real: Real, start: Start) -> None:
    """What refused it is said in waits_for and health; once it is mended, the jobs run,
    with no restart.
    """
    job = real.enqueue("leave", number=1)
    launchers = "select pid from pg_stat_activity where application_name = 'pyworker launcher'"
    _admin(
        real, "revoke execute on function jobs_internal.launch(integer, interval) from jobs_runner"
    )
    try:
        daemon = start(real.dsn, "--owner", "app")
        assert "permission denied" in daemon.wait_for("launch_failed")["message"]
        wait_until(
            lambda: (
                "launch refused: permission denied"
                in str(real.sql("select waits_for from jobs.job")[0][0])
            )
        )
        said = _admin(
            real, "select status, detail from jobs.health where \"check\" = 'unreached owners'"
        )
        assert said[0][0] == "warning"
        assert "app" in str(said[0][1])
        assert "launch refused: permission denied" in str(said[0][1])
        wait_until(lambda: not _admin(real, launchers), 3)  # sooner than an idle one is closed
    finally:
        _admin(
            real, "grant execute on function jobs_internal.launch(integer, interval) to jobs_runner"
        )
    assert real.wait_for(job, "succeeded") == "succeeded"
    assert daemon.stop() == 0

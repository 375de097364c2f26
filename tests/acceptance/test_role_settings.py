"""Roles and databases whose settings name another role: jobs run as the login all the same."""

from collections.abc import Iterator
from contextlib import contextmanager

import psycopg
import pytest
from kit.daemon import Supervise
from stage import put, put_many, put_sql, state, wait_for, wait_running
from support import Database, wait_until

FORMS = {
    "role": "alter role app",
    "role in database": "alter role app in database {database}",
    "database": "alter database {database}",
    "all roles": "alter role all",
}


@pytest.fixture(name="group")
def _group(database: Database) -> Iterator[str]:
    """A role that owns the objects, and that the logins take on when they connect."""
    database.admin(
        "create role pw_grp in role jobs_producer, jobs_runner; grant pw_grp to app, supervisor"
    )
    database.admin("grant create on schema public to pw_grp, app")
    yield "pw_grp"
    database.admin(
        "drop owned by pw_grp; drop role pw_grp; revoke create on schema public from app"
    )


@contextmanager
def _set(database: Database, form: str, setting: str, value: str) -> Iterator[None]:
    """Those that connect meanwhile have the setting, app too; the administrator is connected."""
    alter = FORMS[form].format(database=database.name)
    database.admin(f"{alter} set {setting} = {value}")
    database.line("app").close()
    try:
        yield
    finally:
        database.admin(f"{alter} reset {setting}")
        database.line("app").close()


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
def test_jobs_run_as_the_login(
    database: Database, supervise: Supervise, group: str, form: str
) -> None:
    """Functions, procedures and statements, in a row and alone, by a supervisor and by
    jobs.start().
    """
    database.admin(TELL)
    with _set(database, form, "role", f"'{group}'"):
        assert database.run("select current_user, session_user") == [(group, "app")]
        for task in ("public.tell", "public.turn", "public.tell_twice"):
            put(database, task)
        put_many(database, "public.tell", [{}] * 40)
        for statement in (
            "insert into public.told select current_user, session_user",
            "vacuum public.mine",
        ):
            put_sql(database, statement)
        daemon = supervise(database.dsn("supervisor"), "--owner", "app", "--until-empty")
        assert daemon.end() == 0, daemon.lines
        assert database.admin("select id from jobs.job where state <> 'succeeded'") == []
        # the second is the job that took the role on itself
        expected = [("app", "app"), (group, "app")]
        assert database.admin("select distinct who, login from public.told order by 1") == expected
        assert database.admin(f"select count(*) from public.told where who = '{group}'") == [(1,)]
        # By hand, in a session that took the role on when it connected.
        job = put(database, "public.tell")
        assert database.run("select current_user, jobs.start(), current_user") == [
            (group, 1, group)
        ]
        assert wait_for(database, job)["state"] == "succeeded"
        assert database.run("select result from jobs.job where id = %s", [job]) == [("app",)]
        job = put(database, "pg_sleep", {"$1": 60})
        database.run("select jobs.start()")
        wait_running(database, job)
        assert database.run("select jobs.cancel(%s)", [job]) == [("cancelling",)]
        assert wait_for(database, job)["state"] == "cancelled"
    wait_until(lambda: not database.run("select 1 from jobs.sessions"))


def test_a_role_that_was_taken_on_by_hand_is_refused(database: Database, group: str) -> None:
    database.run(f"set role {group}")
    with pytest.raises(psycopg.Error) as caught:
        database.run("select jobs.start()")
    assert caught.value.sqlstate == "PW051"
    assert "set role none" in str(caught.value.diag.message_hint).lower(), (
        "RESET ROLE goes back to what ALTER ROLE says"
    )


def test_another_login_s_name_that_was_taken_on_by_hand_is_refused(database: Database) -> None:
    """An administrator's session that calls itself app: what it started would have its rights."""
    with database.connect("postgres") as line:
        line.execute("set session authorization app")
        for call in ("select jobs.start()", "call jobs_internal.work(0, null)"):
            with pytest.raises(psycopg.Error) as caught:
                line.execute(call.encode())
            assert caught.value.sqlstate == "PW051"
            assert "Connect as app." in str(caught.value.diag.message_hint)


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
def test_other_settings_stop_no_job(
    database: Database, supervise: Supervise, setting: str, form: str
) -> None:
    jobs = [put(database, "app.note", {"n": 1}), put(database, "app.nap", {"seconds": 0.1})]
    with _set(database, form, setting, OTHERS[setting]):
        daemon = supervise(database.dsn("supervisor"), "--owner", "app", "--until-empty")
        assert daemon.end() == 0, daemon.lines
    assert [state(database, job) for job in jobs] == ["succeeded", "succeeded"]


def test_a_connection_does_not_outlive_a_failed_launch(
    database: Database, supervise: Supervise
) -> None:
    """What refused it is said in waits_for and health; once it is mended, the jobs run,
    with no restart.
    """
    job = put(database, "app.note", {"n": 1})
    launchers = "select pid from pg_stat_activity where application_name = 'pyworker launcher'"
    database.admin(
        "revoke execute on function jobs_internal.launch(integer, interval) from jobs_runner"
    )
    try:
        daemon = supervise(database.dsn("supervisor"), "--owner", "app")
        assert "permission denied" in daemon.wait_for("launch_failed")["message"]
        wait_until(
            lambda: (
                "launch refused: permission denied"
                in str(database.run("select waits_for from jobs.job")[0][0])
            )
        )
        said = database.admin(
            "select status, detail from jobs.health where \"check\" = 'unreached owners'"
        )
        assert said[0][0] == "warning"
        assert "app" in str(said[0][1])
        assert "launch refused: permission denied" in str(said[0][1])
        wait_until(lambda: not database.admin(launchers), 3)  # sooner than an idle one is closed
    finally:
        database.admin(
            "grant execute on function jobs_internal.launch(integer, interval) to jobs_runner"
        )
    assert wait_for(database, job)["state"] == "succeeded"
    assert daemon.stop() == 0

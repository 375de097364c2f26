"""The attacks again while the server is stopped and started in every way: nothing gets in,
and nobody else is hurt.
"""

import contextlib
from collections import Counter
from collections.abc import Callable
from threading import Event, Thread

import psycopg
import pytest
from kit.daemon import Supervise
from stage import ledger, put, put_many, state, wait_for
from support import Database, wait_until

from pyworker.errors import ServerError

THINGS = """
create table app.climbed (who text);
create function app.climb(how text) returns void language plpgsql as $$
declare
  v_part text;
begin
  foreach v_part in array
    string_to_array(how, ';') || array['insert into guard.canary values (current_user)'] loop
    begin
      execute v_part;
    exception
      when others then
        null;
    end;
  end loop;
  insert into app.climbed
  values (session_user || '/' || current_user || '/' || current_setting('is_superuser'));
end $$;
create procedure app.climb_first() language plpgsql as $$
begin
  rollback;
  begin
    execute 'set session authorization postgres';
  exception
    when others then
      null;
  end;
  reset role;
  reset session authorization;
  insert into app.climbed
  values (session_user || '/' || current_user || '/' || current_setting('is_superuser'));
  commit;
  insert into guard.canary values (current_user);
end $$
"""
#: Ways up, each of which a job tries.
CLIMBS = (
    "reset role; reset session authorization",
    "set role none; set role postgres",
    "set session authorization postgres; set session authorization default",
    "set role jobs_owner; update jobs_internal.job set owner = 10",
    "set local role jobs_supervisor; select set_config('role', 'supervisor', false)",
    "alter role app superuser; grant jobs_owner to app",
)
#: What a client of app's tries again and again, with what it may be told.
FORGERIES: dict[str, set[str]] = {
    "update jobs_internal.job set owner = 'app'::regrole": {"42501"},
    "insert into jobs_internal.session (owner, pid, backend_start) values (1, 1, now())": {"42501"},
    "select * from jobs_internal.finished": {"42501"},
    "select pgmq.send('pyworker_1', '{\"job\": 1}')": {"42501"},
    "update pgmq.q_pyworker_1 set message = '{\"job\": 1}'": {"42501", "42P01"},
    "select jobs_internal.supervisor_tick(1)": {"42501"},
    "select jobs_internal.take_outcomes(1000)": {"42501"},
    "select jobs_internal.rescue()": {"42501"},
    "select jobs_internal.finish_alone(1, 1, null)": {"PW050"},
    "select jobs_internal.claim(1, 0, null, false, 1000)": {"PW050"},
    "select jobs.pause()": {"42501"},
    "select jobs.admit_role('app')": {"42501"},
    "insert into guard.canary values ('app')": {"42501"},
    **{
        f"select jobs.{call}({n})": {"PW030"}
        for call in ("cancel", "retry", "run_now", "dismiss")
        for n in (1, 2, 3)
    },
}
READ = "select count(*) from jobs.job as j where j::text like '%s3cret%'"


def _insist(
    database: Database, role: str, over: Event, told: Counter[str], seen: list[object]
) -> None:
    """Try every forgery and look for secrets, over and over, with a new connection whenever the
    server is back.
    """
    while not over.is_set():
        with (
            contextlib.suppress(psycopg.OperationalError),
            database.server.connect(role, database.name) as line,
        ):
            while not over.is_set():
                for call in FORGERIES:
                    try:
                        seen.append((call, line.execute(call.encode()).fetchall()))
                    except psycopg.OperationalError:
                        raise
                    except psycopg.Error as error:
                        told[f"{call}: {error.sqlstate}"] += 1
                found = line.execute(READ.encode()).fetchone()
                if found != (0,):
                    seen.append((READ, found))


def _again(work: Callable[[], object]) -> None:
    """Do something as soon as the server takes it."""

    def done() -> bool:
        with contextlib.suppress(psycopg.OperationalError):
            work()
            return True
        return False

    wait_until(done, 20)


def test_attacks_while_the_server_is_restarted(own: Database, supervise: Supervise) -> None:
    """A1-A5, A13, A14, A23: climbs, forgeries, guesses and looks while the server stops and starts
    four times.
    """
    database = own
    private = database.server.private
    assert private is not None
    database.run(THINGS)
    database.admin(
        "create schema guard; create table guard.canary (who text); insert into guard.canary"
        " values ('planted');"
        " grant usage on schema guard to public"
    )
    database.run("create table other.done (n integer)", role="other")
    database.run(
        "create function other.work(n integer, key text) returns void language sql"
        " begin atomic insert into other.done values (n); end",
        role="other",
    )
    # The first ones are those whose numbers are guessed.
    theirs = [
        put(database, "other.work", {"n": n, "key": "s3cret"}, role="other") for n in range(1, 41)
    ]
    parked = put(
        database, "other.work", {"n": 0, "key": "s3cret"}, role="other", run_at="2100-01-01"
    )
    supervise(database.dsn("supervisor"), "--owner", "app", "--owner", "other")
    over, told, seen = Event(), Counter[str](), list[object]()
    clients = [Thread(target=_insist, args=(database, "app", over, told, seen)) for _ in range(2)]
    for client in clients:
        client.start()
    climbs: list[int] = []
    try:
        for mode in ("fast", "immediate", "fast", "immediate"):
            _again(
                lambda: climbs.extend(
                    put_many(database, "app.climb", [{"how": how} for how in CLIMBS] * 5)
                )
            )
            _again(
                lambda: climbs.extend(
                    put(database, "app.climb_first", max_attempts=1) for _ in range(3)
                )
            )
            wait_until(lambda: database.admin("select 1 from app.climbed limit 1"), 20)
            before = sum(told.values())
            wait_until(lambda before=before: sum(told.values()) > before + len(FORGERIES), 20)  # type: ignore[misc]
            database.close()
            private.stop(mode=mode)  # type: ignore[arg-type]
            private.start()
        unfinished = (
            "select count(*) from jobs_internal.job where due_at is null"
            " or due_at < now() + interval '1 hour'"
        )
        _again(lambda: database.admin(unfinished))
        wait_until(lambda: database.admin(unfinished) == [(0,)], 60)
    finally:
        over.set()
        for client in clients:
            client.join()
    assert seen == []
    assert {
        key for key in told if key.rsplit(": ", 1)[1] not in FORGERIES[key.rsplit(": ", 1)[0]]
    } == set()
    assert database.admin("select who from guard.canary") == [("planted",)]
    assert database.admin("select distinct who from app.climbed") == [("app/app/off",)]
    assert {state(database, job) for job in theirs} == {"succeeded"}
    assert sorted(row[0] for row in database.admin("select n from other.done")) == list(
        range(1, 41)
    )
    assert state(database, parked) == "scheduled"
    assert database.admin("select count(*) from jobs.audit") == [(0,)]
    found = database.admin("select rolsuper, rolcreaterole from pg_roles where rolname = 'app'")
    assert found == [(False, False)]


STUBBORN = """
create function app.stubborn() returns void language plpgsql as $$
begin
  insert into app.ledger (n) values (1);
  loop
    begin
      perform pg_sleep(60);
    exception
      when query_canceled then
        null;
    end;
  end loop;
end $$
"""


def test_a_stubborn_job_while_the_server_shuts_down(own: Database, supervise: Supervise) -> None:
    """A30: it holds up a fast stop; an immediate one ends it, as the runbook says.
    It leaves nothing behind.
    """
    database = own
    private = database.server.private
    assert private is not None
    database.run(STUBBORN)
    job = put(database, "app.stubborn", settings={"work_mem": "1MB"})
    database.run("select jobs.start()")
    wait_until(
        lambda: database.admin("select 1 from jobs.running where wait_event = 'Timeout:PgSleep'")
    )
    other = put(database, "pg_catalog.now", role="other")
    with pytest.raises(ServerError):
        private.stop("fast", 2)
    private.stop("immediate")
    database.close()
    private.start()
    assert ledger(database) == []
    supervise(database.dsn("supervisor"), "--owner", "other")
    assert wait_for(database, other)["state"] == "succeeded"
    assert database.value("select jobs.cancel(%s)", [job]) in ("cancelled", "cancelling")
    assert wait_for(database, job)["state"] == "cancelled"
    assert ledger(database) == []

"""Nothing leaks from one job to the next of the same session, whether they share a transaction
or not.
"""

from typing import Any

import pytest
from stage import drain_once, know_as_short, ledger, put, put_sql, wait_for
from support import Database

PROBE = """
create function app.probe() returns jsonb
language plpgsql as $$
declare
  v_facts jsonb;
begin
  v_facts := jsonb_build_object(
    'role', current_setting('role'),
    'user', current_user, 'login', session_user, 'path', current_setting('search_path'),
    'settings', (select jsonb_object_agg(name, setting order by name) from pg_settings
      where name <> 'application_name'),
    'custom', coalesce(current_setting('app.custom', true), ''),
    'said', coalesce(current_setting('pyworker.said', true), ''),
    'logged', coalesce(current_setting('pyworker.logged', true), ''),
    'over', coalesce(current_setting('pyworker.chunk_over', true), ''),
    'temporary', (select count(*) from pg_class where relnamespace = pg_my_temp_schema()),
    'locks', (select count(*) from pg_locks where locktype = 'advisory' and pid = pg_backend_pid()),
    'prepared', (select count(*) from pg_prepared_statements),
    'cursors', (select count(*) from pg_cursors where is_holdable or statement ~ 'planted'),
    'channels', (select count(*) from pg_listening_channels()),
    'isolation', current_setting('transaction_isolation'),
    'read only', current_setting('transaction_read_only'),
    'deferrable', current_setting('transaction_deferrable'),
    'job', (split_part(current_setting('pyworker.job'), '/', 1)::bigint = jobs.current_id())
  );
  begin
    v_facts := v_facts || jsonb_build_object('currval', currval('app.hits'));
  exception when object_not_in_prerequisite_state then
    v_facts := v_facts || '{"currval": "none"}';
  end;
  begin
    v_facts := v_facts || jsonb_build_object('lastval', lastval());
  -- the worker's own
  exception when object_not_in_prerequisite_state or insufficient_privilege then
    v_facts := v_facts || '{"lastval": "none"}';
  end;
  insert into app.ledger (n) values (1);  -- it can write
  return v_facts;
end $$;
create table app.planted (n integer);
"""

PLANTS = {
    "search_path": "select set_config('search_path', 'other, pg_temp', false)",
    "set": "set work_mem = '13MB'",
    "set local": "set local work_mem = '14MB'",
    "timeouts": "set statement_timeout = 60000; set lock_timeout = 60000",
    "transaction_timeout": "set transaction_timeout = 60000",
    "custom": "set app.custom = 'secret'",
    "custom local": "set local app.custom = 'secret'",
    "role": "set role jobs_producer",
    "own role": "set role app",
    "role local": "set local role jobs_producer",
    "session authorization": "set session authorization app",
    "read only": "set transaction read only",
    "read only by default": "set default_transaction_read_only = on",
    "isolation by default": "set default_transaction_isolation = 'serializable'",
    "constraints": "set constraints all deferred",
    "temporary table": "create temporary table planted (n integer); insert into planted values (1)",
    "temporary table that hides ours": (
        "create temporary table pg_prepared_statements (name text, statement text)"
    ),
    "temporary function": (
        "create function pg_temp.clock_timestamp() returns timestamptz return null::timestamptz"
    ),
    "on commit": "create temporary table planted (n integer) on commit preserve rows",
    "advisory lock": "select pg_advisory_lock(4711)",
    "shared advisory lock": "select pg_advisory_lock_shared(4711), pg_advisory_lock_shared(4711)",
    "prepared statement": "prepare planted as select 1",
    "a prepared statement named as ours": "prepare pyworker_log_000000000 as select 1",
    "cursor": "declare planted cursor for select generate_series(1, 10) as planted",
    "cursor with hold": (
        "declare planted cursor with hold for select generate_series(1, 10) as planted"
    ),
    "listen": "listen planted",
    "notify": "notify planted",
    "currval": "select nextval('app.hits')",
    "our own settings": (
        "set pyworker.said = 'x'; set pyworker.logged = 'on'; set pyworker.job = '1/1 1'"
    ),
    "application_name": "set application_name = 'something else'",
    "plan": (
        "set plan_cache_mode = force_custom_plan; set enable_indexscan = off;"
        " set row_security = off"
    ),
    "strings": (
        "set standard_conforming_strings = off; set bytea_output = 'escape';"
        " set datestyle = 'German'"
    ),
    "exit_on_error": "set exit_on_error = off",
}
#: Plants that a rollback does not undo by itself.
STUBBORN = (
    "advisory lock",
    "shared advisory lock",
    "prepared statement",
    "currval",
    "a prepared statement named as ours",
)
#: What fails, or makes the next one fail, where both share a subtransaction, as PostgreSQL has it.
UNFIT = {"listen", "exit_on_error", "read only"}
#: In place of the row that the probe writes: 1 where it runs by one statement with others.
STACK = """
  declare
    v_stack text;
  begin
    get diagnostics v_stack = pg_context;
    insert into app.ledger (n) values ((v_stack ~ 'run_together')::integer);
  end;
"""


def _probe_after_each(database: Database, *, chunk: bool) -> dict[str, tuple[int, int]]:
    database.admin("update jobs_internal.queue set max_attempts = 1")
    # A chunk ends after chunk_ms, and a function is short below short_ms: not so on a busy machine.
    database.admin(
        "update jobs_internal.setting set value = '60000' where name in ('chunk_ms', 'short_ms')"
    )
    database.run(PROBE)
    put(database, "app.probe")
    put(database, "app.run", {"what": "select 1"})
    put(database, "app.run_and_fail", {"what": "select 1"})
    database.drain()
    know_as_short(database)
    database.admin("select jobs.alter_queue('default', share_commits => %s)", [chunk])
    database.run("truncate app.ledger")
    jobs = {"nothing": (put(database, "app.echo", {"what": 1}), put(database, "app.probe"))}
    for name, plant in PLANTS.items():
        jobs[name] = (put(database, "app.run", {"what": plant}), put(database, "app.probe"))
    for name in STUBBORN:
        failing = put(database, "app.run_and_fail", {"what": PLANTS[name]})
        jobs[f"{name}, and fails"] = (failing, put(database, "app.probe"))
    drain_once(database)
    return jobs


@pytest.mark.parametrize("chunk", [True, False], ids=["in one transaction", "alone"])
def test_nothing_leaks_to_the_next_job(database: Database, *, chunk: bool) -> None:
    jobs = _probe_after_each(database, chunk=chunk)
    clean: Any = None
    for name, (plant, probe) in jobs.items():
        found = database.result(probe)
        clean = clean or found
        assert (name, found) == (name, clean)
        planted = database.job(plant)
        # Only what PostgreSQL itself refuses may have failed.
        if name.endswith("fails"):
            assert planted["error"]["message"] == "on purpose", name
        elif planted["state"] != "succeeded":
            assert name in ("listen", "exit_on_error"), (name, planted["error"])
    assert len(ledger(database)) == len(jobs)
    pids, transactions = database.run(
        "select count(distinct pid), count(distinct xid) from app.ledger"
    )[0]
    assert pids == 1, database.run("select n, job, pid, xid::text from app.ledger order by job")
    if chunk:
        assert transactions < len(jobs) / 3
    else:
        assert transactions == len(jobs)


def test_nothing_leaks_to_the_next_job_of_one_statement(database: Database) -> None:
    """Of the plants that succeed: one that fails takes its function out of the row."""
    for name in ("chunk_ms", "short_ms"):
        database.admin("select jobs.configure(%s, '60000')", [name])
    database.run(PROBE.replace("insert into app.ledger (n) values (1);", STACK))
    put(database, "app.probe")
    put(database, "app.run", {"what": "select 1"})
    database.drain()
    know_as_short(database)
    for _ in range(40):
        put(database, "app.run", {"what": "select 1"})
        put(database, "app.probe")
    clean = put(database, "app.probe")
    jobs = {}
    for name in sorted(set(PLANTS) - UNFIT):
        jobs[name] = (put(database, "app.run", {"what": PLANTS[name]}), put(database, "app.probe"))
    drain_once(database)
    for name, (plant, probe) in jobs.items():
        assert (name, database.job(plant)["error"]) == (name, None)
        assert (name, database.result(probe)) == (name, database.result(clean))
    together = database.value(
        "select count(*) from app.ledger where n = 1 and job = any (%s)",
        [[probe for _, probe in jobs.values()]],
    )
    assert together > len(jobs) / 2


def test_settings_of_a_job_hold_for_it_alone(database: Database) -> None:
    database.run(
        "create function app.mem() returns text language sql return current_setting('work_mem')"
    )
    before = put(database, "app.mem")
    own = put(database, "app.mem", settings={"work_mem": "33MB", "lock_timeout": "5s"})
    after = put(database, "app.mem")
    statement = put_sql_with_settings(database)
    database.drain()
    usual = database.result(before)
    assert [database.result(job) for job in (own, after)] == ["33MB", usual]
    assert database.result(statement)["rows"] == 1
    assert database.run("select n from app.ledger where n = 34") == [(34,)]


def put_sql_with_settings(database: Database) -> int:
    return put_sql(
        database,
        "insert into app.ledger (n) select 34 where current_setting('work_mem') = '34MB'",
        settings={"work_mem": "34MB"},
    )


def test_settings_of_a_child_session(database: Database) -> None:
    database.run("create table app.seen (mem text)")
    job = put_sql(
        database,
        "do $$ begin insert into app.seen values (current_setting('work_mem')); commit; end $$",
        settings={"work_mem": "35MB"},
    )
    again = put_sql(
        database, "do $$ begin insert into app.seen values (current_setting('work_mem')); end $$"
    )
    database.drain()
    assert database.result(job)["command_tag"] == "DO"
    assert database.result(again)["command_tag"] == "DO"
    first, second = database.run("select mem from app.seen order by mem = '35MB' desc")
    assert first == ("35MB",)
    assert second != ("35MB",)


def test_a_job_has_what_alter_role_says_whatever_its_launcher_had_set(database: Database) -> None:
    """pg_background hands the launcher's settings down and RESET ALL goes back to those,
    not to what the role has.

    The path of a statement is the one of the session that enqueued it.
    """
    database.run(
        "create function app.what_holds() returns text language sql as"
        " $$ select concat_ws(' ', current_setting('work_mem'), current_setting('search_path')) $$"
    )
    database.admin(f"alter role app in database {database.name} set work_mem = '13MB'")
    database.admin(f"alter role app in database {database.name} set search_path = app, other")
    first, second = put(database, "app.what_holds"), put_what_holds(database)
    with database.connect() as launcher:
        launcher.execute("set work_mem = '99MB'")
        launcher.execute("set search_path = other, public")
        launcher.execute("select jobs.start()")
        wait_for(database, first, "succeeded")
        wait_for(database, second, "succeeded")

    assert database.result(first) == "13MB app, other"
    assert database.run("select n from app.ledger") == [(13,)]


def put_what_holds(database: Database) -> int:
    return put_sql(
        database,
        "insert into app.ledger (n) select 13"
        " where current_setting('work_mem') = '13MB'"
        " and current_setting('search_path') = '\"$user\", public'",
    )

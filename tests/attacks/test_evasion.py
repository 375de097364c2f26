"""A16: a job that changes the settings of its session keeps its time limit and its identity all
the same.
"""

import pytest
from kit.daemon import Supervise
from psycopg.types.json import Jsonb
from stage import (
    attempts,
    gate_shut,
    know_as_short,
    put,
    put_sql,
    running,
    state,
    wait_at_gate,
    wait_for,
)
from support import Database, sqlstate_of

#: What a job can set to escape its time limit, or those who look for it.
EVASIONS = {
    "time limits": "set statement_timeout = 0; set transaction_timeout = 0; set lock_timeout = 0;"
    " set idle_in_transaction_session_timeout = 0; set pg_background.worker_timeout = 0",
    "no name": "set transaction_timeout = 0; set application_name = ''",
    "idle": "set transaction_timeout = 0; set application_name = 'pw idle'",
    "another job": (
        "set transaction_timeout = 0; set application_name = 'pw 999999/1 4000000000000'"
    ),
    "a later start": "set transaction_timeout = 0; select set_config('application_name',"
    " regexp_replace(current_setting('application_name'), '[0-9]+$', '4000000000000'), false)",
    "another attempt": "set transaction_timeout = 0; select set_config('application_name',"
    " regexp_replace(current_setting('application_name'), '/[0-9]+ ', '/77 '), false)",
    "our own settings": "set transaction_timeout = 0; set pyworker.job = '999999/1 4000000000000';"
    " set pyworker.child = 'on'; set pyworker.logged = 'on'; set pyworker.renames = ''",
    "messages": (
        "set transaction_timeout = 0; set client_min_messages = 'error';"
        " set log_error_verbosity = 'terse'"
    ),
    "isolation": "set transaction_timeout = 0; set default_transaction_isolation = 'serializable';"
    " set default_transaction_read_only = on; set default_transaction_deferrable = on",
}
RENEW = "set transaction_timeout = 0; set app.renew = 'on'"
EVADE = """
create function app.evade(how text) returns void language plpgsql as $$
declare
  v_part text;
begin
  foreach v_part in array string_to_array(how, ';') loop
    begin
      execute v_part;
    exception
      when insufficient_privilege then
        null;
    end;
  end loop;
  loop
    if current_setting('app.renew', true) = 'on' then
      perform set_config('application_name',
        regexp_replace(current_setting('application_name'), '[0-9]+$',
        (1000 * extract(epoch from clock_timestamp()))::bigint::text), false);
    end if;
    perform pg_sleep(0.05);
  end loop;
end $$
"""
LIMIT = "300 ms"


def _put(database: Database, kind: str, how: str) -> int:
    if kind == "child":
        quoted = how.replace("'", "''")
        text = f"do $x$ begin commit; perform app.evade('{quoted}'); end $x$"
        return put_sql(database, text, timeout=LIMIT, max_attempts=1)
    options = {"settings": {"work_mem": "1MB"}} if kind == "alone" else {}
    return put(database, "app.evade", {"how": how}, timeout=LIMIT, max_attempts=1, **options)


@pytest.mark.parametrize("kind", ["chunk", "alone", "child"])
def test_the_time_limit_holds(watched: Database, supervise: Supervise, kind: str) -> None:
    """A16: whatever it sets, a job is stopped at its time limit, and its session takes the
    next one.
    """
    database = watched
    database.run(EVADE)
    first = put(database, "app.evade", {"how": ""}, run_at="2100-01-01")
    know_as_short(database)
    database.run("select jobs.cancel(%s)", [first])
    supervise(database.dsn("supervisor"), "--owner", "app")
    jobs = {name: _put(database, kind, how) for name, how in {**EVASIONS, "renewed": RENEW}.items()}
    after = put(database, "app.note", {"n": 1})
    found = {name: wait_for(database, job, timeout=30) for name, job in jobs.items()}
    told = {name: (row["error"] or {}).get("sqlstate") for name, row in found.items()}
    assert told == dict.fromkeys(jobs, "PWT01")
    assert wait_for(database, after)["state"] == "succeeded"


@pytest.mark.parametrize(
    "setting",
    [
        *(
            "role",
            "session_authorization",
            "application_name",
            "statement_timeout",
            "transaction_timeout",
        ),
        *(
            "idle_in_transaction_session_timeout",
            "client_min_messages",
            "pyworker.job",
            "pg_background.worker_timeout",
        ),
        *(
            "session_replication_role",
            "log_statement",
            "log_min_duration_statement",
            "track_functions",
            "shared_buffers",
        ),
        *(
            "log_min_error_statement",
            "pg_stat_statements.track",
            "track_functions",
            "allow_in_place_tablespaces",
        ),
        *(
            "Application_Name",
            "PYWORKER.JOB",
            "is_superuser",
            "backtrace_functions",
            "zero_damaged_pages",
        ),
    ],
)
def test_settings_that_are_not_the_jobs(shared: Database, setting: str) -> None:
    """A16: the option settings takes no setting of the worker's and none that the role may not set
    itself: PW013.
    """
    for value in ("0", "on", "app", "none"):
        call = "select jobs.enqueue('pg_catalog.now', '{}', settings => %s)"
        given = Jsonb({setting: value})
        assert sqlstate_of(lambda given=given, call=call: shared.run(call, [given])) == "PW013"


def test_what_it_may_not_set_is_refused_while_it_runs(database: Database) -> None:
    """A16: settings that need a superuser are refused inside a job as elsewhere: 42501."""
    jobs = [
        put(database, "app.run", {"what": f"set {setting} = {value}"}, max_attempts=1)
        for setting, value in (
            ("session_replication_role", "replica"),
            ("log_statement", "'all'"),
            ("log_min_messages", "panic"),
            ("log_error_verbosity", "terse"),
            ("session_authorization", "postgres"),
            ("role", "jobs_owner"),
        )
    ]
    database.drain()
    assert [database.job(job)["error"]["sqlstate"] for job in jobs] == ["42501"] * len(jobs)


def test_a_name_of_anothers_job_is_no_identity(watched: Database, supervise: Supervise) -> None:
    """A16: sessions of another owner, and clients, that call themselves a job of app's are not
    taken for it.
    """
    database = watched
    theirs = put(database, "app.note", {"n": 1}, run_at="2100-01-01")
    database.run(
        "grant usage on schema app to other; grant execute on all functions in schema app to other"
    )
    database.run("grant select, insert on app.ledger to other")
    name = f"pw {theirs}/1 1 5/10"
    client = database.connect("other")
    client.execute("select set_config('application_name', %s, false)", [name])
    supervise(database.dsn("supervisor"), "--owner", "other", "--owner", "app")
    with gate_shut(database):
        what = f"set application_name = '{name}'; select app.gate()"
        liar = put(database, "app.run", {"what": what}, role="other")
        wait_at_gate(database)
        assert running(database, theirs) is None
        row = database.job(theirs)
        assert (row["state"], row["attempt"]) == ("scheduled", 0)
        assert database.value("select jobs.cancel(%s)", [theirs]) == "cancelled"
    assert wait_for(database, liar)["state"] == "succeeded"
    assert state(database, theirs) == "cancelled"
    assert client.execute("select 1").fetchone() == (1,)


def test_nothing_that_a_job_set_is_there_for_the_next(database: Database) -> None:
    """A16: the next job of the session has the settings that its owner has."""
    names = [
        "search_path",
        "statement_timeout",
        "work_mem",
        "default_transaction_read_only",
        "app.mine",
        "timezone",
    ]
    database.run("create table app.seen (name text, value text)")
    what = (
        "set search_path = other; set statement_timeout = 1; set work_mem = '1MB';"
        " set app.mine = 'left'"
    )
    dirty = put(database, "app.run", {"what": f"{what}; set timezone = 'Asia/Tokyo'"})
    listed = "', '".join(names)
    look = (
        "insert into app.seen select n, current_setting(n, true)"
        f" from unnest(array['{listed}']) as n"
    )
    after = put_sql(database, look)
    database.drain()
    assert [state(database, job) for job in (dirty, after)] == ["succeeded", "succeeded"]
    seen = dict(database.run("select name, value from app.seen"))
    fresh = database.connect("app", statement_timeout="0")
    want = {
        name: fresh.execute("select current_setting(%s, true)", [name]).fetchone() for name in names
    }
    assert {name: (value or None,) for name, value in seen.items()} == want
    assert attempts(database, dirty) == [(1, "succeeded")]

"""A3: code of app's that the server runs in a session of other's, as it does in ANALYZE,
must not pass for other.

PostgreSQL runs the expressions of an index as the owner of its table, in a security-restricted
operation, whoever analyzes, reindexes or vacuums it. The login of the session stays the other
one's: what goes by the login would be done in its name (the class of CVE-2020-25695). A SECURITY
DEFINER function that other calls of its own will is no such case: there the login counts,
and the docs say so.
"""

import pytest
from stage import put
from support import Database

BAIT = """
create table app.said (
  call text, code text, who text default current_user, login text default session_user);
create table app.calls (call text);
create function app.borrow() returns void language plpgsql as $$
declare
  v_call text;
  v_code text;
begin
  for v_call in select call from app.calls loop
    v_code := 'done';
    begin
      execute v_call;
    exception when others then
      v_code := sqlstate;
    end;
    insert into app.said (call, code) values (v_call, v_code);
  end loop;
end $$;
create function app.index_it(n integer) returns integer language plpgsql immutable as $$
begin
  if session_user <> 'app' then
    perform app.borrow();
  end if;
  return n;
end $$;
create table app.bait (n integer);
insert into app.bait values (1);
create index bait_n on app.bait (app.index_it(n));
create materialized view app.view as select app.index_it(1) as n;
grant maintain on app.bait, app.view to other, operator;
grant usage on schema app to other, operator;
"""

OPERATIONS = (
    *(
        "analyze app.bait",
        "reindex table app.bait",
        "vacuum analyze app.bait",
        "cluster app.bait using bait_n",
    ),
    "refresh materialized view app.view",
)
CALLS = (
    "select jobs.enqueue('pg_catalog.now')",
    "select jobs.enqueue_many('pg_catalog.now', array['{{}}'::jsonb])",
    "select jobs.enqueue_sql('insert into vault.canary values (''enqueued'')')",
    "select jobs_internal.store_statement('insert into vault.canary values (''stored'')'"
    + 11 * ", null"
    + ")",
    (
        "select jobs_internal.store_job(1, '{{}}', null, null, null, null, null, null, null,"
        " null, null)"
    ),
    (
        "select jobs_internal.store_jobs(1, array['{{}}'::jsonb], null, null, null, null, null,"
        " null, null, null)"
    ),
    """select jobs.enqueue_published('app.note', '{{"n": 1}}')""",
    (
        "select jobs_internal.store_publication((select oid from pg_proc"
        " where proname = 'closed'), 'app'"
    )
    + 4 * ", null"
    + ")",
    "select jobs.unpublish(1)",
    "select jobs.cancel({job})",
    "select jobs.retry({job})",
    "select jobs.run_now({job})",
    "select jobs.set_priority({job}, 'high')",
    "select jobs.wait({job}, '1 ms')",
    "select jobs.start()",
    "select jobs_internal.dispatch_mine()",
    "select jobs_internal.my_free_sessions()",
    "select jobs_internal.open_session(jobs_internal.schema_version())",
    "select jobs_internal.claim(1, 0, null, false, 1)",
    "select jobs_internal.store_progress({job}, 1, 'x')",
    "select jobs_internal.store_log_line({job}, 1, '{{}}')",
    "select jobs_internal.mark_top_level({job})",
    "select * from jobs.job",
    "select * from jobs.queued",
    "select * from jobs.publications",
)


@pytest.mark.parametrize("role", ["other", "operator"])
def test_an_index_expression_does_nothing_in_the_name_of_who_analyzes(
    database: Database, role: str
) -> None:
    """A3: nothing is enqueued, steered or seen; 42501. Of an operator neither:
    it steers everybody's jobs.
    """
    job = put(database, "other.work", role="other", run_at="2100-01-01")
    database.run(BAIT)
    database.run("select jobs.publish('app.note', %s)", [role])
    calls = [call.format(job=job) for call in CALLS]
    database.run("insert into app.calls select unnest(%s::text[])", [calls])
    for operation in OPERATIONS:
        database.run(operation, role=role)
        said = database.run("select distinct call, code, who, login from app.said")
        assert {(row[2], row[3]) for row in said} == {("app", role)}, operation
        assert {row[0]: row[1] for row in said if row[1] != "42501"} == {}, operation
        assert {row[0] for row in said} == set(calls), operation
        database.run("truncate app.said")
    assert database.admin("select id, state, priority from jobs_internal.job") == [
        (job, "scheduled", 1)
    ]
    database.drain(role="other")
    assert database.admin("select * from vault.canary") == []


def test_what_enqueues_of_its_own_will_still_goes_by_its_login(database: Database) -> None:
    """A SECURITY DEFINER function enqueues for the login that calls it; the docs say so."""
    database.run(
        "create function app.place() returns bigint language sql security definer as"
        " $$ select jobs.enqueue('pg_catalog.now') $$; grant usage on schema app to other"
    )
    job = database.value("select app.place()", role="other")
    assert database.job(job, role="other")["owner"] == "other"

"""A1 to A3: what a job leaves for the commit, for the next job, or for a role that it may take."""

import pytest
from stage import drain_once, know_as_short, put, put_sql, state
from support import Database

from .climbing import SETUP, assert_only_app, quoted

LATE = """
create table app.late (n integer);
create function app.strike_late() returns trigger language plpgsql as
$$ begin
  perform app.attack('reset role; set role none', tg_name || ' ' || tg_op); return null;
end $$;
create constraint trigger deferred after insert or delete on app.late deferrable initially deferred
for each row execute function app.strike_late();
create table app.parent (n integer primary key);
create table app.child (
  n integer references app.parent on delete cascade on update cascade
    deferrable initially deferred);
create trigger cascaded after delete or update on app.child
  for each row execute function app.strike_late();
create function app.strike_and(n integer) returns integer language plpgsql as
$$ begin perform app.strike('cursor'); return n; end $$;
create domain app.checked as integer check (app.strike_and(value) is not null);
create view app.peep as select app.strike_and(1) as n;
create rule also as on insert to app.parent do also select app.strike_and(2);
"""


#: What is done later than the statement itself: at the commit of the worker's transaction,
#: or when it is dropped.
LATER = {
    "cursor with hold": (
        "declare c cursor with hold for select app.strike_and(g) from generate_series(1, 3) as g"
    ),
    "cursor with hold, scrolled": (
        "declare c scroll cursor with hold for select n, app.strike_and(1) from app.peep"
    ),
    "deferred constraint trigger": "insert into app.late values (1)",
    "deferred from a temporary table": "create temporary table t (n integer); "
    "create constraint trigger deferred_too after insert on t deferrable initially deferred for"
    " each row"
    " execute function app.strike_late(); insert into t values (1)",
    "referential action": (
        "insert into app.parent values (1); insert into app.child values (1);"
        " delete from app.parent"
    ),
    "referential update": "insert into app.parent values (2); insert into app.child values (2);"
    " update app.parent set n = 3",
    "on commit drop": (
        "create temporary table gone (n app.checked) on commit drop; insert into gone values (1)"
    ),
    "on commit delete": "create temporary table emptied (n app.checked) on commit delete rows;"
    " insert into emptied values (1);"
    " create trigger cascaded after delete on emptied for each row execute function"
    " app.strike_late()",
    "temporary function": "create function pg_temp.set_config(text, text, boolean)"
    " returns text language plpgsql as"
    " $x$ begin perform app.strike('temporary'); return 1; end $x$;"
    " select pg_temp.set_config('a', 'b', true)",
    "notify": "notify pyworker, 'planted'",
    "prepared": "prepare planted as select app.strike_and(5)",
    "a prepared line": "prepare pyworker_log_000000000 as select app.strike_and(6)",
    "advisory": "select pg_advisory_lock(3)",
    "large object": "select lo_from_bytea(0, 'x')",
}


@pytest.mark.parametrize("mode", ["chunk", "alone", "child"])
def test_what_is_done_at_the_commit_is_done_as_its_owner(database: Database, mode: str) -> None:
    """A3: WITH HOLD cursors, deferred triggers, referential actions, ON COMMIT, temporary objects;
    others beside.
    """
    database.run(SETUP + LATE)
    database.admin("update jobs_internal.queue set max_attempts = 1")
    put(database, "app.run", {"what": "select 1"})
    put(database, "app.who")
    database.drain()
    know_as_short(database)
    database.admin("select jobs.alter_queue('default', share_commits => %s)", [mode == "chunk"])
    jobs: dict[str, tuple[int, int]] = {}
    for name, what in LATER.items():
        if mode == "child":
            job = put_sql(
                database,
                f"do $do$ begin perform app.run({quoted(what)}); commit;"
                " perform app.strike('child'); end $do$",
            )
        else:
            job = put(database, "app.run", {"what": what})
        jobs[name] = (job, put(database, "app.who"))
    drain_once(database)
    assert {name: state(database, job) for name, (job, _) in jobs.items()} == dict.fromkeys(
        LATER, "succeeded"
    )
    assert {database.result(probe) for _, probe in jobs.values()} == {"app app none"}
    assert assert_only_app(database) > 8
    struck = {row[0] for row in database.run("select what from app.witness")}
    assert {
        "deferred INSERT",
        "deferred_too INSERT",
        "cascaded DELETE",
        "cascaded UPDATE",
        "temporary",
    } <= struck
    assert database.background() == []


def test_a_role_that_a_job_may_take_is_not_kept(database: Database) -> None:
    """A1: a job may become what its owner is a member of, as in any session;
    the worker and the next job do not.
    """
    database.run(SETUP)
    database.admin(
        "grant all on all tables in schema app to jobs_producer;"
        " grant usage on schema app to jobs_producer"
    )
    jobs = [
        put(database, "app.run", {"what": "set role jobs_producer"}),
        put(database, "app.run", {"what": "set local role jobs_runner"}),
        put_sql(database, "select set_config('role', 'jobs_producer', false)"),
        put_sql(
            database,
            "do $$ begin set role jobs_producer; commit; insert into app.ledger (n)"
            " values (1); end $$",
        ),
    ]
    probes = [put(database, "app.who") for _ in jobs]
    database.drain()
    assert {state(database, job) for job in jobs} == {"succeeded"}
    assert {database.result(probe) for probe in probes} == {"app app none"}

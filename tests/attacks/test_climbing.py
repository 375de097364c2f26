"""A1 to A3, A15: a job that tries to be more than its owner, in every mode, and the next job of its
session.

Each attack runs as app and then strikes: app.witness says as whom, vault.canary takes rows of
anybody but app. Modes: chunk (many jobs in one transaction), alone, in the worker's own statement,
and in a child session, where procedures commit.
"""

from typing import Any

import pytest
from stage import drain_once, gate_shut, know_as_short, put, put_sql, state, wait_at_gate, wait_for
from support import Database, Server, sqlstate_of, wait_until

#: What to try, and what PostgreSQL says to it: "done" where it is harmless.
TRIES = {
    "reset role": "done",
    "set role none": "done",
    "set role app": "done",
    "set role to default": "done",
    "set local role none": "done",
    "set role jobs_producer": "done",
    "set role postgres": "42501",
    "set role other": "42501",
    "set role jobs_owner": "42501",
    "set role jobs_supervisor": "42501",
    "set role pg_signal_backend": "42501",
    "set local role postgres": "42501",
    "set session authorization default": "done",
    "set session authorization app": "done",
    "reset session authorization": "done",
    "set session authorization postgres": "42501",
    "set session authorization other": "42501",
    "set local session authorization postgres": "42501",
    "select set_config('role', 'postgres', false)": "42501",
    "select set_config('role', 'none', false)": "done",
    "select set_config('role', 'jobs_owner', true)": "42501",
    "select set_config('session_authorization', 'postgres', false)": "42501",
    "select set_config('is_superuser', 'on', false)": "55P02",
    "update pg_settings set setting = 'postgres' where name = 'role'": "done",
    "select set_config(name, 'postgres', false) from pg_settings where name = 'role'": "done",
    "reset all": "done",
    "alter role app superuser": "42501",
    "alter role app createrole": "42501",
    "alter role postgres password 'x'": "42501",
    "alter role all set role = 'app'": "42501",
    "create role planted superuser": "42501",
    "grant jobs_owner to app": "42501",
    "grant pg_read_all_data to app": "42501",
    "grant other to app": "42501",
    "alter system set jit = off": "25001",
    "set session_replication_role = replica": "42501",
    "set log_statement = 'none'": "42501",
    "load '/tmp/planted.so'": "42501",
    "create event trigger planted on ddl_command_end execute function app.planted_event()": "42501",
    "create extension dblink": "42501",
    "create language planted handler plpgsql_call_handler": "42501",
    "create function app.c() returns int language c as 'planted', 'planted'": "42501",
    "create function app.i() returns int language internal as 'planted'": "42501",
    "create cast (text as oid) with inout as implicit": "42501",
    "alter function app.strike(text) owner to postgres": "42501",
    "alter function app.strike(text) owner to other": "42501",
    "alter table app.witness owner to other": "42501",
    "alter schema app owner to other": "42501",
    "create schema planted authorization other": "42501",
    "create policy planted on vault.canary using (true)": "42501",
    "grant insert on vault.canary to app": "42501",
    "copy app.ledger to program 'id'": "42501",
    "copy app.ledger to '/tmp/planted'": "42501",
    "select pg_read_file('postgresql.conf')": "42501",
    "select pg_ls_dir('.')": "42501",
    "select lo_export(1, '/tmp/planted')": "42501",
    "select lo_import('/etc/passwd')": "42501",
    "select pg_reload_conf()": "42501",
    "select pg_rotate_logfile()": "42501",
    "select pg_terminate_backend(pid) from pg_stat_activity where usename = 'postgres'": "42501",
    "select pg_cancel_backend(pid) from pg_stat_activity where usename = 'postgres'": "42501",
    "select pg_create_logical_replication_slot('planted', 'pgoutput')": "42501",
    "create subscription planted connection '' publication planted": "25001",
    "select jobs.admit_role('app')": "42501",
    "select jobs.set_quota('app')": "42501",
    "select jobs.configure('log_lines', '1')": "42501",
    "security definer as oneself": "done",
}
SETUP = """
create function app.planted_event() returns event_trigger language plpgsql as 'begin null; end';
create function app.definer() returns void language plpgsql security definer as
$$ begin perform app.strike('definer'); end $$;
create function app.who() returns text language sql as
$$ select format('%s %s %s', current_user, session_user, current_setting('role')) $$;
-- Rolls back first: what is begun anew begins as whoever the session is.
create procedure app.assault(what text, name text)
language plpgsql as $$
begin
  rollback;
  perform app.strike(name || ' after rollback');
  commit;
  perform app.attack(what, name || ' after commit');
  commit;
  rollback;
  call app.nested(what, name);
  commit;
  perform app.strike(name || ' at the end');
end $$;
create procedure app.nested(what text, name text)
language plpgsql as $$
begin
  rollback;
  perform app.attack(what, name || ' nested');
  commit;
end $$;
"""
LOUD = {name: attack for name, attack in TRIES.items() if name != "security definer as oneself"}


def _attack(what: str) -> str:
    return "select app.definer()" if what == "security definer as oneself" else what


def _nobody_but_app(database: Database) -> int:
    """Check that everything that ran was app's, in sessions of app's; gives how many strikes
    there were.
    """
    assert database.admin("select * from vault.canary") == []
    assert database.run(
        "select distinct who, login from app.witness where who <> 'jobs_producer'"
    ) == [("app", "app")]
    assert database.admin("select rolname from pg_roles where rolname = 'planted'") == []
    assert database.admin(
        "select rolsuper or rolcreaterole from pg_roles where rolname = 'app'"
    ) == [(False,)]
    return int(database.value("select count(*) from app.witness"))


@pytest.mark.parametrize("mode", ["chunk", "alone", "statement"])
def test_a_function_or_statement_stays_its_owner(database: Database, mode: str) -> None:
    """A1: every way to another role or to a right of another; the next job of the session is
    unspoiled.
    """
    database.run(SETUP)
    database.admin("update jobs_internal.queue set max_attempts = 1")
    database.admin(
        "grant insert on app.witness to jobs_producer; grant usage on schema app to jobs_producer"
    )
    for function, args in (("app.attack", {"what": "select 1"}), ("app.who", {})):
        put(database, function, args)
    database.drain()
    know_as_short(database)
    database.admin("select jobs.alter_queue('default', share_commits => %s)", [mode == "chunk"])
    database.run("truncate app.witness")
    jobs: dict[str, tuple[int, int]] = {}
    for what in TRIES:
        if mode == "statement":
            job = put_sql(database, f"select app.attack({_quote(_attack(what))}, {_quote(what)})")
        else:
            job = put(database, "app.attack", {"what": _attack(what), "name": what})
        jobs[what] = (job, put(database, "app.who"))
    drain_once(database)

    assert {what: state(database, job) for what, (job, _) in jobs.items()} == dict.fromkeys(
        TRIES, "succeeded"
    )
    if mode != "statement":
        assert {what: database.result(job) for what, (job, _) in jobs.items()} == TRIES
    assert {database.result(probe) for _, probe in jobs.values()} == {"app app none"}
    assert _nobody_but_app(database) == len(TRIES) + 1
    if mode == "chunk":
        # They shared sessions and transactions with one another.
        assert database.value("select count(distinct pid) from app.witness") == 1


def _quote(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"


def test_a_procedure_that_ends_transactions_stays_its_owner(database: Database) -> None:
    """A2: ROLLBACK first, COMMIT, nested CALL, DO with COMMIT, in child sessions of its owner."""
    database.run(SETUP)
    database.admin(
        "grant insert on app.witness to jobs_producer; grant usage on schema app to jobs_producer"
    )
    database.admin("grant execute on all functions in schema app to jobs_producer")
    climbing = [what for what in TRIES if "role" in what or "authorization" in what]
    text = " ".join(
        f"perform app.attack({_quote(what)}, 'in one'); commit; rollback;" for what in climbing
    )
    jobs = [
        *(put(database, "app.assault", {"what": what, "name": what}) for what in climbing[:6]),
        *(put_sql(database, f"call app.assault({_quote(what)}, 'call')") for what in climbing[6:9]),
        put_sql(database, f"do $do$ begin rollback; {text} end $do$"),
        put_sql(
            database,
            "do $do$ begin rollback; call app.nested('reset role', 'do'); commit; end $do$",
        ),
    ]
    after = put(database, "app.who")
    database.drain(timeout=30)
    assert {state(database, job) for job in (*jobs, after)} == {"succeeded"}
    assert database.result(after) == "app app none"
    assert _nobody_but_app(database) >= 9 * 4 + len(climbing) + 1


def test_a_function_cannot_end_the_workers_transaction(database: Database) -> None:
    """A2: in the worker's own transaction COMMIT and ROLLBACK are refused, in whatever they are
    wrapped.
    """
    database.run(SETUP)
    database.admin("update jobs_internal.queue set max_attempts = 1")
    database.run(
        """create function app.end_it(what text) returns text language plpgsql as $$
        begin
          if what = 'commit' then commit;
          elsif what = 'rollback' then rollback;
          else execute what; end if;
          return 'ended';
        exception when others then
          perform app.strike(what);
          return sqlstate;
        end $$"""
    )
    ends = {
        "commit": "2D000",
        "rollback": "2D000",
        "call app.assault('reset role', 'x')": "2D000",
        "do 'begin rollback; end'": "2D000",
        "commit and chain": "0A000",
        "rollback to savepoint x": "0A000",
        "prepare transaction 'x'": "0A000",
        "begin": "0A000",
        "call jobs_internal.work(0, null)": "2D000",
        "call jobs.await(1, '1 s')": "PW037",  # it says so itself
        "vacuum": "25001",
    }
    jobs = {what: put(database, "app.end_it", {"what": what}) for what in ends}
    after = put(database, "app.who")
    database.drain()
    assert {what: database.result(job) for what, job in jobs.items()} == ends
    assert database.result(after) == "app app none"
    assert _nobody_but_app(database) == len(ends)


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
                f"do $do$ begin perform app.run({_quote(what)}); commit;"
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
    assert _nobody_but_app(database) > 8
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


# A15: signals.


def test_a_job_signals_nobody_but_its_own_role(database: Database) -> None:
    """A15: pg_cancel_backend and pg_terminate_backend on the supervisor, on other owners,
    on the administrator.
    """
    database.run(
        """create function app.signal(pid integer) returns text language plpgsql as $$
        begin
          perform pg_cancel_backend(pid), pg_terminate_backend(pid);
          return 'done';
        exception when insufficient_privilege then
          return sqlstate;
        end $$"""
    )
    with gate_shut(database):
        theirs = put(database, "other.gate", role="other")
        child = put_sql(database, "do $$ begin perform other.gate(2); commit; end $$", role="other")
        database.run("select jobs.start(2)", role="other")
        wait_at_gate(database, 2)
        supervisor = database.connect("supervisor")
        assert supervisor.execute(
            "select jobs_internal.supervisor_open('x', 'x', 1, 'x')"
        ).fetchone()
        targets = [
            row[0]
            for row in database.admin(
                "select pid from pg_stat_activity where usename in ('other', 'supervisor',"
                " 'postgres')"
                " and datname = current_database()"
            )
        ]
        assert len(targets) >= 5
        jobs = [put(database, "app.signal", {"pid": pid}) for pid in targets]
        children = [
            put_sql(database, f"do $$ begin perform pg_terminate_backend({pid}); commit; end $$")
            for pid in targets
        ]
        for job in (*jobs, *children):
            database.run("select jobs.start()")
            wait_for(database, job)
        assert {database.result(job) for job in jobs} == {"42501"}
        assert {database.job(job)["error"]["sqlstate"] for job in children} == {"42501"}
        assert {state(database, job) for job in (theirs, child)} == {"running"}
        assert supervisor.execute("select 1").fetchone() == (1,)
    database.drain(role="other")
    assert {state(database, job) for job in (theirs, child)} == {"succeeded"}


@pytest.mark.parametrize("how", ["pg_cancel_backend", "pg_terminate_backend"])
def test_a_job_that_signals_a_sibling_costs_it_no_attempt(database: Database, how: str) -> None:
    """A15: PostgreSQL lets a role signal its own sessions: the sibling is undone, and runs again,
    uncharged.
    """
    with gate_shut(database):
        sibling = put(database, "app.gate", {"n": 1}, max_attempts=1)
        database.run("select jobs.start()")
        (pid,) = wait_at_gate(database)
        killer = put(database, "app.run", {"what": f"select {how}({pid})"})
        database.run("select jobs.start()")
        wait_for(database, killer, "succeeded")
        wait_until(lambda: state(database, sibling) in ("queued", "scheduled"))
    database.drain()
    assert state(database, sibling) == "succeeded"
    assert database.run(
        "select attempt, outcome from jobs.attempts where job_id = %s", [sibling]
    ) == [(1, "succeeded")]
    assert database.run("select count(*) from app.ledger") == [(1,)]


@pytest.mark.parametrize("noted", ["child_pid", "pid"])
def test_a_supervisor_signals_only_the_session_that_ran_it(
    database: Database, server: Server, noted: str
) -> None:
    """A15: an owner cannot have the supervisor signal somebody else: by a noted child,
    by a name.
    """
    put(database, "app.note", {"n": 0})
    database.drain()
    victim = database.connect("other")
    pid = victim.info.backend_pid
    job = put(database, "app.gate", {"n": 1})
    session = database.value("select jobs_internal.open_session(jobs_internal.schema_version())")
    lane, message, lease = database.run(
        "select c.lane_id, c.msg_ids[1], c.lease from jobs_internal.claim(%s, 0, null, false,"
        " 1) as c",
        [session],
    )[0]
    item = database.value(
        "select i::text from unnest(jobs_internal.open_chunk(%s, array[%s::bigint], %s, -1,"
        " false)) as i",
        [lane, message, lease],
    )
    database.run(
        "select jobs_internal.begin_alone(%s, %s, %s::jobs_internal.work_item)",
        [session, lane, item],
    )
    if noted == "child_pid":
        assert (
            database.value("select jobs_internal.note_child(%s, %s, 1, %s)", [session, job, pid])
            is None
        )
    else:
        # The name of a session counts for sessions of its own role alone.
        victim.execute("select set_config('application_name', %s, false)", [f"pw {job}/1 1"])
    supervisor = database.value(
        "select jobs_internal.supervisor_open('x', 'x', 1, 'x')", role="supervisor"
    )
    database.admin(
        "insert into jobs_internal.stop_request (job_id, attempt, reason, requested_by) values"
        " (%s, 1, 'cancelled', 'x')",
        [job],
    )
    signalled: list[Any] = []

    def pressed() -> bool:
        signalled.extend(
            database.run(
                "select * from jobs_internal.supervisor_send_stop_signals(%s)",
                [supervisor],
                role="supervisor",
            )
        )
        return bool(signalled)

    # The signal is for the line of app, which says so the next time that it is used.
    own = database.line().info.backend_pid
    wait_until(pressed)
    assert {one[0]["pid"] for one in signalled} == {own}
    assert victim.execute("select 1").fetchone() == (1,)
    assert sqlstate_of(lambda: database.run("select pg_sleep(0.1)")) in (None, "57014")
    database.run("select jobs_internal.requeue_uncharged(%s, %s, 1)", [session, job])
    database.run("select jobs_internal.close_session(%s, null)", [session])

"""What a job tries that wants to be more than its owner."""

from support import Database

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


def attack_of(what: str) -> str:
    return "select app.definer()" if what == "security definer as oneself" else what


def assert_only_app(database: Database) -> int:
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


def quoted(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"

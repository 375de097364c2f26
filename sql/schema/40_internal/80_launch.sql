-- Launching worker sessions. Invoker on purpose: a session launched by a privileged one could climb to its rights; only a launch from a
-- connection authenticated as the owner holds. The SET clauses are what the worker inherits: no time limit of the launcher's.

-- Purpose: refuse a session whose user is not its login, unless it took that role on when it connected, because ALTER ROLE or ALTER DATABASE says so:
-- such a one works as its login, with SET ROLE NONE. Invoker on purpose: it asks who the caller is. Errors: PW051.
create or replace function jobs_internal.assert_own_login()
returns void
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $$
begin
  -- Inside a function of a definer's the role is not the current user, and cannot be changed.
  if current_user <> session_user and (current_user <> pg_catalog.current_setting('role')
    or current_user is distinct from (
      select pg_catalog.substr(c.setting, 6)
      from pg_catalog.pg_db_role_setting as d
      cross join lateral pg_catalog.unnest(d.setconfig) as c (setting)
      where c.setting like 'role=%' and d.setrole in (0, pg_catalog.quote_ident(session_user)::regrole)
        and d.setdatabase in (0, (select b.oid from pg_catalog.pg_database as b where b.datname = pg_catalog.current_database()))
      order by d.setrole <> 0 desc, d.setdatabase <> 0 desc
      limit 1))
  then
    raise exception using errcode = 'PW051', message = 'a worker session must run as its own login',
      detail = pg_catalog.format('session_user is %s, current_user is %s.', session_user, current_user),
      hint = 'First: set role none. A retry cannot help before that.';
  end if;
end
$$;
comment on function jobs_internal.assert_own_login() is 'Refuses a session whose user is neither its login nor what ALTER ROLE makes of it';

-- Purpose: launch worker sessions of the connected login. Returns how many; fewer than asked when the server has no worker slot left.
-- Errors: PW051 under SET ROLE; 53000/53400, with what it means, when not even one slot was free.
create or replace function jobs_internal.launch(p_sessions integer, p_linger interval)
returns integer
language plpgsql volatile
set search_path = pg_catalog, pg_temp
set statement_timeout = 0
set transaction_timeout = 0
set lock_timeout = 0
set idle_in_transaction_session_timeout = 0
set default_transaction_isolation = 'read committed'
set default_transaction_read_only = off
set client_min_messages = error
set exit_on_error = off
as $$
declare
  v_handle record;
  v_role text := current_user;
  v_count integer := 0;
  v_submit text := pg_catalog.format('select h.pid, h.cookie from %s($1, 65536, %L) as h', jobs_internal.background('submit'), 'pyworker worker');
  v_detach text := pg_catalog.format('select %s($1, $2)', jobs_internal.background('detach'));
  v_call text := pg_catalog.format('call jobs_internal.work(%s, %L)', (extract(epoch from p_linger) * 1000)::integer,
    pg_catalog.pg_current_xact_id_if_assigned());
begin
  if v_role <> session_user then
    perform jobs_internal.assert_own_login(), pg_catalog.set_config('role', 'none', true);  -- the sessions inherit this
  end if;
  perform pg_catalog.set_config('pg_background.worker_timeout', '0', true);  -- a time limit too: of the whole session
  for v_i in 1 .. p_sessions loop
    begin
      execute v_submit into v_handle using v_call;
    exception
      when insufficient_resources or configuration_limit_exceeded or too_many_connections then
        if v_count operator(pg_catalog.=) 0 then
          raise exception using errcode = sqlstate, message = 'no worker slot is free: no session was started',
            detail = pg_catalog.format('PostgreSQL says: %s. The server has %s worker slots (max_worker_processes), for everything that'
              ' runs in the background; this session may have %s of them (pg_background.max_workers).', sqlerrm,
              pg_catalog.current_setting('max_worker_processes'), pg_catalog.current_setting('pg_background.max_workers', true)),
            hint = 'Try again when a session has ended; a supervisor does so by itself, and no job is lost. Where it stays so, '
              '`pyworker check` tells how many slots are needed.';
        end if;
        exit;
    end;
    execute v_detach using v_handle.pid, v_handle.cookie;
    v_count := v_count operator(pg_catalog.+) 1;
  end loop;
  if v_role <> session_user then
    perform pg_catalog.set_config('role', v_role, true);
  end if;
  return v_count;
end
$$;
comment on function jobs_internal.launch(integer, interval) is 'Launches worker sessions of the connected login; returns how many';

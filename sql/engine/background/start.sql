-- Launching worker sessions. Invoker on purpose: a session launched by a privileged one could climb
-- to its rights; only a launch from a connection authenticated as the owner holds. The SET clauses
-- are what the worker inherits: no time limit of the launcher's.

-- Refuse a session whose user is not its login, unless it took that role on when it connected,
-- because ALTER ROLE or ALTER DATABASE says so: such a one works as its login, with SET ROLE NONE.
-- Refuse one that took on another login's name: its worker sessions would keep the rights of the
-- one that connected, and their children would be taken for strangers.
-- Invoker on purpose: it asks who the caller is. Errors: PW051.
create or replace function jobs_internal.assert_own_login()
returns void
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $$
declare
  v_connected oid := (select a.usesysid from pg_stat_get_activity(pg_backend_pid()) as a);
begin
  if v_connected <> quote_ident(session_user)::regrole then
    raise exception using errcode = 'PW051', message = 'a worker session must run as its own login',
      detail = format('session_user is %s, and the session connected as another role.',
          session_user),
      hint = format('Connect as %s. A retry cannot help before that.', quote_ident(session_user));
  end if;
  -- Inside a function of a definer's the role is not the current user, and cannot be changed.
  if current_user <> session_user and (current_user <> current_setting('role')
    or current_user is distinct from (
      select substr(c.setting, 6)
      from pg_db_role_setting as d
      cross join lateral unnest(d.setconfig) as c (setting)
      where c.setting like 'role=%' and d.setrole in (0, quote_ident(session_user)::regrole)
        and d.setdatabase in (0, (select b.oid from pg_database as b
              where b.datname = current_database()))
      order by d.setrole <> 0 desc, d.setdatabase <> 0 desc
      limit 1))
  then
    raise exception using errcode = 'PW051', message = 'a worker session must run as its own login',
      detail = format('session_user is %s, current_user is %s.', session_user, current_user),
      hint = 'First: set role none. A retry cannot help before that.';
  end if;
end
$$;

-- Launch worker sessions of the connected login. Returns how many; fewer than asked when the server
-- has no worker slot left.
-- Errors: PW051 under SET ROLE or SET SESSION AUTHORIZATION; 53000/53400, with what it means, when
-- not even one slot was free; 57P02 when the server has lost its postmaster, which this session
-- outlives for a moment.
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
  v_submit text := format('select h.pid, h.cookie from %s($1, 65536, %L) as h',
      jobs_internal.background('submit'), 'pyworker worker');
  v_detach text := format('select %s($1, $2)', jobs_internal.background('detach'));
  v_call text := format('call jobs_internal.work(%s, %L)',
      (extract(epoch from p_linger) * 1000)::integer,
    pg_current_xact_id_if_assigned());
begin
  perform jobs_internal.assert_own_login();
  if v_role <> session_user then
    perform set_config('role', 'none', true);  -- the sessions inherit this
  end if;
  -- a time limit too: of the whole session
  perform set_config('pg_background.worker_timeout', '0', true);
  for v_i in 1 .. p_sessions loop
    begin
      execute v_submit into v_handle using v_call;
    exception
      when insufficient_resources or configuration_limit_exceeded or too_many_connections then
        -- pg_background gives this the SQLSTATE of a slot that is missing; its texts are not
        -- translated.
        if sqlerrm like '%without postmaster%' then
          raise exception using errcode = '57P02',
            message = 'the server is ending: no session was started',
            detail = format('PostgreSQL says: %s.', sqlerrm),
            hint = 'Try again when the server is back; a supervisor does so by itself, and no job '
              'is lost.';
        end if;
        if v_count = 0 then
          raise exception using errcode = sqlstate,
            message = 'no worker slot is free: no session was started',
            detail = format('PostgreSQL says: %s. The server has %s worker slots '
              '(max_worker_processes), for everything that'
              ' runs in the background; this session may have %s of them '
              '(pg_background.max_workers).', sqlerrm,
              current_setting('max_worker_processes'),
                current_setting('pg_background.max_workers', true)),
            hint = 'Try again when a session has ended; a supervisor does so by itself, and no job '
              'is lost. Where it stays so, '
              '`pyworker check` tells how many slots are needed.';
        end if;
        exit;
    end;
    execute v_detach using v_handle.pid, v_handle.cookie;
    v_count := v_count + 1;
  end loop;
  if v_role <> session_user then
    perform set_config('role', v_role, true);
  end if;
  return v_count;
end
$$;

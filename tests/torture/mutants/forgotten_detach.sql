-- The launcher keeps the handle of each session that it has launched.

-- Replaces jobs_internal.launch, md5 b48caf33fe3bfe6c3d782851b34339d8.
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

    v_count := v_count + 1;
  end loop;
  if v_role <> session_user then
    perform set_config('role', v_role, true);
  end if;
  return v_count;
end
$$;

-- One statement in a session of its own.

-- Run a statement in the background, in a session of the caller's login: it commits by itself,
-- whatever becomes of this transaction. It inherits the settings that hold where this is called.
-- p_label: what pg_stat_activity shows of it. p_wait_ms: wait for its end, for so long at most;
-- null: do not. p_until_shown: wait until the server shows the session, or it has ended, some
-- seconds at most. Invoker on purpose: a session launched by a privileged one could climb to its
-- rights.
-- Errors: 53000, 53400, 53300 where no worker slot is free.
create or replace function jobs_internal.run_in_background(p_statement text, p_label text,
    p_wait_ms integer default null, p_until_shown boolean default false)
returns void
language plpgsql volatile
set search_path = pg_catalog, pg_temp
as $$
declare
  v_handle record;
  v_wait text := format('select %s($1, $2, $3)', jobs_internal.background('wait'));
  v_ended boolean := false;
begin
  execute format('select h.pid, h.cookie from %s($1, 0, $2) as h',
      jobs_internal.background('submit'))
  into v_handle using p_statement, p_label;
  if p_wait_ms is not null then
    execute v_wait into v_ended using v_handle.pid, v_handle.cookie, p_wait_ms;
  end if;
  for v_look in 1 .. 1000 loop
    exit when v_ended or not p_until_shown;
    perform pg_stat_clear_snapshot();
    exit when exists (select from pg_stat_get_activity(v_handle.pid));
    execute v_wait into v_ended using v_handle.pid, v_handle.cookie, 1;
  end loop;
  execute format('select %s($1, $2)', jobs_internal.background('detach'))
    using v_handle.pid, v_handle.cookie;
end
$$;

-- One statement in a session of its own.

-- Run a statement in the background, in a session of the caller's login: it commits by itself,
-- whatever becomes of this transaction. It inherits the settings that hold where this is called.
-- p_label: what pg_stat_activity shows of it. p_wait_ms: wait for its end, for so long at most;
-- null: do not. Invoker on purpose: a session launched by a privileged one could climb to its
-- rights.
-- Errors: 53000, 53400, 53300 where no worker slot is free.
create or replace function jobs_internal.run_in_background(p_statement text, p_label text,
    p_wait_ms integer default null)
returns void
language plpgsql volatile
set search_path = pg_catalog, pg_temp
as $$
declare
  v_handle record;
begin
  execute format('select h.pid, h.cookie from %s($1, 0, $2) as h',
      jobs_internal.background('submit'))
  into v_handle using p_statement, p_label;
  if p_wait_ms is not null then
    execute format('select %s($1, $2, $3)', jobs_internal.background('wait'))
      using v_handle.pid, v_handle.cookie, p_wait_ms;
  end if;
  execute format('select %s($1, $2)', jobs_internal.background('detach'))
    using v_handle.pid, v_handle.cookie;
end
$$;

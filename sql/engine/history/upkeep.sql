-- The upkeep of history: each bucket one step further.

-- Launch one statement of the upkeep at top level, in a session of its own that is not waited for.
-- False: no worker slot is free. It may wait for a lock for an hour, then it gives up: what it
-- waits for are readers of history, which may be long; a later round tries again.
create or replace function jobs_internal.launch_upkeep(p_statement text, p_label text)
returns boolean
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp
set lock_timeout = '1h'
set statement_timeout = 0
as $$
begin
  perform jobs_internal.run_in_background(p_statement, p_label);
  return true;
exception
  when insufficient_resources or configuration_limit_exceeded or too_many_connections then
    return false;
end
$$;

-- One round: every bucket goes one step further where it can. Two rounds at once: the second does
-- nothing. Returns {dropped: buckets that are gone, more: there is more to do at once}. Locks:
-- history_class (row 1, skip locked).
create or replace function jobs_internal.step_history()
returns jsonb
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp
as $$
declare
  v_dropped integer;
  v_steps integer;
begin
  perform from jobs_internal.history_class as c where c.id = 1 for no key update skip locked;
  if not found then
    return '{"dropped": 0, "more": false}';
  end if;
  v_dropped := jobs_internal.drop_buckets();
  v_steps := v_dropped + jobs_internal.open_buckets() + jobs_internal.close_buckets()
    + jobs_internal.expire_buckets()
    + jobs_internal.drop_operations()
    + jobs_internal.detach_next()::integer + jobs_internal.move_queues()
      + jobs_internal.make_buckets() + jobs_internal.leave_classes();
  return jsonb_build_object('dropped', v_dropped, 'more', v_steps > 0);
end
$$;

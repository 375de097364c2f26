-- Gates before a lane: what makes a job wait outside of it although it is due. A job enters its
-- lane at three places: move_due_of, enter_lane, and the direct sends of store.sql and
-- store_many.sql, which leave a job with such an option to the other two. So a new gate is one line
-- in pass_gates, and its key in is_gated.

-- Whether a job with these options has to pass gates; null or false for nearly all.
-- No SET clause: so that it becomes a part of the query that calls it.
create or replace function jobs_internal.is_gated(p_options jsonb)
returns boolean
language sql immutable
begin atomic
  select p_options ?| array['window', 'concurrency_key'];
end;

-- Of some locked jobs that are due: those that may enter their lane now, in their order. The
-- others are put to wait: due_at is infinity, and a row of a table of the gate says for what; or
-- due_at is a later time. First windows: what is held for a job that may start is not held for one
-- that may not. Writes: job, window_wait, key_wait, key_held.
create or replace function jobs_internal.pass_gates(p_jobs bigint[])
returns bigint[]
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp
as $$
declare
  v_free bigint[] := jobs_internal.pass_windows(p_jobs);
  v_wait bigint[] := jobs_internal.wait_for_keys(v_free);
begin
  return array(
    select u from unnest(v_free) as u except select w from unnest(v_wait) as w order by 1);
end
$$;

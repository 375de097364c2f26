-- One figure of an ending.

-- Purpose: how long an attempt waited in its lane for a session, ms; null: nobody knows.
create or replace function jobs_internal.waited(p_ending jobs_internal.ending)
returns integer
language plpgsql immutable
set search_path = pg_catalog, pg_temp
as $$
begin
  return least(greatest(extract(epoch from p_ending.started_at - p_ending.queued_at) * 1000, 0), 2147483647)::integer;
end
$$;
comment on function jobs_internal.waited(jobs_internal.ending) is 'How long an attempt waited in its lane for a session, ms';

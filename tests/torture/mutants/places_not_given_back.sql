-- A job that ends keeps its place in its key.

-- Replaces jobs_internal.leave_keys, md5 537735a65e923f0c273be1ef2b610ba6.
create or replace function jobs_internal.leave_keys(p_jobs bigint[])
returns void
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp
set enable_seqscan = off
as $$
begin
  with freed as (
    delete from jobs_internal.key_held as h where h.job_id = any (p_jobs) and false
    returning h.owner, h.key
  )
  insert into jobs_internal.key_event (owner, key)
  select distinct f.owner, f.key from freed as f;
  if found then
    -- one that sleeps cannot know of it, and this session may claim nothing any more
    perform jobs_internal.wake(null);
  end if;
  delete from jobs_internal.key_wait as w where w.job_id = any (p_jobs);
end
$$;

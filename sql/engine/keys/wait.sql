-- Keys of concurrency: who waits for a place, and who gives one back. The protocol, with its locks
-- and what could come in between: docs/limits.md.

-- Have jobs wait for a place of their key, but for those that hold one. The caller has locked them,
-- or made them. Returns those that wait. It waits for nothing. Writes: job, key_wait, key_event.
create or replace function jobs_internal.wait_for_keys(p_jobs bigint[])
returns bigint[]
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp
set enable_seqscan = off
set enable_hashjoin = off
set enable_mergejoin = off
as $$
declare
  v_jobs bigint[] := array(
    select j.id from jobs_internal.job as j
    where j.id = any (p_jobs) and j.options ? 'concurrency_key'
      and not exists (select from jobs_internal.key_held as h where h.job_id = j.id));
begin
  if v_jobs = '{}' then
    return v_jobs;
  end if;
  update jobs_internal.job as j set due_at = 'infinity'
  where j.id = any (v_jobs) and j.due_at <> 'infinity';
  insert into jobs_internal.key_wait (owner, key, priority, job_id)
  select j.owner, j.options ->> 'concurrency_key', j.priority, j.id
  from jobs_internal.job as j where j.id = any (v_jobs)
  on conflict do nothing;
  insert into jobs_internal.key_event (owner, key)
  select distinct j.owner, j.options ->> 'concurrency_key'
  from jobs_internal.job as j where j.id = any (v_jobs);
  perform jobs_internal.wake(null);  -- one that sleeps cannot know of it
  return v_jobs;
end
$$;

-- These jobs have ended, or are not in their lane any more and do not run: they give back their
-- place, or wait for none. The caller has locked them, or deleted their rows. It waits for nothing.
-- Writes: key_held, key_wait, key_event.
create or replace function jobs_internal.leave_keys(p_jobs bigint[])
returns void
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp
set enable_seqscan = off
as $$
begin
  with freed as (
    delete from jobs_internal.key_held as h where h.job_id = any (p_jobs)
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

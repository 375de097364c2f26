-- The end of a job is told to none of those that wait for it.

-- Replaces jobs_internal.note_ends, md5 de8d451ec3b8a0346f7c4b6e740a7ecb.
create or replace function jobs_internal.note_ends(p_jobs bigint[], p_state text)
returns void
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp
set enable_seqscan = off
as $$
begin
  return;
  insert into jobs_internal.parent_event (parent, owner, state)
  select distinct d.parent, d.owner, p_state from jobs_internal.dependency as d
  where d.parent = any (p_jobs);
  if found then
    -- one that sleeps cannot know of it, and no session of the children's owner may be there
    perform jobs_internal.wake(null);
  end if;
  if current_setting('transaction_isolation') <> 'read committed' then
    -- It cannot see what was enqueued since its snapshot.
    insert into jobs_internal.parent_event (parent) select j from unnest(p_jobs) as j;
  end if;
end
$$;

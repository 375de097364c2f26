-- What became of jobs that others may wait for, noted for those who follow (follow.sql).

-- Note that jobs have ended, in the transaction that ended them, after their rows went.
-- Writes: parent_event.
create or replace function jobs_internal.note_ends(p_jobs bigint[], p_state text)
returns void
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp
set enable_seqscan = off
as $$
begin
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

-- Note that a job is to be looked at again, where what changed is no row of job that an enqueuer of
-- children would find locked: it is retried, or what ended in doubt is cancelled.
-- Writes: parent_event.
create or replace function jobs_internal.note_change(p_job bigint)
returns void
language sql volatile security definer
set search_path = pg_catalog, pg_temp
set enable_seqscan = off
begin atomic
  insert into jobs_internal.parent_event (parent, owner)
  select distinct d.parent, d.owner from jobs_internal.dependency as d where d.parent = p_job
  union all
  select p_job, null;
end;

-- Find out for whose children an event matters that is there for all. Locks: parent_event (skip
-- locked). Writes: parent_event.
create or replace function jobs_internal.share_events()
returns void
language sql volatile security definer
set search_path = pg_catalog, pg_temp
set enable_seqscan = off
begin atomic
  with taken as (
    delete from jobs_internal.parent_event as e
    where e.id = any (array(
      select o.id from jobs_internal.parent_event as o where o.owner is null
      order by o.id limit 1000 for update skip locked))
    returning e.parent
  )
  insert into jobs_internal.parent_event (parent, owner)
  select distinct d.parent, d.owner
  from (select distinct t.parent from taken as t) as p
  cross join lateral (
    select o.parent, o.owner from jobs_internal.dependency as o where o.parent = p.parent) as d;
end;

-- A person runs a job again that was cancelled: forget the parents that did not end as it wanted.
-- Returns whether there are others that it still waits for. The caller has locked the job's row of
-- finished. Writes: dependency. Errors: 40001, where a snapshot is too old to tell.
create or replace function jobs_internal.forgive_parents(p_job bigint)
returns boolean
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp
as $$
begin
  delete from jobs_internal.dependency as d where d.child = p_job and d.broken;
  perform from jobs_internal.dependency as d where d.child = p_job for update;
  return found;
end
$$;

-- See to dependencies on both sides of which history goes, in a part of the table, another one each
-- time: those of children whose history has gone are removed, and parents that are gone while
-- children wait for them (a job in doubt, which had not ended) are to be looked at.
-- Locks: dependency (skip locked). Writes: parent_event.
create or replace function jobs_internal.sweep_dependencies()
returns void
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp
set enable_hashjoin = off
set enable_mergejoin = off
as $$
declare
  v_part real := jobs_internal.percent_to_sweep('jobs_internal.dependency');
begin
  delete from jobs_internal.dependency as d
  where d.ctid = any (array(
    select o.ctid
    from jobs_internal.dependency as o tablesample system (v_part)
    where not exists (select from jobs_internal.job as j where j.id = o.child)
      and not exists (select from jobs_internal.finished as f where f.id = o.child)
    for update skip locked));
  insert into jobs_internal.parent_event (parent, owner)
  select distinct o.parent, o.owner
  from jobs_internal.dependency as o tablesample system (v_part)
  where not o.broken
    and not exists (select from jobs_internal.job as j where j.id = o.parent)
    and not exists (select from jobs_internal.finished as f where f.id = o.parent);
end
$$;

-- How long a statement of ours waits for locks, while others queue behind it.

-- Set the lock_timeout of the statement that the calling session is about to run in its own
-- transaction, unless its job's settings name one. The server counts the timeout for each lock, and
-- others wait behind the first one meanwhile: so the time is divided by the number of relations
-- that the statement may lock. Returns the time in ms; null: it is none of ours to set.
create or replace function jobs_internal.set_lock_timeout(p_item jobs_internal.work_item)
returns integer
language plpgsql volatile
as $$
declare
  v_manners record;
  v_ms integer;
  v_void pg_catalog.text;
begin
  if exists (select from pg_catalog.jsonb_object_keys(coalesce(p_item.settings, '{}')) as k
    where pg_catalog.lower(k) operator(pg_catalog.=) 'lock_timeout') then
    return null;
  end if;
  select m.* into v_manners from jobs_internal.manners(p_item.job_id) as m;
  if v_manners.kind is null then
    return null;
  end if;
  v_ms := coalesce(v_manners.lock_ms, 0);
  if v_ms operator(pg_catalog.>) 0 and p_item.mode operator(pg_catalog.<>) 'child' then
    v_ms := greatest(10,
        v_ms operator(pg_catalog./) jobs_internal.relations_to_lock(p_item.job_id));
  end if;
  v_void := pg_catalog.set_config('lock_timeout', v_ms::pg_catalog.text, false);
  return v_ms;
end
$$;

-- How many relations a statement of a job of the calling login may lock at a strength behind which
-- others wait: what it names, with partitions, and, for DDL, what foreign keys lead to and from.
create or replace function jobs_internal.relations_to_lock(p_job bigint)
returns integer
language sql stable security definer
set search_path = pg_catalog, pg_temp
begin atomic
  select greatest(count(distinct r.id), 1)::integer
  from jobs_internal.operation as o
  cross join lateral (
    select u.id from unnest(o.relations) as u(id)
    union all
    -- ATTACH asks for the default partition too
    select p.partdefid from pg_partitioned_table as p
    where p.partrelid = any (o.relations) and p.partdefid <> 0 and o.kind = 'attach partition'
    union all
    select case when c.conrelid = any (o.relations) then c.confrelid else c.conrelid end
    from pg_constraint as c
    where c.contype = 'f' and o.kind in ('ddl', 'truncate', 'alter table')
      and (c.conrelid = any (o.relations) or c.confrelid = any (o.relations))
  ) as r
  where o.job_id = p_job and o.owner = jobs_internal.caller();
end;

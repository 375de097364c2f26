-- Commands of which the server shows no progress (REFRESH, the rewrites of ALTER TABLE): how large
-- the new file is, and how long they took before. Reading the size of a file is for superusers:
-- without `grant execute on function pg_stat_file(text, boolean) to jobs_owner` only the second.

-- Whether the size of files may be read.
create or replace function jobs_internal.reads_files()
returns boolean
language sql stable security definer
set search_path = pg_catalog, pg_temp
begin atomic
  select has_function_privilege('pg_catalog.pg_stat_file(text, boolean)', 'execute');
end;

-- The size of a file of a relation with all its segments of a gigabyte, in bytes; null: it is not
-- there. The last segment is searched for, so a large file costs some twenty calls.
create or replace function jobs_internal.size_of_file(p_path text)
returns numeric
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp
as $$
declare
  v_size numeric := (pg_stat_file(p_path, true)).size;
  v_there integer := 0;
  v_step integer := 1;
begin
  if v_size is null or v_size < 1073741824 then
    return v_size;
  end if;
  while v_step < 65536 and (pg_stat_file(p_path || '.' || v_step, true)).size is not null loop
    v_there := v_step;
    v_step := v_step * 2;
  end loop;
  v_step := v_step / 4;
  while v_step >= 1 loop
    if (pg_stat_file(p_path || '.' || v_there + v_step, true)).size is not null then
      v_there := v_there + v_step;
    end if;
    v_step := v_step / 2;
  end loop;
  return v_there * 1073741824::numeric + coalesce((pg_stat_file(p_path || case
        when v_there > 0 then '.' || v_there else '' end, true)).size, 0);
end
$$;

-- The size of the file that a process writes anew: of a relation that it has locked, and of which
-- no row can be seen yet. It stands beside the old one, or is a temporary one. Null: there is none,
-- or it may not be read.
create or replace function jobs_internal.new_file_size(p_pid integer, p_object oid)
returns numeric
language sql volatile security definer
set search_path = pg_catalog, pg_temp
as $$
  select max(jobs_internal.size_of_file(d.directory || f.name))
  from pg_locks as l
  cross join lateral (
    select l.relation::text as name
    union all
    select 't' || b.id || '_' || l.relation from pg_stat_get_backend_idset() as b(id)
    where pg_stat_get_backend_pid(b.id) = p_pid
  ) as f
  cross join lateral (
    select 'base/' || l.database || '/' as directory
    union
    select regexp_replace(pg_relation_filepath(p_object), '[^/]+$', '')
  ) as d
  where l.pid = p_pid and l.locktype = 'relation' and l.granted and l.mode = 'AccessExclusiveLock'
    and l.database = (select d.oid from pg_database as d where d.datname = current_database())
    and not exists (select from pg_class as c where c.oid = l.relation)
    and jobs_internal.reads_files()
$$;

-- The share of an operation that is done by the size of its new file: of the heap, after which the
-- indexes are built, or REFRESH CONCURRENTLY compares, of which nothing shows. Null: it has none,
-- or the old size is not known.
create or replace function jobs_internal.file_share(p_pid integer, p_object oid, p_kind text)
returns numeric
language sql volatile security definer
set search_path = pg_catalog, pg_temp
begin atomic
  -- least() passes over a null
  select case when s.size is not null
    then least(1, s.size / (c.relpages * current_setting('block_size')::numeric))
      * case when p_kind = 'refresh materialized view concurrently' then 0.15
        else 0.5 * c.relpages / (0.5 * c.relpages + coalesce(x.pages, 0)) end end
  from pg_class as c
  left join lateral (
    select sum(k.relpages) as pages
    from pg_index as i
    join pg_class as k on k.oid = i.indexrelid
    where i.indrelid = c.oid and k.relpages > 0
  ) as x on true
  cross join lateral jobs_internal.new_file_size(p_pid, p_object) as s(size)
  where c.oid = p_object and c.relpages > 0;
end;

-- The seconds that operations of this kind on this object took before, the last one counting most;
-- null: none has succeeded without an interruption.
create or replace function jobs_internal.seconds_before(p_operation jobs_internal.operation)
returns numeric
language sql stable security definer
set search_path = pg_catalog, pg_temp
begin atomic
  select sum(e.seconds * e.weight) / nullif(sum(e.weight), 0)
  from (
    select extract(epoch from o.ended_at - o.started_at) as seconds,
      power(0.7, row_number() over (order by o.ended_at desc))::numeric as weight
    from jobs_internal.operation as o
    where o.object = p_operation.object and o.kind = p_operation.kind
      and o.owner = p_operation.owner and o.state = 'succeeded' and o.attempt = 1
      and o.lock_attempts + o.yields + o.step_asides = 0 and o.job_id <> p_operation.job_id
    order by o.ended_at desc
    limit 10
  ) as e;
end;

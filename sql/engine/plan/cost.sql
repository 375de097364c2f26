-- How much disk and time a statement takes: from sizes, and from what earlier ones took.

-- The tables and partitions that an object stands for; of an index its table.
create or replace function jobs_internal.plan_tables(p_object oid)
returns oid[]
language sql stable
set search_path = pg_catalog, pg_temp
begin atomic
  -- from the catalog: pg_partition_tree waits for the lock of each, and keeps it
  select coalesce(array_agg(c.oid order by c.oid) filter (where c.relkind <> 'p'),
    array_agg(c.oid), '{}')
  from (select coalesce((select i.indrelid from pg_index as i where i.indexrelid = p_object),
    p_object) as id) as r
  join pg_class as o on o.oid = r.id
  cross join lateral jobs_internal.members(r.id, o.relkind <> 'p') as m(id)
  join pg_class as c on c.oid = m.id;
end;

-- About how many bytes a new b-tree on columns of a table has: for each row 16 bytes beside the
-- key, its pages nine tenths full. A column whose width is not known counts 16. Invoker on purpose:
-- pg_stats shows what the caller may see.
create or replace function jobs_internal.plan_index_bytes(p_object oid, p_columns jsonb)
returns bigint
language sql stable
set search_path = pg_catalog, pg_temp
set lock_timeout = '50ms'
begin atomic
  select sum(r.tuples * (16 + coalesce(w.width, 16)) / 0.9)::bigint
  from unnest(jobs_internal.plan_tables(p_object)) as t(id)
  join pg_class as c on c.oid = t.id
  join pg_namespace as n on n.oid = c.relnamespace
  -- one that was never analyzed: rows of a hundred bytes
  cross join lateral (select case when c.reltuples >= 0 and c.relpages > 0
      then c.reltuples * (pg_relation_size(c.oid) / (c.relpages * 8192.0))
    else pg_relation_size(c.oid) / 100.0 end as tuples) as r
  cross join lateral (
    select sum(case when a.attlen > 0 then a.attlen else coalesce(s.avg_width, 16) end) as width
    from jsonb_array_elements_text(case when jsonb_typeof(p_columns) = 'array' then p_columns
      else '[]' end) as k(name)
    join pg_attribute as a on a.attrelid = c.oid and a.attname = k.name
    left join pg_stats as s on s.schemaname = n.nspname and s.tablename = c.relname
      and s.attname = k.name and not s.inherited
  ) as w;
end;

-- The disk that a statement needs while it runs, beside what is there; null: it is not known.
create or replace function jobs_internal.plan_disk(p_read jsonb, p_found jsonb,
    p_rewrites boolean)
returns bigint
language sql stable
set search_path = pg_catalog, pg_temp
begin atomic
  select case
    when p_found ->> 'object' is null then null
    when k.kind in ('create index', 'create index concurrently')
      or k.kind = 'add constraint' and p_read -> 'operation' ->> 'class'
        in ('unique', 'primary', 'exclude') and not p_read -> 'operation' ? 'using_index'
      then (p_found ->> 'index_bytes')::bigint
    when k.kind in ('reindex', 'reindex concurrently') then
      case when p_read -> 'target' ->> 'scope' = 'index'
        then (select sum(pg_relation_size(c.oid))::bigint
          from jobs_internal.members(k.object, false) as m(id)
          join pg_class as c on c.oid = m.id and c.relkind = 'i')
        else (select sum(pg_indexes_size(t.id))::bigint
          from unnest(jobs_internal.plan_tables(k.object)) as t(id)) end
    when p_rewrites or k.kind = 'refresh materialized view concurrently'
      then (select sum(pg_total_relation_size(t.id))::bigint
      from unnest(jobs_internal.plan_tables(k.object)) as t(id))
    when p_rewrites is null and coalesce(k.kind, '') <> 'ddl' then null
    when k.kind = 'copy' then null
    else 0 end
  from (select p_read -> 'operation' ->> 'kind' as kind, (p_found ->> 'object')::oid as object)
    as k;
end;

-- How long earlier operations of a kind took on an object: the middle of the last five that
-- succeeded, their last attempts alone. Null: there was none.
create or replace function jobs_internal.past_duration(p_kind text, p_object oid)
returns interval
language sql stable security definer
set search_path = pg_catalog, pg_temp
begin atomic
  select percentile_cont(0.5) within group (order by p.took)
  from (
    select greatest(interval '0', f.finished_at - f.started_at
      - make_interval(secs => coalesce((o.place ->> 'waited')::double precision, 0))) as took
    from jobs_internal.operation as o
    join jobs_internal.finished as f on f.id = o.job_id
    join pg_class as c on c.oid = p_object
    -- of the caller's own, and of tables that are the caller's
    where o.object = p_object and o.kind = p_kind and o.state = 'succeeded'
      and (o.owner = jobs_internal.caller()
        or pg_has_role(jobs_internal.caller(), c.relowner, 'usage'))
    order by o.job_id desc
    limit 5
  ) as p;
end;

-- How long a kind of operation takes for so many pages, by the rates that were learned here; null:
-- none was.
create or replace function jobs_internal.learned_duration(p_kind text, p_pages double precision)
returns interval
language sql stable security definer
set search_path = pg_catalog, pg_temp
begin atomic
  select sum(r.seconds_per_unit) * p_pages * interval '1 second'
  from jobs_internal.phase_rate as r
  where r.kind = p_kind and r.phase !~ '^waiting' and r.method = (
    select m.method from jobs_internal.phase_rate as m where m.kind = p_kind
    order by m.runs desc, m.method limit 1);
end;

-- How long a statement is expected to run, without waits: by its own history, else by what was
-- learned of its kind, else by rates that hold for no disk in particular, in MB of the table a
-- second: 200 to read it, 50 to build an index on it, 30 to write it anew with its indexes.
-- Null: it is not known.
create or replace function jobs_internal.plan_expected(p_read jsonb, p_found jsonb,
    p_rewrites boolean)
returns interval
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $$
declare
  v_kind text := p_read -> 'operation' ->> 'kind';
  v_object oid := (p_found ->> 'object')::oid;
  v_bytes numeric;
  v_rate numeric;
begin
  if v_object is null or v_kind is null then
    return null;
  end if;
  v_bytes := case when p_read -> 'target' ->> 'scope' = 'index' then pg_relation_size(v_object)
    else (select sum(pg_table_size(t.id)) from unnest(jobs_internal.plan_tables(v_object)) as t(id))
    end;
  v_rate := case
    when v_kind = 'create index concurrently' then 30  -- it reads the table twice
    when v_kind in ('create index', 'reindex', 'reindex concurrently') then 50
    when p_rewrites then 30
    when v_kind in ('vacuum', 'validate constraint', 'set not null') then 200
    when v_kind = 'add constraint' then case
        when (p_read -> 'operation' -> 'not_valid')::boolean
          or p_read -> 'operation' ? 'using_index' then 0
        when p_read -> 'operation' ->> 'class' in ('check', 'foreign', 'not') then 200 else 50 end
    when v_kind in ('drop index', 'drop index concurrently', 'detach partition', 'truncate',
      'detach partition concurrently') or v_kind = 'alter table' and not p_rewrites then 0 end;
  return coalesce(jobs_internal.past_duration(v_kind, v_object),
    case when v_rate > 0 then jobs_internal.learned_duration(v_kind, v_bytes / 8192) end,
    case when v_rate = 0 then interval '0'
      else date_trunc('milliseconds', v_bytes / 1048576 / v_rate * interval '1 second') end);
end
$$;

-- The parts of an operation and their phases, with the work in each: what the weights are made of.
-- Read from the catalog by OID: nothing here opens a relation, or waits for a lock.

-- The tables that an operation works on, with their pages, rows, and the pages of their indexes;
-- the largest 200. What was never counted has the pages that the server's progress shows, if any.
create or replace function jobs_internal.operation_tables(p_tables oid[], p_row jsonb)
returns table (id oid, ids jsonb, pages numeric, to_scan numeric, tuples numeric,
    index_pages numeric, dead numeric, sample numeric, extended boolean)
language sql stable security definer
set search_path = pg_catalog, pg_temp
begin atomic
  select c.oid, jsonb_build_array(c.oid::bigint), s.pages,
    -- pages that were changed since count as visible still
    least(s.pages, greatest(s.pages - c.relallvisible, 1) + d.dead),
    greatest(c.reltuples, 0)::numeric, coalesce(x.pages, 0), d.dead,
    least(s.pages, 300 * greatest(current_setting('default_statistics_target')::numeric,
        (select max(a.attstattarget) from pg_attribute as a where a.attrelid = c.oid))),
    exists (select from pg_statistic_ext as e where e.stxrelid = c.oid)
  from pg_class as c
  cross join lateral (
    select greatest(c.relpages, case when (p_row ->> 'relid')::oid = c.oid then coalesce(
        nullif(p_row ->> 'heap_blks_total', '0'), nullif(p_row ->> 'blocks_total', '0'))::numeric
      end, 1)::numeric as pages
  ) as s
  cross join lateral (select pg_stat_get_dead_tuples(c.oid)::numeric as dead) as d
  left join lateral (
    select sum(case when k.relpages > 0 then k.relpages else 0.3 * s.pages end) as pages
    from pg_index as i
    join pg_class as k on k.oid = i.indexrelid
    where i.indrelid = c.oid
  ) as x on true
  where c.oid = any (p_tables) and c.relkind in ('r', 'm', 't', 'p')
  order by s.pages desc, c.oid
  limit 200;
end;

-- The indexes that a REINDEX rebuilds, by table (that of a TOAST table goes with its own).
create or replace function jobs_internal.reindex_parts(p_kind text, p_indexes oid[])
returns jsonb
language sql stable security definer
set search_path = pg_catalog, pg_temp
begin atomic
  select jsonb_agg(jsonb_build_object('ids', p.ids, 'phases',
      case when p_kind = 'reindex' then p.builds
        else '[{"phase": "waiting for writers before build"}]' || p.builds
          || '[{"phase": "waiting for writers before validation"}]' || p.validations
          || '[{"phase": "waiting for readers before marking dead"},
            {"phase": "waiting for readers before dropping"}]' end) order by p.id)
  from (
    select x.id, jsonb_agg(distinct x.heap::bigint) as ids,
      jsonb_path_query_array(jsonb_agg(jobs_internal.build_phases(p_kind, x.method, x.pages,
            x.index, x.name) order by x.index), '$[*][*]') as builds,
      jsonb_path_query_array(jsonb_agg(jobs_internal.validate_phases(p_kind, x.method, x.pages,
            x.index, x.name) order by x.index), '$[*][*]') as validations
    from (
      select i.indexrelid as index, i.indrelid as heap, k.relname as name,
        coalesce((select m.oid from pg_class as m where m.reltoastrelid = i.indrelid
            and t.relkind = 't'), i.indrelid) as id,
        jobs_internal.index_method(i.indexrelid) as method,
        -- what is built is as large as what is there; the table is read for each
        greatest(t.relpages, k.relpages, 1)::numeric as pages
      from pg_index as i
      join pg_class as k on k.oid = i.indexrelid and k.relkind = 'i'
      join pg_class as t on t.oid = i.indrelid
      where i.indexrelid = any (p_indexes)
      order by k.relpages desc
      limit 500
    ) as x
    group by x.id
  ) as p;
end;

-- The pages of the indexes of a table, in the order in which the server rebuilds them.
create or replace function jobs_internal.index_sizes(p_table oid)
returns jsonb
language sql stable security definer
set search_path = pg_catalog, pg_temp
begin atomic
  select coalesce(jsonb_agg(greatest(c.relpages, 1) order by i.indexrelid), '[]')
  from pg_index as i
  join pg_class as c on c.oid = i.indexrelid
  where i.indrelid = p_table;
end;

-- The weights of an operation, as things are now; p_row: the server's progress of it. Null: its
-- kind has no phases that the server shows.
create or replace function jobs_internal.weights_of(p_operation jobs_internal.operation,
    p_row jsonb)
returns jsonb
language plpgsql stable security definer
set search_path = pg_catalog, pg_temp
as $$
declare
  v_kind text := p_operation.kind;
  v_identity jsonb := (select s.identity from jobs_internal.statement as s
      where s.job_id = p_operation.job_id);
  v_analyzes boolean := v_kind = 'analyze' or coalesce((
      select (s.target -> 'analyzes')::boolean from jobs_internal.statement as s
      where s.job_id = p_operation.job_id and jsonb_typeof(s.target -> 'analyzes') = 'boolean'),
    false);
  v_leaves oid[] := array(select (l.v ->> 'oid')::oid
      from jsonb_array_elements(case when jsonb_typeof(v_identity -> 'leaves') = 'array'
        then v_identity -> 'leaves' else '[]' end) as l(v));
  v_tables oid[] := coalesce(nullif(v_leaves, '{}'), p_operation.relations);
  -- a scan by an index does not count pages
  v_by_index boolean := v_kind = 'cluster' and p_row ->> 'heap_blks_total' = '0';
  v_parts jsonb;
  v_tuples numeric;
begin
  if p_row ->> 'view' = 'create_index' and p_row ->> 'command' ilike 'create%' then
    -- the relations of a partitioned build are counted by the server
    select jsonb_build_array(jsonb_build_object('ids', t.ids, 'phases', case
        when p_row ->> 'command' ilike '%concurrently'
          then '[{"phase": "waiting for writers before build"}]'
            || jobs_internal.build_phases(v_kind, m.method, t.pages)
            || '[{"phase": "waiting for writers before validation"}]'
            || jobs_internal.validate_phases(v_kind, m.method, t.pages)
        else jobs_internal.build_phases(v_kind, m.method, t.pages) end)), t.tuples
    into v_parts, v_tuples
    from jobs_internal.operation_tables(array[(p_row ->> 'relid')::oid], p_row) as t
    cross join lateral (
      select coalesce(jobs_internal.index_method(nullif(p_row ->> 'index_relid', '0')::oid),
        jobs_internal.method_in_text(p_operation.job_id, t.id), 'btree varying') as method
    ) as m;
  elsif p_row ->> 'view' = 'create_index' then
    v_parts := jobs_internal.reindex_parts(v_kind, coalesce(nullif(v_leaves, '{}'),
          array(select i.indexrelid from pg_index as i where i.indexrelid = p_operation.object),
          '{}') || case when v_leaves = '{}' then array(select i.indexrelid from pg_index as i
            where i.indrelid = any (p_operation.relations)
              and not exists (select from pg_index as o where o.indexrelid = p_operation.object))
          else '{}' end);
  elsif p_row ->> 'view' in ('vacuum', 'analyze') then
    v_tables := v_tables || array(select c.reltoastrelid from pg_class as c
        where c.oid = any (v_tables) and c.reltoastrelid <> 0 and v_kind = 'vacuum');
    select jsonb_agg(jsonb_build_object('ids', t.ids, 'phases', case when v_kind = 'vacuum'
          then jsonb_build_array(
            jsonb_build_object('phase', 'scanning heap', 'units', t.to_scan),
            jsonb_build_object('phase', 'vacuuming indexes', 'units',
              case when t.dead > 0 then t.index_pages else 0 end, 'sizes',
              jobs_internal.index_sizes(t.id)),
            jsonb_build_object('phase', 'vacuuming heap', 'units', least(t.dead, t.to_scan)))
          else '[]' end
        || case when v_analyzes then jsonb_build_array(
            jsonb_build_object('phase', 'acquiring sample rows', 'units', t.sample),
            jsonb_build_object('phase', 'computing statistics', 'units', t.sample),
            jsonb_build_object('phase', 'computing extended statistics', 'units',
              case when t.extended then t.sample else 0 end))
          else '[]' end))
    into v_parts
    from jobs_internal.operation_tables(v_tables, p_row) as t;
  elsif p_row ->> 'view' = 'cluster' then
    select jsonb_agg(jsonb_build_object('ids', t.ids, 'phases',
          case when v_by_index then jsonb_build_array(
              jsonb_build_object('phase', 'index scanning heap', 'units', t.pages))
            else jsonb_build_array(
              jsonb_build_object('phase', 'seq scanning heap', 'units', t.pages),
              jsonb_build_object('phase', 'sorting tuples', 'units',
                case when v_kind = 'cluster' then t.pages else 0 end),
              jsonb_build_object('phase', 'writing new heap', 'units',
                case when v_kind = 'cluster' then t.pages else 0 end)) end
          || jsonb_build_array(jsonb_build_object('phase', 'rebuilding index', 'units',
              t.index_pages, 'sizes', jobs_internal.index_sizes(t.id))))),
      max(t.tuples) filter (where t.id = (p_row ->> 'relid')::oid)
    into v_parts, v_tuples
    from jobs_internal.operation_tables(v_tables || (p_row ->> 'relid')::oid, p_row) as t;
  elsif p_row ->> 'view' = 'copy' then
    v_tuples := (select greatest(c.reltuples, 0) from pg_class as c
      where c.oid = nullif(p_row ->> 'relid', '0')::oid and p_row ->> 'command' = 'COPY TO');
    v_parts := jsonb_build_array(jsonb_build_object('ids', jsonb_build_array(p_row -> 'relid'),
        'phases', '[{"phase": "copying", "units": 1}]'::jsonb));
  end if;
  if v_parts is null then
    return null;
  end if;
  return jobs_internal.weighted(v_kind, v_parts, nullif(v_tuples, 0));
end
$$;

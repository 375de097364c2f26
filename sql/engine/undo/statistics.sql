-- The way back of ANALYZE, from PostgreSQL 18 on: the statistics as they were before. Extended
-- statistics are left out: PostgreSQL has no way to put them back.

-- The statistics of the tables of an ANALYZE, of their partitions and of their indexes, as the
-- caller sees them: invoker on purpose. missing: why they cannot be kept. p_found: as look_up.
create or replace function jobs_internal.statistics_of(p_target jsonb, p_found jsonb)
returns jsonb
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $$
declare
  v_relations oid[];
begin
  if coalesce(p_target -> 'tables', '[]') = '[]' then
    return '{"missing": "it names no table: PostgreSQL chooses them itself"}';
  end if;
  v_relations := array(
    select m.id
    from (
      select (p_found ->> 'object')::oid as id
      union
      select (e #>> '{}')::oid from jsonb_array_elements(coalesce(p_found -> 'other', '[]')) as e
    ) as t
    cross join lateral jobs_internal.members(t.id, false) as m(id));
  if exists (select from unnest(v_relations) as r(id) where row_security_active(r.id)) then
    return '{"missing": "row security hides the statistics from the owner"}';
  end if;
  return jsonb_build_object('relations', (
    select jsonb_agg(to_jsonb(c) || jsonb_build_object('columns', (
        select coalesce(jsonb_agg(jsonb_build_object('attname', s.attname, 'inherited',
          s.inherited, 'null_frac', s.null_frac, 'avg_width', s.avg_width,
          'n_distinct', s.n_distinct, 'most_common_vals', s.most_common_vals::text,
          'most_common_freqs', s.most_common_freqs::text,
          'histogram_bounds', s.histogram_bounds::text, 'correlation', s.correlation,
          'most_common_elems', s.most_common_elems::text,
          'most_common_elem_freqs', s.most_common_elem_freqs::text,
          'elem_count_histogram', s.elem_count_histogram::text,
          'range_length_histogram', s.range_length_histogram::text,
          'range_empty_frac', s.range_empty_frac,
          'range_bounds_histogram', s.range_bounds_histogram::text)), '[]')
        from pg_stats as s where s.schemaname = c.schema and s.tablename = c.name)))
    from (
      select k.oid::bigint, n.nspname as schema, k.relname as name, k.relpages, k.reltuples,
        k.relallvisible, (to_jsonb(k) ->> 'relallfrozen')::integer as relallfrozen,
        (select jsonb_object_agg(a.attname, a.atttypid::bigint) from pg_attribute as a
          where a.attrelid = k.oid and a.attnum > 0 and not a.attisdropped) as types
      from pg_class as k
      join pg_namespace as n on n.oid = k.relnamespace
      where k.oid = any (v_relations) or k.oid in (
        select i.indexrelid from pg_index as i where i.indrelid = any (v_relations))
    ) as c));
end
$$;

-- ANALYZE: put the statistics back.
create or replace function jobs_internal.way_back_of_analyze(p_job bigint, p_way jsonb,
    out statements text[], out refusal text)
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $$
declare
  v_changed text := (
    select string_agg(format('%I.%I', r.v ->> 'schema', r.v ->> 'name'), ', ')
    from jsonb_array_elements(p_way -> 'relations') as r(v)
    where jobs_internal.qualified((r.v ->> 'oid')::oid)
        is distinct from format('%I.%I', r.v ->> 'schema', r.v ->> 'name')
      or exists (
        select from jsonb_array_elements(r.v -> 'columns') as s(v)
        where not exists (select from pg_attribute as a
          where a.attrelid = (r.v ->> 'oid')::oid and a.attname = s.v ->> 'attname'
            and a.atttypid = (r.v -> 'types' ->> (s.v ->> 'attname'))::oid)));
begin
  if v_changed is not null then
    refusal := format('gone, renamed, or with columns of other names or types: %s', v_changed);
  else
    statements := array[format('select jobs_internal.restore_statistics(%s%s) -- without extended '
        'statistics, and until the next ANALYZE', p_job, ', ' || (p_way ->> 'n'))];
  end if;
end
$$;

-- The statistics that a job of the calling login noted before its ANALYZE. p_step: of a job of
-- several steps.
create or replace function jobs_internal.saved_statistics(p_job bigint, p_step integer)
returns jsonb
language sql stable security definer
set search_path = pg_catalog, pg_temp
begin atomic
  select coalesce((select s.way_back from jobs_internal.step as s
      where s.job_id = p_job and s.n = p_step), o.before -> 'way_back') -> 'relations'
  from jobs_internal.operation as o
  where o.job_id = p_job and o.owner = jobs_internal.caller();
end;

-- Put the statistics back that a job noted, with the rights of its owner, who enqueues this as the
-- way back. It takes SHARE UPDATE EXCLUSIVE on each. Returns: of how many tables and indexes.
create or replace function jobs_internal.restore_statistics(p_job bigint,
    p_step integer default null)
returns integer
language plpgsql volatile
set search_path = pg_catalog, pg_temp
as $$
declare
  v_relation record;
  v_column record;
  v_count integer := 0;
begin
  for v_relation in
    select * from jsonb_to_recordset(jobs_internal.saved_statistics(p_job, p_step)) as r(oid oid,
      schema text, name text, relpages integer, reltuples real, relallvisible integer,
      relallfrozen integer, columns jsonb)
  loop
    perform pg_restore_relation_stats('schemaname', v_relation.schema, 'relname', v_relation.name,
      'relpages', v_relation.relpages, 'reltuples', v_relation.reltuples, 'relallvisible',
      v_relation.relallvisible, 'relallfrozen', v_relation.relallfrozen);
    perform pg_clear_attribute_stats(v_relation.schema, v_relation.name, s.attname::text,
      s.inherited)
    from pg_stats as s
    where s.schemaname = v_relation.schema and s.tablename = v_relation.name;
    for v_column in
      select * from jsonb_to_recordset(v_relation.columns) as c(attname text, inherited boolean,
        null_frac real, avg_width integer, n_distinct real, most_common_vals text,
        most_common_freqs text, histogram_bounds text, correlation real, most_common_elems text,
        most_common_elem_freqs text, elem_count_histogram text, range_length_histogram text,
        range_empty_frac real, range_bounds_histogram text)
    loop
      perform pg_restore_attribute_stats('schemaname', v_relation.schema, 'relname',
        v_relation.name, 'attname', v_column.attname, 'inherited', v_column.inherited,
        'null_frac', v_column.null_frac, 'avg_width', v_column.avg_width,
        'n_distinct', v_column.n_distinct, 'most_common_vals', v_column.most_common_vals,
        'most_common_freqs', v_column.most_common_freqs::real[],
        'histogram_bounds', v_column.histogram_bounds, 'correlation', v_column.correlation,
        'most_common_elems', v_column.most_common_elems,
        'most_common_elem_freqs', v_column.most_common_elem_freqs::real[],
        'elem_count_histogram', v_column.elem_count_histogram::real[],
        'range_length_histogram', v_column.range_length_histogram,
        'range_empty_frac', v_column.range_empty_frac,
        'range_bounds_histogram', v_column.range_bounds_histogram);
    end loop;
    v_count := v_count + 1;
  end loop;
  return v_count;
end
$$;

-- Names as the statement finds them: its path.

-- The path in which a statement, its post-condition and its clean-up run: of its settings, else of
-- its enqueuer, else of its owner.
create or replace function jobs_internal.path_for(p_settings jsonb, p_path text, p_default text)
returns text
language sql immutable
set search_path = pg_catalog, pg_temp
begin atomic
  select coalesce((select max(s.value) from jsonb_each_text(p_settings) as s
        where lower(s.key collate "C") = 'search_path'), p_path, p_default);
end;

-- The OIDs of the names of a target, looked up with the caller's path and rights: invoker on
-- purpose. Null where nothing bears a name; an error where it cannot be known (no right to look
-- into a schema, another database).
create or replace function jobs_internal.found_by(p_target jsonb)
returns jsonb
language sql volatile
begin atomic
  select case p_target operator(pg_catalog.->>) 'kind'
    when 'create_index' then pg_catalog.jsonb_build_object(
      'table', pg_catalog.to_regclass(p_target
          operator(pg_catalog.->>) 'table')::pg_catalog.oid::pg_catalog.int8)
    when 'cluster' then pg_catalog.jsonb_build_object(
      'table', pg_catalog.to_regclass(p_target
          operator(pg_catalog.->>) 'table')::pg_catalog.oid::pg_catalog.int8)
    when 'drop_index' then pg_catalog.jsonb_build_object(
      'index', pg_catalog.to_regclass(p_target
          operator(pg_catalog.->>) 'index')::pg_catalog.oid::pg_catalog.int8)
    when 'detach' then pg_catalog.jsonb_build_object(
      'table', pg_catalog.to_regclass(p_target
          operator(pg_catalog.->>) 'table')::pg_catalog.oid::pg_catalog.int8,
      'partition', pg_catalog.to_regclass(p_target
          operator(pg_catalog.->>) 'partition')::pg_catalog.oid::pg_catalog.int8)
    when 'reindex' then case
        when p_target operator(pg_catalog.->>) 'scope'
          operator(pg_catalog.=) any (array['index', 'table']) then pg_catalog.jsonb_build_object(
          'relation', pg_catalog.to_regclass(p_target
              operator(pg_catalog.->>) 'name')::pg_catalog.oid::pg_catalog.int8)
        when p_target operator(pg_catalog.->>) 'scope' operator(pg_catalog.=) 'schema'
          then pg_catalog.jsonb_build_object(
          'schema', pg_catalog.to_regnamespace(p_target
              operator(pg_catalog.->>) 'name')::pg_catalog.oid::pg_catalog.int8)
        else '{}'::pg_catalog.jsonb end
    else (
      select pg_catalog.jsonb_build_object('tables',
          coalesce(pg_catalog.jsonb_agg(pg_catalog.jsonb_build_object(
        'table', pg_catalog.to_regclass(t.v
            operator(pg_catalog.->>) 'name')::pg_catalog.oid::pg_catalog.int8,
        'only', t.v operator(pg_catalog.->) 'only') order by t.n), '[]'))
      from pg_catalog.jsonb_array_elements(case
          when pg_catalog.jsonb_typeof(p_target operator(pg_catalog.->) 'tables')
            operator(pg_catalog.=) 'array'
        then p_target operator(pg_catalog.->) 'tables' else '[]' end) with ordinality as t(v, n))
    end;
end;

-- What jobs.plan warns of: indexes.

-- An index that does already what a new one would do, or nearly. p_columns: its columns, where the
-- text shows them for sure; then it is a b-tree without a condition.
create or replace function jobs_internal.warn_of_alike(p_table oid, p_columns jsonb,
    p_unique boolean)
returns text
language sql stable
set search_path = pg_catalog, pg_temp
begin atomic
  select string_agg(case
      when i.columns = p_columns
        then format('index %s has the same columns%s', jobs_internal.qualified(i.id),
          case when p_unique and not i.indisunique then ', and may not be needed then' else '' end)
      when i.leads then format('index %s begins with the same columns (%s)',
        jobs_internal.qualified(i.id), i.listed)
      else format('index %s (%s) is the beginning of it, and may not be needed then',
        jobs_internal.qualified(i.id), i.listed) end, '; ' order by i.id)
  from (
    select x.indexrelid as id, k.columns, k.listed, x.indisunique,
      (select jsonb_agg(e.v order by e.n) from jsonb_array_elements(k.columns)
        with ordinality as e(v, n) where e.n <= jsonb_array_length(p.columns)) = p.columns as leads,
      (select jsonb_agg(e.v order by e.n) from jsonb_array_elements(p.columns)
        with ordinality as e(v, n) where e.n <= jsonb_array_length(k.columns)) = k.columns as begins
    from pg_index as x
    join pg_class as c on c.oid = x.indexrelid
    join pg_am as m on m.oid = c.relam and m.amname = 'btree'
    cross join lateral (
      select jsonb_agg(a.attname order by u.n) as columns,
        string_agg(quote_ident(a.attname), ', ' order by u.n) as listed
      from unnest(x.indkey::smallint[]) with ordinality as u(attnum, n)
      join pg_attribute as a on a.attrelid = x.indrelid and a.attnum = u.attnum
      where u.n <= x.indnkeyatts
    ) as k
    -- they are no array where they cannot be read, as with an expression or WHERE
    cross join (select case when jsonb_typeof(p_columns) = 'array' then p_columns end as columns)
      as p
    where x.indrelid = p_table and x.indisvalid and x.indexprs is null and x.indpred is null
  ) as i
  where jsonb_typeof(p_columns) = 'array'
    -- uniqueness is more than any other index gives
    and (i.leads and (not p_unique or i.indisunique and i.columns = p_columns)
      or i.begins and not i.indisunique);
end;

-- What bears the name of a new index already.
create or replace function jobs_internal.warn_of_name(p_table oid, p_index text,
    p_if_not_exists boolean)
returns text
language sql stable
set search_path = pg_catalog, pg_temp
begin atomic
  select format('%s is there already, as %s%s', jobs_internal.qualified(o.oid),
      case o.relkind when 'i' then 'an index' when 'I' then 'an index' when 'v' then 'a view'
        when 'm' then 'a materialized view' when 'S' then 'a sequence' else 'a table' end,
      case when i.indisvalid is false then ' that is invalid'
        when i.indrelid <> p_table then ' of another table' else '' end)
    || case
      when not p_if_not_exists then ': it will fail (42P07)'
      when i.indisvalid and i.indrelid = p_table
        then ': IF NOT EXISTS makes nothing, whatever its definition'
      else ': IF NOT EXISTS makes nothing, and the job fails; drop or rename it first' end
  from pg_class as t
  join pg_class as o on o.relnamespace = t.relnamespace
    and o.relname = (parse_ident(p_index))[1]::name
  left join pg_index as i on i.indexrelid = o.oid
  where t.oid = p_table;
end;

-- Updates that are heap-only until the new index stands on a column that they change.
create or replace function jobs_internal.warn_of_hot(p_table oid, p_columns jsonb)
returns text
language sql stable
set search_path = pg_catalog, pg_temp
begin atomic
  select format('HOT: %s of %s updates of the table were heap-only; those that change %s will '
    'write to each index', s.n_tup_hot_upd, s.n_tup_upd, c.listed)
  from pg_stat_all_tables as s
  cross join lateral (
    select string_agg(quote_ident(k.name), ', ') as listed
    from jsonb_array_elements_text(case when jsonb_typeof(p_columns) = 'array' then p_columns
      else '[]' end) as k(name)
    join pg_attribute as a on a.attrelid = p_table and a.attname = k.name
    -- in an index already: HOT is lost as it is
    where not exists (select from pg_index as i where i.indrelid = p_table
      and a.attnum = any (i.indkey::smallint[]))
  ) as c
  where s.relid = p_table and s.n_tup_hot_upd > 0 and c.listed is not null;
end;

-- All that is to be said of an operation on indexes.
create or replace function jobs_internal.warn_of_index(p_read jsonb, p_object oid)
returns text[]
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $$
declare
  v_kind text := p_read ->> 'kind';
  v_target jsonb := p_read -> 'target';
  v_relkind "char" := (select c.relkind from pg_class as c where c.oid = p_object);
  v_name text := jobs_internal.qualified(p_object);
  v_large boolean := pg_relation_size(p_object) > 8000000;
  v_said text[] := '{}';
begin
  if v_kind in ('create index', 'create index concurrently') then
    v_said := array[
      case when v_relkind = 'p' and v_kind ~ 'concurrently' then format(
        '%s is partitioned: CREATE INDEX CONCURRENTLY fails (0A000). Instead: create index ... on '
        'only %s; create index concurrently on each partition; alter index ... attach partition '
        'each', v_name, v_name) end,
      case when v_relkind <> 'p' and v_kind = 'create index' and v_large
        then 'no row can be written meanwhile: CREATE INDEX CONCURRENTLY lets others write' end,
      jobs_internal.warn_of_name(p_object, v_target ->> 'index', (v_target -> 'exists')::boolean),
      jobs_internal.warn_of_alike(p_object, v_target -> 'columns',
        (v_target -> 'unique')::boolean),
      jobs_internal.warn_of_hot(p_object, v_target -> 'columns'),
      case when (v_target -> 'unique')::boolean and v_kind ~ 'concurrently'
        then 'where two rows have the same key it fails, and the invalid index is dropped' end];
  elsif v_kind = 'drop index concurrently' and v_relkind = 'I' then
    v_said := array['an index of a partitioned table cannot be dropped CONCURRENTLY (0A000): drop '
      'index ' || v_name];
  elsif v_kind = 'drop index' and v_relkind = 'i' then
    v_said := array['no session can read the table while it waits: DROP INDEX CONCURRENTLY waits '
      'without that'];
  elsif v_kind ~ '^reindex' then
    v_said := array[
      case when v_kind = 'reindex' and v_large
        then 'queries of the table wait meanwhile: REINDEX CONCURRENTLY lets them run' end,
      case when v_kind = 'reindex concurrently' and v_target ->> 'scope' = 'table'
        and exists (select from pg_class as c where c.oid = p_object and c.reltoastrelid <> 0)
        then 'it rebuilds the index of its TOAST table too: if it is cut off, only a superuser can '
          'drop what that leaves' end,
      (select format('%s indexes in one statement; one job each is tried again by itself: %s%s',
          count(*), string_agg(format('reindex index concurrently %s',
            jobs_internal.qualified(i.indexrelid)), '; ' order by i.indexrelid)
            filter (where i.n <= 3), case when count(*) > 3 then '; ...' else '' end)
        from (select x.indexrelid, row_number() over (order by x.indexrelid) as n
          from pg_index as x where x.indrelid = p_object) as i
        where v_target ->> 'scope' = 'table' having count(*) > 1)];
  end if;
  return v_said;
end
$$;

-- What jobs.plan warns of: tables.

-- What scans or builds under a lock that others wait for, and the steps that do not.
create or replace function jobs_internal.warn_of_scan(p_read jsonb, p_object oid)
returns text
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $$
declare
  v_operation jsonb := p_read -> 'operation';
  v_column name := (parse_ident(v_operation ->> 'column'))[1];
  v_table text := jobs_internal.qualified(p_object);
  v_attribute record;
begin
  if v_operation ->> 'kind' = 'set not null' then
    select a.attnum, a.attnotnull into v_attribute
    from pg_attribute as a where a.attrelid = p_object and a.attname = v_column;
    return case
      when v_attribute.attnum is null
        then format('%s has no column %s: it will fail (42703)', v_table, v_column)
      when v_attribute.attnotnull then format('column %s is NOT NULL already', v_column)
      when not exists (select from pg_constraint as c where c.conrelid = p_object
          and c.contype = 'c' and c.convalidated
          and pg_get_expr(c.conbin, c.conrelid) = format('(%I IS NOT NULL)', v_column))
        then format('no validated CHECK (%I is not null): all rows are read under ACCESS '
          'EXCLUSIVE; in steps that let others work: jobs.not_null_steps(%L, %L)', v_column,
          v_table, v_column) end;
  elsif v_operation ->> 'kind' = 'add constraint'
    and not (v_operation -> 'not_valid')::boolean and not v_operation ? 'using_index'
  then
    return case
      when v_operation ->> 'class' in ('unique', 'primary') then format('it builds an index under '
        'ACCESS EXCLUSIVE; in steps that let others work: jobs.unique_steps(%L, ...)', v_table)
      when v_operation ->> 'class' in ('check', 'foreign') then format('it checks all rows under '
        '%s; in steps that let others work, NOT VALID and then VALIDATE CONSTRAINT: '
        'jobs.constraint_steps(%L, ...)',
        jobs_internal.lock_in_words(v_operation ->> 'lock_mode'), v_table) end;
  end if;
  return null;
end
$$;

-- What is to be said of partitions that come or go. p_partition: the one.
create or replace function jobs_internal.warn_of_partition(p_kind text, p_object oid,
    p_partition oid)
returns text
language sql stable
set search_path = pg_catalog, pg_temp
begin atomic
  select case
    when p_kind = 'attach partition' then concat_ws('; ',
      'on the partition it takes ACCESS EXCLUSIVE',
      case when not exists (select from pg_constraint as c where c.conrelid = p_partition
        and c.contype = 'c' and c.convalidated)
        then 'no validated CHECK of the partition shows that its rows fit: all of them are read '
          'under that lock' end)
    when p_kind ~ '^detach' then concat_ws('; ',
      case when p_kind = 'detach partition concurrently' and exists (
        select from pg_partitioned_table as t where t.partrelid = p_object and t.partdefid <> 0)
        then 'the table has a default partition: CONCURRENTLY fails (55000)' end,
      case when p_kind = 'detach partition concurrently' and exists (
        select from pg_inherits as h where h.inhparent = p_object and h.inhdetachpending)
        then 'another partition is half detached: it fails (55000) until that is finished' end,
      case when (select count(*) from pg_inherits as h where h.inhparent = p_object) > 2
        then 'several partitions: one job each, which run one after another' end)
    end;
end;

-- Materialized views that are refreshed CONCURRENTLY.
create or replace function jobs_internal.warn_of_refresh(p_object oid)
returns text
language sql stable
set search_path = pg_catalog, pg_temp
begin atomic
  select concat_ws('; ',
    case when not c.relispopulated then 'it was never filled: CONCURRENTLY fails (55000)' end,
    case when not exists (select from pg_index as i where i.indrelid = c.oid and i.indisunique
      and i.indisvalid and i.indpred is null and i.indexprs is null)
      then 'it has no unique index of plain columns: CONCURRENTLY fails (55000)' end,
    case when s.n_tup_ins + s.n_tup_del > c.reltuples and c.reltuples > 0
      then format('%s rows were inserted and %s deleted by refreshes of a view of %s: most rows '
        'change, and a plain REFRESH is faster', s.n_tup_ins, s.n_tup_del, c.reltuples::bigint)
      when c.reltuples > 100000 then 'every row is compared with the old ones: where most change, '
        'and for a large view, a plain REFRESH is many times faster, and blocks reads' end)
  from pg_class as c
  left join pg_stat_all_tables as s on s.relid = c.oid
  where c.oid = p_object;
end;

-- Triggers that fire: of the table, where rows are written or it is truncated; else those of DDL.
create or replace function jobs_internal.warn_of_triggers(p_read jsonb, p_object oid)
returns text
language sql stable
set search_path = pg_catalog, pg_temp
begin atomic
  select concat_ws('; ',
    (select 'triggers fire: ' || string_agg(t.tgname, ', ' order by t.tgname)
      from pg_trigger as t
      where t.tgrelid = p_object and not t.tgisinternal and t.tgenabled in ('O', 'A')
        -- the events of a trigger: INSERT 4, DELETE 8, UPDATE 16, TRUNCATE 32
        and t.tgtype & case p_read ->> 'kind' when 'insert' then 4 when 'copy' then 4
          when 'delete' then 8 when 'update' then 16 when 'merge' then 28 when 'truncate' then 32
          else 0 end <> 0),
    (select 'event triggers fire: ' || string_agg(e.evtname, ', ' order by e.evtname)
      from pg_event_trigger as e
      where e.evtenabled in ('O', 'A') and p_read ->> 'kind' ~ '^(create|drop|reindex|alter|add|set'
        '|validate|attach|detach|refresh|ddl)' and e.evtevent <> 'login'));
end;

-- All that is to be said of a statement. p_read: what was read from its text; p_found: what its
-- names mean, as look_up_for_plan gives it; null: it has no warning.
create or replace function jobs_internal.plan_warnings(p_read jsonb, p_found jsonb,
    p_lock text, p_rewrites boolean, p_expected interval)
returns text
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $$
declare
  v_kind text := p_read ->> 'kind';
  v_object oid := (p_found ->> 'object')::oid;
  v_said text[];
begin
  if v_object is null then
    return case when p_found ? 'object' then case when (p_read -> 'if_exists')::boolean
          or (p_read -> 'target' -> 'exists')::boolean
        then 'nothing bears that name: it does nothing'
        else 'nothing bears that name yet: an earlier step may make it' end
      when (p_read -> 'relation')::boolean
        then 'which tables it works on cannot be read from its text' end;
  end if;
  v_said := jobs_internal.warn_of_index(p_read, v_object) || array[
    jobs_internal.warn_of_scan(p_read, v_object),
    jobs_internal.warn_of_partition(v_kind, v_object, (p_found -> 'other' ->> 0)::oid),
    case when v_kind = 'refresh materialized view concurrently'
      then jobs_internal.warn_of_refresh(v_object) end,
    case when v_kind = 'refresh materialized view'
      and exists (select from pg_index as i where i.indrelid = v_object and i.indisunique
        and i.indisvalid and i.indpred is null and i.indexprs is null)
      then 'no session can read the view meanwhile: CONCURRENTLY lets them read' end,
    case when p_rewrites and p_lock = 'AccessExclusiveLock' then format('it writes the table '
      'anew%s with its TOAST table and its indexes: others wait for the whole of that%s, on top of '
      'lock_timeout', (select format(' (%s partitions)', cardinality(t))
        from jobs_internal.plan_tables(v_object) as t where cardinality(t) > 1),
      ', about ' || p_expected) end,
    case when v_kind in ('vacuum', 'analyze') and cardinality(jobs_internal.plan_tables(v_object))
      > 1 then format('%s partitions: one job each is tried again by itself',
      cardinality(jobs_internal.plan_tables(v_object))) end,
    jobs_internal.warn_of_triggers(p_read, v_object)];
  return (select nullif(string_agg(w, E'\n'), '') from unnest(v_said) as w where w <> '');
end
$$;

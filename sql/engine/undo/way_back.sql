-- The way back of an operation as statements, with the names that things bear now; refused where it
-- would destroy what came later. What it looks at it reads from catalogs as it is stored there: to
-- have it written out (pg_get_expr) would lock tables, and wait.
--
-- p_way: what was noted. Of a step also then: what the ways back of later steps, which run before,
-- leave (way_back_leaves); as_noted: among them is a statement of a person. Then what PostgreSQL
-- refuses itself is left to it.

-- CREATE INDEX: drop it. as_noted in p_way: under the name that it had then, which other statements
-- give it back before.
create or replace function jobs_internal.way_back_of_build(p_way jsonb, out statements text[],
    out refusal text)
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $$
declare
  v_index record;
  v_name text;
  v_given boolean := coalesce((p_way -> 'as_noted')::boolean, false);
  v_anew text := p_way #>> array['then', 'made', p_way ->> 'index'];
  v_later text;
begin
  if v_anew is not null then
    -- a later step dropped it, and its way back makes it anew
    statements := array['drop index concurrently ' || v_anew];
    return;
  end if;
  select i.*, jobs_internal.qualified(i.indexrelid) as name, c.relkind into v_index
  from pg_index as i join pg_class as c on c.oid = i.indexrelid
  where i.indexrelid = jobs_internal.index_made(p_way);
  v_later := jobs_internal.parts_that_came_later(v_index.indexrelid, p_way);
  v_name := case when v_given then (
      select format('%I.%I', n.nspname, p_way ->> 'name') from pg_namespace as n
      where n.oid = (p_way ->> 'schema')::oid)
    else v_index.name end;
  refusal := case
    when v_index.indexrelid is null then coalesce((
      select format('%s is something else now', jobs_internal.qualified(c.oid))
      from pg_class as c where c.relnamespace = (p_way ->> 'schema')::oid
        and c.relname = (p_way ->> 'name')::name), 'the index is gone')
    when v_name <> v_index.name and jobs_internal.is_taken_then(p_way)
      then format('the name %s is taken', v_name)
    when jobs_internal.index_definition(v_index.indexrelid) <> p_way ->> 'definition'
      then format('%s has another definition now', v_index.name)
    when not v_given and exists (select from pg_constraint as c
        where c.conindid = v_index.indexrelid
          and not jobs_internal.is_gone_then(p_way, 'constraints', c.oid))
      then format('a constraint stands on %s now', v_index.name)
    when v_index.indisreplident then format('%s is the replica identity of its table now',
      v_index.name)
    when v_index.indisclustered then format('its table is clustered on %s now', v_index.name)
    when not v_given and exists (select from pg_inherits as h
        where h.inhrelid = v_index.indexrelid)
      then format('%s is a part of an index of the partitioned table now', v_index.name)
    when v_later is not null
      then format('indexes of partitions became parts of %s since, and would be dropped with it: '
        '%s', v_index.name, v_later) end;
  if refusal is null then
    statements := array[case v_index.relkind when 'I' then 'drop index ' else
      'drop index concurrently ' end || v_name];
  end if;
end
$$;

-- The indexes of partitions that became parts of an index after it was made: of those that
-- PostgreSQL makes for a new partition it is not known that no person made them. One that was
-- rebuilt is the same. Null: none.
create or replace function jobs_internal.parts_that_came_later(p_index oid, p_way jsonb)
returns text
language sql stable
set search_path = pg_catalog, pg_temp
begin atomic
  select left(string_agg(jobs_internal.qualified(i.indexrelid), ', ' order by i.indexrelid), 500)
  from jobs_internal.members(p_index, false) as m
  join pg_index as i on i.indexrelid = m
  where m <> p_index and not exists (
    select from jsonb_array_elements(case when jsonb_typeof(p_way -> 'parts') = 'array'
      then p_way -> 'parts' else '[]' end) as p(v)
    where (p.v ->> 'index')::oid = m or (p.v ->> 'table')::oid = i.indrelid
      and p.v ->> 'definition' = jobs_internal.index_definition(m));
end;

-- DROP INDEX: make it anew, with what stood beside it.
create or replace function jobs_internal.way_back_of_drop(p_way jsonb, out statements text[],
    out refusal text)
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $$
declare
  v_schema text := (select n.nspname from pg_namespace as n
    where n.oid = (p_way ->> 'schema')::oid);
  v_name text := format('%I.%I', v_schema, p_way ->> 'name');
  v_renamed text := (
    select string_agg(format('%I', k.value), ', ')
    from jsonb_each_text(p_way -> 'columns') as k
    where not exists (select from pg_attribute as a where a.attrelid = (p_way ->> 'table')::oid
      and a.attnum = k.key::smallint and a.attname = k.value and not a.attisdropped));
begin
  refusal := case
    when jobs_internal.qualified((p_way ->> 'table')::oid) is distinct from p_way ->> 'on'
      then format('%s is gone, or has another name now', p_way ->> 'on')
    when not coalesce((p_way -> 'as_noted')::boolean, false) and jobs_internal.is_taken_then(p_way)
      then format('the name %s is taken', v_name)
    when v_renamed is not null
      then format('a column is gone, or has another name now: %s', v_renamed) end;
  if refusal is null then
    statements := array[p_way ->> 'sql']
      || array(select format('alter index %s alter column %s set statistics %s', v_name, s.key,
          s.value)
        from jsonb_each_text(case when jsonb_typeof(p_way -> 'statistics') = 'object'
          then p_way -> 'statistics' else '{}' end) as s)
      || array(select format('comment on index %s is %L', v_name, p_way ->> 'comment')
        where p_way ->> 'comment' is not null)
      || array(select format('alter table %s cluster on %I', p_way ->> 'on', p_way ->> 'name')
        where (p_way -> 'clustered')::boolean);
  end if;
end
$$;

-- ADD CONSTRAINT and SET NOT NULL: drop what was added, never with CASCADE.
create or replace function jobs_internal.way_back_of_constraint(p_way jsonb,
    out statements text[], out refusal text)
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $$
declare
  v_table oid := (p_way ->> 'table')::oid;
  v_made oid[] := array(select (e #>> '{}')::oid from jsonb_array_elements(
      case when jsonb_typeof(p_way -> 'constraints') = 'array' then p_way -> 'constraints'
      else '[]' end) as e);
  v_given boolean := coalesce((p_way -> 'as_noted')::boolean, false);
  v_drops text[];
  v_used text;
begin
  if p_way ->> 'kind' = 'set not null' then
    v_drops := array(select format('alter column %I drop not null', a.attname)
      from pg_attribute as a
      where a.attrelid = v_table and a.attnum = (p_way ->> 'column')::smallint
        and a.attnotnull and not a.attisdropped);
    v_used := (select c.conname from pg_constraint as c where c.conrelid = v_table
      and c.contype = 'p' and (p_way ->> 'column')::smallint = any (c.conkey)
      and not jobs_internal.is_gone_then(p_way, 'constraints', c.oid));
  else
    v_drops := array(select format('drop constraint %I', c.conname) from pg_constraint as c
        where c.oid = any (v_made) order by c.contype = 'n', c.oid)
      || array(select format('alter column %I drop not null', a.attname)
        from pg_attribute as a
        where a.attrelid = v_table and a.attnotnull and case
          when jsonb_typeof(p_way -> 'not_null') = 'array'
          then p_way -> 'not_null' @> to_jsonb(a.attnum) end);
    v_used := (
      select string_agg(distinct pg_describe_object(d.classid, d.objid, d.objsubid), ', ')
      from pg_depend as d
      left join pg_constraint as c on d.refclassid = 'pg_constraint'::regclass
        and c.oid = d.refobjid
      left join pg_constraint as x on d.refclassid = 'pg_class'::regclass
        and x.conindid = d.refobjid and x.contype in ('p', 'u', 'x')
      where coalesce(c.oid, x.oid) = any (v_made) and d.deptype = 'n'
        and not (d.classid = 'pg_constraint'::regclass and (d.objid = any (v_made)
          or jobs_internal.is_gone_then(p_way, 'constraints', d.objid))));
  end if;
  refusal := case
    when v_drops = '{}' then 'it is gone'
    when v_used is not null and not v_given
      then format('something depends on it now: %s', v_used) end;
  if refusal is null then
    statements := array[format('alter table %s %s', jobs_internal.qualified(v_table),
        array_to_string(v_drops, ', '))];
  end if;
end
$$;

-- ATTACH and DETACH: the other one.
create or replace function jobs_internal.way_back_of_partition(p_way jsonb,
    out statements text[], out refusal text)
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $$
declare
  v_parent oid := (p_way ->> 'table')::oid;
  v_partition oid := (p_way ->> 'partition')::oid;
  v_given boolean := coalesce((p_way -> 'as_noted')::boolean, false);
  v_now oid := nullif(coalesce(
      (p_way #>> array['then', 'parents', p_way ->> 'partition'])::oid,
      (select h.inhparent from pg_inherits as h where h.inhrelid = v_partition limit 1)), 0);
  v_left name := (select c.conname from pg_constraint as c where c.oid = (p_way ->> 'left')::oid);
begin
  refusal := case
    when not exists (select from pg_class as c where c.oid = v_partition)
      then 'the partition is gone'
    when not exists (select from pg_class as c where c.oid = v_parent and c.relkind = 'p')
      then 'the partitioned table is gone'
    when not v_given and p_way ->> 'kind' = 'attach partition' and v_now is distinct from v_parent
      then 'it is no partition of that table now'
    when not v_given and p_way ->> 'kind' <> 'attach partition' and v_now is not null
      then format('it is a partition of %s now', jobs_internal.qualified(v_now))
    when p_way ->> 'kind' <> 'attach partition' and p_way ->> 'bound' is null
      then 'its bound was not noted'
    when not v_given and p_way ->> 'kind' <> 'attach partition' and exists (
      select from pg_inherits as h join pg_class as c on c.oid = h.inhrelid
      where h.inhparent = v_parent and c.relpartbound::text = p_way ->> 'stored_bound'
        and p_way #>> array['then', 'parents', c.oid::text] is distinct from '0')
      then 'another partition has its bound now' end;
  if refusal is null then
    statements := case when p_way ->> 'kind' = 'attach partition'
      then array[jobs_internal.detach_text(v_parent, v_partition)]
      else array[format('alter table %s attach partition %s %s',
          jobs_internal.qualified(v_parent), jobs_internal.qualified(v_partition),
          p_way ->> 'bound')]
        || array(select format('alter table %s drop constraint %I',
            jobs_internal.qualified(v_partition), v_left) where v_left is not null) end;
  end if;
end
$$;

-- The way back of an operation, as things are now. p_way: what was noted of it.
-- Returns: statements, or refusal: why there are none.
create or replace function jobs_internal.way_back_now(p_job bigint, p_way jsonb,
    out statements text[], out refusal text)
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $$
declare
  v_kind text := p_way ->> 'kind';
  v_way record;
begin
  if p_way is null or p_way ? 'missing' then
    refusal := coalesce(p_way ->> 'missing', 'how things stood before was not noted');
    return;
  elsif v_kind is null then
    refusal := 'what it made could not be noted';
    return;
  elsif v_kind in ('create index', 'create index concurrently') then
    v_way := jobs_internal.way_back_of_build(p_way);
  elsif v_kind in ('drop index', 'drop index concurrently') then
    v_way := jobs_internal.way_back_of_drop(p_way);
  elsif v_kind in ('add constraint', 'set not null') then
    v_way := jobs_internal.way_back_of_constraint(p_way);
  elsif v_kind = 'analyze' then
    v_way := jobs_internal.way_back_of_analyze(p_job, p_way);
  else
    v_way := jobs_internal.way_back_of_partition(p_way);
  end if;
  statements := v_way.statements;
  refusal := v_way.refusal;
end
$$;

-- The same for people to read: one text.
create or replace function jobs_internal.way_shown(p_job bigint, p_way jsonb, out shown text,
    out refusal text)
language sql stable
set search_path = pg_catalog, pg_temp
begin atomic
  select array_to_string(w.statements, '; '), w.refusal
  from jobs_internal.way_back_now(p_job, p_way) as w
  where not p_way ? 'given';
end;

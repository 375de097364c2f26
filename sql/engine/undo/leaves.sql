-- What the ways back of later steps leave for those of earlier ones: these run after them, and must
-- be judged by the state that they will find.

-- The index that an operation made, as it is now: by OID, else, as REINDEX CONCURRENTLY gives it
-- another OID, by table, schema, name and definition. A rename is no change.
create or replace function jobs_internal.index_made(p_way jsonb)
returns oid
language sql stable
set search_path = pg_catalog, pg_temp
begin atomic
  select i.indexrelid
  from pg_index as i
  join pg_class as c on c.oid = i.indexrelid
  where i.indexrelid = (p_way ->> 'index')::oid
    or i.indrelid = (p_way ->> 'table')::oid and c.relnamespace = (p_way ->> 'schema')::oid
      and c.relname = (p_way ->> 'name')::name
      and jobs_internal.index_definition(i.indexrelid) = p_way ->> 'definition'
  order by i.indexrelid <> (p_way ->> 'index')::oid
  limit 1;
end;

-- Whether something is gone by the time that a way back runs. p_class: relations or constraints.
create or replace function jobs_internal.is_gone_then(p_way jsonb, p_class text, p_oid oid)
returns boolean
language sql immutable
set search_path = pg_catalog, pg_temp
begin atomic
  select coalesce(p_way #> array['then', p_class] @> to_jsonb(p_oid::bigint), false);
end;

-- Whether a name is taken by the time that a way back runs.
create or replace function jobs_internal.is_taken_then(p_way jsonb)
returns boolean
language sql stable
set search_path = pg_catalog, pg_temp
begin atomic
  select exists (select from pg_class as c
    where c.relnamespace = (p_way ->> 'schema')::oid and c.relname = (p_way ->> 'name')::name
      and not jobs_internal.is_gone_then(p_way, 'relations', c.oid));
end;

-- What a way back leaves, beside p_then, which those before it leave: relations and constraints
-- that are gone, indexes that are made anew (OID of before: name), the parents of partitions (0:
-- none).
create or replace function jobs_internal.way_back_leaves(p_way jsonb, p_then jsonb)
returns jsonb
language sql stable
set search_path = pg_catalog, pg_temp
begin atomic
  select p_then || case
    when p_way ->> 'kind' in ('create index', 'create index concurrently') then
      jsonb_build_object('relations', coalesce(p_then -> 'relations', '[]') || (
        select coalesce(jsonb_agg(m::bigint), '[]')
        from jobs_internal.members(jobs_internal.index_made(p_way), false) as m
        where m is not null))
    when p_way ->> 'kind' in ('drop index', 'drop index concurrently') then
      jsonb_build_object('made', coalesce(p_then -> 'made', '{}') || jsonb_build_object(
        p_way ->> 'index', (select format('%I.%I', n.nspname, p_way ->> 'name')
          from pg_namespace as n where n.oid = (p_way ->> 'schema')::oid)))
    when p_way ->> 'kind' = 'add constraint' then jsonb_build_object(
      'constraints', coalesce(p_then -> 'constraints', '[]')
        || coalesce(nullif(p_way -> 'constraints', 'null'), '[]'),
      'relations', coalesce(p_then -> 'relations', '[]') || (
        select coalesce(jsonb_agg(c.conindid::bigint), '[]') from pg_constraint as c
        where p_way -> 'constraints' @> to_jsonb(c.oid::bigint) and c.conindid <> 0
          and c.contype in ('p', 'u', 'x')))
    when p_way ->> 'kind' in ('attach partition', 'detach partition',
      'detach partition concurrently') then
      jsonb_build_object('parents', coalesce(p_then -> 'parents', '{}') || jsonb_build_object(
        p_way ->> 'partition', case when p_way ->> 'kind' = 'attach partition' then '0'
          else p_way -> 'table' end))
    else '{}' end;
end;

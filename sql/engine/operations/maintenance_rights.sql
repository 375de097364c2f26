-- VACUUM and ANALYZE pass over a table that the owner of the job may not maintain, and over what is
-- no table, with a warning that no session hears, and call that a success. So the worker looks
-- before it runs them, and the job fails instead.

-- The first thing that this VACUUM or ANALYZE would pass over; null: none. The tables that it names
-- and their partitions count.
-- Returns: an error object. Invoker on purpose: names are looked up with the caller's path and
--   rights, p_path. Leaves the session with our path.
create or replace function jobs_internal.first_skipped_table(p_target jsonb, p_path text)
returns jsonb
language plpgsql volatile
as $$
declare
  v_found jsonb;
  v_error jsonb;
begin
  if p_target is null or pg_catalog.jsonb_exists(p_target, 'unsure')
    or not coalesce(p_target operator(pg_catalog.->>) 'kind'
        operator(pg_catalog.=) any (array['vacuum', 'analyze']), false)
  then
    return null;
  end if;
  begin
    perform pg_catalog.set_config('search_path', p_path, false);
    v_found := jobs_internal.found_by(p_target);
    perform pg_catalog.set_config('search_path', 'pg_catalog, pg_temp', false);
    v_error := jobs_internal.skip_error(p_target, v_found);
  exception
    when query_canceled then
      raise;
    when others then
      v_error := null;  -- it will say so itself
  end;
  perform pg_catalog.set_config('search_path', 'pg_catalog, pg_temp', false);
  return v_error;
end
$$;

-- The error of a job of which something would be passed over; null: nothing would. The rule is the
-- server's: MAINTAIN on the table, or the database is the caller's; VACUUM works on tables, ANALYZE
-- on foreign tables too.
create or replace function jobs_internal.skip_error(p_target jsonb, p_found jsonb)
returns jsonb
language sql stable
set search_path = pg_catalog, pg_temp
begin atomic
  select case
      when t.kind = 'no table' then jobs_internal.error_object('42809',
        format('%s is no table that %s works on: PostgreSQL would skip it with a warning', t.name,
            upper(p_target ->> 'kind')),
        'Nothing was done.',
        'Name the tables and partitions that it is meant for. A retry cannot help.')
      else jobs_internal.error_object('42501',
        format('permission denied to maintain %s: PostgreSQL would skip it with a warning', t.name),
        'Nothing was done.', format(
        'Ask its owner for: grant maintain on %s to %I. A retry helps after that.', t.name,
          session_user)) end
  from (
    select c.oid::regclass::text as name, m.place,
      case when not (
          c.relkind in ('r', 'm') or c.relkind = 't' and p_target ->> 'kind' = 'vacuum'
          or c.relkind = 'p' and ((p_target -> 'analyzes')::boolean or not (l.v -> 'only')::boolean)
          or c.relkind = 'f' and p_target ->> 'kind' = 'analyze')
        or c.relpersistence = 't' and c.relnamespace <> pg_my_temp_schema() then 'no table'
        when not has_table_privilege(c.oid, 'MAINTAIN')
          and (c.relisshared or not pg_has_role((
            select d.datdba from pg_database as d where d.datname = current_database()), 'USAGE'))
            then 'no right' end as kind
    from jsonb_array_elements(p_found -> 'tables') with ordinality as l(v, n)
    cross join lateral jobs_internal.members((l.v ->> 'table')::oid, (l.v -> 'only')::boolean)
      with ordinality as m(id, place)
    join pg_class as c on c.oid = m.id
  ) as t
  where t.kind is not null
  order by t.place
  limit 1;
end;

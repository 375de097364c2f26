-- The way back of a statement before it runs: the statement, or why there is none.

-- p_rollback: the one that was given with it.
create or replace function jobs_internal.plan_undo(p_read jsonb, p_found jsonb, p_rollback text)
returns text
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $$
declare
  v_operation jsonb := nullif(p_read -> 'operation', 'null');
  v_kind text := v_operation ->> 'kind';
  v_object oid := (p_found ->> 'object')::oid;
  v_name text := jobs_internal.qualified(v_object);
  v_why text := jobs_internal.no_way_back(v_operation);
  v_index text;
begin
  if p_rollback is not null then
    return p_rollback;
  elsif v_why is null and v_object is null then
    v_why := 'what it works on is not known';
  elsif v_why is null and v_kind in ('drop index', 'drop index concurrently')
    and (select c.relkind = 'I' from pg_class as c where c.oid = v_object)
  then
    v_why := 'the indexes of the partitions go with it';
  elsif v_why is null and v_kind = 'set not null' and exists (select from pg_attribute as a
    where a.attrelid = v_object and a.attnotnull
      and a.attname = (parse_ident(v_operation ->> 'column'))[1]::name)
  then
    v_why := 'the column is NOT NULL already';
  end if;
  if v_why is not null then
    return 'none: ' || v_why || case when v_why ~ 'not known$' then '; give rollback' else '' end;
  end if;
  v_index := p_read -> 'target' ->> 'index';
  return case
    when v_kind in ('create index', 'create index concurrently') then
      case when (select c.relkind = 'p' from pg_class as c where c.oid = v_object)
        then 'drop index ' else 'drop index concurrently ' end
      || case when v_index is null then '<the name that PostgreSQL gives it>'
        else (select quote_ident(n.nspname) || '.' from pg_class as c
          join pg_namespace as n on n.oid = c.relnamespace where c.oid = v_object) || v_index end
    when v_kind in ('drop index', 'drop index concurrently')
      then jobs_internal.create_index_text(v_object)
    when v_kind = 'add constraint' then format('alter table %s drop constraint %s', v_name,
      coalesce(v_operation ->> 'constraint', '<the name that PostgreSQL gives it>'))
    when v_kind = 'set not null' then format('alter table %s alter column %s drop not null',
      v_name, v_operation ->> 'column')
    when v_kind = 'analyze' then 'the statistics as they were before'
    when v_kind in ('detach partition', 'detach partition concurrently') then coalesce(
      jobs_internal.attach_text(v_object, (p_found -> 'other' ->> 0)::oid),
      'none: it is no partition')
    when v_kind = 'attach partition' then coalesce(
      jobs_internal.detach_text(v_object, (p_found -> 'other' ->> 0)::oid),
      'none: the table has no partitions') end;
end
$$;

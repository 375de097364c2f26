-- The texts that call a function: for one job, and for a job among others of a chunk.

-- The query that calls a function and gives its result as jsonb.
-- p_arguments: the arguments of the call, null: none; p_columns: those that are taken out of the
--   job's arguments, with their types, null: none; p_args: the text that stands for these, '$1'
--   say.
create or replace function jobs_internal.result_query(p_func oid, p_arguments text, p_columns text,
    p_args text)
returns text
language plpgsql stable
set search_path = pg_catalog, pg_temp
set quote_all_identifiers = off
as $$
declare
  v_proc record;
  v_from text := case when p_columns is null then ''
    else format(' from pg_catalog.jsonb_to_record(%s) as pyworker_args(%s)', p_args, p_columns) end;
  v_expr text;
  v_single_out text;
begin
  select n.nspname, p.proname, p.prorettype = 'void'::regtype as is_void, p.proretset,
    p.proargmodes, p.proargnames
  into strict v_proc
  from pg_proc as p
  join pg_namespace as n on n.oid = p.pronamespace
  where p.oid = p_func;
  v_expr := format('%I.%I(%s)', v_proc.nspname, v_proc.proname, p_arguments);
  if v_proc.is_void and not v_proc.proretset then
    return format('select pg_catalog.to_jsonb(nullif(%s::pg_catalog.text, %L))%s', v_expr, '',
        v_from);
  end if;
  select min(v_proc.proargnames[u.n]) into v_single_out
  from unnest(v_proc.proargmodes) with ordinality as u(mode, n)
  where u.mode in ('o', 'b', 't')
  having count(*) = 1;
  if v_proc.proretset then
    return format(
      'select jobs_internal.limit_rows(pg_catalog.count(*), pg_catalog.jsonb_agg(s.v)) from '
      '(select %s as v%s limit 1 + jobs_internal.setting(''result_rows'')::pg_catalog.int8) as '
      's',
      case when v_single_out is not null
        then format('pg_catalog.jsonb_build_object(%L, pyworker_row.*)', v_single_out)
        when v_proc.is_void then 'null::pg_catalog.jsonb'
        else 'pg_catalog.to_jsonb(pyworker_row.*)' end,
      case when v_from = '' then format(' from %s as pyworker_row', v_expr)
        else format('%s, lateral %s as pyworker_row', v_from, v_expr) end);
  elsif v_single_out is not null then
    return format('select pg_catalog.jsonb_build_object(%L, %s)%s', v_single_out, v_expr, v_from);
  end if;
  return format('select pg_catalog.to_jsonb(%s)%s', v_expr, v_from);
end
$$;

-- The expression that calls a function for a job of a chunk, a row pyworker_item, where a statement
-- may call it for many of them (run_together); null: where each job has a statement of its own. Its
-- value must be what a statement of its own would give, so it must not see by the snapshot of the
-- whole statement, and not be called once for all of its rows:
--
--   a function that is not VOLATILE sees by the snapshot of the statement that calls it, and one
--     that is IMMUTABLE may be called once
--   an SQL function is put into the statement in place of its call, unless it is SECURITY DEFINER
--     or has settings; what it calls would be called by the statement
--   one of another language may see by any snapshot: of PL/pgSQL it is known that each of its
--     statements has one of its own
--   a domain may have a CHECK, and a default may be an expression, that calls such a function
--   a subquery that does not refer to the row is run once
create or replace function jobs_internal.chunk_call(p_func oid, p_keys text[], p_arguments text,
    p_columns text)
returns text
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $$
declare
  v_proc record;
  v_query text;
  v_whole boolean := jobs_internal.takes_whole(p_func);
begin
  select p.proretset, p.proargdefaults::text as defaults,
    p.provolatile = 'v' and p.prokind = 'f' and (l.lanname = 'plpgsql'
      or l.lanname = 'sql' and (p.prosecdef or p.proconfig is not null)) as is_opaque
  into strict v_proc
  from pg_proc as p
  join pg_language as l on l.oid = p.prolang
  where p.oid = p_func;
  if not v_proc.is_opaque
    or (v_proc.proretset and p_columns is null and not v_whole)
    or not jobs_internal.has_plain_types(p_func)
    -- constants are nodes without others in them
    or (v_proc.defaults ~ '\{(?!CONST )' and not v_whole and exists (
        select from jobs_internal.parameters(p_func) as p
        where p.key <> all (p_keys)))
  then
    return null;
  end if;
  v_query := jobs_internal.result_query(p_func,
    case when v_whole then 'pyworker_item.args' else p_arguments end, p_columns,
    'pyworker_item.args');
  return case when v_proc.proretset or p_columns is not null then format('(%s)', v_query)
    else substr(v_query, length('select ') + 1) end;
end
$$;

-- Whether all types of a function, of its parameters and of its result, are PostgreSQL's own, and
-- such that their values are made without a look at the database.
create or replace function jobs_internal.has_plain_types(p_func oid)
returns boolean
language sql stable
set search_path = pg_catalog, pg_temp
begin atomic
  -- 16384: the first number that the server gives to what people make
  select bool_and(t.oid < 16384 and (t.typtype in ('b', 'r', 'm') or t.oid = 'void'::regtype)
      and t.typnamespace = 'pg_catalog'::regnamespace)
  from pg_proc as p
  cross join lateral unnest(coalesce(p.proallargtypes, p.proargtypes::oid[]) || p.prorettype)
    as u(type_id)
  join pg_type as t on t.oid = u.type_id
  where p.oid = p_func;
end;

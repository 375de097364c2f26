-- Parameters of functions, and which argument names fit them.

-- The name of a type as it stands in a statement that others run, each with a path of its own:
-- always with its schema. format_type leaves out pg_catalog, and a path may name another schema
-- before that.
create or replace function jobs_internal.type_name(p_type oid)
returns text
language sql stable security definer
set search_path = pg_catalog, pg_temp
begin atomic
  select format('%I.%I', n.nspname, t.typname)
  from pg_type as t
  join pg_namespace as n on n.oid = t.typnamespace
  where t.oid = p_type;
end;

-- Input parameters of a function, in order. Everything comes from the catalog.
create or replace function jobs_internal.parameters(p_func oid)
returns table (n integer, name text, key text, type_id oid, type text, mode text, required boolean)
language sql stable security definer
set search_path = pg_catalog, pg_temp
begin atomic
  with p as (
    select p.*, p.proallargtypes is not null as has_out
    from pg_proc as p
    where p.oid = p_func
  ), a as (
    select
      u.n::integer as n, nullif(p.proargnames[u.n], '') as name, u.type_id,
      case when p.has_out then p.proargmodes[u.n]::text else 'i' end as mode,
      p.pronargdefaults as defaults, p.provariadic
    from p, unnest(coalesce(p.proallargtypes, p.proargtypes::oid[])) with ordinality as u(type_id,
        n)
  ), i as (
    select a.*,
      row_number() over (partition by a.mode in ('i', 'b', 'v') order by a.n) as place,
      count(*) over (partition by a.mode in ('i', 'b', 'v')) as places
    from a
    where a.mode <> 't'
  )
  select
    i.n, i.name,
    case when i.mode in ('i', 'b', 'v') then coalesce(i.name, '$' || i.place) end,
    i.type_id, format_type(i.type_id, -1), i.mode,  -- -1: bpchar, not char(1)
    i.mode in ('i', 'b') and i.place <= i.places - i.defaults
  from i
  order by i.n;
end;

-- Why a set of argument names does not fit a function; null when it fits.
-- Returns: an object with code, message, detail, hint.
create or replace function jobs_internal.argument_mismatch(p_func oid, p_keys text[])
returns jsonb
language plpgsql stable security definer
set search_path = pg_catalog, pg_temp
as $$
declare
  v_name text := p_func::regprocedure::text;
  v_unknown text[];
  v_missing text[];
  v_bad text;
  v_proc record;
begin
  select p.prokind, p.prorettype, p.proretset, p.proargmodes, p.pronargs, p.provariadic,
    t.typtype as ret_type
  into v_proc
  from pg_proc as p
  join pg_type as t on t.oid = p.prorettype
  where p.oid = p_func;
  v_bad := case
    when v_proc.prokind = 'a' then 'It is an aggregate.'
    when v_proc.prokind = 'w' then 'It is a window function.'
    when v_proc.prorettype in ('trigger'::regtype, 'event_trigger'::regtype)
      then 'It is a trigger function.'
    when v_proc.provariadic = '"any"'::regtype then 'It has a VARIADIC "any" parameter.'
    when v_proc.ret_type = 'p' and v_proc.prorettype not in ('void'::regtype, 'record'::regtype)
      then format('It returns the pseudo-type %s.', v_proc.prorettype::regtype)
    when v_proc.prorettype = 'record'::regtype and v_proc.prokind = 'f'
      and not coalesce(v_proc.proargmodes && array['o', 'b', 't']::"char"[], false)
      then 'It returns record without a list of columns.'
  end;
  if v_bad is null then
    select format('Parameter %s has the pseudo-type %s.', p.key, p.type) into v_bad
    from jobs_internal.parameters(p_func) as p
    join pg_type as t on t.oid = p.type_id
    where t.typtype = 'p' and p.mode <> 'o'
    limit 1;
  end if;
  if v_bad is not null then
    return jsonb_build_object('code', 'PW016', 'message', format('%s cannot be a job', v_name),
        'detail', v_bad,
      'hint', 'Write a function with declared types that calls it. A retry cannot help.');
  end if;
  if jobs_internal.takes_whole(p_func) then
    return null;
  end if;
  v_unknown := array(select k from unnest(p_keys) as k
    where not exists (select from jobs_internal.parameters(p_func) as p where p.key = k));
  v_missing := array(select p.key || ' ' || p.type from jobs_internal.parameters(p_func) as p
    where p.required and p.key <> all (p_keys) order by p.n);
  if cardinality(v_unknown) > 0 then
    return jsonb_build_object('code', 'PW003',
      'message', format('%s has no parameter "%s"', v_name, left(v_unknown[1], 200)),
      'detail', format('Unknown: %s. Its parameters: %s.', left(array_to_string(v_unknown, ', '),
            1000),
        coalesce((select string_agg(p.key || ' ' || p.type, ', ' order by p.n)
              from jobs_internal.parameters(p_func) as p where p.key is not null), 'none')),
      'hint', 'The keys of args are the names of parameters. A retry cannot help.');
  end if;
  if cardinality(v_missing) > 0 then
    return jsonb_build_object('code', 'PW004',
      'message', format('%s needs the argument %s', v_name, v_missing[1]),
      'detail', format('Missing: %s.', array_to_string(v_missing, ', ')),
      'hint', 'Give it in args; JSON null passes NULL. A retry cannot help.');
  end if;
  return null;
end
$$;

-- Whether the only parameter of a function is jsonb, which then gets args whole.
create or replace function jobs_internal.takes_whole(p_func oid)
returns boolean
language sql stable security definer
set search_path = pg_catalog, pg_temp
begin atomic
  select p.pronargs = 1 and p.proargtypes[0] = 'jsonb'::regtype
    and not coalesce(p.proargmodes && array['b', 'v']::"char"[], false)
  from pg_proc as p
  where p.oid = p_func;
end;

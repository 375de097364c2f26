-- From a name and some argument names to a shape: the texts that cast the arguments and call the function.
--
-- Resolving a name and casting a value are done with the caller's own path and rights (invoker functions without a pinned path; every
-- name in them is qualified): a definer function that cast a value would run the caller's domain checks and type functions with our
-- rights. The texts are built by a definer function from the catalog alone; nothing that a caller passes is pasted into them.

-- Purpose: the functions that a name means to the caller. Errors: PW001 none, PW006 in a schema that is closed to the caller, PW015 a part
-- longer than 63 bytes, PW018 too long.
create or replace function jobs_internal.candidates(p_task text)
returns oid[]
language plpgsql stable
set exit_on_error = off
as $$
declare
  v_name pg_catalog.text := pg_catalog.btrim(pg_catalog.left(p_task, 50001));
  v_parts pg_catalog.text[];
  v_found pg_catalog.oid[];
  v_closed pg_catalog.name;
  v_signature pg_catalog.text[];
  v_types pg_catalog.oid[];
begin
  if v_name is null or v_name operator(pg_catalog.=) '' then
    raise exception using errcode = 'PW001', message = 'no function is named',
      detail = 'The task is null or empty.', hint = 'Pass the name of a function or procedure. A retry cannot help.';
  end if;
  if pg_catalog.length(v_name) operator(pg_catalog.>) 50000 then
    raise exception using errcode = 'PW018', message = 'the task is too long',
      detail = 'It has more than 50000 characters.', hint = 'Pass the name of a function or procedure. A retry cannot help.';
  end if;
  if pg_catalog.right(v_name, 1) operator(pg_catalog.=) ')' then
    begin
      v_parts := pg_catalog.parse_ident(v_name, false);
      v_found := array[pg_catalog.to_regprocedure(v_name)::pg_catalog.oid];
    exception when others then
      v_found := null;  -- too many dots, or a schema that is closed to the caller
    end;
    v_found := pg_catalog.array_remove(v_found, null);
    if pg_catalog.cardinality(v_found) operator(pg_catalog.>) 0 then
      return v_found;
    end if;
    -- The same with names, modes and defaults, as psql's \df prints it: then the name is looked for, and the types are compared.
    v_signature := pg_catalog.regexp_match(v_name, $r$^((?:"(?:[^"]|"")+"|[^"(])+)\((.*)\)\Z$r$);
    v_types := jobs_internal.signature_types(v_signature[2]);
  end if;
  if v_types is not null or v_signature is null and pg_catalog.right(v_name, 1) operator(pg_catalog.<>) ')' then
    begin
      v_parts := pg_catalog.parse_ident(coalesce(v_signature[1], v_name));
    exception when others then
      v_parts := null;
    end;
    if exists (select from pg_catalog.unnest(v_parts) as p where pg_catalog.octet_length(p) operator(pg_catalog.>) 63) then
      raise exception using errcode = 'PW015', message = 'a name in the task is longer than 63 bytes',
        detail = pg_catalog.format('Task: %s', pg_catalog.left(v_name, 200)),
        hint = 'PostgreSQL would cut it silently. Pass the name as it stands in the catalog.';
    end if;
    if pg_catalog.cardinality(v_parts) operator(pg_catalog.=) 1 then
      select pg_catalog.array_agg(p.oid order by p.oid) into v_found
      from pg_catalog.pg_proc as p
      where p.proname operator(pg_catalog.=) v_parts[1]::pg_catalog.name and pg_catalog.pg_function_is_visible(p.oid);
    elsif pg_catalog.cardinality(v_parts) operator(pg_catalog.=) 2 then
      select pg_catalog.array_agg(p.oid order by p.oid) into v_found
      from pg_catalog.pg_proc as p
      join pg_catalog.pg_namespace as n on n.oid operator(pg_catalog.=) p.pronamespace
      where p.proname operator(pg_catalog.=) v_parts[2]::pg_catalog.name and n.nspname operator(pg_catalog.=) v_parts[1]::pg_catalog.name
        and pg_catalog.has_schema_privilege(n.oid, 'USAGE');
    end if;
    if v_types is not null then
      v_found := array(select p.oid from pg_catalog.pg_proc as p
        where p.oid operator(pg_catalog.=) any (v_found) and p.proargtypes::pg_catalog.text operator(pg_catalog.=) pg_catalog.array_to_string(v_types, ' '));
    end if;
  end if;
  if v_found is null or pg_catalog.cardinality(v_found) operator(pg_catalog.=) 0 then
    select n.nspname into v_closed
    from pg_catalog.pg_namespace as n
    where pg_catalog.cardinality(v_parts) operator(pg_catalog.=) 2 and n.nspname operator(pg_catalog.=) v_parts[1]::pg_catalog.name
      and not pg_catalog.has_schema_privilege(n.oid, 'USAGE');
    if found then
      raise exception using errcode = 'PW006', message = pg_catalog.format('the schema %I is closed to %s', v_closed, current_user),
        detail = pg_catalog.format('What %s is cannot be seen without USAGE.', pg_catalog.left(v_name, 200)),
        hint = pg_catalog.format('Ask its owner for: grant usage on schema %I to %I. A retry helps after that.', v_closed, current_user);
    end if;
    raise exception using errcode = 'PW001', message = pg_catalog.format('function %s does not exist', pg_catalog.left(v_name, 200)),
      detail = case when pg_catalog.right(v_name, 1) operator(pg_catalog.=) ')' then 'No function or procedure of that name has just these argument types.'
        else pg_catalog.format('No function or procedure of that name is visible with search_path %s.', pg_catalog.current_setting('search_path')) end,
      hint = 'Check the name, or qualify it with its schema; a statement goes into jobs.enqueue_sql. A retry cannot help.';
  end if;
  return v_found;
end
$$;
comment on function jobs_internal.candidates(text) is 'Functions that a task name means to the caller (its path, its rights); invoker on purpose';

-- Purpose: the name of a type as it stands in a statement that others run, each with a path of its own: always with its schema. format_type leaves
-- out pg_catalog, and a path may name another schema before that.
create or replace function jobs_internal.type_name(p_type oid)
returns text
language sql stable security definer
set search_path = pg_catalog, pg_temp
begin atomic
  select pg_catalog.format('%I.%I', n.nspname, t.typname)
  from pg_catalog.pg_type as t
  join pg_catalog.pg_namespace as n on n.oid = t.typnamespace
  where t.oid = p_type;
end;
comment on function jobs_internal.type_name(oid) is 'The name of a type with its schema, for a statement that others run';

-- Purpose: input parameters of a function, in order. Everything comes from the catalog.
create or replace function jobs_internal.parameters(p_func oid)
returns table (n integer, name text, key text, type_id oid, type text, mode text, required boolean)
language sql stable security definer
set search_path = pg_catalog, pg_temp
begin atomic
  with p as (
    select p.*, p.proallargtypes is not null as has_out
    from pg_catalog.pg_proc as p
    where p.oid = p_func
  ), a as (
    select
      u.n::integer as n, nullif(p.proargnames[u.n], '') as name, u.type_id,
      case when p.has_out then p.proargmodes[u.n]::text else 'i' end as mode,
      p.pronargdefaults as defaults, p.provariadic
    from p, pg_catalog.unnest(coalesce(p.proallargtypes, p.proargtypes::oid[])) with ordinality as u(type_id, n)
  ), i as (
    select a.*,
      pg_catalog.row_number() over (partition by a.mode in ('i', 'b', 'v') order by a.n) as place,
      pg_catalog.count(*) over (partition by a.mode in ('i', 'b', 'v')) as places
    from a
    where a.mode <> 't'
  )
  select
    i.n, i.name,
    case when i.mode in ('i', 'b', 'v') then coalesce(i.name, '$' || i.place) end,
    i.type_id, pg_catalog.format_type(i.type_id, -1), i.mode,  -- -1: bpchar, not char(1)
    i.mode in ('i', 'b') and i.place <= i.places - i.defaults
  from i
  order by i.n;
end;
comment on function jobs_internal.parameters(oid) is 'Parameters of a function; key is null for pure OUT parameters';

-- Purpose: why a set of argument names does not fit a function; null when it fits.
-- Returns: an object with code, message, detail, hint.
create or replace function jobs_internal.misfit(p_func oid, p_keys text[])
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
  select p.prokind, p.prorettype, p.proretset, p.proargmodes, p.pronargs, p.provariadic, t.typtype as ret_type
  into v_proc
  from pg_catalog.pg_proc as p
  join pg_catalog.pg_type as t on t.oid = p.prorettype
  where p.oid = p_func;
  v_bad := case
    when v_proc.prokind = 'a' then 'It is an aggregate.'
    when v_proc.prokind = 'w' then 'It is a window function.'
    when v_proc.prorettype in ('trigger'::regtype, 'event_trigger'::regtype) then 'It is a trigger function.'
    when v_proc.provariadic = '"any"'::regtype then 'It has a VARIADIC "any" parameter.'
    when v_proc.ret_type = 'p' and v_proc.prorettype not in ('void'::regtype, 'record'::regtype)
      then pg_catalog.format('It returns the pseudo-type %s.', v_proc.prorettype::regtype)
    when v_proc.prorettype = 'record'::regtype and v_proc.prokind = 'f'
      and not coalesce(v_proc.proargmodes && array['o', 'b', 't']::"char"[], false)
      then 'It returns record without a list of columns.'
  end;
  if v_bad is null then
    select pg_catalog.format('Parameter %s has the pseudo-type %s.', p.key, p.type) into v_bad
    from jobs_internal.parameters(p_func) as p
    join pg_catalog.pg_type as t on t.oid = p.type_id
    where t.typtype = 'p' and p.mode <> 'o'
    limit 1;
  end if;
  if v_bad is not null then
    return pg_catalog.jsonb_build_object('code', 'PW016', 'message', pg_catalog.format('%s cannot be a job', v_name), 'detail', v_bad,
      'hint', 'Write a function with declared types that calls it. A retry cannot help.');
  end if;
  if jobs_internal.takes_whole(p_func) then
    return null;
  end if;
  v_unknown := array(select k from pg_catalog.unnest(p_keys) as k
    where not exists (select from jobs_internal.parameters(p_func) as p where p.key = k));
  v_missing := array(select p.key || ' ' || p.type from jobs_internal.parameters(p_func) as p
    where p.required and p.key <> all (p_keys) order by p.n);
  if pg_catalog.cardinality(v_unknown) > 0 then
    return pg_catalog.jsonb_build_object('code', 'PW003',
      'message', pg_catalog.format('%s has no parameter "%s"', v_name, pg_catalog.left(v_unknown[1], 200)),
      'detail', pg_catalog.format('Unknown: %s. Its parameters: %s.', pg_catalog.left(pg_catalog.array_to_string(v_unknown, ', '), 1000),
        coalesce((select pg_catalog.string_agg(p.key || ' ' || p.type, ', ' order by p.n) from jobs_internal.parameters(p_func) as p where p.key is not null), 'none')),
      'hint', 'The keys of args are the names of parameters. A retry cannot help.');
  end if;
  if pg_catalog.cardinality(v_missing) > 0 then
    return pg_catalog.jsonb_build_object('code', 'PW004',
      'message', pg_catalog.format('%s needs the argument %s', v_name, v_missing[1]),
      'detail', pg_catalog.format('Missing: %s.', pg_catalog.array_to_string(v_missing, ', ')),
      'hint', 'Give it in args; JSON null passes NULL. A retry cannot help.');
  end if;
  return null;
end
$$;
comment on function jobs_internal.misfit(oid, text[]) is 'Why these argument names do not fit the function; null when they do';

-- Purpose: whether the only parameter of a function is jsonb, which then gets args whole.
create or replace function jobs_internal.takes_whole(p_func oid)
returns boolean
language sql stable security definer
set search_path = pg_catalog, pg_temp
begin atomic
  select p.pronargs = 1 and p.proargtypes[0] = 'jsonb'::regtype and not coalesce(p.proargmodes && array['b', 'v']::"char"[], false)
  from pg_catalog.pg_proc as p
  where p.oid = p_func;
end;
comment on function jobs_internal.takes_whole(oid) is 'The only parameter is jsonb and gets args whole';

-- Purpose: make the shape of a function and some argument names that fit it. Writes jobs_internal.shape. The texts name everything by
-- schema. A default stands in them as the server writes it, and others run it with settings of
-- their own: '01/02/2020' would be another day to them.
create or replace function jobs_internal.make_shape(p_func oid, p_keys text[])
returns jobs_internal.shape
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp
set datestyle = 'ISO, YMD'
set intervalstyle = postgres
set extra_float_digits = 1
set bytea_output = hex
set timezone = 'UTC'
set lc_monetary = 'C'
set quote_all_identifiers = off
as $$
declare
  v_proc record;
  v_shape jobs_internal.shape;
  v_columns text;
  v_arguments text;
  v_name text;
  v_expr text;
  v_from text := '';
  v_single_out text;
begin
  select p.oid, p.xmin as version, p.ctid as place, p.proowner, p.proname, n.nspname, p.prokind, p.prorettype, p.proretset, p.proargmodes, p.proargnames,
    t.typtype as ret_type
  into strict v_proc
  from pg_catalog.pg_proc as p
  join pg_catalog.pg_namespace as n on n.oid = p.pronamespace
  join pg_catalog.pg_type as t on t.oid = p.prorettype
  where p.oid = p_func;
  v_name := pg_catalog.format('%I.%I', v_proc.nspname, v_proc.proname);
  v_shape.func := p_func;
  v_shape.version := v_proc.version;
  v_shape.place := v_proc.place;
  v_shape.func_owner := v_proc.proowner;
  v_shape.keys := p_keys;
  v_shape.maker := jobs_internal.me();
  v_shape.signature := p_func::regprocedure::text;
  v_shape.task := v_name;
  v_shape.whole := jobs_internal.takes_whole(p_func);
  v_shape.procedure := v_proc.prokind = 'p';
  v_shape.fit := case when v_shape.whole then 0 else pg_catalog.hash_array(p_keys) end;

  if v_shape.whole then
    v_arguments := '$1';
  else
    select pg_catalog.string_agg(pg_catalog.format('%I %s', p.key, jobs_internal.type_name(p.type_id)), ', ' order by p.n)
    into v_columns
    from jobs_internal.parameters(p_func) as p
    where p.key = any (p_keys);
    if v_columns is not null then
      v_shape.cast_query := pg_catalog.format(
        'select jobs_internal.settled(pyworker_args.*) from pg_catalog.jsonb_to_record($1) as pyworker_args(%s)', v_columns);
      v_from := pg_catalog.format(' from pg_catalog.jsonb_to_record($1) as pyworker_args(%s)', v_columns);
    end if;
    -- Every parameter is passed, by place, defaults too: a call with fewer or with named arguments might mean another function of that
    -- name, by now or later.
    select pg_catalog.string_agg(
      case when p.mode = 'v' then 'variadic ' else '' end
      || case
        when p.key = any (p_keys) and v_shape.procedure
          then pg_catalog.format('jobs_internal.argument(%L, null::%s)', p.key, jobs_internal.type_name(p.type_id))
        when p.key = any (p_keys) then pg_catalog.format('pyworker_args.%I', p.key)
        when p.mode = 'o' then pg_catalog.format('null::%s', jobs_internal.type_name(p.type_id))
        else pg_catalog.format('(%s)::%s', coalesce(pg_catalog.pg_get_function_arg_default(p_func, p.n), '''{}'''), jobs_internal.type_name(p.type_id))
      end, ', ' order by p.n)
    into v_arguments
    from jobs_internal.parameters(p_func) as p
    where p.key is not null or v_shape.procedure;
  end if;

  if v_shape.procedure then
    if v_shape.whole then
      v_arguments := 'jobs_internal.argument(null, null::pg_catalog.jsonb)';
    end if;
    -- CALL takes no FROM and no subquery: each argument is fetched by a function, so that no value stands in the text.
    v_shape.call := pg_catalog.format('call %s(%s)', v_name, coalesce(v_arguments, ''));
  else
    v_expr := pg_catalog.format('%s(%s)', v_name, coalesce(v_arguments, ''));
    if v_proc.prorettype = 'void'::regtype and not v_proc.proretset then
      v_shape.call := pg_catalog.format('select pg_catalog.to_jsonb(nullif(%s::pg_catalog.text, %L))%s', v_expr, '', v_from);
    else
      select pg_catalog.min(v_proc.proargnames[u.n]) into v_single_out
      from pg_catalog.unnest(v_proc.proargmodes) with ordinality as u(mode, n)
      where u.mode in ('o', 'b', 't')
      having pg_catalog.count(*) = 1;
      if v_proc.proretset then
        v_shape.call := pg_catalog.format(
          'select jobs_internal.capped(pg_catalog.count(*), pg_catalog.jsonb_agg(s.v)) from '
          '(select %s as v%s limit 1 + jobs_internal.setting(''result_rows'')::pg_catalog.int8) as s',
          case when v_single_out is not null then pg_catalog.format('pg_catalog.jsonb_build_object(%L, pyworker_row.*)', v_single_out)
            when v_proc.prorettype = 'void'::regtype then 'null::pg_catalog.jsonb'
            else 'pg_catalog.to_jsonb(pyworker_row.*)' end,
          case when v_from = '' then pg_catalog.format(' from %s as pyworker_row', v_expr)
            else pg_catalog.format('%s, lateral %s as pyworker_row', v_from, v_expr) end);
      elsif v_single_out is not null then
        v_shape.call := pg_catalog.format('select pg_catalog.jsonb_build_object(%L, %s)%s', v_single_out, v_expr, v_from);
      else
        v_shape.call := pg_catalog.format('select pg_catalog.to_jsonb(%s)%s', v_expr, v_from);
      end if;
    end if;
  end if;
  insert into jobs_internal.shape (func, version, place, func_owner, maker, keys, fit, signature, task, whole, procedure, cast_query, call)
  values (v_shape.func, v_shape.version, v_shape.place, v_shape.func_owner, v_shape.maker, v_shape.keys, v_shape.fit, v_shape.signature, v_shape.task, v_shape.whole,
    v_shape.procedure, v_shape.cast_query, v_shape.call)
  returning * into v_shape;
  perform jobs_internal.know_role(v_shape.func_owner);
  return v_shape;
end
$$;
comment on function jobs_internal.make_shape(oid, text[]) is 'Makes the shape of a function and argument names that fit it';

-- Purpose: the shape of a function and some argument names, made when there is none. Errors: PW002, PW003, PW004, PW006, PW016, PW079.
-- By key whatever the statistics say: a session that first enqueues while hardly any shape is there keeps its plan, and a sequential scan
-- would make each of its later calls as long as there are shapes.
create or replace function jobs_internal.shape_of(p_func oid, p_keys text[])
returns jobs_internal.shape
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp
set enable_seqscan = off
as $$
declare
  v_shape jobs_internal.shape;
begin
  if not pg_catalog.has_function_privilege(session_user, p_func, 'EXECUTE') then
    raise exception using errcode = 'PW006', message = pg_catalog.format('%s may not execute %s', session_user, p_func::regprocedure),
      detail = 'A job runs with the rights of the login that enqueued it.',
      hint = pg_catalog.format('Ask its owner for: grant execute on routine %s to %I. A retry helps after that.', p_func::regprocedure, session_user);
  end if;
  -- As find_shape looks first, but cheaper, and without a join, through which all columns would go: this is in the way of every enqueue.
  select s.* into v_shape
  from jobs_internal.shape as s
  where s.func = p_func and s.fit = any (array[0, pg_catalog.hash_array(p_keys)]) and (s.keys = p_keys or s.whole) and s.retired_by is null
    and exists (select from pg_catalog.pg_proc as p where p.oid = s.func and p.xmin = s.version and p.ctid = s.place
      and pg_catalog.starts_with(s.task, p.pronamespace::regnamespace::text || '.') offset 0);  -- its schema may have got another name
  if not found then
    v_shape := jobs_internal.find_shape(p_func, p_keys);
  end if;
  if pg_catalog.starts_with(v_shape.task, 'jobs.') then
    perform jobs_internal.assert_behind(p_func);
  end if;
  return v_shape;
end
$$;
comment on function jobs_internal.shape_of(oid, text[]) is 'The shape of a function and argument names; checks EXECUTE and the names';

-- Purpose: the same, for whoever may run the function by another right. Errors: PW002, PW003, PW004, PW016, PW079.
create or replace function jobs_internal.find_shape(p_func oid, p_keys text[])
returns jobs_internal.shape
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp
set quote_all_identifiers = off
set enable_seqscan = off
as $$
declare
  v_shape jobs_internal.shape;
  v_misfit jsonb;
  v_twin regprocedure;
begin
  -- Whoever calls this by hand may name a key twice, or in another order: that makes no shape of its own.
  p_keys := array(select distinct k collate "C" from pg_catalog.unnest(p_keys) as k order by 1);
  select s.* into v_shape
  from jobs_internal.shape as s
  join pg_catalog.pg_proc as p on p.oid = s.func and p.xmin = s.version and p.ctid = s.place
    and p.oid::regprocedure::text = s.signature
  where s.func = p_func and s.fit = any (array[0, pg_catalog.hash_array(p_keys)]) and (s.keys = p_keys or s.whole) and s.retired_by is null
  limit 1;
  if found then
    return v_shape;
  end if;
  v_misfit := jobs_internal.misfit(p_func, p_keys);
  if v_misfit is not null then
    raise exception using errcode = v_misfit ->> 'code', message = v_misfit ->> 'message', detail = v_misfit ->> 'detail',
      hint = v_misfit ->> 'hint';
  end if;
  -- f(a) beside f(a, b default ...): PostgreSQL itself finds any call of the first ambiguous.
  select o.oid into v_twin
  from pg_catalog.pg_proc as p
  join pg_catalog.pg_proc as o on o.pronamespace = p.pronamespace and o.proname = p.proname and o.pronargs > p.pronargs
  where p.oid = p_func and p.provariadic = 0 and o.pronargs - o.pronargdefaults <= p.pronargs
    and (o.proargtypes::oid[])[0:p.pronargs - 1] = (p.proargtypes::oid[])[0:p.pronargs - 1]
  limit 1;
  if found then
    raise exception using errcode = 'PW002', message = pg_catalog.format('%s cannot be told from %s', p_func::regprocedure, v_twin),
      detail = 'The other one has defaults for what it has more, so a call with these arguments fits both.',
      hint = 'Rename one of them. A retry cannot help.';
  end if;
  perform jobs_internal.assert_few_shapes(p_func);
  return jobs_internal.make_shape(p_func, p_keys);
end
$$;
comment on function jobs_internal.find_shape(oid, text[]) is 'The shape of a function and argument names; checks the names alone';

-- Purpose: from a task as written to a shape, with the caller's path and rights.
-- Errors: PW001, PW002, PW003, PW004, PW006, PW011, PW015, PW016, PW018.
create or replace function jobs_internal.resolve(p_task text, p_args jsonb)
returns jobs_internal.shape
language plpgsql volatile
as $$
declare
  v_keys pg_catalog.text[];
  v_func pg_catalog.oid;
  v_found pg_catalog.oid[];
  v_fit pg_catalog.oid[];
  v_misfit pg_catalog.jsonb;
begin
  if p_args operator(pg_catalog.=) '{}' then
    v_keys := '{}';
  elsif pg_catalog.jsonb_typeof(p_args) operator(pg_catalog.<>) 'object' then
    raise exception using errcode = 'PW011', message = 'args must be a JSON object',
      detail = pg_catalog.format('It is of type %s.', pg_catalog.jsonb_typeof(p_args)),
      hint = 'Pass {"parameter": value, ...}. A retry cannot help.';
  else
    v_keys := array(select k from pg_catalog.jsonb_object_keys(p_args) as k order by k collate pg_catalog."C");
  end if;
  -- The plain case: a short lower-case name that means one function. A pattern that counts would take four times as long.
  v_func := case
    when pg_catalog.octet_length(p_task) operator(pg_catalog.<) 64 and p_task operator(pg_catalog.~) '^[a-z_][a-z0-9_]*([.][a-z_][a-z0-9_]*)?$'
      -- In a schema that is closed to the caller to_regproc is an error.
      and (pg_catalog.strpos(p_task, '.') operator(pg_catalog.=) 0
        or pg_catalog.has_schema_privilege(pg_catalog.to_regnamespace(pg_catalog.split_part(p_task, '.', 1))::pg_catalog.oid, 'USAGE'))
    then pg_catalog.to_regproc(p_task) end;
  if v_func is null then
    v_found := jobs_internal.candidates(p_task);
    if pg_catalog.cardinality(v_found) operator(pg_catalog.>) 1 then
      v_fit := array(select f from pg_catalog.unnest(v_found) as f where jobs_internal.misfit(f, v_keys) is null);
      if pg_catalog.cardinality(v_fit) operator(pg_catalog.<>) 1 then
        -- None of them can be a job, whatever the arguments: then that is what there is to say.
        select pg_catalog.jsonb_build_object('detail', pg_catalog.string_agg(distinct m operator(pg_catalog.->>) 'detail', ' '), 'hint', pg_catalog.min(m operator(pg_catalog.->>) 'hint'))
        into v_misfit
        from pg_catalog.unnest(v_found) as f, lateral jobs_internal.misfit(f, v_keys) as m
        having pg_catalog.count(*) filter (where m operator(pg_catalog.->>) 'code' operator(pg_catalog.=) 'PW016') operator(pg_catalog.=) pg_catalog.cardinality(v_found);
        if found then
          raise exception using errcode = 'PW016', message = pg_catalog.format('%s cannot be a job', pg_catalog.left(p_task, 200)),
            detail = pg_catalog.left(v_misfit operator(pg_catalog.->>) 'detail', 1000), hint = v_misfit operator(pg_catalog.->>) 'hint';
        end if;
        raise exception using errcode = 'PW002',
          message = pg_catalog.format('%s names %s functions', pg_catalog.left(p_task, 200), pg_catalog.cardinality(v_found)),
          detail = pg_catalog.format('%s of them fit these arguments. Candidates: %s.', pg_catalog.cardinality(v_fit),
            (select pg_catalog.string_agg(f::pg_catalog.regprocedure::pg_catalog.text, '; ') from pg_catalog.unnest(v_found) as f)),
          hint = 'Give the argument types: schema.name(type, ...). A retry cannot help.';
      end if;
      v_found := v_fit;
    end if;
    v_func := v_found[1];
  end if;
  return jobs_internal.shape_of(v_func, v_keys);
end
$$;
comment on function jobs_internal.resolve(text, jsonb) is 'Task name and arguments to a shape, with the caller''s path and rights; invoker on purpose';

-- Purpose: typed values as jsonb, in a rendering that reads the same under any setting. to_jsonb alone would use the caller's DateStyle for
-- ranges of dates, its IntervalStyle, its precision of floats, and leave the schema out of a regclass that is on its search_path.
create or replace function jobs_internal.settled(p_values record)
returns jsonb
language plpgsql stable
set search_path = pg_catalog, pg_temp
set datestyle = 'ISO, YMD'
set intervalstyle = postgres
set extra_float_digits = 1
set bytea_output = hex
set timezone = 'UTC'
as $$
begin
  return pg_catalog.to_jsonb(p_values);
end
$$;
comment on function jobs_internal.settled(record) is 'Typed values as jsonb that reads the same under any DateStyle, IntervalStyle or search_path';

-- Purpose: cast the arguments to the declared types with the caller's rights and give back the canonical values, so that DateStyle or
-- 'now' means at run time what it meant at enqueue. Errors: PW005 names the argument, its type and the reason.
create or replace function jobs_internal.canonical(p_shape jobs_internal.shape, p_args jsonb)
returns jsonb
language plpgsql volatile
as $$
declare
  v_args pg_catalog.jsonb;
  v_parameter record;
  v_state pg_catalog.text;
  v_message pg_catalog.text;
begin
  if p_shape.cast_query is null then
    return case when p_shape.whole then p_args end;
  end if;
  begin
    execute p_shape.cast_query into v_args using p_args;
    return v_args;
  exception when others then
    get stacked diagnostics v_state := returned_sqlstate, v_message := message_text;
  end;
  for v_parameter in
    select p.key, p.type, jobs_internal.type_name(p.type_id) as full_type from jobs_internal.parameters(p_shape.func) as p
    where p.key operator(pg_catalog.=) any (p_shape.keys) order by p.n
  loop
    begin
      execute pg_catalog.format('select pg_catalog.to_jsonb(pyworker_args.*) from pg_catalog.jsonb_to_record($1) as pyworker_args(%I %s)', v_parameter.key,
        v_parameter.full_type)
      using p_args;
    exception when others then
      get stacked diagnostics v_state := returned_sqlstate, v_message := message_text;
      raise exception using errcode = 'PW005',
        message = pg_catalog.format('argument "%s" cannot be cast to %s', v_parameter.key, v_parameter.type),
        detail = pg_catalog.format('Value: %s. PostgreSQL says (%s): %s', pg_catalog.left((p_args operator(pg_catalog.->) v_parameter.key)::pg_catalog.text, 200), v_state,
          pg_catalog.left(v_message, 1000)),
        hint = 'Pass a value of that type. A retry cannot help.';
    end;
  end loop;
  raise exception using errcode = 'PW005', message = 'the arguments cannot be cast', detail = pg_catalog.format('PostgreSQL says (%s): %s', v_state, pg_catalog.left(v_message, 1000)),
    hint = 'Pass values of the declared types.';
end
$$;
comment on function jobs_internal.canonical(jobs_internal.shape, jsonb) is 'Arguments cast to the declared types with the caller''s rights; invoker on purpose';

-- Purpose: a set that a function returned, or an error when it is larger than allowed. Errors: PW040.
create or replace function jobs_internal.capped(p_rows bigint, p_set jsonb)
returns jsonb
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $$
begin
  if p_rows > jobs_internal.setting('result_rows')::bigint then
    raise exception using errcode = 'PW040', message = pg_catalog.format('the function returned more than %s', jobs_internal.counted(jobs_internal.setting('result_rows')::bigint, 'row')),
      detail = 'A job keeps what it returns; it is no way to carry a table.',
      hint = 'Write the rows into a table, or raise the setting result_rows. A retry cannot help.';
  end if;
  return coalesce(p_set, '[]');
end
$$;
comment on function jobs_internal.capped(bigint, jsonb) is 'The set that a function returned; PW040 beyond the setting result_rows';

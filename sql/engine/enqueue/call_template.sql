-- Call templates: the texts that cast the arguments and call the function, made once for a function
-- and a set of argument names. They are built by a definer function from the catalog alone; nothing
-- that a caller passes is pasted into them.

-- Make the template of a function and some argument names that fit it. Writes: call_template. The
-- texts name everything by schema. A default stands in them as the server writes it, and others run
-- it with settings of their own: '01/02/2020' would be another day to them.
create or replace function jobs_internal.make_call_template(p_func oid, p_keys text[])
returns jobs_internal.call_template
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
  v_template jobs_internal.call_template;
  v_columns text;
  v_render text;
  v_arguments text;
  v_name text;
begin
  select p.xmin as version, p.ctid, p.proowner, p.proname, n.nspname, p.prokind into strict v_proc
  from pg_proc as p
  join pg_namespace as n on n.oid = p.pronamespace
  where p.oid = p_func;
  v_name := format('%I.%I', v_proc.nspname, v_proc.proname);
  v_template.func := p_func;
  v_template.version := v_proc.version;
  v_template.func_ctid := v_proc.ctid;
  v_template.func_owner := v_proc.proowner;
  v_template.keys := p_keys;
  v_template.maker := jobs_internal.caller();
  v_template.signature := p_func::regprocedure::text;
  v_template.task := v_name;
  v_template.whole := jobs_internal.takes_whole(p_func);
  v_template.procedure := v_proc.prokind = 'p';
  v_template.fit := case when v_template.whole then 0 else hash_array(p_keys) end;

  if v_template.whole then
    v_arguments := '$1';
  else
    select string_agg(format('%I %s', p.key, jobs_internal.type_name(p.type_id)), ', '
        order by p.n),
      -- types that read the same under any setting: to_jsonb is enough for those, and costs less
      case when bool_and(p.type_id = any (array['boolean', 'smallint', 'integer', 'bigint',
              'numeric', 'text', 'uuid', 'jsonb']::regtype[]))
        then 'pg_catalog.to_jsonb' else 'jobs_internal.to_canonical_jsonb' end
    into v_columns, v_render
    from jobs_internal.parameters(p_func) as p
    where p.key = any (p_keys);
    if v_columns is not null then
      v_template.cast_query := format(
        'select %s(pyworker_args.*) from '
        'pg_catalog.jsonb_to_record($1) as '
        'pyworker_args(%s)', v_render, v_columns);
    end if;
    -- Every parameter is passed, by place, defaults too: a call with fewer or with named arguments
    -- might mean another function of that name, by now or later.
    select string_agg(
      case when p.mode = 'v' then 'variadic ' else '' end
      || case
        when p.key = any (p_keys) and v_template.procedure
          then format('jobs_internal.argument(%L, null::%s)', p.key,
              jobs_internal.type_name(p.type_id))
        when p.key = any (p_keys) then format('pyworker_args.%I', p.key)
        when p.mode = 'o' then format('null::%s', jobs_internal.type_name(p.type_id))
        else format('(%s)::%s', coalesce(pg_get_function_arg_default(p_func, p.n), '''{}'''),
            jobs_internal.type_name(p.type_id))
      end, ', ' order by p.n)
    into v_arguments
    from jobs_internal.parameters(p_func) as p
    where p.key is not null or v_template.procedure;
  end if;

  if v_template.procedure then
    if v_template.whole then
      v_arguments := 'jobs_internal.argument(null, null::pg_catalog.jsonb)';
    end if;
    -- CALL takes no FROM and no subquery: each argument is fetched by a function, so that no value
    -- stands in the text.
    v_template.call := format('call %s(%s)', v_name, coalesce(v_arguments, ''));
  else
    v_template.call := jobs_internal.result_query(p_func, v_arguments, v_columns, '$1');
    v_template.chunk_call := jobs_internal.chunk_call(p_func, p_keys, v_arguments, v_columns);
  end if;
  insert into jobs_internal.call_template (func, version, func_ctid, func_owner, maker, keys, fit,
      signature,
      task, whole, procedure, cast_query, call, chunk_call)
  values (v_template.func, v_template.version, v_template.func_ctid, v_template.func_owner,
      v_template.maker,
      v_template.keys, v_template.fit, v_template.signature, v_template.task, v_template.whole,
    v_template.procedure, v_template.cast_query, v_template.call, v_template.chunk_call)
  returning * into v_template;
  perform jobs_internal.record_role_name(v_template.func_owner);
  return v_template;
end
$$;

-- The template of a function and some argument names, made when there is none. Errors: PW002,
-- PW003, PW004, PW006, PW016, PW079. By key whatever the statistics say: a session that first
-- enqueues while hardly any template is there keeps its plan, and a sequential scan would make each
-- of its later calls as long as there are templates.
create or replace function jobs_internal.call_template_of(p_func oid, p_keys text[])
returns jobs_internal.call_template
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp
set enable_seqscan = off
as $$
declare
  v_template jobs_internal.call_template;
begin
  if not has_function_privilege(session_user, p_func, 'EXECUTE') then
    raise exception using errcode = 'PW006', message = format('%s may not execute %s', session_user,
        p_func::regprocedure),
      detail = 'A job runs with the rights of the login that enqueued it.',
      hint
        = format('Ask its owner for: grant execute on routine %s to %I. A retry helps after that.',
            p_func::regprocedure, session_user);
  end if;
  -- As find_call_template looks first, but cheaper, and without a join, through which all columns
  -- would go: this is in the way of every enqueue.
  select s.* into v_template
  from jobs_internal.call_template as s
  where s.func = p_func and s.fit = any (array[0, hash_array(p_keys)])
    and (s.keys = p_keys or s.whole) and s.retired_by is null
    and exists (select from pg_proc as p where p.oid = s.func and p.xmin = s.version
        and p.ctid = s.func_ctid
      -- its schema may have got another name
      and starts_with(s.task, p.pronamespace::regnamespace::text || '.') offset 0);
  if not found then
    v_template := jobs_internal.find_call_template(p_func, p_keys);
  end if;
  if starts_with(v_template.task, 'jobs.') then
    perform jobs_internal.assert_behind(p_func);
  end if;
  return v_template;
end
$$;

-- The same, for a role that may run the function by another right. Errors: PW002, PW003, PW004,
-- PW016, PW079.
create or replace function jobs_internal.find_call_template(p_func oid, p_keys text[])
returns jobs_internal.call_template
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp
set quote_all_identifiers = off
set enable_seqscan = off
as $$
declare
  v_template jobs_internal.call_template;
  v_misfit jsonb;
  v_twin regprocedure;
begin
  -- A caller by hand may name a key twice, or in another order: that makes no
  -- template of its own.
  p_keys := array(select distinct k collate "C" from unnest(p_keys) as k order by 1);
  select s.* into v_template
  from jobs_internal.call_template as s
  join pg_proc as p on p.oid = s.func and p.xmin = s.version and p.ctid = s.func_ctid
    and p.oid::regprocedure::text = s.signature
  where s.func = p_func and s.fit = any (array[0, hash_array(p_keys)])
    and (s.keys = p_keys or s.whole) and s.retired_by is null
  limit 1;
  if found then
    return v_template;
  end if;
  v_misfit := jobs_internal.argument_mismatch(p_func, p_keys);
  if v_misfit is not null then
    raise exception using errcode = v_misfit ->> 'code', message = v_misfit ->> 'message',
      detail = v_misfit ->> 'detail',
      hint = v_misfit ->> 'hint';
  end if;
  -- f(a) beside f(a, b default ...): PostgreSQL itself finds any call of the first ambiguous.
  select o.oid into v_twin
  from pg_proc as p
  join pg_proc as o on o.pronamespace = p.pronamespace and o.proname = p.proname
    and o.pronargs > p.pronargs
  where p.oid = p_func and p.provariadic = 0 and o.pronargs - o.pronargdefaults <= p.pronargs
    and (o.proargtypes::oid[])[0:p.pronargs - 1] = (p.proargtypes::oid[])[0:p.pronargs - 1]
  limit 1;
  if found then
    raise exception using errcode = 'PW002',
      message = format('%s cannot be distinguished from %s', p_func::regprocedure, v_twin),
      detail = 'The other one has defaults for what it has more, so a call with these arguments '
        'fits both.',
      hint = 'Rename one of them. A retry cannot help.';
  end if;
  perform jobs_internal.assert_few_call_templates(p_func);
  return jobs_internal.make_call_template(p_func, p_keys);
end
$$;

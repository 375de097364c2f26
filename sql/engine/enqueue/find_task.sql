-- From the name of a task and its argument names to one function.
--
-- Resolving a name and casting a value are done with the caller's own path and rights (invoker
-- functions without a pinned path; every name in them is qualified): a definer function that cast a
-- value would run the caller's domain checks and type functions with our rights.

-- The functions that a name means to the caller. Errors: PW001 none, PW006 in a schema that is
-- closed to the caller, PW015 a part longer than 63 bytes, PW018 too long.
create or replace function jobs_internal.functions_by_name(p_task text)
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
      detail = 'The task is null or empty.',
        hint = 'Pass the name of a function or procedure. A retry cannot help.';
  end if;
  if pg_catalog.length(v_name) operator(pg_catalog.>) 50000 then
    raise exception using errcode = 'PW018', message = 'the task is too long',
      detail = 'It has more than 50000 characters.',
        hint = 'Pass the name of a function or procedure. A retry cannot help.';
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
    -- The same with names, modes and defaults, as psql's \df prints it: then the name is looked
    -- for, and the types are compared.
    v_signature := pg_catalog.regexp_match(v_name, $r$^((?:"(?:[^"]|"")+"|[^"(])+)\((.*)\)\Z$r$);
    v_types := jobs_internal.signature_types(v_signature[2]);
  end if;
  if v_types is not null or v_signature is null
    and pg_catalog.right(v_name, 1) operator(pg_catalog.<>) ')' then
    begin
      v_parts := pg_catalog.parse_ident(coalesce(v_signature[1], v_name));
    exception when others then
      v_parts := null;
    end;
    if exists (select from pg_catalog.unnest(v_parts) as p
        where pg_catalog.octet_length(p) operator(pg_catalog.>) 63) then
      raise exception using errcode = 'PW015',
        message = 'a name in the task is longer than 63 bytes',
        detail = pg_catalog.format('Task: %s', pg_catalog.left(v_name, 200)),
        hint = 'PostgreSQL would cut it silently. Pass the name as it stands in the catalog.';
    end if;
    if pg_catalog.cardinality(v_parts) operator(pg_catalog.=) 1 then
      select pg_catalog.array_agg(p.oid order by p.oid) into v_found
      from pg_catalog.pg_proc as p
      where p.proname operator(pg_catalog.=) v_parts[1]::pg_catalog.name
        and pg_catalog.pg_function_is_visible(p.oid);
    elsif pg_catalog.cardinality(v_parts) operator(pg_catalog.=) 2 then
      select pg_catalog.array_agg(p.oid order by p.oid) into v_found
      from pg_catalog.pg_proc as p
      join pg_catalog.pg_namespace as n on n.oid operator(pg_catalog.=) p.pronamespace
      where p.proname operator(pg_catalog.=) v_parts[2]::pg_catalog.name
        and n.nspname operator(pg_catalog.=) v_parts[1]::pg_catalog.name
        and pg_catalog.has_schema_privilege(n.oid, 'USAGE');
    end if;
    if v_types is not null then
      v_found := array(select p.oid from pg_catalog.pg_proc as p
        where p.oid operator(pg_catalog.=) any (v_found)
          and p.proargtypes::pg_catalog.text
            operator(pg_catalog.=) pg_catalog.array_to_string(v_types, ' '));
    end if;
  end if;
  if v_found is null or pg_catalog.cardinality(v_found) operator(pg_catalog.=) 0 then
    select n.nspname into v_closed
    from pg_catalog.pg_namespace as n
    where pg_catalog.cardinality(v_parts) operator(pg_catalog.=) 2
      and n.nspname operator(pg_catalog.=) v_parts[1]::pg_catalog.name
      and not pg_catalog.has_schema_privilege(n.oid, 'USAGE');
    if found then
      raise exception using errcode = 'PW006',
        message = pg_catalog.format('the schema %I is closed to %s', v_closed, current_user),
        detail = pg_catalog.format('What %s is cannot be seen without USAGE.',
            pg_catalog.left(v_name, 200)),
        hint
          = pg_catalog.format(
              'Ask its owner for: grant usage on schema %I to %I. A retry helps after that.',
                v_closed, current_user);
    end if;
    raise exception using errcode = 'PW001',
      message = pg_catalog.format('function %s does not exist', pg_catalog.left(v_name, 200)),
      detail = case when pg_catalog.right(v_name, 1) operator(pg_catalog.=) ')'
        then 'No function or procedure of that name has just these argument types.'
        else
          pg_catalog.format('No function or procedure of that name is visible with search_path %s.',
              pg_catalog.current_setting('search_path')) end,
      hint = 'Check the name, or qualify it with its schema; a statement goes into '
        'jobs.enqueue_sql. A retry cannot help.';
  end if;
  return v_found;
end
$$;

-- From a task as written to a call template, with the caller's path and rights.
-- Errors: PW001, PW002, PW003, PW004, PW006, PW011, PW015, PW016, PW018.
create or replace function jobs_internal.resolve(p_task text, p_args jsonb)
returns jobs_internal.call_template
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
    v_keys := array(select k from pg_catalog.jsonb_object_keys(p_args) as k
        order by k collate pg_catalog."C");
  end if;
  -- The plain case: a short lower-case name that means one function. A pattern that counts would
  -- take four times as long.
  v_func := case
    when pg_catalog.octet_length(p_task) operator(pg_catalog.<) 64
      and p_task operator(pg_catalog.~) '^[a-z_][a-z0-9_]*([.][a-z_][a-z0-9_]*)?$'
      -- In a schema that is closed to the caller to_regproc is an error.
      and (pg_catalog.strpos(p_task, '.') operator(pg_catalog.=) 0
        or pg_catalog.has_schema_privilege(pg_catalog.to_regnamespace(pg_catalog.split_part(p_task,
              '.', 1))::pg_catalog.oid, 'USAGE'))
    then pg_catalog.to_regproc(p_task) end;
  if v_func is null then
    v_found := jobs_internal.functions_by_name(p_task);
    if pg_catalog.cardinality(v_found) operator(pg_catalog.>) 1 then
      v_fit := array(select f from pg_catalog.unnest(v_found) as f
          where jobs_internal.argument_mismatch(f, v_keys) is null);
      if pg_catalog.cardinality(v_fit) operator(pg_catalog.<>) 1 then
        -- None of them can be a job, whatever the arguments: then that is what there is to say.
        select pg_catalog.jsonb_build_object('detail',
            pg_catalog.string_agg(distinct m operator(pg_catalog.->>) 'detail', ' '), 'hint',
              pg_catalog.min(m operator(pg_catalog.->>) 'hint'))
        into v_misfit
        from pg_catalog.unnest(v_found) as f,
          lateral jobs_internal.argument_mismatch(f, v_keys) as m
        having pg_catalog.count(*) filter (where m operator(pg_catalog.->>) 'code'
            operator(pg_catalog.=) 'PW016') operator(pg_catalog.=) pg_catalog.cardinality(v_found);
        if found then
          raise exception using errcode = 'PW016',
            message = pg_catalog.format('%s cannot be a job', pg_catalog.left(p_task, 200)),
            detail = pg_catalog.left(v_misfit operator(pg_catalog.->>) 'detail', 1000),
              hint = v_misfit operator(pg_catalog.->>) 'hint';
        end if;
        raise exception using errcode = 'PW002',
          message = pg_catalog.format('%s names %s functions', pg_catalog.left(p_task, 200),
              pg_catalog.cardinality(v_found)),
          detail = pg_catalog.format('%s of them fit these arguments. Candidates: %s.',
              pg_catalog.cardinality(v_fit),
            (select pg_catalog.string_agg(f::pg_catalog.regprocedure::pg_catalog.text, '; ')
                from pg_catalog.unnest(v_found) as f)),
          hint = 'Give the argument types: schema.name(type, ...). A retry cannot help.';
      end if;
      v_found := v_fit;
    end if;
    v_func := v_found[1];
  end if;
  return jobs_internal.call_template_of(v_func, v_keys);
end
$$;

-- Arguments: cast at enqueue, so that a wrong one is refused there.

-- Typed values as jsonb, in a rendering that reads the same under any setting. to_jsonb alone would
-- use the caller's DateStyle for ranges of dates, its IntervalStyle, its precision of floats, and
-- leave the schema out of a regclass that is on its search_path.
create or replace function jobs_internal.to_canonical_jsonb(p_values record)
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
  return to_jsonb(p_values);
end
$$;

-- Cast the arguments to the declared types with the caller's rights and give back the canonical
-- values, so that DateStyle or 'now' means at run time what it meant at enqueue. Errors: PW005
-- names the argument, its type and the reason.
create or replace function jobs_internal.canonical(p_template jobs_internal.call_template,
    p_args jsonb)
returns jsonb
language plpgsql volatile
as $$
declare
  v_args pg_catalog.jsonb;
  v_parameter record;
  v_state pg_catalog.text;
  v_message pg_catalog.text;
begin
  if p_template.cast_query is null then
    return case when p_template.whole then p_args end;
  end if;
  begin
    execute p_template.cast_query into v_args using p_args;
    return v_args;
  exception when others then
    get stacked diagnostics v_state := returned_sqlstate, v_message := message_text;
  end;
  for v_parameter in
    select p.key, p.type, jobs_internal.type_name(p.type_id) as full_type
    from jobs_internal.parameters(p_template.func) as p
    where p.key operator(pg_catalog.=) any (p_template.keys) order by p.n
  loop
    begin
      execute pg_catalog.format('select pg_catalog.to_jsonb(pyworker_args.*) from '
        'pg_catalog.jsonb_to_record($1) as pyworker_args(%I %s)', v_parameter.key,
        v_parameter.full_type)
      using p_args;
    exception when others then
      get stacked diagnostics v_state := returned_sqlstate, v_message := message_text;
      raise exception using errcode = 'PW005',
        message = pg_catalog.format('argument "%s" cannot be cast to %s', v_parameter.key,
            v_parameter.type),
        detail = pg_catalog.format('Value: %s. PostgreSQL says (%s): %s',
            pg_catalog.left((p_args operator(pg_catalog.->) v_parameter.key)::pg_catalog.text, 200),
              v_state,
          pg_catalog.left(v_message, 1000)),
        hint = 'Pass a value of that type. A retry cannot help.';
    end;
  end loop;
  raise exception using errcode = 'PW005', message = 'the arguments cannot be cast',
    detail = pg_catalog.format('PostgreSQL says (%s): %s', v_state,
        pg_catalog.left(v_message, 1000)),
    hint = 'Pass values of the declared types.';
end
$$;

-- The canonical arguments of many jobs of one template. Invoker on purpose, as canonical.
create or replace function jobs_internal.canonical_many(p_template jobs_internal.call_template,
    p_args jsonb[])
returns jsonb[]
language plpgsql volatile
as $$
declare
  v_args pg_catalog.jsonb[];
  v_one pg_catalog.jsonb;
begin
  if p_template.cast_query is null then
    return case when p_template.whole then p_args
      else pg_catalog.array_fill(null::pg_catalog.jsonb, array[pg_catalog.cardinality(p_args)]) end;
  end if;
  begin
    -- All rows as one value: what makes the rendering canonical is set once, and not for each. The
    -- parameter stands in the text before any name: what follows may look like one.
    execute pg_catalog.format('select jobs_internal.to_canonical_jsonb(row(pg_catalog.array_agg('
      'pyworker_args.* order by u.n))) from pg_catalog.unnest($1) with ordinality as u(a, n), '
      'lateral pg_catalog.jsonb_to_record(u.a)%s',
      pg_catalog.substr(p_template.cast_query,
        pg_catalog.strpos(p_template.cast_query, '($1)') operator(pg_catalog.+) 4))
    into v_one using p_args;
    return array(select r.value
      from pg_catalog.jsonb_array_elements(v_one operator(pg_catalog.->) 'f1')
        with ordinality as r(value, n)
      order by r.n);
  exception when others then
    null;
  end;
  -- One of them is wrong: find it, for its error.
  foreach v_one in array p_args loop
    v_args := v_args operator(pg_catalog.||) jobs_internal.canonical(p_template, v_one);
  end loop;
  return v_args;
end
$$;

-- A set that a function returned, or an error when it is larger than allowed. Errors: PW040.
create or replace function jobs_internal.limit_rows(p_rows bigint, p_set jsonb)
returns jsonb
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $$
begin
  if p_rows > jobs_internal.setting('result_rows')::bigint then
    raise exception using errcode = 'PW040', message = format('the function returned more than %s',
        jobs_internal.counted(jobs_internal.setting('result_rows')::bigint, 'row')),
      detail = 'A job keeps what it returns; it is no way to carry a table.',
      hint = 'Write the rows into a table, or raise the setting result_rows. A retry cannot help.';
  end if;
  return coalesce(p_set, '[]');
end
$$;

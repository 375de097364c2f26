-- A signature as people write it, which is as psql's \df prints it: schema.name(IN a integer, OUT b
-- text DEFAULT 'x'::text, VARIADIC c int[]). Invoker functions without a pinned path, as
-- jobs_internal.functions_by_name, which asks them: names of types mean what they mean to the
-- caller.

-- Cut a list of parameters at its commas, but for those in quotes and parentheses; what stands
-- behind DEFAULT or = is left out.
create or replace function jobs_internal.cut_parameters(p_list text)
returns text[]
language plpgsql immutable
set search_path = pg_catalog, pg_temp
as $$
declare
  v_token text;
  v_part text := '';
  v_parts text[] := '{}';
  v_depth integer := 0;
  v_default boolean := false;
begin
  for v_token in
    select m[1]
    from regexp_matches(p_list, $r$("(?:[^"]|"")*"|'(?:[^']|'')*'|$r$
        || $r$[A-Za-z_\u0080-\U0010ffff][A-Za-z_0-9\u0080-\U0010ffff]*|.)$r$, 'g') as m
  loop
    v_depth := v_depth + case when v_token in ('(', '[') then 1 when v_token in (')', ']') then -1
      else 0 end;
    if v_token = ',' and v_depth = 0 then
      v_parts := v_parts || v_part;
      v_part := '';
      v_default := false;
    else
      v_default := v_default or v_depth = 0 and lower(v_token) in ('default', '=');
      v_part := v_part || case when v_default then '' else v_token end;
    end if;
  end loop;
  return case when v_parts = '{}' and btrim(v_part, E' \t\n\r') = '' then v_parts
    else v_parts || v_part end;
end
$$;

-- The type that a text names to the caller; null: none.
create or replace function jobs_internal.type_of(p_text text)
returns oid
language plpgsql stable
set exit_on_error = off
as $$
begin
  return pg_catalog.to_regtype(p_text)::pg_catalog.oid;
exception
  when others then
    return null;  -- a syntax error, or a schema that is closed to the caller
end
$$;

-- The types of the input parameters in a list of parameters, each perhaps with a mode, a name and a
-- default. Null: it is no such list.
create or replace function jobs_internal.signature_types(p_list text)
returns oid[]
language plpgsql stable
as $$
declare
  v_name constant pg_catalog.text := $r$^\s*(?:"(?:[^"]|"")+"|[^\s"]+)\s+$r$;
  v_part pg_catalog.text;
  v_mode pg_catalog.text;
  v_type pg_catalog.oid;
  v_types pg_catalog.oid[] := '{}';
begin
  foreach v_part in array jobs_internal.cut_parameters(p_list) loop
    v_mode := pg_catalog.lower((pg_catalog.regexp_match(v_part,
          $r$^\s*(in\s+out|inout|in|out|variadic)\s$r$, 'i'))[1]);
    -- As PostgreSQL reads it: what can be a type as a whole is one without a name; else the first
    -- word is the name.
    v_type := jobs_internal.type_of(v_part);
    if v_type is null and v_mode is not null then
      v_part := pg_catalog.substr(pg_catalog.ltrim(v_part, E' \t\n\r'),
          pg_catalog.length(v_mode) operator(pg_catalog.+) 1);
      v_type := jobs_internal.type_of(v_part);
    end if;
    if v_type is null then
      v_type := jobs_internal.type_of(pg_catalog.regexp_replace(v_part, v_name, ''));
    end if;
    if v_type is null then
      return null;
    end if;
    if coalesce(v_mode, '') operator(pg_catalog.<>) 'out' then
      v_types := v_types operator(pg_catalog.||) v_type;
    end if;
  end loop;
  return v_types;
end
$$;

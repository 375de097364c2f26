-- Reading names and options of a statement, each at its place in the grammar, from the words of the
-- lexer. Nothing is looked up here.

-- The columns in the parentheses that end a text, from a place on, or behind USING there. Null:
-- there is more to it than names (an expression, an order, a condition), so that they say nothing
-- for sure.
create or replace function jobs_internal.columns_at(p_words text[], p_raw text[], p_place integer)
returns jsonb
language plpgsql immutable
set search_path = pg_catalog, pg_temp
as $$
declare
  v_next integer := p_place + case when p_words[p_place] = 'USING' then 2 else 0 end;
  v_columns text[] := '{}';
begin
  if p_words[v_next] is distinct from '(' then
    return null;
  end if;
  loop
    if not coalesce(p_words[v_next + 1] = '"' or p_raw[v_next + 1] ~ '^[A-Za-z_\u0080-\U0010ffff]',
        false)
      or length(p_raw[v_next + 1]) > 1000
    then
      return null;
    end if;
    v_columns := v_columns || (parse_ident(p_raw[v_next + 1]))[1]::name::text;
    v_next := v_next + 2;
    exit when p_words[v_next] is distinct from ',';
  end loop;
  return case when p_words[v_next] = ')' and p_words[v_next + 1] is null
    then to_jsonb(v_columns) end;
end
$$;

-- The name that stands at a place: as written, its parts joined by dots; and the place behind it.
-- Null: none that can be read for sure (U&"..." may have any UESCAPE, a cut text has no end).
create or replace function jobs_internal.name_at(p_words text[], p_raw text[], p_place integer,
    out name text, out next integer)
language plpgsql immutable
set search_path = pg_catalog, pg_temp
as $$
declare
  v_parts integer := 0;
begin
  next := p_place;
  loop
    if p_words[next] is null or (p_words[next] = 'U' and p_words[next + 1] = '&')
      or not (p_words[next] = '"' or p_raw[next] ~ '^[A-Za-z_\u0080-\U0010ffff]')
      or length(p_raw[next]) > 1000 or next >= 390
    then
      name := null;
      return;
    end if;
    name := concat(name, p_raw[next]);
    v_parts := v_parts + 1;
    next := next + 1;
    exit when p_words[next] is distinct from '.';
    name := name || '.';
    next := next + 1;
  end loop;
  if v_parts > 3 then
    name := null;
  end if;
end
$$;

-- An option in the parentheses that begin at a place: on, off, unsure; null: it is not there. The
-- last mention counts.
create or replace function jobs_internal.option_at(p_words text[], p_place integer, p_option text)
returns text
language sql immutable
set search_path = pg_catalog, pg_temp
begin atomic
  select case
      when o.value in (',', ')', 'TRUE', 'ON', '1') then 'on'
      when o.value in ('FALSE', 'OFF', '0') then 'off'
      else 'unsure' end
  from (
    select w.n, w.word, p_words[p_place + w.n::integer - 2] as before,
      p_words[p_place + w.n::integer] as value
    from unnest(p_words[p_place : coalesce(array_position(p_words, ')', p_place),
          cardinality(p_words))]) with ordinality as w(word, n)
  ) as o
  where p_words[p_place] = '(' and o.word = p_option and o.before in ('(', ',')
  order by o.n desc
  limit 1;
end;

-- The place behind the parentheses that begin at a place; the place itself where there are none.
create or replace function jobs_internal.behind_parentheses(p_words text[], p_place integer)
returns integer
language plpgsql immutable
set search_path = pg_catalog, pg_temp
as $$
declare
  v_depth integer := 0;
  v_place integer := p_place;
begin
  loop
    v_depth := v_depth + case p_words[v_place] when '(' then 1 when ')' then -1 else 0 end;
    exit when v_depth = 0 and p_words[v_place] is distinct from ')';
    v_place := v_place + 1;
    exit when v_depth = 0 or p_words[v_place] is null;
  end loop;
  return v_place;
end
$$;

-- The tables that VACUUM and ANALYZE list from a place on: [{"name": ..., "only": ...}]; null: it
-- cannot be read for sure.
create or replace function jobs_internal.tables_at(p_words text[], p_raw text[], p_place integer)
returns jsonb
language plpgsql immutable
set search_path = pg_catalog, pg_temp
as $$
declare
  v_tables jsonb := '[]';
  v_next integer := p_place;
  v_only boolean;
  v_open boolean;
  v_at record;
begin
  while p_words[v_next] is not null loop
    v_only := p_words[v_next] = 'ONLY';
    v_next := v_next + v_only::integer;
    v_open := v_only and p_words[v_next] = '(';
    v_at := jobs_internal.name_at(p_words, p_raw, v_next + v_open::integer);
    if v_at.name is null then
      return null;
    end if;
    v_tables := v_tables || jsonb_build_object('name', v_at.name, 'only', v_only);
    v_next := v_at.next + v_open::integer;
    v_next := v_next + (p_words[v_next] is not distinct from '*')::integer;
    v_next := jobs_internal.behind_parentheses(p_words, v_next);  -- its columns
    exit when p_words[v_next] is null;
    if p_words[v_next] <> ',' then
      return null;
    end if;
    v_next := v_next + 1;
  end loop;
  return v_tables;
end
$$;

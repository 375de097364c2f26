-- The columns of a CREATE INDEX, as its text names them (35_statement.sql has the lexer). An index without a name whose watcher did not see it
-- being built is looked for by them.

-- Purpose: the columns in the parentheses that end a text, from a place on, or behind USING there. Null: there is more to it than names (an
-- expression, an order, a condition), so that they say nothing for sure.
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
    if not coalesce(p_words[v_next + 1] = '"' or p_raw[v_next + 1] ~ '^[A-Za-z_\u0080-\U0010ffff]', false)
      or pg_catalog.length(p_raw[v_next + 1]) > 1000
    then
      return null;
    end if;
    v_columns := v_columns || (pg_catalog.parse_ident(p_raw[v_next + 1]))[1]::name::text;
    v_next := v_next + 2;
    exit when p_words[v_next] is distinct from ',';
  end loop;
  return case when p_words[v_next] = ')' and p_words[v_next + 1] is null then to_jsonb(v_columns) end;
end
$$;
comment on function jobs_internal.columns_at(text[], text[], integer) is 'The columns of an index, as its text names them; null: not for sure';

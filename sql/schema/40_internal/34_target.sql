-- What a maintenance statement works on, as its text names it: read from the words of the lexer (35_statement.sql), each at its place in the
-- grammar. Nothing is looked up here. Where a name or an option cannot be read for sure, there is no target: no post-condition, no clean-up,
-- and the job's result says so.

-- Purpose: the name that stands at a place: as written, its parts joined by dots; and the place behind it. Null: none that can be read for sure
-- (U&"..." may have any UESCAPE, a cut text has no end).
create or replace function jobs_internal.name_at(p_words text[], p_raw text[], p_place integer, out name text, out next integer)
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
      or pg_catalog.length(p_raw[next]) > 1000 or next >= 390
    then
      name := null;
      return;
    end if;
    name := pg_catalog.concat(name, p_raw[next]);
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
comment on function jobs_internal.name_at(text[], text[], integer) is 'The name that stands at that place of a statement, and the place behind it';

-- Purpose: an option in the parentheses that begin at a place: on, off, unsure; null: it is not there. The last mention counts.
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
    select w.n, w.word, p_words[p_place + w.n::integer - 2] as before, p_words[p_place + w.n::integer] as value
    from unnest(p_words[p_place : coalesce(array_position(p_words, ')', p_place), cardinality(p_words))]) with ordinality as w(word, n)
  ) as o
  where p_words[p_place] = '(' and o.word = p_option and o.before in ('(', ',')
  order by o.n desc
  limit 1;
end;
comment on function jobs_internal.option_at(text[], integer, text) is 'An option in parentheses: on, off, unsure; null: it is not there';

-- Purpose: the place behind the parentheses that begin at a place; the place itself where there are none.
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
comment on function jobs_internal.behind_parentheses(text[], integer) is 'The place behind the parentheses that begin at a place';

-- Purpose: the tables that VACUUM and ANALYZE list from a place on: [{"name": ..., "only": ...}]; null: it cannot be read for sure.
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
    v_tables := v_tables || pg_catalog.jsonb_build_object('name', v_at.name, 'only', v_only);
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
comment on function jobs_internal.tables_at(text[], text[], integer) is 'The tables that VACUUM or ANALYZE names; null: not to be read for sure';

-- Purpose: the target of a statement. Null: of a kind that we know nothing about. Else an object: kind (create_index, drop_index, reindex, vacuum,
-- analyze, cluster, refresh, detach, create, drop, move, other), concurrently, and what the kind has: table, index, partition, name, class
-- (database, ...), scope, tables, exists (IF [NOT] EXISTS), full, counts (VACUUM and ANALYZE: they are counted for each table); object: what it is
-- called; unsure: why it could not be read.
create or replace function jobs_internal.target_of(p_words text[], p_raw text[])
returns jsonb
language plpgsql immutable
set search_path = pg_catalog, pg_temp
as $$
declare
  v_first text := case p_words[1] when 'ANALYSE' then 'ANALYZE' else p_words[1] end;
  v_next integer := 2;
  v_at record;
  v_option text;
  v_flag boolean;
  v_target jsonb;
  v_list jsonb;
  v_index text;
  v_scope text;
  v_unsure constant jsonb := '{"unsure": "its text cannot be read for sure"}';
begin
  if v_first = 'CREATE' and p_words[2 + (p_words[2] = 'UNIQUE')::integer] = 'INDEX' then
    v_next := 3 + (p_words[2] = 'UNIQUE')::integer;
    v_flag := p_words[v_next] = 'CONCURRENTLY';
    v_target := jsonb_build_object('kind', 'create_index', 'concurrently', v_flag);
    v_next := v_next + v_flag::integer;
    v_flag := p_words[v_next] = 'IF' and p_words[v_next + 1] = 'NOT';
    v_next := v_next + case when v_flag then 3 else 0 end;
    if p_words[v_next] is distinct from 'ON' then
      v_at := jobs_internal.name_at(p_words, p_raw, v_next);
      v_index := v_at.name;
      v_next := v_at.next;
      if v_index is null or p_words[v_next] is distinct from 'ON' then
        return v_target || v_unsure;
      end if;
    end if;
    v_next := v_next + 1;
    v_at := jobs_internal.name_at(p_words, p_raw, v_next + (p_words[v_next] is not distinct from 'ONLY')::integer);
    if v_at.name is null then
      return v_target || v_unsure;
    end if;
    return v_target || jsonb_build_object('table', v_at.name, 'index', v_index, 'exists', v_flag, 'unique', p_words[2] = 'UNIQUE',
      'columns', jobs_internal.columns_at(p_words, p_raw, v_at.next), 'object',
      -- A new index stands in the schema of its table.
      case when v_index is null then 'on ' || v_at.name
        else coalesce(substring(v_at.name from '^(.*\.)(?:"(?:[^"]|"")*"|[^".]*)$'), '') || v_index end);

  elsif v_first = 'DROP' and p_words[2] = 'INDEX' and p_words[3] = 'CONCURRENTLY' then
    v_flag := p_words[4] = 'IF' and p_words[5] = 'EXISTS';
    v_at := jobs_internal.name_at(p_words, p_raw, case when v_flag then 6 else 4 end);
    return jsonb_build_object('kind', 'drop_index', 'concurrently', true, 'index', v_at.name, 'object', v_at.name, 'exists', v_flag)
      || case when v_at.name is null or p_words[v_at.next] = ',' then v_unsure else '{}' end;

  elsif v_first = 'REINDEX' then
    v_option := jobs_internal.option_at(p_words, v_next, 'CONCURRENTLY');
    v_next := jobs_internal.behind_parentheses(p_words, v_next);
    v_scope := lower(p_words[v_next]);
    v_next := v_next + 1;
    v_flag := p_words[v_next] = 'CONCURRENTLY';
    if v_flag then
      v_option := 'on';
      v_next := v_next + 1;
    end if;
    v_target := jsonb_build_object('kind', 'reindex', 'scope', v_scope, 'concurrently', coalesce(v_option, 'off') <> 'off');
    v_at := jobs_internal.name_at(p_words, p_raw, v_next);
    if v_at.name is not null then
      v_target := v_target || jsonb_build_object('object', v_scope || ' ' || v_at.name);
    elsif p_words[v_next] is null and v_scope in ('database', 'system') then
      v_target := v_target || jsonb_build_object('object', v_scope);
    end if;
    return v_target || jsonb_build_object('name', v_at.name)
      || case when v_option = 'unsure' or (v_at.name is null and v_scope not in ('database', 'system')) then v_unsure else '{}' end;

  elsif v_first in ('VACUUM', 'ANALYZE') then
    v_option := jobs_internal.option_at(p_words, 2, 'FULL');
    v_flag := v_first = 'VACUUM' and coalesce(jobs_internal.option_at(p_words, 2, 'PROCESS_MAIN'), 'on') = 'on'
      and jobs_internal.option_at(p_words, 2, 'ONLY_DATABASE_STATS') is null;
    v_target := jsonb_build_object('kind', lower(v_first), 'vacuums', v_flag,
      'analyzes', v_first = 'ANALYZE' or coalesce(jobs_internal.option_at(p_words, 2, 'ANALYZE'), jobs_internal.option_at(p_words, 2, 'ANALYSE'), 'off') = 'on',
      'skips', coalesce(jobs_internal.option_at(p_words, 2, 'SKIP_LOCKED'), 'off') <> 'off');
    v_next := jobs_internal.behind_parentheses(p_words, v_next);
    while p_words[v_next] in ('FULL', 'FREEZE', 'VERBOSE', 'ANALYZE', 'ANALYSE') loop
      if p_words[v_next] = 'FULL' then
        v_option := 'on';
      elsif p_words[v_next] in ('ANALYZE', 'ANALYSE') then
        v_target := v_target || '{"analyzes": true}';
      end if;
      v_next := v_next + 1;
    end loop;
    v_list := jobs_internal.tables_at(p_words, p_raw, v_next);
    v_target := v_target || jsonb_build_object('full', coalesce(v_option, 'off') <> 'off', 'tables', v_list,
      'object', (select string_agg(case when (t.v -> 'only')::boolean then 'only ' else '' end || (t.v ->> 'name'), ', ' order by t.n)
        from jsonb_array_elements(v_list) with ordinality as t(v, n)));
    return v_target || case when v_list is null or v_option = 'unsure' then v_unsure else '{}' end;

  elsif v_first = 'CLUSTER' then
    v_next := jobs_internal.behind_parentheses(p_words, v_next);
    v_next := v_next + (p_words[v_next] is not distinct from 'VERBOSE')::integer;
    v_at := jobs_internal.name_at(p_words, p_raw, v_next);
    if p_words[v_at.next] = 'ON' then
      v_at := jobs_internal.name_at(p_words, p_raw, v_at.next + 1);
    end if;
    return jsonb_build_object('kind', 'cluster', 'table', v_at.name, 'object', v_at.name)
      || case when v_at.name is null and p_words[v_next] is not null then v_unsure else '{}' end;

  elsif v_first = 'REFRESH' then
    v_next := 4 + (p_words[4] is not distinct from 'CONCURRENTLY')::integer;
    v_at := jobs_internal.name_at(p_words, p_raw, v_next);
    return jsonb_build_object('kind', 'refresh', 'concurrently', v_next = 5, 'table', v_at.name, 'object', v_at.name);

  elsif v_first = 'ALTER' and p_words[2] = 'TABLE' then
    v_flag := p_words[3] = 'IF' and p_words[4] = 'EXISTS';
    v_next := case when v_flag then 5 else 3 end;
    v_next := v_next + (p_words[v_next] is not distinct from 'ONLY')::integer;
    v_at := jobs_internal.name_at(p_words, p_raw, v_next);
    v_target := jsonb_build_object('kind', 'other', 'table', v_at.name, 'object', v_at.name);
    if v_at.name is null then
      v_next := case when array_position(p_words, 'DETACH') > 0 and p_words[cardinality(p_words)] = 'CONCURRENTLY' then array_position(p_words, 'DETACH') end;
    else
      v_next := v_at.next + (p_words[v_at.next] is not distinct from '*')::integer;
    end if;
    if p_words[v_next] = 'DETACH' and p_words[v_next + 1] = 'PARTITION' and p_words[cardinality(p_words)] = 'CONCURRENTLY' then
      v_index := v_at.name;
      v_at := jobs_internal.name_at(p_words, p_raw, v_next + 2);
      v_target := jsonb_build_object('kind', 'detach', 'concurrently', true, 'table', v_index, 'partition', v_at.name,
        'object', v_index || ' detach ' || v_at.name)
        || case when v_index is null or v_at.name is null then v_unsure else '{}' end;
    end if;
    return v_target;

  -- Of these only the title says what they work on.
  elsif v_first = 'CALL' or v_first = 'UPDATE' or p_words[1] || ' ' || p_words[2] in ('INSERT INTO', 'DELETE FROM', 'MERGE INTO') then
    v_next := case when v_first in ('CALL', 'UPDATE') then 2 else 3 end;
    v_at := jobs_internal.name_at(p_words, p_raw, v_next + (v_first <> 'CALL' and p_words[v_next] is not distinct from 'ONLY')::integer);
    return case when v_at.name is not null then jsonb_build_object('kind', 'other', 'object', v_at.name) end;

  elsif v_first in ('CREATE', 'DROP') and p_words[2] in ('DATABASE', 'TABLESPACE', 'SUBSCRIPTION') then
    v_flag := p_words[3] = 'IF' and p_words[4] = 'EXISTS' and v_first = 'DROP';
    v_at := jobs_internal.name_at(p_words, p_raw, case when v_flag then 5 else 3 end);
    return jsonb_build_object('kind', lower(v_first), 'class', lower(p_words[2]), 'name', v_at.name, 'object', v_at.name, 'exists', v_flag,
      'force', v_first = 'DROP' and 'FORCE' = any (p_words[v_at.next:])) || case when v_at.name is null then v_unsure else '{}' end;

  elsif v_first = 'ALTER' and p_words[2] = 'DATABASE' then
    v_at := jobs_internal.name_at(p_words, p_raw, 3);
    v_target := jsonb_build_object('kind', 'other', 'name', v_at.name, 'object', v_at.name);
    v_next := coalesce(v_at.next, 4);
    if array_position(p_words, 'TABLESPACE') > 0 and (v_at.name is null or p_words[v_next : v_next + 1] = array['SET', 'TABLESPACE']) then
      v_index := v_at.name;
      v_at := jobs_internal.name_at(p_words, p_raw, v_next + 2);
      v_target := v_target || jsonb_build_object('kind', 'move', 'class', 'database', 'tablespace', v_at.name)
        || case when v_index is null or v_at.name is null then v_unsure else '{}' end;
    end if;
    return v_target;

  elsif v_first in ('CREATE', 'DROP', 'ALTER') and p_words[2] in ('TABLE', 'INDEX', 'VIEW', 'SEQUENCE', 'SCHEMA', 'TYPE', 'DOMAIN', 'MATERIALIZED',
      'SUBSCRIPTION', 'STATISTICS', 'EXTENSION')
    or v_first = 'TRUNCATE'
  then
    v_next := 2 + (v_first <> 'TRUNCATE' or p_words[2] = 'TABLE')::integer + (p_words[2] = 'MATERIALIZED')::integer;
    v_next := v_next + case when p_words[v_next] = 'IF' and p_words[v_next + 1] = 'NOT' then 3
      when p_words[v_next] = 'IF' and p_words[v_next + 1] = 'EXISTS' then 2 when p_words[v_next] = 'ONLY' then 1 else 0 end;
    v_at := jobs_internal.name_at(p_words, p_raw, v_next);
    return case when v_at.name is not null and p_words[v_at.next] is distinct from ','
      then jsonb_build_object('kind', 'other', 'object', v_at.name) end;
  end if;
  return null;
end
$$;
comment on function jobs_internal.target_of(text[], text[]) is 'What a maintenance statement works on, as its text names it; null: none that we know';

-- Purpose: the search_path of the caller, as a statement keeps it. Invoker on purpose. The worker is another login than a caller in SET ROLE or in a
-- definer function, so that "$user" is written out there.
create or replace function jobs_internal.callers_path()
returns text
language sql stable
begin atomic
  select case when current_user operator(pg_catalog.=) session_user then pg_catalog.current_setting('search_path')
    else pg_catalog.regexp_replace(pg_catalog.current_setting('search_path'), '"?\$user"?',
      pg_catalog.replace(pg_catalog.quote_ident(current_user), '\', '\\'), 'g') end;
end;
comment on function jobs_internal.callers_path() is 'The search_path of the caller; invoker on purpose';

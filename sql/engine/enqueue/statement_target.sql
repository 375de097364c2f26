-- What a statement works on, as its text names it. Where a name or an option cannot be read for
-- sure, there is no target: no post-condition, no clean-up, and the job's result says so.

-- The target of a statement. Null: of a kind that we know nothing about. Else an object: kind
-- (create_index, drop_index, reindex, vacuum, analyze, cluster, refresh, detach, create, drop,
-- move, other), concurrently, and what the kind has: table, index, partition, name, class
-- (database, ...), scope, tables, exists (IF [NOT] EXISTS), full, counts (VACUUM and ANALYZE: they
-- are counted for each table); object: what it is called; unsure: why it could not be read.
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
    v_at := jobs_internal.name_at(p_words, p_raw,
        v_next + (p_words[v_next] is not distinct from 'ONLY')::integer);
    if v_at.name is null then
      return v_target || v_unsure;
    end if;
    return v_target || jsonb_build_object('table', v_at.name, 'index', v_index, 'exists', v_flag,
        'unique', p_words[2] = 'UNIQUE',
      'columns', jobs_internal.columns_at(p_words, p_raw, v_at.next), 'object',
      -- A new index stands in the schema of its table.
      case when v_index is null then 'on ' || v_at.name
        else coalesce(substring(v_at.name from '^(.*\.)(?:"(?:[^"]|"")*"|[^".]*)$'), '')
          || v_index end);

  elsif v_first = 'DROP' and p_words[2] = 'INDEX' and p_words[3] = 'CONCURRENTLY' then
    v_flag := p_words[4] = 'IF' and p_words[5] = 'EXISTS';
    v_at := jobs_internal.name_at(p_words, p_raw, case when v_flag then 6 else 4 end);
    return jsonb_build_object('kind', 'drop_index', 'concurrently', true, 'index', v_at.name,
        'object', v_at.name, 'exists', v_flag)
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
    v_target := jsonb_build_object('kind', 'reindex', 'scope', v_scope, 'concurrently',
        coalesce(v_option, 'off') <> 'off');
    v_at := jobs_internal.name_at(p_words, p_raw, v_next);
    if v_at.name is not null then
      v_target := v_target || jsonb_build_object('object', v_scope || ' ' || v_at.name);
    elsif p_words[v_next] is null and v_scope in ('database', 'system') then
      v_target := v_target || jsonb_build_object('object', v_scope);
    end if;
    return v_target || jsonb_build_object('name', v_at.name)
      || case when v_option = 'unsure'
        or (v_at.name is null and v_scope not in ('database', 'system')) then v_unsure
          else '{}' end;

  elsif v_first in ('VACUUM', 'ANALYZE') then
    v_option := jobs_internal.option_at(p_words, 2, 'FULL');
    v_flag := v_first = 'VACUUM' and coalesce(jobs_internal.option_at(p_words, 2, 'PROCESS_MAIN'),
        'on') = 'on'
      and jobs_internal.option_at(p_words, 2, 'ONLY_DATABASE_STATS') is null;
    v_target := jsonb_build_object('kind', lower(v_first), 'vacuums', v_flag,
      'analyzes', v_first = 'ANALYZE'
        or coalesce(jobs_internal.option_at(p_words, 2, 'ANALYZE'),
            jobs_internal.option_at(p_words, 2, 'ANALYSE'), 'off') = 'on',
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
    v_target := v_target || jsonb_build_object('full', coalesce(v_option, 'off') <> 'off', 'tables',
        v_list,
      'object', (select string_agg(case when (t.v -> 'only')::boolean then 'only '
            else '' end || (t.v ->> 'name'), ', ' order by t.n)
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
    return jsonb_build_object('kind', 'refresh', 'concurrently', v_next = 5, 'table', v_at.name,
        'object', v_at.name);

  elsif v_first = 'ALTER' and p_words[2] = 'TABLE' then
    v_flag := p_words[3] = 'IF' and p_words[4] = 'EXISTS';
    v_next := case when v_flag then 5 else 3 end;
    v_next := v_next + (p_words[v_next] is not distinct from 'ONLY')::integer;
    v_at := jobs_internal.name_at(p_words, p_raw, v_next);
    v_target := jsonb_build_object('kind', 'other', 'table', v_at.name, 'object', v_at.name);
    if v_at.name is null then
      v_next := case when array_position(p_words, 'DETACH') > 0
        and p_words[cardinality(p_words)] = 'CONCURRENTLY'
          then array_position(p_words, 'DETACH') end;
    else
      v_next := v_at.next + (p_words[v_at.next] is not distinct from '*')::integer;
    end if;
    if p_words[v_next] = 'DETACH' and p_words[v_next + 1] = 'PARTITION'
      and p_words[cardinality(p_words)] = 'CONCURRENTLY' then
      v_index := v_at.name;
      v_at := jobs_internal.name_at(p_words, p_raw, v_next + 2);
      v_target := jsonb_build_object('kind', 'detach', 'concurrently', true, 'table', v_index,
          'partition', v_at.name,
        'object', v_index || ' detach ' || v_at.name)
        || case when v_index is null or v_at.name is null then v_unsure else '{}' end;
    end if;
    return v_target;

  -- Of these only the title says what they work on.
  elsif v_first in ('CALL', 'UPDATE', 'COPY')
    or p_words[1] || ' ' || p_words[2] in ('INSERT INTO', 'DELETE FROM', 'MERGE INTO') then
    v_next := case when v_first in ('CALL', 'UPDATE', 'COPY') then 2 else 3 end;
    v_at := jobs_internal.name_at(p_words, p_raw, v_next + (p_words[v_next] is not distinct from
        case v_first when 'CALL' then null when 'COPY' then 'BINARY' else 'ONLY' end)::integer);
    return case when v_at.name is not null
      then jsonb_build_object('kind', 'other', 'object', v_at.name) end;

  elsif v_first in ('CREATE', 'DROP') and p_words[2] in ('DATABASE', 'TABLESPACE', 'SUBSCRIPTION')
    then
    v_flag := p_words[3] = 'IF' and p_words[4] = 'EXISTS' and v_first = 'DROP';
    v_at := jobs_internal.name_at(p_words, p_raw, case when v_flag then 5 else 3 end);
    return jsonb_build_object('kind', lower(v_first), 'class', lower(p_words[2]), 'name', v_at.name,
        'object', v_at.name, 'exists', v_flag,
      'force', v_first = 'DROP' and 'FORCE' = any (p_words[v_at.next:])) || case
      when v_at.name is null then v_unsure else '{}' end;

  elsif v_first = 'ALTER' and p_words[2] = 'DATABASE' then
    v_at := jobs_internal.name_at(p_words, p_raw, 3);
    v_target := jsonb_build_object('kind', 'other', 'name', v_at.name, 'object', v_at.name);
    v_next := coalesce(v_at.next, 4);
    if array_position(p_words, 'TABLESPACE') > 0
      and (v_at.name is null or p_words[v_next : v_next + 1] = array['SET', 'TABLESPACE']) then
      v_index := v_at.name;
      v_at := jobs_internal.name_at(p_words, p_raw, v_next + 2);
      v_target := v_target || jsonb_build_object('kind', 'move', 'class', 'database', 'tablespace',
          v_at.name)
        || case when v_index is null or v_at.name is null then v_unsure else '{}' end;
    end if;
    return v_target;

  elsif v_first in ('CREATE', 'DROP', 'ALTER')
    and p_words[2] in ('TABLE', 'INDEX', 'VIEW', 'SEQUENCE', 'SCHEMA', 'TYPE', 'DOMAIN',
        'MATERIALIZED',
      'SUBSCRIPTION', 'STATISTICS', 'EXTENSION')
    or v_first = 'TRUNCATE'
  then
    v_next := 2 + (v_first <> 'TRUNCATE' or p_words[2] = 'TABLE')::integer
      + (p_words[2] = 'MATERIALIZED')::integer;
    v_next := v_next + case when p_words[v_next] = 'IF' and p_words[v_next + 1] = 'NOT' then 3
      when p_words[v_next] = 'IF' and p_words[v_next + 1] = 'EXISTS' then 2
        when p_words[v_next] = 'ONLY' then 1 else 0 end;
    v_at := jobs_internal.name_at(p_words, p_raw, v_next);
    return case when v_at.name is not null and p_words[v_at.next] is distinct from ','
      then jsonb_build_object('kind', 'other', 'object', v_at.name) end;
  end if;
  return null;
end
$$;

-- The search_path of the caller, as a statement keeps it. Invoker on purpose. The worker is another
-- login than a caller in SET ROLE or in a definer function, so that "$user" is written out there.
create or replace function jobs_internal.callers_path()
returns text
language sql stable
begin atomic
  select case when current_user operator(pg_catalog.=) session_user
    then pg_catalog.current_setting('search_path')
    else pg_catalog.regexp_replace(pg_catalog.current_setting('search_path'), '"?\$user"?',
      pg_catalog.replace(pg_catalog.quote_ident(current_user), '\', '\\'), 'g') end;
end;

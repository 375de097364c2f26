-- The dry run of a statement (jobs.plan), first part: what its text says, and what its names mean.
--
-- Nothing of the text is run, and nothing is locked: the grammar is asked with a text whose first
-- statement fails (assert_readable), names are looked up one by one, and the rest is read from the
-- catalogs by OID. It works in a read-only transaction and on a standby.

-- What the text of a statement says: {command, top_level, target, operation, kind, actions: of
-- ALTER TABLE: [{words, raw}], types: the types that these name, relation: its name is that of a
-- relation by its place in the grammar}. Errors: those of classify and assert_readable.
create or replace function jobs_internal.read_statement(p_statement text)
returns jsonb
language plpgsql stable security definer
set search_path = pg_catalog, pg_temp
as $$
declare
  v_kind record;
  v_lexed record;
  v_actions jsonb := '[]';
  v_types jsonb := '[]';
begin
  v_kind := jobs_internal.classify(coalesce(p_statement, ''));
  perform jobs_internal.assert_readable(p_statement, 'the statement');
  v_lexed := jobs_internal.lex(p_statement);
  if v_kind.operation ? 'from' and cardinality(v_lexed.words) < 390 then
    select jsonb_agg(jsonb_build_object('words', a.words, 'raw', a.raw) order by a.n),
      jsonb_agg(t.name) filter (where t.name is not null)
    into v_actions, v_types
    from jobs_internal.table_actions(v_lexed.words, v_lexed.raw,
        (v_kind.operation ->> 'from')::integer) as a
    cross join lateral (select jobs_internal.type_written(a.words, a.raw) as name) as t;
  end if;
  return jsonb_build_object('command', v_kind.command, 'top_level', v_kind.top_level,
    'target', v_kind.target, 'operation', v_kind.operation, 'actions', v_actions,
    'types', coalesce(v_types, '[]'),
    'kind', coalesce(v_kind.operation ->> 'kind', v_kind.command),
    'tail', to_jsonb(v_lexed.words[cardinality(v_lexed.words) - 1 :]),
    'relation', coalesce(v_kind.operation ->> 'kind' <> 'ddl', v_lexed.words[1] in ('UPDATE')
        or v_lexed.words[: 2] in (array['INSERT', 'INTO'], array['DELETE', 'FROM'],
          array['MERGE', 'INTO']))
      or v_lexed.words[2] in ('INDEX', 'TABLE', 'VIEW', 'SEQUENCE', 'MATERIALIZED'),
    'if_exists', 'EXISTS' = any (v_lexed.words[3:5]) and v_lexed.words[1] in ('DROP', 'ALTER'));
end
$$;

-- The type that an action of ALTER TABLE gives a column, as written; null: it gives none.
create or replace function jobs_internal.type_written(p_words text[], p_raw text[])
returns text
language plpgsql immutable
set search_path = pg_catalog, pg_temp
as $$
declare
  v_from integer;
  v_to integer;
begin
  if p_words[1] = 'ALTER' then
    v_from := 3 + (p_words[2] = 'COLUMN')::integer;  -- behind the name of the column
    v_from := v_from + 2 * (p_words[v_from : v_from + 1] = array['SET', 'DATA'])::integer;
    v_from := case when p_words[v_from] = 'TYPE' then v_from + 1 end;
  elsif p_words[1] = 'ADD' and p_words[2] not in ('CONSTRAINT', 'CHECK', 'UNIQUE', 'PRIMARY',
    'FOREIGN', 'EXCLUDE', 'NOT')
  then
    v_from := 2 + (p_words[2] = 'COLUMN')::integer;
    v_from := v_from + case when p_words[v_from] = 'IF' then 4 else 1 end;
  end if;
  if v_from is null then
    return null;
  end if;
  v_to := v_from;
  while p_words[v_to] is not null and p_words[v_to] not in ('USING', 'COLLATE', 'DEFAULT', 'NOT',
    'NULL', 'CHECK', 'UNIQUE', 'PRIMARY', 'REFERENCES', 'CONSTRAINT', 'GENERATED', 'STORAGE',
    'COMPRESSION', 'CASCADE', 'RESTRICT')
  loop
    v_to := v_to + 1;
  end loop;
  return array_to_string(p_raw[v_from : v_to - 1], ' ');
end
$$;

-- What the names of a statement mean under the caller's path and rights: as look_up, and types:
-- {as written: {oid, modifier}}, index_bytes: about how large an index of its columns is. Invoker
-- on purpose. Errors: PW061 nothing bears the name, PW062 the
-- caller may not do that to it. p_strict false: what is missing is left out.
create or replace function jobs_internal.look_up_for_plan(p_read jsonb, p_strict boolean)
returns jsonb
language plpgsql stable
set exit_on_error = off
as $$
declare
  v_target pg_catalog.jsonb := p_read operator(pg_catalog.->) 'target';
  v_operation pg_catalog.jsonb := p_read operator(pg_catalog.->) 'operation';
  v_named pg_catalog.jsonb := jobs_internal.names_of(p_read);
  v_found pg_catalog.jsonb := '{"types": {}}';
  v_other pg_catalog.jsonb := '[]';
  v_name pg_catalog.text;
  v_n integer;
  v_oid pg_catalog.oid;
  v_why pg_catalog.text;
  v_bytes pg_catalog.int8;
begin
  for v_n in 0 .. pg_catalog.jsonb_array_length(v_named) operator(pg_catalog.-) 1 loop
    v_name := v_named operator(pg_catalog.->>) v_n;
    begin
      v_oid := pg_catalog.to_regclass(v_name);
      v_why := null;
    exception
      when query_canceled then
        raise;
      when others then
        v_oid := null;
        v_why := sqlerrm;
    end;
    if v_oid is null and p_strict then
      perform jobs_internal.refuse_missing(v_name, v_why, p_read);
    elsif v_oid is not null then
      perform jobs_internal.assert_allowed(v_oid, p_read, v_n operator(pg_catalog.=) 0);
    end if;
    if v_n operator(pg_catalog.=) 0 then
      v_found := v_found operator(pg_catalog.||) pg_catalog.jsonb_build_object('object',
          v_oid::pg_catalog.int8);
    elsif v_oid is not null then
      v_other := v_other operator(pg_catalog.||) pg_catalog.to_jsonb(v_oid::pg_catalog.int8);
    end if;
  end loop;
  for v_name in select t.name
    from pg_catalog.jsonb_array_elements_text(p_read operator(pg_catalog.->) 'types') as t(name)
  loop
    begin
      v_found := pg_catalog.jsonb_set(v_found, array['types', v_name],
          pg_catalog.jsonb_build_object('oid', pg_catalog.to_regtype(v_name)::pg_catalog.oid
              ::pg_catalog.int8, 'modifier', pg_catalog.to_regtypemod(v_name)));
    exception
      when query_canceled then
        raise;
      when others then
        null;  -- serial, or a schema that is closed: not known
    end;
  end loop;
  begin
    v_bytes := jobs_internal.plan_index_bytes((v_found operator(pg_catalog.->>) 'object')
        ::pg_catalog.oid, p_read operator(pg_catalog.#>) '{target, columns}');
  exception
    when lock_not_available then
      null;
  end;
  return v_found operator(pg_catalog.||) pg_catalog.jsonb_build_object('other', v_other,
    'index_bytes', v_bytes);
end
$$;

-- The names of relations that a statement writes, the one that it works on first.
create or replace function jobs_internal.names_of(p_read jsonb)
returns jsonb
language sql stable
set search_path = pg_catalog, pg_temp
begin atomic
  select case
    when not (p_read -> 'relation')::boolean or coalesce(p_read -> 'target' ? 'unsure', true)
      or p_read -> 'target' ->> 'scope' in ('schema', 'database', 'system') then '[]'
    else coalesce((
      select jsonb_agg(n.name order by n.n)
      from (
        select 0 as n, coalesce(p_read -> 'target' ->> 'table', p_read -> 'target' ->> 'index',
            p_read -> 'target' ->> 'name', case when p_read -> 'target' ->> 'kind' = 'other'
              then p_read -> 'target' ->> 'object' end) as name
        union all
        select t.n, t.v ->> 'name'
        from jsonb_array_elements(case
            when jsonb_typeof(p_read -> 'target' -> 'tables') = 'array'
            then p_read -> 'target' -> 'tables' else '[]' end) with ordinality as t(v, n)
        union all
        select 1000, p_read -> 'operation' ->> 'references'
        union all
        select 1001, p_read -> 'operation' ->> 'partition'
      ) as n
      where n.name is not null), '[]') end;
end;

-- Refuse a name that nothing bears. Errors: PW061, PW062.
create or replace function jobs_internal.refuse_missing(p_name text, p_why text, p_read jsonb)
returns void
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $$
begin
  if p_why is null and ((p_read -> 'if_exists')::boolean
      or coalesce((p_read -> 'target' -> 'exists')::boolean, false)
      and p_read -> 'target' ->> 'kind' <> 'create_index')
  then
    return;  -- then it does nothing: a warning
  end if;
  raise exception using errcode = case when p_why ~ 'permission' then 'PW062' else 'PW061' end,
    message = case when p_why ~ 'permission' then format('%s is closed to %s', p_name, current_user)
      else format('there is no %s', p_name) end,
    detail = coalesce('PostgreSQL says: ' || p_why,
      'It was looked for with the search_path of the session.'),
    hint = 'Qualify the name, or correct it. As a step behind the one that makes it, it is no '
      'error. A retry cannot help.';
end
$$;

-- Refuse what PostgreSQL would not let the caller do to a relation: that is for its owner and who
-- has the privilege, a DROP for the owner of the schema too, VACUUM and ANALYZE for the owner of
-- the database. p_first: it is the one that the statement works on. Errors: PW062.
create or replace function jobs_internal.assert_allowed(p_relation oid, p_read jsonb,
    p_first boolean)
returns void
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $$
declare
  v_kind text := p_read ->> 'kind';
  v_owner oid;
  v_table oid;
  v_other oid;
  v_right text := case
    when v_kind ~ '^(vacuum|analyze|reindex|cluster|repack|refresh)' then 'MAINTAIN'
    when v_kind = 'truncate' then 'TRUNCATE'
    when v_kind in ('insert', 'update', 'delete') then upper(v_kind)
    when not p_first and p_read -> 'operation' ? 'references' then 'REFERENCES' end;
begin
  if v_kind in ('copy', 'merge') then
    return;  -- rights on columns count, and which way it goes
  end if;
  select c.relowner, coalesce(i.indrelid, c.oid),
    case when p_read ->> 'command' ~ '^drop ' then n.nspowner
      when v_kind ~ '^(vacuum|analyze)' and not c.relisshared then (
        select d.datdba from pg_database as d where d.datname = current_database()) end
  into v_owner, v_table, v_other
  from pg_class as c
  join pg_namespace as n on n.oid = c.relnamespace
  left join pg_index as i on i.indexrelid = c.oid
  where c.oid = p_relation;
  if not pg_has_role(v_owner, 'usage') and not pg_has_role(v_other, 'usage') is true
    and not (v_right is not null and (has_table_privilege(v_table, v_right)
      or v_right in ('INSERT', 'UPDATE', 'REFERENCES')
        and has_any_column_privilege(v_table, v_right)))
  then
    raise exception using errcode = 'PW062',
      message = format('%s is not %s''s', p_relation::regclass, current_user),
      detail = format('It belongs to %s, and %s needs %s.', pg_get_userbyid(v_owner),
        upper(v_kind), coalesce('the privilege ' || v_right, 'its owner')),
      hint = 'Plan and enqueue it as its owner. A retry cannot help.';
  end if;
end
$$;

-- Which kind of long operation a statement is, as its text shows it.

-- The long operation that a statement is: {kind, as in operation_kinds(); of ALTER TABLE:
-- constraint, column, partition, references, using_index, not_valid: as the text names them; from:
-- the place of its first action; lock_mode, where the kind leaves it open}. Null: none, or what
-- cannot be read for sure.
create or replace function jobs_internal.operation_of(p_words text[], p_raw text[], p_target jsonb)
returns jsonb
language plpgsql immutable
set search_path = pg_catalog, pg_temp
as $$
declare
  v_kind text := p_target ->> 'kind';
  v_first text := p_words[1];
  v_second text := p_words[2];
begin
  if v_kind in ('create_index', 'drop_index', 'reindex', 'refresh') then
    return jsonb_build_object('kind', case v_kind when 'create_index' then 'create index'
      when 'drop_index' then 'drop index' when 'refresh' then 'refresh materialized view'
        else 'reindex' end
      || case when (p_target -> 'concurrently')::boolean then ' concurrently' else '' end);
  elsif v_kind = 'vacuum' then
    return jsonb_build_object('kind', case when (p_target -> 'full')::boolean then 'vacuum full'
      else 'vacuum' end);
  elsif v_kind in ('analyze', 'cluster') then
    return jsonb_build_object('kind', v_kind);
  elsif v_kind = 'detach' then
    return jsonb_build_object('kind', 'detach partition concurrently', 'partition',
        p_target -> 'partition');
  elsif v_first = 'REPACK' then
    return jsonb_build_object('kind', case when coalesce(jobs_internal.option_at(p_words, 2,
            'CONCURRENTLY'), 'off') <> 'off' then 'repack concurrently' else 'repack' end);
  elsif v_first = 'ALTER' and v_second = 'TABLE' then
    return jobs_internal.table_change(p_words, p_raw);
  elsif v_first = 'DROP' and v_second = 'INDEX' then
    return '{"kind": "drop index"}';
  elsif v_first = 'TRUNCATE' then
    return '{"kind": "truncate"}';
  elsif v_first = 'COPY' then
    return jsonb_build_object('kind', 'copy', 'lock_mode', case when p_words[2] = '('
      or 'TO' = any (p_words) then 'AccessShareLock' else 'RowExclusiveLock' end);
  elsif v_first = 'ALTER' and v_second = 'INDEX'
    and (p_words && array['RENAME', 'RESET'] or 'SET' = any (p_words) and '(' = any (p_words))
  then
    return '{"kind": "ddl", "lock_mode": "ShareUpdateExclusiveLock"}';
  elsif v_first in ('ALTER', 'DROP') and v_second in ('INDEX', 'VIEW', 'MATERIALIZED', 'SEQUENCE',
      'TYPE', 'DOMAIN', 'TABLE', 'TRIGGER', 'POLICY', 'RULE', 'STATISTICS', 'FOREIGN', 'FUNCTION',
      'PROCEDURE', 'SCHEMA', 'EXTENSION')
    or v_first = 'CREATE' and (v_second in ('TRIGGER', 'POLICY', 'RULE', 'STATISTICS')
      or v_second = 'CONSTRAINT' and p_words[3] = 'TRIGGER'
      or v_second = 'OR' and p_words[4] in ('TRIGGER', 'RULE'))
    or v_first = 'COMMENT'
  then
    return '{"kind": "ddl"}';
  end if;
  return null;
end
$$;

-- The place of the index that a constraint takes over (UNIQUE USING INDEX ...); 0: it makes its
-- own.
create or replace function jobs_internal.using_index(p_words text[], p_place integer)
returns integer
language sql immutable
set search_path = pg_catalog, pg_temp
begin atomic
  select case
    when p_words[p_place : p_place + 2] = array['UNIQUE', 'USING', 'INDEX'] then p_place + 3
    when p_words[p_place : p_place + 3] = array['PRIMARY', 'KEY', 'USING', 'INDEX'] then p_place + 4
    else 0 end;
end;

-- The same of an ALTER TABLE: what its one action is. Of several, and of one that is none of ours,
-- no more is said than that it is an ALTER TABLE.
create or replace function jobs_internal.table_change(p_words text[], p_raw text[])
returns jsonb
language plpgsql immutable
set search_path = pg_catalog, pg_temp
as $$
declare
  v_next integer := 3;
  v_at record;
  v_depth integer := 0;
  v_i integer;
  v_columns jsonb;
  v_references text;
  v_name text;
  v_not_valid boolean;
  v_kind jsonb := '{"kind": "alter table"}';
begin
  v_next := v_next + case when p_words[3] = 'IF' and p_words[4] = 'EXISTS' then 2 else 0 end;
  v_next := v_next + (p_words[v_next] is not distinct from 'ONLY')::integer;
  v_at := jobs_internal.name_at(p_words, p_raw, v_next);
  if v_at.name is null or cardinality(p_words) >= 390 then
    return v_kind;
  end if;
  v_next := v_at.next + (p_words[v_at.next] is not distinct from '*')::integer;
  v_kind := jsonb_strip_nulls(v_kind || jsonb_build_object('from', v_next, 'lock_mode',
        jobs_internal.actions_lock(p_words, p_raw, v_next)));
  for v_i in v_next .. cardinality(p_words) loop
    v_depth := v_depth + case p_words[v_i] when '(' then 1 when ')' then -1 else 0 end;
    if v_depth = 0 and p_words[v_i] = ',' then
      return v_kind;
    end if;
    if v_depth = 0 and p_words[v_i] = 'REFERENCES' and v_references is null then
      v_references := (jobs_internal.name_at(p_words, p_raw, v_i + 1)).name;
    end if;
  end loop;
  v_not_valid := p_words[cardinality(p_words) - 1 :] = array['NOT', 'VALID'];
  if p_words[v_next] = 'ADD' and p_words[v_next + 1] in ('CONSTRAINT', 'CHECK', 'UNIQUE', 'PRIMARY',
      'FOREIGN', 'EXCLUDE', 'NOT')
  then
    if p_words[v_next + 1] = 'CONSTRAINT' then
      v_at := jobs_internal.name_at(p_words, p_raw, v_next + 2);
      v_name := v_at.name;
      if v_name is null then
        return v_kind;
      end if;
      v_next := v_at.next;
    else
      v_next := v_next + 1;
    end if;
    return jsonb_strip_nulls(jsonb_build_object('kind', 'add constraint', 'constraint', v_name,
        'class', lower(p_words[v_next]), 'not_valid', v_not_valid, 'references', v_references,
        'using_index', (jobs_internal.name_at(p_words, p_raw,
          nullif(jobs_internal.using_index(p_words, v_next), 0))).name,
        'lock_mode', case p_words[v_next] when 'FOREIGN' then 'ShareRowExclusiveLock'
          else 'AccessExclusiveLock' end));
  elsif p_words[v_next : v_next + 1] = array['VALIDATE', 'CONSTRAINT'] then
    return jsonb_build_object('kind', 'validate constraint', 'constraint',
        (jobs_internal.name_at(p_words, p_raw, v_next + 2)).name);
  elsif p_words[v_next] = 'ALTER' then
    v_next := v_next + 1 + (p_words[v_next + 1] is not distinct from 'COLUMN')::integer;
    v_at := jobs_internal.name_at(p_words, p_raw, v_next);
    if p_words[v_at.next :] = array['SET', 'NOT', 'NULL'] then
      return jsonb_build_object('kind', 'set not null', 'column', v_at.name);
    end if;
  elsif p_words[v_next : v_next + 1] in (array['ATTACH', 'PARTITION'], array['DETACH', 'PARTITION'])
  then
    return jsonb_build_object('kind', lower(p_words[v_next]) || ' partition', 'partition',
        (jobs_internal.name_at(p_words, p_raw, v_next + 2)).name);
  end if;
  return v_kind;
end
$$;

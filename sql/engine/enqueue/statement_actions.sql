-- The actions of an ALTER TABLE, and the lock that each takes on the table, as the server has it.

-- The words of each action, from a place on: actions are parted by commas outside of parentheses.
create or replace function jobs_internal.table_actions(p_words text[], p_raw text[],
    p_place integer)
returns table (n integer, words text[], raw text[])
language plpgsql immutable
set search_path = pg_catalog, pg_temp
as $$
declare
  v_depth integer := 0;
  v_from integer := p_place;
begin
  n := 0;
  for v_i in p_place .. cardinality(p_words) + 1 loop
    v_depth := v_depth + case p_words[v_i] when '(' then 1 when ')' then -1 else 0 end;
    if v_i > cardinality(p_words) or v_depth = 0 and p_words[v_i] = ',' then
      n := n + 1;
      words := p_words[v_from : v_i - 1];
      raw := p_raw[v_from : v_i - 1];
      return next;
      v_from := v_i + 1;
    end if;
  end loop;
end
$$;

-- The lock that an action takes on the table; null: not known.
create or replace function jobs_internal.action_lock(p_words text[])
returns text
language plpgsql immutable
set search_path = pg_catalog, pg_temp
as $$
declare
  v_one text := p_words[1];
  v_two text := p_words[2];
  v_next integer;
begin
  if v_one = 'ALTER' and v_two <> 'CONSTRAINT' then
    v_next := 3 + (v_two = 'COLUMN')::integer;  -- behind the name of the column
    return case when p_words[v_next : v_next + 1] in (array['SET', 'STATISTICS'],
        array['SET', '('], array['RESET', '(']) then 'ShareUpdateExclusiveLock'
      else 'AccessExclusiveLock' end;
  end if;
  return case
    when p_words[: 2] in (array['VALIDATE', 'CONSTRAINT'], array['CLUSTER', 'ON'],
        array['RESET', '('], array['ATTACH', 'PARTITION'])
      or p_words[: 3] = array['SET', 'WITHOUT', 'CLUSTER']
      or v_one = 'DETACH' and p_words[cardinality(p_words)] in ('CONCURRENTLY', 'FINALIZE')
      or p_words[: 2] = array['SET', '('] and not 'USER_CATALOG_TABLE' = any (p_words)
      then 'ShareUpdateExclusiveLock'
    when v_one in ('ENABLE', 'DISABLE') and 'TRIGGER' in (v_two, p_words[3])
      or v_one = 'ADD' and (v_two = 'FOREIGN' or v_two = 'CONSTRAINT' and p_words[4] = 'FOREIGN')
      then 'ShareRowExclusiveLock'
    when v_one in ('ADD', 'ALTER', 'DROP', 'RENAME', 'OWNER', 'INHERIT', 'NO', 'REPLICA', 'OF',
        'NOT', 'SET', 'ENABLE', 'DISABLE', 'FORCE', 'DETACH')
      then 'AccessExclusiveLock'
    end;
end
$$;

-- The lock that all actions from a place on take together: the strongest; null: not known.
create or replace function jobs_internal.actions_lock(p_words text[], p_raw text[],
    p_place integer)
returns text
language plpgsql immutable
set search_path = pg_catalog, pg_temp
as $$
declare
  v_lock text := 'AccessShareLock';
  v_one text;
begin
  if cardinality(p_words) >= 390 then
    return null;  -- it may have been cut
  end if;
  for v_one in
    select jobs_internal.action_lock(a.words)
    from jobs_internal.table_actions(p_words, p_raw, p_place) as a
  loop
    if v_one is null then
      return null;
    elsif jobs_internal.lock_strength(v_one) > jobs_internal.lock_strength(v_lock) then
      v_lock := v_one;
    end if;
  end loop;
  return v_lock;
end
$$;

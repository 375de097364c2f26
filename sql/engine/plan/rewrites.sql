-- Whether a statement writes a table anew. Only what is sure is said; null: it is not known.

-- Whether an expression of a DEFAULT is volatile, so that each row gets a value of its own.
create or replace function jobs_internal.default_is_volatile(p_words text[], p_raw text[])
returns boolean
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $$
declare
  v_volatile boolean := false;
  v_one boolean;
begin
  if 'SELECT' = any (p_words) then
    return null;
  end if;
  for v_i in 2 .. coalesce(cardinality(p_words), 0) loop
    continue when p_words[v_i] <> '(' or p_words[v_i - 1] !~ '^["A-Z_]'
      or p_words[v_i - 1] in ('VARCHAR', 'CHAR', 'NUMERIC', 'DECIMAL', 'BIT', 'TIME', 'TIMESTAMP',
        'INTERVAL', 'CAST', 'AND', 'OR', 'NOT', 'IN', 'ROW', 'ARRAY');
    -- the functions of that name, wherever they are: all or none
    select case when bool_and(p.provolatile = 'v') then true
      when bool_and(p.provolatile <> 'v') then false end
    into v_one
    from pg_proc as p
    where p.proname = (parse_ident(p_raw[v_i - 1]))[1]::name;
    if v_one then
      return true;
    end if;
    v_volatile := case when v_one is not null then v_volatile end;
  end loop;
  return v_volatile;
end
$$;

-- Whether a change of a column's type writes the table anew.
create or replace function jobs_internal.type_change_rewrites(p_table oid, p_column name,
    p_type jsonb)
returns boolean
language sql stable
set search_path = pg_catalog, pg_temp
begin atomic
  select case
    when n.typtype = 'd' or o.typtype = 'd' then null
    when a.atttypid = n.oid then case
        when m.new = a.atttypmod then false
        when n.typname in ('varchar', 'varbit', 'numeric', 'timestamp', 'timestamptz', 'time',
          'timetz', 'interval') and m.new = -1 then false
        when n.typname in ('varchar', 'varbit') then a.atttypmod = -1 or m.new < a.atttypmod
        -- its scale is the low part of the modifier
        when n.typname = 'numeric' then a.atttypmod = -1 or m.new < a.atttypmod
          or (m.new - 4) & 2047 <> (a.atttypmod - 4) & 2047
        when n.typname = 'bpchar' then true end
    when (o.typname, n.typname) in (('timestamp', 'timestamptz'), ('timestamptz', 'timestamp'))
      then null  -- it depends on the time zone of the session
    when c.castmethod = 'b' then case when m.new = -1 then false
      when n.typname in ('varchar', 'bpchar') then true end
    when c.castmethod in ('f', 'i') then true end
  from pg_attribute as a
  join pg_type as o on o.oid = a.atttypid
  join pg_type as n on n.oid = (p_type ->> 'oid')::oid
  cross join lateral (select coalesce((p_type ->> 'modifier')::integer, -1) as new) as m
  left join pg_cast as c on c.castsource = o.oid and c.casttarget = n.oid
  where a.attrelid = p_table and a.attname = p_column and not a.attisdropped;
end;

-- Whether an action of ALTER TABLE writes the table anew.
create or replace function jobs_internal.action_rewrites(p_table oid, p_action jsonb,
    p_types jsonb)
returns boolean
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $$
declare
  v_words text[] := array(select jsonb_array_elements_text(p_action -> 'words'));
  v_raw text[] := array(select jsonb_array_elements_text(p_action -> 'raw'));
  v_written text := jobs_internal.type_written(v_words, v_raw);
  v_type jsonb := p_types -> v_written;
  v_next integer;
  v_end integer;
  v_class record;
begin
  select c.relpersistence, c.reltablespace, a.amname into v_class
  from pg_class as c left join pg_am as a on a.oid = c.relam where c.oid = p_table;
  if v_words[1] = 'ALTER' and v_written is not null then
    v_next := 2 + (v_words[2] = 'COLUMN')::integer;
    return case when not 'USING' = any (v_words)
      then jobs_internal.type_change_rewrites(p_table, (parse_ident(v_raw[v_next]))[1]::name,
        v_type) end;
  elsif v_words[1] = 'ADD' and v_written is not null then
    if v_written ~* '^(small|big)?serial[248]?$'
      or 'GENERATED' = any (v_words) and ('STORED' = any (v_words) or 'IDENTITY' = any (v_words))
    then
      return true;
    elsif v_type ->> 'oid' is null or exists (select from pg_type as t
        where t.oid = (v_type ->> 'oid')::oid and t.typtype = 'd') then
      return null;
    end if;
    v_next := array_position(v_words, 'DEFAULT');
    if v_next is null then
      return false;
    end if;
    v_end := v_next + 1;
    while v_words[v_end] is not null and v_words[v_end] not in ('NOT', 'CHECK', 'UNIQUE', 'PRIMARY',
      'REFERENCES', 'CONSTRAINT', 'GENERATED', 'COLLATE')
    loop
      v_end := v_end + 1;
    end loop;
    return jobs_internal.default_is_volatile(v_words[v_next + 1 : v_end - 1],
      v_raw[v_next + 1 : v_end - 1]);
  elsif v_words[1] = 'SET' then
    return case v_words[2]
      when 'LOGGED' then v_class.relpersistence = 'u'
      when 'UNLOGGED' then v_class.relpersistence = 'p'
      when 'TABLESPACE' then not exists (select from pg_tablespace as t
        where t.spcname = (parse_ident(v_raw[3]))[1]::name
          and t.oid = coalesce(nullif(v_class.reltablespace, 0), (select d.dattablespace
            from pg_database as d where d.datname = current_database())))
      when 'ACCESS' then case when v_words[4] <> 'DEFAULT'
        then v_class.amname <> (parse_ident(v_raw[4]))[1]::name end
      when '(' then false when 'SCHEMA' then false when 'WITHOUT' then false end;
  elsif v_words[1] in ('ADD', 'ALTER', 'DROP', 'RENAME', 'OWNER', 'INHERIT', 'NO', 'REPLICA', 'OF',
    'NOT', 'RESET', 'ENABLE', 'DISABLE', 'FORCE', 'VALIDATE', 'CLUSTER', 'ATTACH', 'DETACH')
  then
    -- of ALTER only a new expression of a generated column does
    return case when v_words[1] = 'ALTER' and ('EXPRESSION' = any (v_words)) then null
      else false end;
  end if;
  return null;
end
$$;

-- Whether a statement writes the table that it works on anew; null: it is not known.
create or replace function jobs_internal.plan_rewrites(p_read jsonb, p_found jsonb)
returns boolean
language sql stable
set search_path = pg_catalog, pg_temp
begin atomic
  select case
    when p_read -> 'operation' ->> 'kind' in ('vacuum full', 'cluster', 'repack',
      'repack concurrently', 'refresh materialized view') then true
    when p_read -> 'operation' ->> 'kind' = 'alter table' then (
      select case when bool_or(r.rewrites) then true
        when count(r.rewrites) = count(*) and count(*) > 0 then false end
      from jsonb_array_elements(p_read -> 'actions') as a(action)
      cross join lateral (select jobs_internal.action_rewrites((p_found ->> 'object')::oid,
        a.action, p_found -> 'types') as rewrites) as r)
    when p_read -> 'operation' ->> 'kind' = 'ddl' or p_read -> 'operation' is null
      or p_read -> 'operation' = 'null' then null
    else false end;
end;

-- A rehearsal (jobs.rehearse): what can be rehearsed, and whether it stayed on its copy.

-- Refuse a statement that a temporary copy of one plain table does not stand in for.
-- p_table: the table. Errors: PW068.
create or replace function jobs_internal.assert_rehearsable(p_read jsonb, p_table oid)
returns void
language plpgsql stable security definer
set search_path = pg_catalog, pg_temp
as $$
declare
  v_kind text := p_read -> 'operation' ->> 'kind';
  v_table record;
  v_why text;
begin
  select c.relkind, c.relpersistence, c.relispartition, c.relhassubclass, c.relname into v_table
  from pg_class as c where c.oid = p_table;
  v_why := case
    when v_kind is null or v_kind not in ('create index', 'create index concurrently',
      'drop index', 'drop index concurrently', 'add constraint', 'validate constraint',
      'set not null', 'alter table')
      then format('%s is none of CREATE INDEX, DROP INDEX and the ALTER TABLE of columns, CHECK, '
        'UNIQUE and NOT NULL', upper(p_read ->> 'command'))
    when p_table is null then 'its table cannot be read from its text'
    when v_table.relkind <> 'r' or v_table.relispartition or v_table.relhassubclass
      then format('%s is no plain table', jobs_internal.qualified(p_table))
    when v_table.relpersistence = 't' then 'it is a temporary table: try it there'
    when exists (select from pg_class as c where c.relnamespace = pg_my_temp_schema()
      and c.relname = v_table.relname)
      then format('this session has a temporary table %I', v_table.relname)
    when p_read -> 'operation' ->> 'class' in ('foreign', 'exclude')
      or p_read -> 'operation' ? 'references' then 'it works on another table too'
    when v_kind = 'alter table' and (p_read -> 'actions' = '[]' or exists (
      select from jsonb_array_elements(p_read -> 'actions') as a
      where a -> 'words' ->> 0 not in ('ADD', 'DROP', 'ALTER', 'RENAME', 'SET', 'RESET', 'VALIDATE')
        or a -> 'words' ->> 0 = 'RENAME' and a -> 'words' ->> 1 = 'TO'
        or a -> 'words' ->> 0 = 'SET' and a -> 'words' ->> 1 <> '('))
      then 'an action of it is about more than columns and constraints'
    when exists (select from jsonb_array_elements(p_read -> 'actions') as a
      where a -> 'words' ?| array['NEXTVAL', 'SETVAL', 'REFERENCES'])
      then 'it uses a sequence or another table' end;
  if v_why is not null then
    raise exception using errcode = 'PW068', message = 'this statement cannot be rehearsed',
      detail = format('Why: %s.', v_why),
      hint = 'jobs.plan says what it would do. A retry cannot help.';
  end if;
end
$$;

-- The relations that this session has locked at ROW EXCLUSIVE or stronger, catalogs and its
-- temporary ones apart. p_known: the relations that there were before: one that is gone was
-- dropped, and one that came and went with a statement is none of them.
create or replace function jobs_internal.real_locks(p_known oid[])
returns table (relation oid, mode text)
language sql volatile
set search_path = pg_catalog, pg_temp
begin atomic
  select l.relation, l.mode
  from pg_locks as l
  left join pg_class as c on c.oid = l.relation
  where l.pid = pg_backend_pid() and l.locktype = 'relation' and l.relation >= 16384
    and l.database = (select d.oid from pg_database as d where d.datname = current_database())
    and l.mode not in ('AccessShareLock', 'RowShareLock')
    and case when c.oid is null then l.relation = any (p_known)
      else c.relpersistence <> 't' and l.relation = any (p_known) end;
end;

-- A statement with the table and its indexes named as those of the copy, and without CONCURRENTLY.
-- What is missed here is found by its lock. p_index: an index that it makes.
create or replace function jobs_internal.text_on_copy(p_statement text, p_table oid,
    p_index text)
returns text
language sql stable
set search_path = pg_catalog, pg_temp
begin atomic
  select regexp_replace(regexp_replace(p_statement, '\mconcurrently\M', '', 'i'),
    format('(?<![[:word:]".])"?%s"?\s*\.\s*(?="?(%s)"?(?![[:word:]"]))', e.schema, e.names),
    'pg_temp.', 'gi')
  from (
    select regexp_replace(n.nspname, '([^[:alnum:]_])', '\\\1', 'g') as schema,
      (select string_agg(regexp_replace(k.name, '([^[:alnum:]_])', '\\\1', 'g'), '|')
        from (
          select o.relname as name from pg_class as o where o.oid = p_table or o.oid in (
            select i.indexrelid from pg_index as i where i.indrelid = p_table)
          union
          select (parse_ident(p_index))[1] where p_index is not null
        ) as k) as names
    from pg_class as c join pg_namespace as n on n.oid = c.relnamespace
    where c.oid = p_table
  ) as e;
end;

-- How a table stands: its columns, constraints and indexes, for a comparison before and after.
create or replace function jobs_internal.table_state(p_table oid)
returns text
language sql stable
set search_path = pg_catalog, pg_temp
begin atomic
  select concat_ws(E'\n',
    (select string_agg(concat_ws(' ', a.attname, format_type(a.atttypid, a.atttypmod),
        case when a.attnotnull then 'not null' end, pg_get_expr(d.adbin, d.adrelid)), E'\n'
        order by a.attname)
      from pg_attribute as a
      left join pg_attrdef as d on d.adrelid = a.attrelid and d.adnum = a.attnum
      where a.attrelid = p_table and a.attnum > 0 and not a.attisdropped),
    (select string_agg(c.conname || ' ' || pg_get_constraintdef(c.oid), E'\n' order by c.conname)
      from pg_constraint as c where c.conrelid = p_table),
    (select string_agg(pg_get_indexdef(i.indexrelid), E'\n'
        order by i.indexrelid::regclass::text) from pg_index as i where i.indrelid = p_table));
end;

-- What the way back of a rehearsed statement needs, read of the copy; and the way back itself.
create or replace function jobs_internal.rehearsed_before(p_operation jsonb, p_found jsonb)
returns jsonb
language sql volatile security definer
set search_path = pg_catalog, pg_temp
begin atomic
  select jobs_internal.facts_before(p_operation, p_found, null);
end;

create or replace function jobs_internal.rehearsed_way_back(p_kind text, p_before jsonb,
    out statements text[], out refusal text)
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp
as $$
declare
  v_kind text := replace(p_kind, ' concurrently', '');
  v_now record;
begin
  v_now := jobs_internal.way_back_now(0, case when p_before ? 'missing' then p_before
    else p_before || jsonb_build_object('kind', v_kind)
      || jobs_internal.facts_after(0, v_kind, p_before) end);
  statements := array(select regexp_replace(s, '\mconcurrently\M ', '', 'i')
    from unnest(v_now.statements) with ordinality as u(s, n) order by u.n);
  refusal := v_now.refusal;
end
$$;

-- The texts that come with a statement, as jobs.enqueue_sql would keep them. Errors: those of
-- checked_statement.
create or replace function jobs_internal.texts_for_rehearsal(inout rollback text,
    inout done_when text)
language plpgsql stable security definer
set search_path = pg_catalog, pg_temp
as $$
declare
  v_read record;
begin
  v_read := jobs_internal.checked_statement('select 1', done_when, rollback);
  rollback := v_read.rollback_sql;
  done_when := v_read.done_when;
end
$$;

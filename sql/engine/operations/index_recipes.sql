-- Recipes of indexes: jobs.unique_steps and jobs.replace_index_steps. What all recipes share is in
-- recipes.sql.

-- SQL that is true when an index of that name, of that table, is built; p_more: what else must be
-- true of it, as i; null: nothing.
create or replace function jobs_internal.index_is_there(p_index text, p_table text, p_more text)
returns text
language sql immutable
set search_path = pg_catalog, pg_temp
begin atomic
  select format('exists (select from pg_index as i where i.indexrelid = to_regclass(%L)'
    ' and i.indrelid = to_regclass(%L) and i.indisvalid and i.indisready and i.indislive%s)',
    p_index, p_table, ' and ' || p_more);
end;

-- Whether an index is a plain unique one of exactly these columns, and no constraint's: what an
-- earlier run of these steps may have left.
create or replace function jobs_internal.is_unique_on(p_index oid, p_table oid,
    p_columns smallint[])
returns boolean
language sql stable
set search_path = pg_catalog, pg_temp
begin atomic
  select exists (
    select from pg_index as i
    where i.indexrelid = p_index and i.indrelid = p_table and i.indisunique and i.indisvalid
      and i.indkey::smallint[] = p_columns and i.indnkeyatts = i.indnatts and i.indpred is null
      and not i.indnullsnotdistinct
      and not exists (select from pg_constraint as c where c.conindid = i.indexrelid));
end;

-- The steps of jobs.unique_steps. Errors: those of recipe_target, PW061 for a column, PW085.
create or replace function jobs_internal.unique_recipe(p_table oid, p_name text, p_columns text[])
returns jsonb
language plpgsql stable security definer
set search_path = pg_catalog, pg_temp
as $$
declare
  v_table text := jobs_internal.recipe_target(p_table, p_name, 'r');
  v_class record;
  v_column text;
  v_missing text;
  v_numbers smallint[];
  v_list text;
  v_same text;
  v_name text;
  v_index text;
  v_n integer := 0;
begin
  if coalesce(cardinality(p_columns), 0) not between 1 and 32
    or (select count(distinct c) <> count(*) from unnest(p_columns) as c) then
    perform jobs_internal.refuse_recipe('columns must be 1 to 32 columns, each once',
      format('It is %s.', coalesce(p_columns::text, 'null')),
      'Pass their names, as in ''{a, b}''.');
  end if;
  select array_agg(a.attnum order by u.n), string_agg(quote_ident(u.name), ', ' order by u.n),
    min(u.name) filter (where a.attnum is null)
  into v_numbers, v_list, v_missing
  from unnest(p_columns) with ordinality as u(name, n)
  left join pg_attribute as a on a.attrelid = p_table and a.attname = u.name::name
    and a.attnum > 0 and not a.attisdropped;
  if v_missing is not null or array_position(v_numbers, null) is not null then
    perform jobs_internal.refuse_column(p_table, v_table, v_missing);
  end if;
  select c.conname into v_same
  from pg_constraint as c
  where c.conrelid = p_table and c.contype in ('u', 'p') and c.conkey = v_numbers limit 1;
  if found then
    perform jobs_internal.refuse_recipe(
      format('%s is unique on these columns already', v_table),
      format('Its constraint %I says so.', v_same), 'Leave it at that.');
  end if;
  select c.relname, c.relnamespace as schema, n.nspname into v_class
  from pg_class as c join pg_namespace as n on n.oid = c.relnamespace
  where c.oid = p_table;
  loop
    v_name := jobs_internal.short_name(v_class.relname || '_' || array_to_string(p_columns, '_'),
      '_key' || coalesce(nullif(v_n, 0)::text, ''));
    v_index := format('%I.%I', v_class.nspname, v_name);
    exit when not exists (
      select from pg_class as c
      where c.relnamespace = v_class.schema and c.relname = v_name::name
        -- left by an earlier run: its steps go on there
        and not jobs_internal.is_unique_on(c.oid, p_table, v_numbers))
      and not exists (select from pg_constraint as c where c.conrelid = p_table
        and c.conname = v_name::name);
    v_n := v_n + 1;
  end loop;
  return jsonb_build_array(
    jobs_internal.recipe_step(
      format('create unique index concurrently %I on %s (%s)', v_name, v_table, v_list),
      jobs_internal.index_is_there(v_index, v_table, 'i.indisunique'),
      format('drop index concurrently if exists %s', v_index)),
    jobs_internal.recipe_step(
      format('alter table %s add constraint %I unique using index %I', v_table, v_name, v_name),
      jobs_internal.constraint_is_there(v_table, v_name,
        format('c.contype = ''u'' and c.conindid = to_regclass(%L)', v_index)),
      format('alter table %s drop constraint if exists %I', v_table, v_name)));
end
$$;

-- Refuse to replace an index that something holds on to by its number. Errors: PW085.
create or replace function jobs_internal.assert_replaceable(p_index oid, p_name text)
returns void
language plpgsql stable security definer
set search_path = pg_catalog, pg_temp
as $$
declare
  v_why text := (
    select case
      when exists (select from pg_constraint as c where c.conindid = i.indexrelid) then
        'it belongs to constraint ' || (select quote_ident(min(c.conname)) from pg_constraint as c
          where c.conindid = i.indexrelid)
      when i.indisreplident then 'it is the replica identity of its table'
      when i.indisclustered then 'its table is clustered by it'
      when exists (select from pg_inherits as h where i.indexrelid in (h.inhrelid, h.inhparent))
        then 'it is part of the index of a partitioned table'
      when not i.indisvalid then 'it is not valid'
      when i.indrelid in (select c.oid from pg_class as c where c.relkind = 't')
        then 'it is the index of a TOAST table' end
    from pg_index as i where i.indexrelid = p_index);
begin
  if v_why is not null then
    perform jobs_internal.refuse_recipe(format('%s cannot be replaced by another index', p_name),
      format('The reason: %s.', v_why),
      'Take that away first, or build the new index beside it: jobs.enqueue_sql. To build it anew '
      'as it is: reindex index concurrently.');
  end if;
end
$$;

-- The steps of jobs.replace_index_steps. p_definition: what stands behind the table in CREATE
-- INDEX; UNIQUE may stand before it. Errors: those of recipe_target and checked_statement, PW085.
create or replace function jobs_internal.replace_index_recipe(p_index oid, p_name text,
    p_definition text)
returns jsonb
language plpgsql stable security definer
set search_path = pg_catalog, pg_temp
as $$
declare
  v_index text := jobs_internal.recipe_target(p_index, p_name, 'i');
  v_old record;
  v_unique text;
  v_definition text;
  v_name text;
  v_new text;
  v_create text;
  v_read jsonb;
  -- By its definition and not by its OID, which REINDEX CONCURRENTLY changes.
  v_as_it_was text := format('jobs_internal.index_definition(i.indexrelid) = %L',
    jobs_internal.index_definition(p_index));
  v_back text;
  v_n integer := 0;
begin
  perform jobs_internal.assert_replaceable(p_index, v_index);
  select c.relname, n.nspname, c.relnamespace as schema, i.indrelid, i.indisunique,
    format('%I.%I', tn.nspname, t.relname) as table
  into v_old
  from pg_index as i
  join pg_class as c on c.oid = i.indexrelid
  join pg_namespace as n on n.oid = c.relnamespace
  join pg_class as t on t.oid = i.indrelid
  join pg_namespace as tn on tn.oid = t.relnamespace
  where i.indexrelid = p_index;
  v_definition := regexp_replace(btrim(p_definition, E' \t\r\n'), '^unique\M\s*', '', 'i');
  if coalesce(v_definition, '') !~* '^(using\M|[(])' then
    perform jobs_internal.refuse_recipe('the definition must begin with USING or a parenthesis',
      format('It is what stands behind the name of the table in CREATE INDEX. That of the present '
        'index: %s.', substring(pg_get_indexdef(p_index) from ' (USING .*)$')),
      'UNIQUE may stand before it.');
  end if;
  -- uniqueness is not lost by the way
  v_unique := case when v_old.indisunique or p_definition ~* '^\s*unique\M' then 'unique ' else ''
    end;
  loop
    v_name := jobs_internal.short_name(v_old.relname,
      '_new' || coalesce(nullif(v_n, 0)::text, ''));
    exit when not exists (select from pg_class as c
      where c.relnamespace = v_old.schema and c.relname = v_name::name);
    v_n := v_n + 1;
  end loop;
  v_new := format('%I.%I', v_old.nspname, v_name);
  v_create := format('create %sindex concurrently %I on %s %s', v_unique, v_name, v_old.table,
    v_definition);
  v_read := (jobs_internal.checked_statement(v_create, null, null)).operation;
  if v_read ->> 'kind' is distinct from 'create index concurrently' then
    perform jobs_internal.refuse_recipe('the definition makes no index',
      format('It was read as: %s.', coalesce(v_read ->> 'kind', 'something else')),
      'Pass (column, ...), with what may follow it in CREATE INDEX.');
  end if;
  v_back := jobs_internal.create_index_text(p_index);
  return jsonb_build_array(
    jobs_internal.recipe_step(v_create,
      jobs_internal.index_is_there(v_new, v_old.table, null)
        || ' or ' || jobs_internal.index_is_there(v_index, v_old.table,
          'not ' || v_as_it_was),
      format('drop index concurrently if exists %s', v_new)),
    jobs_internal.recipe_step(format('drop index concurrently %s', v_index),
      format('not exists (select from pg_index as i where i.indexrelid = to_regclass(%L) and %s)',
        v_index, v_as_it_was), v_back),
    jobs_internal.recipe_step(
      format('alter index %s rename to %I', v_new, v_old.relname),
      jobs_internal.index_is_there(v_index, v_old.table,
        format('to_regclass(%L) is null', v_new)),
      format('alter index %s rename to %I', v_index, v_name)));
end
$$;

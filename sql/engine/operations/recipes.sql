-- Recipes: steps for jobs.enqueue_steps, as a person would write them, of changes that take several
-- statements to be polite. Names are looked up with the caller's path (recipe_relation); the rest
-- reads catalogs by OID and writes names in full. Each step has a
-- post-condition that is true once it is done, so that steps that were cut off may be enqueued
-- again as they are, and a way back that does no harm where there is nothing to take back.

-- Refuse a recipe. Errors: PW085.
create or replace function jobs_internal.refuse_recipe(p_message text, p_detail text, p_hint text)
returns void
language plpgsql immutable
set search_path = pg_catalog, pg_temp
as $$
begin
  raise exception using errcode = 'PW085', message = p_message, detail = p_detail,
    hint = p_hint || ' A retry cannot help.';
end
$$;

-- What a name means to the caller: invoker on purpose. Errors: PW061, PW062.
create or replace function jobs_internal.recipe_relation(p_name text)
returns oid
language plpgsql stable
set exit_on_error = off
as $$
begin
  return pg_catalog.to_regclass(p_name)::pg_catalog.oid;
exception
  when query_canceled then
    raise;
  when others then
    raise exception
      using errcode = case
        when sqlstate operator(pg_catalog.=) '42501' then 'PW062' else 'PW061' end,
      message = pg_catalog.format('"%s" cannot be looked up', pg_catalog.left(p_name, 200)),
      detail = pg_catalog.format('PostgreSQL says (%s): %s', sqlstate,
        pg_catalog.left(sqlerrm, 500)),
      hint = 'Name a relation of this database that you may use, quoted as in SQL. A retry cannot '
        'help.';
end
$$;

-- The relation that a recipe is for, with its schema, quoted. Errors: PW061 where it is not there,
-- PW062 where it is not the caller's, PW085 where it is of another kind.
-- p_name: as the caller wrote it; p_kinds: of pg_class.relkind.
create or replace function jobs_internal.recipe_target(p_relation oid, p_name text, p_kinds text)
returns text
language plpgsql stable security definer
set search_path = pg_catalog, pg_temp
as $$
declare
  v_class record;
begin
  select c.relkind::text as kind, c.relowner as owner, c.relpersistence = 't' as temporary,
    format('%I.%I', n.nspname, c.relname) as name
  into v_class
  from pg_class as c join pg_namespace as n on n.oid = c.relnamespace
  where c.oid = p_relation;
  if not found then
    raise exception using errcode = 'PW061',
      message = format('there is no %s "%s"', case when p_kinds = 'i' then 'index' else 'table' end,
        left(p_name, 200)),
      detail = 'It was looked for with the search_path of the session.',
      hint = 'Qualify the name, quoted as in SQL. A retry cannot help.';
  elsif not pg_has_role(jobs_internal.caller(), v_class.owner, 'usage') then
    raise exception using errcode = 'PW062',
      message = format('%s does not belong to %s', v_class.name, session_user),
      detail = format('Its owner is %s, who alone may change it.',
        pg_get_userbyid(v_class.owner)),
      hint = 'Let its owner enqueue the job. A retry cannot help.';
  elsif strpos(p_kinds, v_class.kind) = 0 then
    perform jobs_internal.refuse_recipe(
      format('%s is no %s', v_class.name, case when p_kinds = 'i' then 'index of a plain table'
        when p_kinds = 'r' then 'plain table' else 'table' end),
      case v_class.kind
        when 'p' then 'It is a partitioned table: no index can be built on all of it concurrently '
          '(PostgreSQL says 0A000).'
        when 'I' then 'It is the index of a partitioned table: its parts are indexes of their own.'
        else format('Its kind in pg_class is "%s".', v_class.kind) end,
      case when v_class.kind in ('p', 'I') then 'Do it for each partition.'
        else 'Name a table.' end);
  elsif v_class.temporary then
    perform jobs_internal.refuse_recipe(format('%s is temporary', v_class.name),
      'No session but the one that made it may use it.', 'Do it in that session.');
  end if;
  return v_class.name;
end
$$;

-- A name of 63 bytes at most, made of two parts; the first one is cut.
create or replace function jobs_internal.short_name(p_base text, p_suffix text)
returns text
language sql immutable
set search_path = pg_catalog, pg_temp
begin atomic
  select left(p_base, g.n) || p_suffix
  from generate_series(length(p_base), 0, -1) as g(n)
  where octet_length(left(p_base, g.n) || p_suffix) <= 63
  limit 1;
end;

-- One step, as jobs.enqueue_steps takes it.
create or replace function jobs_internal.recipe_step(p_statement text, p_done_when text,
    p_rollback text)
returns jsonb
language sql immutable
set search_path = pg_catalog, pg_temp
begin atomic
  select jsonb_build_object('statement', p_statement, 'done_when', p_done_when, 'rollback',
    p_rollback);
end;

-- SQL that is true when a table has a constraint of that name; p_more: what else must be true of
-- it, as c; null: nothing.
create or replace function jobs_internal.constraint_is_there(p_table text, p_name text, p_more text)
returns text
language sql immutable
set search_path = pg_catalog, pg_temp
begin atomic
  select format('exists (select from pg_constraint as c where c.conrelid = to_regclass(%L)'
    ' and c.conname = %L%s)', p_table, p_name, ' and ' || p_more);
end;

-- The steps of jobs.not_null_steps. p_version: what the server can, as server_version_num.
-- Errors: those of recipe_target, PW061 for the column, PW085 where it is not null already.
create or replace function jobs_internal.not_null_recipe(p_table oid, p_name text, p_column text,
    p_version integer default current_setting('server_version_num')::integer)
returns jsonb
language plpgsql stable security definer
set search_path = pg_catalog, pg_temp
as $$
declare
  v_table text := jobs_internal.recipe_target(p_table, p_name, 'rp');
  v_column record;
  v_there jsonb;
  v_suffix text := case when p_version >= 180000 then '_not_null' else '_not_null_check' end;
  v_name text;
  v_drop text;
  v_check text := format('CHECK ((%s IS NOT NULL))', quote_ident(p_column));
  v_is text;
  v_n integer := 0;
begin
  select a.attnum, a.attnotnull into v_column from pg_attribute as a
  where a.attrelid = p_table and a.attname = p_column::name and a.attnum > 0
    and not a.attisdropped;
  if not found then
    perform jobs_internal.refuse_column(p_table, v_table, p_column);
  end if;
  -- what PostgreSQL 18 knows of it: a row of pg_constraint, which may be not valid
  select jsonb_build_object('name', c.conname, 'valid', c.convalidated) into v_there
  from pg_constraint as c
  where c.conrelid = p_table and c.contype = 'n' and c.conkey = array[v_column.attnum];
  if v_column.attnotnull and coalesce(v_there ->> 'valid', 'true') = 'true' then
    perform jobs_internal.refuse_recipe(
      format('column %s of %s is not null already', quote_ident(p_column), v_table),
      'There is nothing to do.', 'Leave it at that.');
  end if;
  v_is := format('exists (select from pg_attribute as a where a.attrelid = to_regclass(%L)'
    ' and a.attname = %L and a.attnotnull)', v_table, p_column);
  -- One that an earlier run left under this name is taken up again. That of a person has another
  -- definition, and is left alone.
  loop
    v_name := coalesce(v_there ->> 'name', jobs_internal.short_name(
      (select c.relname from pg_class as c where c.oid = p_table) || '_' || p_column,
      v_suffix || coalesce(nullif(v_n, 0)::text, '')));
    exit when v_there is not null or not exists (
      select from pg_constraint as c where c.conrelid = p_table and c.conname = v_name::name
        and not (p_version < 180000 and c.contype = 'c' and pg_get_constraintdef(c.oid) in (v_check,
            v_check || ' NOT VALID')));
    v_n := v_n + 1;
  end loop;
  v_drop := format('alter table %s drop constraint if exists %I', v_table, v_name);
  if p_version >= 180000 then
    return jsonb_build_array(
      jobs_internal.recipe_step(
        format('alter table %s add constraint %I not null %I not valid', v_table, v_name, p_column),
        jobs_internal.constraint_is_there(v_table, v_name, 'c.contype = ''n'''), v_drop),
      jobs_internal.recipe_step(
        format('alter table %s validate constraint %I', v_table, v_name),
        jobs_internal.constraint_is_there(v_table, v_name, 'c.contype = ''n'' and c.convalidated'),
        v_drop));
  end if;
  return jsonb_build_array(
    jobs_internal.recipe_step(
      format('alter table %s add constraint %I check (%I is not null) not valid', v_table, v_name,
        p_column),
      jobs_internal.constraint_is_there(v_table, v_name, 'c.contype = ''c''') || ' or ' || v_is,
      v_drop),
    jobs_internal.recipe_step(
      format('alter table %s validate constraint %I', v_table, v_name),
      jobs_internal.constraint_is_there(v_table, v_name, 'c.convalidated') || ' or ' || v_is,
      v_drop),
    jobs_internal.recipe_step(
      format('alter table %s alter column %I set not null', v_table, p_column), v_is,
      format('alter table %s alter column %I drop not null', v_table, p_column)),
    jobs_internal.recipe_step(
      format('alter table %s drop constraint %I', v_table, v_name),
      'not ' || jobs_internal.constraint_is_there(v_table, v_name, null), v_drop));
end
$$;

-- Refuse a column that is not there. Errors: PW061.
create or replace function jobs_internal.refuse_column(p_table oid, p_name text, p_column text)
returns void
language plpgsql stable security definer
set search_path = pg_catalog, pg_temp
as $$
begin
  raise exception using errcode = 'PW061',
    message = format('%s has no column "%s"', p_name, coalesce(left(p_column, 100), 'null')),
    detail = format('Its columns: %s.', (
      select left(string_agg(a.attname, ', ' order by a.attnum), 1000) from pg_attribute as a
      where a.attrelid = p_table and a.attnum > 0 and not a.attisdropped)),
    hint = 'Write it as pg_attribute has it, without quotes. A retry cannot help.';
end
$$;

-- The table that the definition of a foreign key refers to, as it is written; null: none.
create or replace function jobs_internal.referenced_table(p_definition text)
returns text
language sql stable security definer
set search_path = pg_catalog, pg_temp
begin atomic
  select o.operation ->> 'references'
  from jobs_internal.checked_statement('alter table t add constraint c ' || p_definition, null,
    null) as o;
end;

-- The steps of jobs.constraint_steps. p_references: the table that a foreign key refers to, as the
-- caller sees it. Errors: those of recipe_target and of checked_statement, PW015, PW061, PW085.
create or replace function jobs_internal.constraint_recipe(p_table oid, p_name text,
    p_constraint text, p_definition text, p_references oid)
returns jsonb
language plpgsql stable security definer
set search_path = pg_catalog, pg_temp
as $$
declare
  v_table text := jobs_internal.recipe_target(p_table, p_name, 'rp');
  v_add text;
  v_read jsonb;
  v_class text;
begin
  if p_constraint = '' or p_constraint is null or octet_length(p_constraint) > 63 then
    raise exception using errcode = 'PW015', message = 'the name of a constraint has 1 to 63 bytes',
      detail = format('It has %s.', coalesce(octet_length(p_constraint), 0)),
      hint = 'Choose another one. A retry cannot help.';
  end if;
  v_add := format('alter table %s add constraint %I %s', v_table, p_constraint,
    btrim(p_definition, E' \t\r\n'));
  v_read := (jobs_internal.checked_statement(coalesce(v_add, ''), null, null)).operation;
  v_class := case when v_read ->> 'kind' = 'add constraint' then v_read ->> 'class' end;
  if v_class is null or v_class not in ('check', 'foreign')
    or (v_read -> 'not_valid')::boolean then
    perform jobs_internal.refuse_recipe(
      'the definition must be one CHECK or FOREIGN KEY, without NOT VALID',
      format('It was read as: %s.', coalesce(upper(v_class), 'something else')
        || case when (v_read -> 'not_valid')::boolean then ' ... NOT VALID' else '' end),
      case
        when v_class in ('unique', 'primary')
          then 'Use jobs.unique_steps. Only these two kinds can be added first and validated later.'
        when v_class = 'not' then 'Use jobs.not_null_steps.'
        when v_class = 'exclude' then 'An exclusion constraint is added at once: '
          'jobs.enqueue_sql.'
        else 'Pass check (...) or foreign key (...) references ...; NOT VALID is added.' end);
  elsif v_class = 'foreign' and p_references is null then
    raise exception using errcode = 'PW061',
      message = format('there is no table "%s"', left(v_read ->> 'references', 200)),
      detail = 'The foreign key refers to it. It was looked for with the search_path of the '
        'session.',
      hint = 'Qualify the name. A retry cannot help.';
  elsif exists (select from pg_constraint as c where c.conrelid = p_table
      and c.conname = p_constraint::name) then
    perform jobs_internal.refuse_recipe(
      format('%s has a constraint %I', v_table, p_constraint),
      'A second one of that name cannot be added.',
      'Choose another name. Where it is that constraint, not validated yet: jobs.enqueue_sql with '
      'alter table ... validate constraint ...');
  elsif v_class = 'foreign' and current_setting('server_version_num')::integer < 180000
    and exists (select from pg_class as c where c.oid = p_table and c.relkind = 'p') then
    perform jobs_internal.refuse_recipe(
      format('%s is a partitioned table', v_table),
      'Before PostgreSQL 18 its foreign keys cannot be NOT VALID.', 'Add it to each partition.');
  end if;
  return jsonb_build_array(
    -- it may end with a comment
    jobs_internal.recipe_step(v_add || case when strpos(p_definition, '--') > 0 then E'\n'
        else ' ' end || 'not valid',
      jobs_internal.constraint_is_there(v_table, p_constraint, 'c.contype = '''
        || left(v_class, 1) || ''''),
      format('alter table %s drop constraint if exists %I', v_table, p_constraint)),
    jobs_internal.recipe_step(
      format('alter table %s validate constraint %I', v_table, p_constraint),
      jobs_internal.constraint_is_there(v_table, p_constraint, 'c.convalidated'),
      format('alter table %s drop constraint if exists %I', v_table, p_constraint)));
end
$$;

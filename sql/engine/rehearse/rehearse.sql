-- A rehearsal: a statement, its post-condition and its way back are run on a temporary copy of the
-- table with some of its rows, and all of that is undone.
--
-- It runs in one subtransaction that always ends in an error of ours, with the caller's rights. The
-- path has the copy in front; lock_timeout is one millisecond, so that nothing waits behind it; and
-- a statement that has locked anything real, beyond reading it, is refused.

-- Run a statement under a path. Invoker on purpose.
create or replace function jobs_internal.run_under(p_path text, p_statement text)
returns void
language plpgsql volatile
as $$
declare
  v_path pg_catalog.text := pg_catalog.current_setting('search_path');
begin
  perform pg_catalog.set_config('search_path', p_path, true);
  execute p_statement;
  perform pg_catalog.set_config('search_path', v_path, true);
end
$$;

-- The same of a condition.
create or replace function jobs_internal.ask_under(p_path text, p_condition text)
returns boolean
language plpgsql volatile
as $$
declare
  v_path pg_catalog.text := pg_catalog.current_setting('search_path');
  v_done pg_catalog.bool;
begin
  perform pg_catalog.set_config('search_path', p_path, true);
  execute p_condition into v_done;
  perform pg_catalog.set_config('search_path', v_path, true);
  return v_done;
end
$$;

-- Make the copy of a table: its columns, constraints and indexes under their names, and up to so
-- many of its rows. Triggers and foreign keys are not copied. Returns: how many rows.
create or replace function jobs_internal.copy_for_rehearsal(p_table oid, p_rows integer)
returns bigint
language plpgsql volatile
set search_path = pg_catalog, pg_temp
as $$
declare
  v_name name := (select c.relname from pg_class as c where c.oid = p_table);
  v_copy oid;
  v_index record;
  v_columns text;
  v_count bigint;
begin
  execute format('create temporary table %I (like %s including all)', v_name,
      jobs_internal.qualified(p_table));
  v_copy := (select c.oid from pg_class as c where c.relnamespace = pg_my_temp_schema()
    and c.relname = v_name);
  -- LIKE gives indexes names of its own; twice, as one may bear the name of another
  for v_index in
    with named as (
      select i.indrelid, i.indexrelid, c.relname, row_number() over (partition by i.indrelid,
        k.definition order by i.indexrelid) as n, k.definition
      from pg_index as i
      join pg_class as c on c.oid = i.indexrelid
      cross join lateral (select concat(i.indisunique, i.indisprimary, substring(
        pg_get_indexdef(i.indexrelid) from ' USING .*$')) as definition) as k
      where i.indrelid in (p_table, v_copy)
    )
    select c.indexrelid as id, case p.phase when 1 then 'pw_' || c.indexrelid
      else r.relname::text end as name
    from named as r
    join named as c on c.definition = r.definition and c.n = r.n and c.indrelid = v_copy
    cross join (values (1), (2)) as p(phase)
    where r.indrelid = p_table
    order by p.phase
  loop
    execute format('alter index %s rename to %I', v_index.id::regclass, v_index.name);
  end loop;
  v_columns := (select string_agg(quote_ident(a.attname), ', ' order by a.attnum)
    from pg_attribute as a
    where a.attrelid = p_table and a.attnum > 0 and not a.attisdropped and a.attgenerated = '');
  execute format('insert into pg_temp.%I (%s) overriding system value select %2$s from %s limit %s',
      v_name, v_columns, jobs_internal.qualified(p_table), p_rows);
  get diagnostics v_count = row_count;
  return v_count;
end
$$;

-- Does the work of jobs.rehearse. p_path: that of the caller. Errors: PW069.
create or replace function jobs_internal.run_rehearsal(p_statement text, p_rollback text,
    p_done_when text, p_read jsonb, p_table oid, p_path text)
returns setof jobs_internal.rehearsal_line
language plpgsql volatile
set search_path = pg_catalog, pg_temp
set exit_on_error = off
as $$
declare
  v_path text := concat_ws(', ', 'pg_temp', nullif(p_path, ''));
  v_names jsonb := (select jsonb_object_agg(c.oid, format('%I.%I', n.nspname, c.relname))
    from pg_class as c join pg_namespace as n on n.oid = c.relnamespace where c.oid >= 16384);
  v_known oid[] := array(select k::oid from jsonb_object_keys(v_names) as k);
  v_held text[] := array(select l::text from jobs_internal.real_locks(v_known) as l);
  v_lines jobs_internal.rehearsal_line[] := '{}';
  v_line jobs_internal.rehearsal_line;
  v_copy oid;
  v_object oid;
  v_before jsonb;
  v_state text;
  v_back record;
  v_text text;
  v_touched text;
  v_from timestamptz;
begin
  begin
    perform set_config('lock_timeout', '1ms', true);
    v_line.step := 'copy';
    v_from := clock_timestamp();
    v_line.message := format('%s of its rows', jobs_internal.copy_for_rehearsal(p_table, 1000));
    v_line.outcome := 'done';
    v_line.ms := round(extract(epoch from clock_timestamp() - v_from) * 1000, 3);
    v_lines := v_lines || v_line;
    v_copy := (select c.oid from pg_class as c join pg_class as r on r.relname = c.relname
      where r.oid = p_table and c.relnamespace = pg_my_temp_schema());
    v_object := case when p_read -> 'operation' ->> 'kind' ~ '^drop index'
      then (select c.oid from pg_index as i join pg_class as c on c.oid = i.indexrelid
        where i.indrelid = v_copy and c.relname = (
          select r.relname from pg_class as r where r.oid = (p_read ->> 'object')::oid))
      else v_copy end;
    v_before := jobs_internal.rehearsed_before(p_read -> 'operation',
      jsonb_build_object('object', v_object::bigint));
    v_state := jobs_internal.table_state(v_copy);
    foreach v_line.step in array array['statement', 'done_when', 'rollback'] loop
      v_line.message := null;
      v_line.outcome := 'done';
      v_from := clock_timestamp();
      if v_line.step = 'rollback' and p_rollback is null then
        v_back := jobs_internal.rehearsed_way_back(p_read -> 'operation' ->> 'kind', v_before);
        v_line.statement := array_to_string(v_back.statements, '; ');
        v_line.message := v_back.refusal;
      else
        v_line.statement := jobs_internal.text_on_copy(case v_line.step
          when 'statement' then p_statement when 'done_when' then p_done_when
          else p_rollback end, p_table, p_read -> 'target' ->> 'index');
      end if;
      continue when v_line.step = 'done_when' and p_done_when is null;
      begin
        if v_line.statement is null or v_line.statement = '' then
          v_line.outcome := 'none';
        elsif v_line.step = 'done_when' then
          v_line.outcome := coalesce(jobs_internal.ask_under(v_path, v_line.statement)::text,
              'false');
        elsif v_line.step = 'rollback' and p_rollback is null then
          foreach v_text in array v_back.statements loop
            perform jobs_internal.run_under(v_path, v_text);
          end loop;
        else
          perform jobs_internal.run_under(v_path, v_line.statement);
        end if;
        if v_line.step = 'rollback' and v_line.outcome = 'done' then
          v_line.message := case when jobs_internal.table_state(v_copy) = v_state
            then 'the table is as it was before' else 'the table is not as it was before' end;
        end if;
      exception
        when query_canceled then
          raise;
        when others then
          v_line.outcome := 'failed';
          v_line.message := format('%s: %s', sqlstate, sqlerrm);
      end;
      v_line.ms := round(extract(epoch from clock_timestamp() - v_from) * 1000, 3);
      v_lines := v_lines || v_line;
      v_touched := (
        select string_agg(format('%s (%s)', v_names ->> l.relation::text,
          jobs_internal.lock_in_words(l.mode)), ', ' order by l.relation)
        from jobs_internal.real_locks(v_known) as l where l::text <> all (v_held));
      exit when v_touched is not null or v_line.step = 'statement' and v_line.outcome = 'failed';
    end loop;
    raise exception using errcode = 'PW999', message = 'undo';
  exception
    when sqlstate 'PW999' then
      null;
    when query_canceled then
      raise;
    when others then
      v_line.outcome := 'failed';
      v_line.message := format('%s: %s', sqlstate, sqlerrm);
      v_lines := v_lines || v_line;
  end;
  if v_touched is not null then
    raise exception using errcode = 'PW069', message = 'it works on more than the copy',
      detail = format('In the step "%s" it locked %s. All of that is undone.', v_line.step,
        v_touched),
      hint = 'Name the table and its indexes as they are named in the catalog, and nothing else. A '
        'retry cannot help.';
  end if;
  return query select l.* from unnest(v_lines) as l;
end
$$;

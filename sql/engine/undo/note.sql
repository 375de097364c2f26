-- The way back of an operation: how things stood is noted before its first attempt, what it made is
-- added when it has succeeded. Both are facts by OID; the statements are written when they are
-- asked for (way_back.sql), with the names that things bear then.
--
-- States and commits: of a statement in a transaction both are part of that transaction. Of one at
-- top level the first is committed before its child session is launched, the second with its end.
-- They stand in operation.before, under way_back; of a job of several steps each step keeps its own
-- (step.way_back).

-- The constraints of a table, and which of its columns are NOT NULL.
create or replace function jobs_internal.constraints_of(p_table oid)
returns jsonb
language sql stable
set search_path = pg_catalog, pg_temp
begin atomic
  select jsonb_build_object('table', p_table::bigint,
    'constraints', coalesce((select jsonb_agg(c.oid::bigint) from pg_constraint as c
      where c.conrelid = p_table), '[]'),
    'not_null', coalesce((select jsonb_agg(a.attnum) from pg_attribute as a
      where a.attrelid = p_table and a.attnum > 0 and a.attnotnull), '[]'));
end;

-- What is needed to make an index anew: its definition, the columns that this names, and what
-- stands beside it.
create or replace function jobs_internal.index_before(p_index oid)
returns jsonb
language sql stable
set search_path = pg_catalog, pg_temp
begin atomic
  select case
    when c.relkind = 'I' then '{"missing": "the indexes of the partitions went with it"}'
    when not i.indisvalid then '{"missing": "it was invalid"}'
    else jsonb_build_object('index', c.oid::bigint, 'table', i.indrelid::bigint, 'name', c.relname,
      'schema', c.relnamespace::bigint, 'on', jobs_internal.qualified(i.indrelid),
      'sql', jobs_internal.create_index_text(c.oid),
      'tablespace', (select t.spcname from pg_tablespace as t where t.oid = c.reltablespace),
      'comment', obj_description(c.oid, 'pg_class'), 'clustered', i.indisclustered,
      'statistics', (select jsonb_object_agg(a.attnum, a.attstattarget) from pg_attribute as a
        where a.attrelid = c.oid and a.attstattarget >= 0),
      'columns', (
        select jsonb_object_agg(a.attnum, a.attname)
        from pg_attribute as a
        where a.attrelid = i.indrelid and (a.attnum = any (i.indkey::smallint[])
          or exists (select from pg_depend as d where d.classid = 'pg_class'::regclass
            and d.objid = c.oid and d.refclassid = 'pg_class'::regclass
            and d.refobjid = i.indrelid and d.refobjsubid = a.attnum)))) end
  from pg_class as c
  join pg_index as i on i.indexrelid = c.oid
  where c.oid = p_index;
end;

-- How things stand before an operation, as far as its way back needs that. p_found: as look_up;
-- p_statistics: of statistics_of. Returns: facts by OID; missing: why there is no way back.
create or replace function jobs_internal.facts_before(p_operation jsonb, p_found jsonb,
    p_statistics jsonb)
returns jsonb
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $$
declare
  v_kind text := p_operation ->> 'kind';
  v_object oid := (p_found ->> 'object')::oid;
  v_other oid := (p_found -> 'other' ->> 0)::oid;
  v_why text := jobs_internal.no_way_back(p_operation);
begin
  if v_why is not null then
    return jsonb_build_object('missing', v_why);
  elsif v_object is null then
    return '{"missing": "what it works on is not known"}';
  end if;
  return case
    when v_kind in ('create index', 'create index concurrently') then jsonb_build_object(
      'table', v_object::bigint, 'indexes', (
        select coalesce(jsonb_agg(i.indexrelid::bigint), '[]') from pg_index as i
        where i.indrelid = v_object
          or i.indrelid in (select m from jobs_internal.members(v_object, false) as m)))
    when v_kind in ('drop index', 'drop index concurrently')
      then jobs_internal.index_before(v_object)
    when v_kind = 'add constraint' then jobs_internal.constraints_of(v_object)
    when v_kind = 'set not null' then (
      select case when a.attnotnull then '{"missing": "the column was NOT NULL before"}'::jsonb
        else jsonb_build_object('table', v_object::bigint, 'column', a.attnum) end
      from pg_attribute as a
      where a.attrelid = v_object and not a.attisdropped
        and a.attname = (parse_ident(p_operation ->> 'column'))[1]::name)
    when v_kind = 'attach partition' then jsonb_build_object('table', v_object::bigint,
      'partition', v_other::bigint)
    when v_kind in ('detach partition', 'detach partition concurrently') then
      jobs_internal.constraints_of(v_other) || jsonb_build_object('table', v_object::bigint,
        'partition', v_other::bigint, 'bound', (select pg_get_expr(c.relpartbound, c.oid)
          from pg_class as c where c.oid = v_other and c.relispartition),
        'check', pg_get_partition_constraintdef(v_other))
    when v_kind = 'analyze' then p_statistics end;
end
$$;

-- Keep the facts of an operation of the calling login, the first ones only: of an attempt that goes
-- on where another one was cut off, how things stood before that one. A way back that was given
-- wins. Writes: operation.
create or replace function jobs_internal.store_before(p_job bigint, p_facts jsonb)
returns void
language sql volatile security definer
set search_path = pg_catalog, pg_temp
begin atomic
  update jobs_internal.operation as o
  set before = coalesce(o.before, '{}') || jsonb_build_object('way_back', case
      when s.rollback_sql is not null then '{"given": true}'
      when octet_length(p_facts::text) > 4000000 then '{"missing": "it would be too long"}'
      else coalesce(p_facts, '{"missing": "how things stood before could not be read"}') end)
  from jobs_internal.statement as s
  where o.job_id = p_job and s.job_id = p_job and o.owner = jobs_internal.caller()
    and not coalesce(o.before ? 'way_back', false);
end;

-- The same, with the facts read here. What cannot be read is no error of the job.
create or replace function jobs_internal.note_facts(p_job bigint, p_operation jsonb, p_found jsonb,
    p_statistics jsonb)
returns void
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp
set lock_timeout = '1s'
set exit_on_error = off
as $$
declare
  v_facts jsonb;
begin
  begin
    v_facts := jobs_internal.facts_before(p_operation, p_found, p_statistics);
  exception
    when query_canceled then
      raise;
    when others then
      v_facts := jsonb_build_object('missing', 'how things stood before could not be read: '
          || sqlerrm);
  end;
  perform jobs_internal.store_before(p_job, v_facts);
end
$$;

-- Whether the way back of an operation of the calling login is still to be noted.
create or replace function jobs_internal.notes_way_back(p_job bigint)
returns boolean
language sql stable security definer
set search_path = pg_catalog, pg_temp
begin atomic
  select exists (select from jobs_internal.operation as o where o.job_id = p_job
    and o.owner = jobs_internal.caller() and not coalesce(o.before ? 'way_back', false));
end;

-- Note how things stand, before the statement of a job runs. Invoker on purpose: names are looked
-- up and statistics read with the owner's rights. p_path: that of the statement; null: that of now.
-- Leaves the session with the path that it has. What cannot be read is no error of the job.
-- Errors: PW067 in a transaction, where the job is a way back that must not be run any more.
create or replace function jobs_internal.note_way_back(p_job bigint, p_path text default null)
returns void
language plpgsql volatile
set exit_on_error = off
as $$
declare
  v_read record;
  v_found pg_catalog.jsonb;
  v_statistics pg_catalog.jsonb;
  v_path pg_catalog.text;
begin
  if p_path is null then
    perform jobs_internal.assert_still_undoable(p_job);
  end if;
  if not jobs_internal.notes_way_back(p_job) then
    return;
  end if;
  v_path := pg_catalog.current_setting('search_path');
  v_read := jobs_internal.operation_text(p_job);
  begin
    if p_path is not null then
      perform pg_catalog.set_config('search_path', p_path, false);
    end if;
    v_found := jobs_internal.look_up(v_read.target, v_read.operation);
    perform pg_catalog.set_config('search_path', v_path, false);
    v_statistics := case when v_read.operation operator(pg_catalog.->>) 'kind'
        operator(pg_catalog.=) 'analyze'
      then jobs_internal.statistics_of(v_read.target, v_found) end;
  exception
    when query_canceled then
      raise;
    when others then
      perform pg_catalog.set_config('search_path', v_path, false);
      v_found := null;
  end;
  perform jobs_internal.note_facts(p_job, v_read.operation, v_found, v_statistics);
end
$$;

-- The way back of an operation: how things stood is read before it runs, what it made is added when
-- it has succeeded. Both are facts by OID; the statements are written when they are asked for
-- (way_back.sql), with the names that things bear then.
--
-- States and commits: of a statement in a transaction both are part of that transaction, so each
-- attempt reads anew, and what others committed in between is theirs. Of one at top level the first
-- is committed before its child session is launched, once for all attempts, the second with its
-- end.
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
        'stored_bound', (select c.relpartbound::text
          from pg_class as c where c.oid = v_other and c.relispartition),
        'check', pg_get_partition_constraintdef(v_other))
    when v_kind = 'analyze' then p_statistics end;
end
$$;

-- The facts of an operation of the calling login; null: it is none. A way back that was given wins.
-- What cannot be read is no error of the job. Errors: 55P03, 40P01, as what it reads may be locked.
create or replace function jobs_internal.read_facts(p_job bigint, p_operation jsonb, p_found jsonb,
    p_statistics jsonb)
returns jsonb
language plpgsql stable security definer
set search_path = pg_catalog, pg_temp
set exit_on_error = off
as $$
declare
  v_given boolean := (select s.rollback_sql is not null
    from jobs_internal.operation as o
    join jobs_internal.statement as s on s.job_id = o.job_id
    where o.job_id = p_job and o.owner = jobs_internal.caller());
  v_facts jsonb;
begin
  if v_given is not false then
    return case when v_given then '{"given": true}'::jsonb end;
  end if;
  begin
    v_facts := coalesce(jobs_internal.facts_before(p_operation, p_found, p_statistics),
        '{"missing": "how things stood before could not be read"}');
  exception
    when query_canceled or lock_not_available or deadlock_detected then
      raise;
    when others then
      v_facts := jsonb_build_object('missing', 'how things stood before could not be read: '
          || sqlerrm);
  end;
  return case when octet_length(v_facts::text) > 4000000 then '{"missing": "it would be too long"}'
    else v_facts end;
end
$$;

-- The same, with the names of the statement looked up. Invoker on purpose: that, and statistics,
-- are read with the owner's rights. p_path: that of the statement; null: that of now. Keeps no
-- lock: one that the statement does not take could make a deadlock of it. Errors: as read_facts.
create or replace function jobs_internal.facts_of(p_job bigint, p_path text)
returns jsonb
language plpgsql volatile
set exit_on_error = off
as $$
declare
  v_read record;
  v_found pg_catalog.jsonb;
  v_statistics pg_catalog.jsonb;
  v_facts pg_catalog.jsonb;
begin
  v_read := jobs_internal.operation_text(p_job);
  if v_read.operation is null then
    return jobs_internal.read_facts(p_job, null, null, null);
  end if;
  begin
    if p_path is not null then
      perform pg_catalog.set_config('search_path', p_path, false);
    end if;
    begin
      v_found := jobs_internal.look_up(v_read.target, v_read.operation);
      v_statistics := case when v_read.operation operator(pg_catalog.->>) 'kind'
          operator(pg_catalog.=) 'analyze'
        then jobs_internal.statistics_of(v_read.target, v_found) end;
    exception
      when query_canceled then
        raise;
      when others then
        v_found := null;
    end;
    v_facts := jobs_internal.read_facts(p_job, v_read.operation, v_found, v_statistics);
    -- its locks go, and the path comes back
    raise exception using errcode = 'PW999', message = 'undo';
  exception
    when sqlstate 'PW999' then
      null;
  end;
  return v_facts;
end
$$;

-- The facts of a statement in a transaction, in that transaction and right before it runs; they go
-- with the result of the attempt. Not into the row of the operation: that would be locked to the
-- end, and no supervisor could note how far it is. Invoker on purpose.
-- Errors: PW066, PW067 where the job is a way back that must not be run any more; 55P03, 40P01.
create or replace function jobs_internal.facts_in_transaction(p_job bigint)
returns jsonb
language plpgsql volatile
as $$
begin
  perform jobs_internal.assert_still_undoable(p_job);
  return jobs_internal.facts_of(p_job, null);
end
$$;

-- Whether the way back of an operation of the calling login, at top level, is still to be noted.
create or replace function jobs_internal.notes_way_back(p_job bigint)
returns boolean
language sql stable security definer
set search_path = pg_catalog, pg_temp
begin atomic
  select exists (select from jobs_internal.operation as o where o.job_id = p_job
    and o.owner = jobs_internal.caller() and not coalesce(o.before ? 'way_back', false));
end;

-- Keep the facts of an operation of the calling login at top level, the first ones only: of an
-- attempt that goes on where another one was cut off, how things stood before that one.
-- Writes: operation.
create or replace function jobs_internal.store_before(p_job bigint, p_facts jsonb)
returns void
language sql volatile security definer
set search_path = pg_catalog, pg_temp
begin atomic
  update jobs_internal.operation as o
  set before = coalesce(o.before, '{}') || jsonb_build_object('way_back', p_facts)
  where o.job_id = p_job and o.owner = jobs_internal.caller() and p_facts is not null
    and not coalesce(o.before ? 'way_back', false);
end;

-- Note how things stand, before the child session of a statement at top level is launched. Invoker
-- on purpose. p_asks: whether a job that takes another one back is asked again whether it may; it
-- always is before the first facts are noted.
-- Returns: why it must not run (PW066, PW067), or not yet (55P03: something is locked; nothing is
-- noted); null: it may.
create or replace function jobs_internal.note_way_back(p_job bigint, p_path text, p_asks boolean)
returns jsonb
language plpgsql volatile
set exit_on_error = off
set lock_timeout = '1s'
as $$
declare
  v_notes pg_catalog.bool := jobs_internal.notes_way_back(p_job);
  v_error pg_catalog.jsonb;
begin
  if p_asks or v_notes then
    v_error := jobs_internal.undo_error(p_job);
  end if;
  if v_error is null and v_notes then
    perform jobs_internal.store_before(p_job, jobs_internal.facts_of(p_job, p_path));
  end if;
  return v_error;
exception
  when lock_not_available or deadlock_detected then
    return jobs_internal.error_object('55P03', 'what the statement works on is locked',
      'How it stands is read before it runs.', 'Another attempt may help.');
end
$$;

-- The way back of an operation, second part: what it made, once it has succeeded.

-- Whether a row of a catalog was written by the calling transaction. p_xmin: its xmin; it must be
-- a row that is visible and new, as an old one may have the number of another round.
create or replace function jobs_internal.is_own_row(p_xmin xid)
returns boolean
language sql volatile
set search_path = pg_catalog, pg_temp
begin atomic
  -- visible and in progress: no other transaction's
  select coalesce(pg_xact_status((case
      when x.n - x.now > 2147483648 then x.n - 4294967296
      when x.now - x.n > 2147483648 then x.n + 4294967296
      else x.n end)::text::xid8) = 'in progress', false)
  from (
    select c.now, c.now / 4294967296 * 4294967296 + p_xmin::text::bigint as n
    from (select pg_current_xact_id()::text::bigint as now) as c
  ) as x;
end;

-- The relations that the calling transaction made or dropped, as far as it holds their strongest
-- lock: it has it of all of these, to its end.
create or replace function jobs_internal.own_relations()
returns oid[]
language sql volatile
set search_path = pg_catalog, pg_temp
begin atomic
  select coalesce(array_agg(l.relation), '{}')
  from pg_locks as l
  where l.locktype = 'relation' and l.pid = pg_backend_pid() and l.mode = 'AccessExclusiveLock'
    and l.database = (select d.oid from pg_database as d where d.datname = current_database());
end;

-- What CREATE INDEX made. p_before: of facts_before; p_made: the new indexes of the table that are
-- its own; p_own: the relations that its transaction made; null: it runs at top level.
create or replace function jobs_internal.index_after(p_before jsonb, p_made oid[], p_own oid[])
returns jsonb
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $$
declare
  v_parts oid[] := array(select m from jobs_internal.members(p_made[1], false) as m
      where m <> p_made[1]);
begin
  return case
    when cardinality(p_made) = 0
      then '{"missing": "it made nothing: something of that name was there before"}'
    when cardinality(p_made) > 1 then '{"missing": "it is not known which index it made"}'
    when not v_parts <@ p_own
      then '{"missing": "indexes of partitions that were there before are parts of it now"}'
    else (select jsonb_build_object('index', c.oid::bigint, 'name', c.relname,
        'schema', c.relnamespace::bigint, 'table', p_before -> 'table',
        'definition', jobs_internal.index_definition(c.oid),
        'parts', (select jsonb_agg(jsonb_build_object('index', i.indexrelid::bigint, 'table',
              i.indrelid::bigint, 'definition', jobs_internal.index_definition(i.indexrelid)))
            from pg_index as i where i.indexrelid = any (v_parts)))
      from pg_class as c where c.oid = p_made[1]) end;
end
$$;

-- What an operation made, now that it has succeeded: of a statement in a transaction what that
-- transaction made, by its own locks and rows, and nothing that others committed in between.
-- p_before: of facts_before.
create or replace function jobs_internal.facts_after(p_job bigint, p_kind text, p_before jsonb)
returns jsonb
language plpgsql volatile
set search_path = pg_catalog, pg_temp
set exit_on_error = off
as $$
declare
  v_table oid := (p_before ->> 'table')::oid;
  v_own oid[];
  v_noted record;
  v_made oid[];
  v_columns jsonb;
begin
  if p_kind = 'create index' then
    v_own := jobs_internal.own_relations();
    return jobs_internal.index_after(p_before, array(
        select i.indexrelid from pg_index as i
        where i.indrelid = v_table and i.indexrelid = any (v_own)
          and not p_before -> 'indexes' @> to_jsonb(i.indexrelid::bigint)), v_own);
  elsif p_kind = 'create index concurrently' then
    select s.target, s.identity into v_noted from jobs_internal.statement as s
    where s.job_id = p_job;
    v_made := jobs_internal.built_indexes(v_noted.identity);
    if v_made = '{}' and (v_noted.target -> 'exists')::boolean then
      return '{"missing": "IF NOT EXISTS: it is not known whether it made the index"}';
    elsif v_made = '{}' and coalesce(v_noted.identity -> 'built', '[]') = '[]' then
      v_made := array(select m from jobs_internal.made_indexes(v_noted.identity) as m
        union select l.index from jobs_internal.likely_indexes(v_noted.target, v_noted.identity)
          as l where l.sure);
    end if;
    return jobs_internal.index_after(p_before, v_made, '{}');
  elsif p_kind = 'drop index' and not (p_before ->> 'index')::oid
      = any (jobs_internal.own_relations()) then
    return '{"missing": "it dropped nothing: the index was gone before"}';
  elsif p_kind in ('drop index', 'drop index concurrently') then
    return case when exists (select from pg_class as c where c.oid = (p_before ->> 'index')::oid)
      then '{"missing": "the index is still there"}' else '{}' end;
  elsif p_kind = 'add constraint' then
    v_made := array(select c.oid from pg_constraint as c
      where c.conrelid = v_table and case when p_before -> 'constraints' @> to_jsonb(c.oid::bigint)
        then false else jobs_internal.is_own_row(c.xmin) end
      order by c.contype = 'n', c.oid);
    -- before PostgreSQL 18 no constraint stands for them
    v_columns := (select jsonb_agg(a.attnum) from pg_attribute as a
      where a.attrelid = v_table and a.attnum > 0 and a.attnotnull
        and current_setting('server_version_num')::integer < 180000
        and case when p_before -> 'not_null' @> to_jsonb(a.attnum) then false
          else jobs_internal.is_own_row(a.xmin) end);
    return case when v_made = '{}' and v_columns is null then '{"missing": "it made nothing"}'
      else jsonb_build_object('constraints', (select jsonb_agg(m::bigint order by n)
          from unnest(v_made) with ordinality as u(m, n)), 'not_null', v_columns) end;
  elsif p_kind = 'set not null' then
    return case when exists (select from pg_attribute as a
        where a.attrelid = v_table and a.attnum = (p_before ->> 'column')::smallint
          and a.attnotnull and jobs_internal.is_own_row(a.xmin))
      then '{}' else '{"missing": "it made nothing: the column was NOT NULL before"}' end;
  elsif p_kind in ('detach partition', 'detach partition concurrently') then
    begin
      -- the CHECK that PostgreSQL leaves in place of the bound
      return jsonb_build_object('left', (select min(c.oid::bigint) from pg_constraint as c
        where c.conrelid = (p_before ->> 'partition')::oid and c.contype = 'c'
          and not p_before -> 'constraints' @> to_jsonb(c.oid::bigint)
          and regexp_replace(pg_get_constraintdef(c.oid), '[() ]', '', 'g')
            = 'CHECK' || regexp_replace(p_before ->> 'check', '[() ]', '', 'g')));
    exception
      when lock_not_available then
        null;  -- it stays: that does no harm
    end;
  end if;
  return '{}';
end
$$;

-- The indexes of a CREATE INDEX CONCURRENTLY that its watcher saw it build, and that are there.
create or replace function jobs_internal.built_indexes(p_identity jsonb)
returns oid[]
language sql stable
set search_path = pg_catalog, pg_temp
begin atomic
  select array(select i.indexrelid from pg_index as i
    where i.indrelid = (p_identity ->> 'table')::oid
      and p_identity -> 'built' @> to_jsonb(i.indexrelid::bigint));
end;

-- Why what a statement was to do is there, but is not of its job: null: it is. Its end was true
-- before it ran, or others brought it about while it failed.
-- p_unseen: the attempt before this one ended unseen, at top level.
create or replace function jobs_internal.not_its_own(p_job bigint,
    p_result jobs_internal.attempt_result, p_unseen boolean)
returns text
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $$
declare
  v_statement record;
  v_despite text := case when jsonb_typeof(p_result.result) = 'object'
    then p_result.result ->> 'despite' end;
  v_builds boolean;
begin
  select s.top_level, s.target, s.identity into v_statement from jobs_internal.statement as s
  where s.job_id = p_job;
  v_builds := v_statement.top_level and v_statement.target ->> 'kind' = 'create_index';
  if v_builds and jobs_internal.built_indexes(v_statement.identity) <> '{}' then
    return null;
  elsif v_statement.top_level and v_despite is not null
    -- cut off, it may have been done just before
    and (v_builds or v_despite !~ '^57') then
    return format('it ended with an error (%s), and it is not known who did it',
      left(v_despite, 5));
  elsif p_result.result = '{"verified": true}' and p_result.child_pid is null
    and not (v_statement.top_level and coalesce(p_unseen, false)) then
    return 'it was done already, so this job did nothing';
  end if;
  return null;
end
$$;

-- Keep what takes a statement back. Writes: operation, step.
create or replace function jobs_internal.store_way_back(p_job bigint, p_way jsonb)
returns void
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp
set exit_on_error = off
as $$
declare
  v_rollback text;
  v_shown record;
begin
  update jobs_internal.step as s set way_back = p_way
  where s.job_id = p_job and s.state = 'current';
  if found then
    update jobs_internal.operation as o set before = o.before - 'way_back' where o.job_id = p_job;
  else
    update jobs_internal.operation as o
    set before = coalesce(o.before, '{}') || jsonb_build_object('way_back', p_way)
    where o.job_id = p_job;
    select s.rollback_sql into v_rollback from jobs_internal.statement as s
    where s.job_id = p_job and p_way ? 'given';
  end if;
  -- only shown: jobs.undo looks anew
  begin
    if exists (select from jobs_internal.step as s where s.job_id = p_job) then
      select array_to_string(nullif(w.statements, '{}'), '; ') as text, w.refusal into v_shown
      from jobs_internal.undo_statements(p_job) as w;
    else
      select w.shown as text, coalesce(p_way ->> 'missing', w.refusal) as refusal into v_shown
      from jobs_internal.way_shown(p_job, p_way) as w;
    end if;
  exception
    when query_canceled then
      raise;
    when others then
      select null::text as text, 'not known now: ' || sqlerrm as refusal into v_shown;
  end;
  update jobs_internal.operation as o
  set undo_sql = coalesce(v_rollback, v_shown.text),
    undo_missing = case when coalesce(v_rollback, v_shown.text) is null then v_shown.refusal end
  where o.job_id = p_job;
end
$$;

-- Complete the way back of a statement that has ended well, in the transaction of its end. What
-- goes wrong here is no error of the job, and its end is written.
-- p_unseen: as not_its_own. Writes: operation, step.
create or replace function jobs_internal.complete_way_back(p_job bigint,
    p_result jobs_internal.attempt_result, p_unseen boolean)
returns void
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp
set lock_timeout = '1s'
set exit_on_error = off
as $$
declare
  v_read record;
  v_not_its_own text;
  v_way jsonb;
begin
  select o.kind, o.before -> 'way_back' as way, s.rollback_sql, s.top_level, s.object
  into v_read
  from jobs_internal.statement as s
  left join jobs_internal.operation as o on o.job_id = s.job_id
  where s.job_id = p_job;
  begin
    v_not_its_own := jobs_internal.not_its_own(p_job, p_result, p_unseen);
    if v_read.kind is null then
      if v_not_its_own is null or v_read.rollback_sql is null then
        return;
      end if;
      -- it is no long operation: that its rollback must not be run is noted all the same
      insert into jobs_internal.operation (job_id, owner, kind, object_name, lock_mode)
      select j.id, j.owner, 'statement', v_read.object, 'AccessShareLock'
      from jobs_internal.job as j where j.id = p_job;
    end if;
    v_way := case when v_not_its_own is not null
        then jsonb_build_object('missing', v_not_its_own, 'skipped', true)
      when v_read.rollback_sql is not null then '{"given": true}'
      else coalesce(case when v_read.top_level then v_read.way else p_result.way_back end,
        '{"missing": "how things stood before was not noted"}') end;
    if not v_way ?| array['given', 'missing'] then
      v_way := v_way || jobs_internal.facts_after(p_job, v_read.kind, v_way);
    end if;
  exception
    when query_canceled then
      raise;
    when others then
      v_way := jsonb_build_object('missing', 'what it made could not be read: ' || sqlerrm);
  end;
  v_way := v_way || jsonb_build_object('kind', v_read.kind);
  begin
    perform jobs_internal.store_way_back(p_job, v_way);
  exception
    when query_canceled then
      raise;
    when others then
      null;  -- jobs.undo says that nothing was noted
  end;
end
$$;

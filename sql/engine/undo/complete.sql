-- The way back of an operation, second part: what it made, once it has succeeded.

-- What an operation made, now that it has succeeded. p_before: of facts_before.
create or replace function jobs_internal.facts_after(p_job bigint, p_kind text, p_before jsonb)
returns jsonb
language plpgsql volatile
set search_path = pg_catalog, pg_temp
as $$
declare
  v_table oid := (p_before ->> 'table')::oid;
  v_noted record;
  v_made oid[];
begin
  if p_kind in ('create index', 'create index concurrently') then
    select s.target, s.identity into v_noted from jobs_internal.statement as s
    where s.job_id = p_job;
    v_made := case when p_kind = 'create index concurrently'
      then array(select m from jobs_internal.made_indexes(v_noted.identity) as m
        union select l.index from jobs_internal.likely_indexes(v_noted.target, v_noted.identity)
          as l where l.sure)
      -- a new relation is locked to the end of its transaction
      else array(select i.indexrelid from pg_index as i
        join pg_locks as l on l.locktype = 'relation' and l.relation = i.indexrelid
          and l.pid = pg_backend_pid() and l.mode = 'AccessExclusiveLock'
        where i.indrelid = v_table and not p_before -> 'indexes' @> to_jsonb(i.indexrelid::bigint))
      end;
    return case
      when cardinality(v_made) = 0
        then '{"missing": "it made nothing: something of that name was there before"}'
      when cardinality(v_made) > 1 then '{"missing": "it is not known which index it made"}'
      when exists (select from pg_partition_tree(v_made[1]) as t
        where p_before -> 'indexes' @> to_jsonb(t.relid::oid::bigint))
        then '{"missing": "indexes of partitions that were there before are parts of it now"}'
      else (select jsonb_build_object('index', c.oid::bigint, 'name', c.relname,
          'schema', c.relnamespace::bigint, 'table', v_table::bigint,
          'definition', jobs_internal.index_definition(c.oid))
        from pg_class as c where c.oid = v_made[1]) end;
  elsif p_kind in ('drop index', 'drop index concurrently') then
    return case when exists (select from pg_class as c where c.oid = (p_before ->> 'index')::oid)
      then '{"missing": "the index is still there"}' else '{}' end;
  elsif p_kind = 'add constraint' then
    return jsonb_build_object('constraints', (select jsonb_agg(c.oid::bigint order by c.contype
          = 'n', c.oid) from pg_constraint as c
        where c.conrelid = v_table and not p_before -> 'constraints' @> to_jsonb(c.oid::bigint)),
      -- before PostgreSQL 18 no constraint stands for them
      'not_null', (select jsonb_agg(a.attnum) from pg_attribute as a
        where a.attrelid = v_table and a.attnum > 0 and a.attnotnull
          and current_setting('server_version_num')::integer < 180000
          and not p_before -> 'not_null' @> to_jsonb(a.attnum)));
  elsif p_kind in ('detach partition', 'detach partition concurrently') then
    -- the CHECK that PostgreSQL leaves in place of the bound
    return jsonb_build_object('left', (select min(c.oid::bigint) from pg_constraint as c
      where c.conrelid = (p_before ->> 'partition')::oid and c.contype = 'c'
        and not p_before -> 'constraints' @> to_jsonb(c.oid::bigint)
        and regexp_replace(pg_get_constraintdef(c.oid), '[() ]', '', 'g')
          = 'CHECK' || regexp_replace(p_before ->> 'check', '[() ]', '', 'g')));
  end if;
  return '{}';
end
$$;

-- Complete the way back of a statement that has ended well, in the transaction of its end. What
-- goes wrong here is no error of the job. Writes: operation, step.
create or replace function jobs_internal.complete_way_back(p_job bigint)
returns void
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp
set lock_timeout = '1s'
set exit_on_error = off
as $$
declare
  v_operation record;
  v_way jsonb;
begin
  select o.kind, o.before -> 'way_back' as way, s.rollback_sql
  into v_operation
  from jobs_internal.operation as o
  join jobs_internal.statement as s on s.job_id = o.job_id
  where o.job_id = p_job;
  if not found then
    return;
  end if;
  v_way := case when v_operation.rollback_sql is not null then '{"given": true}'
    else coalesce(v_operation.way, '{"missing": "how things stood before was not noted"}') end;
  if not v_way ?| array['given', 'missing'] then
    begin
      v_way := v_way || jsonb_build_object('kind', v_operation.kind)
        || jobs_internal.facts_after(p_job, v_operation.kind, v_way);
    exception
      when others then
        v_way := jsonb_build_object('missing', 'what it made could not be read: ' || sqlerrm);
    end;
  end if;
  if exists (select from jobs_internal.step as s where s.job_id = p_job) then
    update jobs_internal.step as s
    set way_back = v_way || jsonb_build_object('kind', v_operation.kind)
    where s.job_id = p_job and s.state = 'current';
    update jobs_internal.operation as o
    set before = o.before - 'way_back', undo_sql = array_to_string(nullif(w.statements, '{}'), '; '),
      undo_missing = w.refusal
    from jobs_internal.undo_statements(p_job) as w
    where o.job_id = p_job;
    return;
  end if;
  update jobs_internal.operation as o
  set before = coalesce(o.before, '{}') || jsonb_build_object('way_back', v_way),
    undo_sql = coalesce(v_operation.rollback_sql, w.shown),
    undo_missing = case when v_operation.rollback_sql is null and w.shown is null
      then coalesce(v_way ->> 'missing', w.refusal) end
  from jobs_internal.way_shown(p_job, v_way) as w
  where o.job_id = p_job;
end
$$;

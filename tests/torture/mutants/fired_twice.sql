-- An occurrence of a schedule is enqueued twice.

-- Replaces jobs_internal.enqueue_scheduled, md5 103bc61da606ad1c2969ece2bb05ee4d.
create or replace function jobs_internal.enqueue_scheduled(p_schedule jobs_internal.schedule,
    p_now timestamptz)
returns bigint
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp
as $$
declare
  v_queue jobs_internal.queue;
  v_statement jsonb := (p_schedule).statement;
  v_row jobs_internal.statement;
  v_run_at timestamptz;
  v_job bigint;
begin
  if not exists (select from pg_roles as r where r.oid = (p_schedule).owner) then
    raise exception using errcode = 'PW019', message = 'its owner is gone';
  end if;
  perform jobs_internal.assert_admitted((p_schedule).owner);
  -- one that was dropped and made anew is the same to a person
  select q.* into v_queue
  from jobs_internal.queue as o
  join jobs_internal.queue as q on q.name = o.name
  where o.id = (p_schedule).queue_id
  order by q.dropped_at desc nulls first
  limit 1;
  if v_queue.dropped_at is not null then
    raise exception using errcode = 'PW007', message = 'its queue was dropped';
  elsif not v_queue.accepting then
    raise exception using errcode = 'PW008', message = 'its queue takes no jobs';
  end if;
  if (p_schedule).unique_key is not null and exists (select from jobs_internal.job as j
      where j.owner = (p_schedule).owner and j.queue_id = v_queue.id
        and j.unique_key = (p_schedule).unique_key and j.publication_id is null)
  then
    return null;  -- and is not charged
  end if;
  v_run_at := greatest(p_now, jobs_internal.charge((p_schedule).owner, 1, (p_schedule).bytes));
  insert into jobs_internal.job (id, queue_id, owner, priority, state, call_template_id,
      max_attempts, run_at, due_at, created_at, timeout, args, settings, note, options, unique_key)
  values (nextval('jobs_internal.job_id_seq'), v_queue.id, (p_schedule).owner,
    (p_schedule).priority, 'scheduled', (p_schedule).call_template_id,
    coalesce((p_schedule).max_attempts, v_queue.max_attempts), v_run_at, v_run_at, p_now,
    coalesce((p_schedule).timeout, v_queue.timeout), (p_schedule).args, (p_schedule).settings,
    (p_schedule).note, (p_schedule).options, (p_schedule).unique_key)
  on conflict do nothing
  returning id into v_job;
  insert into jobs_internal.job (id, queue_id, owner, priority, state, call_template_id,
      max_attempts, run_at, due_at, created_at, timeout, args, settings, note, options)
  select nextval('jobs_internal.job_id_seq'), j.queue_id, j.owner, j.priority, j.state,
    j.call_template_id, j.max_attempts, j.run_at, j.due_at, j.created_at, j.timeout, j.args,
    j.settings, j.note, j.options
  from jobs_internal.job as j where j.id = v_job;
  if v_job is not null and v_statement is not null then
    v_row := jsonb_populate_record(null::jobs_internal.statement, v_statement);
    v_row.job_id := v_job;
    insert into jobs_internal.statement select v_row.*;
    if jsonb_typeof(v_statement -> 'operation') = 'object' then
      perform jobs_internal.store_operation(v_job, (p_schedule).owner, v_statement -> 'operation',
        v_statement #>> '{target,object}', v_statement ->> 'rollback_sql');
    end if;
  end if;
  return v_job;
end
$$;

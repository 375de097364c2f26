-- Cancelling the jobs of a batch: those that wait, many at a time, and those that run.

-- Cancel those of the jobs that wait, as cancel_waiting does for one: 200 of one queue at a time,
-- for archive_jobs joins its jobs with its results by a loop. Returns those that were cancelled;
-- the others run, or a session holds their messages, or they are finished.
-- Locks: messages (skip locked), then job (skip locked). Writes: the lane's pgmq queue,
-- stop_request, outbox; see archive_jobs.
create or replace function jobs_internal.cancel_many_waiting(p_jobs bigint[], p_by text)
returns bigint[]
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp
set enable_seqscan = off
as $$
declare
  v record;
  v_locked bigint[];
  v_results jobs_internal.attempt_result[];  -- of no attempt: they never ran
  v_told jsonb;
  v_error jsonb := jobs_internal.error_object('PWC01', format('cancelled by %s', p_by),
      'It was not running.', 'select jobs.retry(id) runs it again.');
  v_cancelled bigint[] := '{}';
begin
  for v in
    select s.queue_id, s.owner, s.state, s.lane_id, array_agg(s.id) as ids,
      array_agg(s.msg_id) as msg_ids
    from (
      select j.id, j.queue_id, j.owner, j.state, case j.state when 'queued' then j.lane_id end
          as lane_id, j.msg_id,
        (row_number() over (partition by j.queue_id, j.owner, j.state, case j.state
            when 'queued' then j.lane_id end order by j.id) - 1) / 200 as slice
      from jobs_internal.job as j
      where j.id = any (p_jobs) and j.state in ('scheduled', 'queued')
        and j.id is distinct from jobs_internal.current_job()
    ) as s
    group by s.queue_id, s.owner, s.state, s.lane_id, s.slice
    order by min(s.id)
  loop
    if v.state = 'queued' then
      -- The session that holds a message runs its job.
      execute format('select array_agg(m.msg_id) from (select o.msg_id from pgmq.%I as o '
        'where o.msg_id = any ($1) order by o.msg_id for update skip locked) as m',
        'q_pyworker_' || v.lane_id)
      into v_locked using v.msg_ids;
      v_locked := array(
        select j.id from jobs_internal.job as j
        where j.id = any (v.ids) and j.state = 'queued' and j.lane_id = v.lane_id
          and j.msg_id = any (v_locked)
        order by j.id for update);
      execute format('delete from pgmq.%I where msg_id = any ($1)', 'q_pyworker_' || v.lane_id)
        using array(select j.msg_id from jobs_internal.job as j where j.id = any (v_locked));
    else
      v_locked := array(
        select j.id from jobs_internal.job as j
        where j.id = any (v.ids) and j.state = 'scheduled'
        order by j.id for update skip locked);
    end if;
    continue when v_locked = '{}';
    delete from jobs_internal.stop_request as x where x.job_id = any (v_locked);
    select array_agg(row(j.id, j.attempt, null, null, clock_timestamp(), null, null, v_error, null,
          null, null, null, null, null, null, null, null, null, null, null)
          ::jobs_internal.attempt_result),
      jsonb_agg(jsonb_build_object('job_id', j.id, 'task', coalesce(
          (select k.task from jobs_internal.call_template as k where k.id = j.call_template_id),
          jobs_internal.task_name(j.id, null)),
        'attempt', j.attempt, 'max_attempts', j.max_attempts, 'outcome', 'cancelled',
        'state', 'cancelled', 'retry_at', null, 'ms', null, 'error', null,
        'note', case when j.note is null then '{}' else jobs_internal.brief_note(j.note) end))
    into v_results, v_told
    from jobs_internal.job as j where j.id = any (v_locked);
    perform jobs_internal.archive_jobs(v.queue_id, v.owner, v.state, 0, 'cancelled', null,
        v_results),
      jobs_internal.put_in_outbox(v.queue_id, v.owner, null, pg_backend_pid(), null, v_told);
    v_cancelled := v_cancelled || v_locked;
  end loop;
  return v_cancelled;
end
$$;

-- Does the work of jobs.cancel_batch: a job of the batch that calls it goes on itself.
-- Locks: batch; see cancel_many_waiting and cancel. Writes: batch, batch_delta, audit.
create or replace function jobs_internal.cancel_batch(id bigint)
returns bigint
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp
set exit_on_error = off
as $$
declare
  v jobs_internal.batch := jobs_internal.hold_batch(cancel_batch.id);
  v_jobs bigint[];
  v_cancelled bigint[];
  v_job bigint;
  v_count bigint;
begin
  update jobs_internal.batch as b set closed_at = clock_timestamp()
  where b.id = v.id and b.closed_at is null;
  v_jobs := jobs_internal.jobs_of_batch(v.id, v.owner, true, '{in_doubt}');
  v_cancelled := jobs_internal.cancel_many_waiting(v_jobs, session_user);
  v_count := cardinality(v_cancelled);
  for v_job in
    select j from unnest(v_jobs) as j where j is distinct from jobs_internal.current_job()
    except
    select c from unnest(v_cancelled) as c
    order by 1
  loop
    begin
      v_count := v_count + (jobs_internal.cancel(v_job) in ('cancelled', 'cancelling'))::integer;
    exception
      when sqlstate 'PW030' then
        null;  -- it has gone meanwhile
    end;
  end loop;
  perform jobs_internal.look_at_batch(v),
    jobs_internal.audit_batch('cancel_batch', v, jsonb_build_object('cancelled', v_count));
  return v_count;
end
$$;

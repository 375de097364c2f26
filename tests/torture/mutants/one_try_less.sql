-- A job has one attempt less than it is allowed.

-- Replaces jobs_internal.end_attempt, md5 b3b3437c3ed6f5018f02d8a5d4c403fc.
create or replace function jobs_internal.end_attempt(p_pid integer, p_state text,
    p_expected integer,
    p_result jobs_internal.attempt_result)
returns jsonb
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp
set enable_seqscan = off
as $$
declare
  v_job jobs_internal.job;
  v_state text;
  v_due timestamptz;
  v_error jsonb := jobs_internal.plain_error(p_result.error);
  v_retry boolean;
  v_outcome text := p_result.outcome;
  v_cancelled boolean;
  v_top_level boolean;
  v_excused boolean;
  v_held jsonb;
  v_task text;
  v_step jsonb;
begin
  select j.* into v_job from jobs_internal.job as j
  where j.id = p_result.job_id and j.state = p_state and j.attempt = p_expected
  for update;
  if not found then
    return null;
  end if;
  -- An attempt begins where its start was committed: that is what its timeout counts from and what
  -- the views showed.
  p_result.started_at := coalesce(v_job.started_at, p_result.started_at);
  v_cancelled := exists (select from jobs_internal.stop_request as x
      where x.job_id = p_result.job_id
      and x.attempt = p_result.attempt and x.reason = 'cancelled');
  if v_cancelled and v_outcome = 'interrupted' then
    v_outcome := 'cancelled';
    v_error := jobs_internal.stop_error('cancelled', null, null);
  end if;
  delete from jobs_internal.stop_request where job_id = p_result.job_id;
  delete from jobs_internal.progress_message where job_id = p_result.job_id;
  if p_result.logs is not null then
    perform jobs_internal.store_log_lines(p_result.job_id, p_result.attempt, v_job.owner,
        p_result.logs);
  end if;

  v_top_level := p_state = 'running' and exists (select from jobs_internal.statement as s
      where s.job_id = v_job.id and s.top_level);
  if v_outcome = 'window_closed' and not v_cancelled then
    -- Its window has closed, and stops what runs: nothing is charged, and it waits for the window.
    update jobs_internal.job
    set state = 'scheduled', due_at = clock_timestamp(), session_id = null, msg_id = null,
      started_at = null, child_pid = null, child_start = null, attempt = p_result.attempt - 1,
      verify = nullif(coalesce(verify, false) or v_top_level, false)
    where id = v_job.id;
    if v_job.options ? 'concurrency_key' then
      perform jobs_internal.leave_keys(array[v_job.id]);
    end if;
    perform jobs_internal.wake(null);
    return jsonb_build_object('job_id', v_job.id, 'task',
        jobs_internal.task_name(v_job.id, v_job.call_template_id), 'outcome', 'interrupted',
      'attempt', p_result.attempt, 'max_attempts', v_job.max_attempts, 'state', 'scheduled',
      'error', jsonb_build_object('message', 'its maintenance window has closed',
        'hint', format('select jobs.explain(%s) says when it opens.', v_job.id)));
  elsif v_outcome = 'window_closed' then
    v_outcome := 'cancelled';
    v_error := jobs_internal.stop_error('cancelled', null, null);
  end if;
  if v_outcome = 'interrupted' then
    -- The session was signalled without a reason of ours: a shutdown, an administrator, the
    -- end of another job. Nothing is charged, until one job has been hit three times. Where the
    -- server stopped (PWL01), it was certainly not the job's own doing.
    v_excused := v_error ->> 'sqlstate' = 'PWL01' or jobs_internal.shutting_down();
    if v_job.interruptions < 2 or v_excused then
      update jobs_internal.job
      set state = 'scheduled', due_at = clock_timestamp(), session_id = null, msg_id = null,
        started_at = null, child_pid = null,
        child_start = null, attempt = p_result.attempt - 1, verify = nullif(coalesce(verify, false)
            or v_top_level, false),
        interruptions = interruptions + (v_excused is not true)::integer
      where id = v_job.id;
      if v_job.options ? 'concurrency_key' then
        perform jobs_internal.leave_keys(array[v_job.id]);
      end if;
      perform jobs_internal.wake(null);
      return jsonb_build_object('job_id', v_job.id, 'task',
          jobs_internal.task_name(v_job.id, v_job.call_template_id), 'outcome', 'interrupted',
        'attempt', p_result.attempt, 'max_attempts', v_job.max_attempts, 'state', 'scheduled');
    end if;
    v_outcome := 'cancelled';
    v_state := 'failed';
    v_error := jobs_internal.error_object('PWC02', 'interrupted three times without a known reason',
      concat_ws(' ', 'Its session was signalled each time (pg_cancel_backend, '
        'pg_terminate_backend), or it raises that error itself.',
        'The last time it said: ' || (v_error ->> 'message') || '.', v_error ->> 'detail'),
        'Look in the server log; then select jobs.retry(id).', v_error ->> 'context');
  end if;

  v_held := jobs_internal.hold(v_job, p_result);
  if v_held is not null and not v_cancelled then
    -- An operation that gave up a lock, or gave way: nothing is charged.
    v_due := clock_timestamp() + make_interval(secs => (v_held ->> 'pause')::double precision);
    update jobs_internal.job
    set state = 'scheduled', due_at = v_due, session_id = null, msg_id = null, started_at = null,
      child_pid = null, child_start = null, attempt = p_result.attempt - 1, error = v_error
    where id = v_job.id;
    if v_job.options ? 'concurrency_key' then
      perform jobs_internal.leave_keys(array[v_job.id]);
    end if;
    perform jobs_internal.wake_beside(array[v_job.id]), jobs_internal.wake(null);
    return jsonb_build_object('job_id', v_job.id, 'task',
        jobs_internal.task_name(v_job.id, v_job.call_template_id), 'outcome', 'held', 'attempt',
        p_result.attempt, 'max_attempts', v_job.max_attempts, 'state', 'scheduled', 'retry_at',
        v_due, 'error', jobs_internal.brief_error(v_error), 'note',
        jobs_internal.brief_note(v_job.note));
  elsif v_outcome = 'held' then
    v_outcome := 'cancelled';
    v_error := jobs_internal.stop_error('cancelled', null, null);
  end if;

  if v_outcome = 'snoozed' and not v_cancelled then
    return jobs_internal.end_snoozed(v_job, p_result);
  elsif v_outcome = 'snoozed' then
    -- the request came too late for this run, and holds for the next one
    v_outcome := 'cancelled';
    v_error := jobs_internal.stop_error('cancelled', null, null);
    p_result.result := null;
  end if;

  if v_outcome = 'succeeded' and v_job.call_template_id is null then
    v_task := jobs_internal.task_name(v_job.id, null);
    v_step := jobs_internal.end_step(v_job.id, p_result, v_job.verify);
  end if;
  if v_step ->> 'next' is not null and v_cancelled then
    -- the request came too late for this step, and holds for the next one
    v_outcome := 'cancelled';
    v_error := jobs_internal.stop_error('cancelled', null, null);
  elsif v_step ->> 'next' is not null then
    -- A step is done, and its job goes on: nothing is charged, and what was held against it does
    -- not count for the next one.
    update jobs_internal.job
    set state = 'scheduled', due_at = clock_timestamp(), session_id = null, msg_id = null,
      started_at = null, child_pid = null, child_start = null, attempt = p_result.attempt - 1,
      verify = null, error = null, interruptions = 0, crashes = 0, isolated_crashes = 0,
      crash_ran = null
    where id = v_job.id;
    perform jobs_internal.keep_run(v_job, v_task, p_result);
    -- a session that no supervisor watches goes on with it as well
    perform jobs_internal.enter_lane(v_job.id), jobs_internal.clear_deadline(array[v_job.id]);
    return jsonb_build_object('job_id', v_job.id, 'task', v_task, 'outcome', 'step',
      'attempt', p_result.attempt, 'max_attempts', v_job.max_attempts, 'state', 'queued',
      'ms', round((extract(epoch from p_result.finished_at - p_result.started_at)
          * 1000)::numeric, 3),
      'step', v_step -> 'step', 'steps', v_step -> 'steps');
  elsif v_step is not null then
    p_result.result := jsonb_build_object('steps', v_step -> 'steps')
      || case when jsonb_typeof(p_result.result) = 'object' then p_result.result else '{}' end;
  end if;

  p_result.outcome := v_outcome;
  p_result.error := v_error;
  v_retry := v_outcome in ('failed', 'timed_out', 'lost')
    and p_result.attempt < v_job.max_attempts - 1
    and jobs_internal.worth_retry(v_error ->> 'sqlstate');
  if v_retry and v_cancelled then
    -- It failed by itself before the signal came: it is not tried again.
    v_retry := false;
    v_state := 'cancelled';
  end if;
  if v_retry then
    v_due := clock_timestamp() + jobs_internal.backoff(v_job.queue_id, p_result.attempt);
    if v_job.options ? 'deadline' and not (v_top_level and v_outcome = 'lost')
      and jobs_internal.misses_deadline(v_job.id, v_due)
    then
      v_retry := false;
      v_due := null;
      v_error := jsonb_set(v_error, '{detail}', to_jsonb(concat_ws(' ', v_error ->> 'detail',
          'It is not tried again: the next attempt would begin after its deadline.')));
      p_result.error := v_error;
    end if;
  end if;
  if v_retry then
    v_state := 'scheduled';
    update jobs_internal.job
    set state = 'scheduled', due_at = v_due, session_id = null, msg_id = null, started_at = null,
      child_pid = null, child_start = null,
      attempt = p_result.attempt, error = v_error,
        verify = nullif(v_top_level and v_outcome = 'lost', false)
    where id = v_job.id;
    if v_job.options ? 'concurrency_key' then
      perform jobs_internal.leave_keys(array[v_job.id]);
    end if;
    perform jobs_internal.store_attempt(v_job.owner, p_pid, p_result), jobs_internal.wake(null);
    if v_job.call_template_id is null then
      perform jobs_internal.wake_beside(array[v_job.id]);
    end if;
  else
    v_state := coalesce(v_state, case v_outcome when 'succeeded' then 'succeeded' when 'cancelled'
        then 'cancelled' when 'in_doubt' then 'in_doubt' else 'failed' end);
    perform jobs_internal.archive_jobs(v_job.queue_id, v_job.owner, p_state,
        p_result.attempt - p_expected, v_state, p_pid, array[p_result]);
  end if;
  return jsonb_build_object('job_id', v_job.id, 'task',
      jobs_internal.task_name(v_job.id, v_job.call_template_id), 'outcome', v_outcome,
    'attempt', p_result.attempt, 'max_attempts', v_job.max_attempts, 'state', v_state, 'retry_at',
      v_due,
    'ms', round((extract(epoch from p_result.finished_at - p_result.started_at) * 1000)::numeric,
        3),
    'error', jobs_internal.brief_error(v_error), 'note', jobs_internal.brief_note(v_job.note));
end
$$;

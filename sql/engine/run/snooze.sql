-- Snoozing: a function job says that it comes back later (jobs.snooze).
--
-- The call leaves a setting, which a rollback takes back, and the function goes on to its end. So
-- an error that comes after it wins, the last of several calls wins, and one in a block that was
-- rolled back is none. At the end of the run the worker session reads it (snoozed): the outcome is
-- then 'snoozed', and what the function returned is not kept. The new time of the job is written by
-- the commit that keeps what the run did (end_attempt): none is without the other, whatever dies.
-- With keep => false the run is undone first: by its savepoint, and of jobs in a row all are undone
-- and run again one by one, as after an error.

-- Refuse to snooze where that has no meaning. Errors: PW106.
create or replace function jobs_internal.assert_may_snooze()
returns void
language plpgsql stable security definer
set search_path = pg_catalog, pg_temp
as $$
declare
  v_why text;
begin
  select case when j.call_template_id is null then format('Job %s is a statement.', j.id)
      when t.procedure or current_setting('pyworker.child', true) = 'on'
        then format('Job %s calls a procedure.', j.id)
      else '' end
  into v_why
  from jobs_internal.job as j
  left join jobs_internal.call_template as t on t.id = j.call_template_id
  where j.id = jobs_internal.current_job() and j.owner = jobs_internal.caller()
    and jobs_internal.current_attempt() is not null;
  if v_why = '' then
    return;
  end if;
  raise exception using errcode = 'PW106',
    message = 'only a function that runs as a job can snooze',
    detail = coalesce(v_why, 'This session runs no job.'),
    hint = 'Wait in the statement, or enqueue it again with run_at. A retry cannot help.';
end
$$;

-- The end of a run that succeeded: as it is, or snoozed where jobs.snooze was called.
create or replace function jobs_internal.snoozed(p_result jobs_internal.attempt_result)
returns jobs_internal.attempt_result
language plpgsql volatile
set search_path = pg_catalog, pg_temp
as $$
declare
  v_said text[] := regexp_match(current_setting('pyworker.snooze', true),
      '^([0-9]{1,18}) ([0-9]{1,9}[.]?[0-9]{0,9}) (keep|undo)$');
begin
  if v_said[1]::bigint = p_result.job_id then
    p_result.outcome := 'snoozed';
    p_result.rows := null;
    p_result.result := jsonb_build_object('pause', v_said[2]::double precision,
        'keep', v_said[3] = 'keep');
  end if;
  return p_result;
end
$$;

-- Whether a run snoozed and is to be undone.
create or replace function jobs_internal.is_undone(p_result jobs_internal.attempt_result)
returns boolean
language sql immutable
set search_path = pg_catalog, pg_temp
begin atomic
  select p_result.outcome = 'snoozed' and p_result.result -> 'keep' = 'false';
end;

-- Write that a run snoozed: its job waits for its new time, counted from now; no attempt is
-- charged, and what was held against it does not count any more. p_job: its locked row. Returns:
-- the object for the outbox. Writes: job, job_deadline; with no pause also the lane's pgmq queue.
create or replace function jobs_internal.end_snoozed(p_job jobs_internal.job,
    p_result jobs_internal.attempt_result)
returns jsonb
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp
as $$
declare
  -- it comes from the job's own session
  v_pause double precision := least(greatest((p_result.result ->> 'pause')::double precision, 0),
      315576000);
  v_due timestamptz := clock_timestamp() + make_interval(secs => v_pause);
begin
  update jobs_internal.job as j
  set state = 'scheduled', due_at = v_due, session_id = null, msg_id = null, started_at = null,
    child_pid = null, child_start = null, attempt = p_result.attempt - 1, error = null,
    interruptions = 0, crashes = 0, isolated_crashes = 0, crash_ran = null,
    snoozes = least(coalesce(j.snoozes, 0), 2000000000) + 1
  where j.id = p_job.id;
  if p_job.options ? 'deadline' and not jobs_internal.is_undone(p_result) then
    perform jobs_internal.clear_deadline(array[p_job.id]);  -- a part of its work is done
  end if;
  if p_job.options ? 'concurrency_key' then
    perform jobs_internal.leave_keys(array[p_job.id]);
  end if;
  perform jobs_internal.keep_run(p_job, jobs_internal.task_name(p_job.id, p_job.call_template_id),
    p_result);
  if v_pause = 0 then
    perform jobs_internal.enter_lane(p_job.id);  -- also where no supervisor lives
  else
    perform jobs_internal.wake(null);  -- one that sleeps cannot know of it
  end if;
  return jsonb_build_object('job_id', p_job.id,
    'task', jobs_internal.task_name(p_job.id, p_job.call_template_id), 'outcome', 'snoozed',
    'attempt', p_result.attempt, 'max_attempts', p_job.max_attempts, 'state', 'scheduled',
    'retry_at', v_due, 'ms', round((extract(epoch from p_result.finished_at
      - p_result.started_at) * 1000)::numeric, 3));
end
$$;

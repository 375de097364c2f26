-- Cancelling: of jobs that wait at once, of those that run by a committed request.

-- Refuse to control a job that is not the caller's. Errors: PW030 for a job that is not there or
-- not the caller's: which of both is not said, ids could be guessed. PW060 in a copy: its numbers
-- are those of other roles and of other processes.
create or replace function jobs_internal.assert_controls(p_id bigint, p_owner oid)
returns void
language plpgsql stable security definer
set search_path = pg_catalog, pg_temp
as $$
begin
  if not jobs_internal.is_original() then
    perform jobs_internal.assert_not_copy();
  end if;
  if p_owner is null or not (p_owner = jobs_internal.caller()
      or jobs_internal.caller_is('jobs_operator'))
    then
    raise exception using errcode = 'PW030',
      message = format('there is no job %s', coalesce(p_id::text, 'null')),
      detail = 'Or it belongs to another role: who enqueued it by a publication may cancel it and '
        'wait for it, no more.',
      hint = 'See jobs.job for the jobs that you may see. A retry cannot help.';
  end if;
end
$$;

-- Cancel a job that has not started. Returns false when it has: it runs, or a session holds its
-- message, or it is finished. p_error: why, where that is not the wish of p_by.
-- Locks: message (skip locked), then job. Writes: the lane's pgmq queue, stop_request, outbox; see
-- archive_jobs.
create or replace function jobs_internal.cancel_waiting(p_id bigint, p_by text,
    p_error jsonb default null)
returns boolean
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp
as $$
declare
  v_job jobs_internal.job;
  v_locked boolean;
  v_result jobs_internal.attempt_result;  -- of no attempt: it never ran
  v_task text;
begin
  loop
    select j.* into v_job from jobs_internal.job as j where j.id = p_id;
    if not found or v_job.state = 'running' or p_id = jobs_internal.current_job() then
      return false;
    end if;
    if v_job.state = 'queued' then
      -- The session that holds the message runs the job.
      execute format('select true from pgmq.%I as m where m.msg_id = $1 for update skip locked',
          'q_pyworker_' || v_job.lane_id)
      into v_locked using v_job.msg_id;
      if v_locked is null then
        execute format('select exists (select from pgmq.%I as m where m.msg_id = $1)', 'q_pyworker_'
            || v_job.lane_id)
        into v_locked using v_job.msg_id;
        if v_locked then
          return false;
        end if;
        -- Its message was removed by hand: no session would ever run it.
      end if;
      execute format('delete from pgmq.%I where msg_id = $1', 'q_pyworker_' || v_job.lane_id)
        using v_job.msg_id;
    end if;
    perform from jobs_internal.job as j
    where j.id = p_id and j.state = v_job.state and j.attempt = v_job.attempt
      and j.msg_id is not distinct from v_job.msg_id
    for update;
    continue when not found;  -- it moved on between the look and the lock
    delete from jobs_internal.stop_request where job_id = p_id;
    v_result.job_id := p_id;
    v_result.attempt := v_job.attempt;
    v_result.finished_at := clock_timestamp();
    v_result.error := coalesce(p_error, jobs_internal.error_object('PWC01',
        format('cancelled by %s', p_by), 'It was not running.',
        'select jobs.retry(id) runs it again.'));
    v_task := jobs_internal.task_name(v_job.id, v_job.call_template_id);
    perform jobs_internal.archive_jobs(v_job.queue_id, v_job.owner, v_job.state, 0, 'cancelled',
        null, array[v_result]);
    perform jobs_internal.put_in_outbox(v_job.queue_id, v_job.owner, null, pg_backend_pid(), null,
        jsonb_build_array(jsonb_build_object('job_id', v_job.id, 'task', v_task,
          'attempt', v_job.attempt, 'max_attempts', v_job.max_attempts, 'outcome', 'cancelled',
          'state', 'cancelled', 'retry_at', null, 'ms', null,
          'error', jobs_internal.brief_error(p_error),
          'note', jobs_internal.brief_note(v_job.note))));
    return true;
  end loop;
end
$$;

-- Ask for the end of an attempt. One that was to be stopped already because its window has closed
-- is cancelled: it would come back. Writes: stop_request.
create or replace function jobs_internal.request_cancel(p_job bigint, p_attempt integer, p_by text)
returns void
language sql volatile security definer
set search_path = pg_catalog, pg_temp
begin atomic
  insert into jobs_internal.stop_request as x (job_id, attempt, reason, requested_by)
  values (p_job, p_attempt, 'cancelled', p_by)
  on conflict (job_id, attempt) do update
  set reason = excluded.reason, requested_by = excluded.requested_by,
    requested_at = excluded.requested_at, signals_sent = 0
  where x.reason = 'window_closed';
end;

-- Record a cancel, commit it, and send signals until the attempt is over. Runs in an autonomous
-- session that jobs.cancel launches, so that it works with no supervisor and a rollback of the
-- caller does not undo it. As one login has a few of these sessions at most, it goes on with what
-- the same login asked for meanwhile.
create or replace procedure jobs_internal.stop_job(p_job bigint, p_attempt integer, p_by text)
language plpgsql
as $$
declare
  v_until timestamptz := pg_catalog.clock_timestamp() operator(pg_catalog.+) interval '15 seconds';
  v_jobs bigint[];
  v_job bigint;
  v_left bigint;
begin
  perform pg_catalog.set_config('search_path', 'pg_catalog, pg_temp', false);
  perform jobs_internal.request_cancel(p_job, p_attempt, p_by);
  commit;
  loop
    -- The reason goes with the attempt that ends for it. As long as it is there, the job goes on,
    -- or went on before it was written: back into the queue after a failure of its own, say.
    select array_agg(x.job_id order by x.job_id = p_job desc, x.signalled_at nulls first),
      count(*)
    into v_jobs, v_left
    from jobs_internal.stop_request as x
    join jobs_internal.job as j on j.id = x.job_id and j.attempt <= x.attempt
    where x.reason = 'cancelled' and x.requested_by = p_by
      and x.requested_at > clock_timestamp() - interval '15 seconds';
    commit;
    exit when v_left = 0 or clock_timestamp() > v_until;
    foreach v_job in array v_jobs[1:8] loop
      if not jobs_internal.cancel_waiting(v_job, p_by) then
        perform jobs_internal.send_stop_signals(v_job);
      end if;
      commit;
    end loop;
    -- A signal that comes while the job is being written down ends its session.
    perform jobs_internal.rescue();
    commit;
    perform pg_sleep(0.02);
    commit;
  end loop;
end
$$;

-- How many of these sessions the login has now, with those that are just starting.
create or replace function jobs_internal.stop_sessions()
returns bigint
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp
as $$
begin
  perform pg_stat_clear_snapshot();
  return (select count(*) from pg_stat_get_activity(null) as a
    where a.backend_type = 'pg_background' and coalesce(a.usesysid, jobs_internal.caller())
        = jobs_internal.caller()
      and (coalesce(a.query, '') = '' or starts_with(a.query, 'call jobs_internal.stop_job(')));
end
$$;

-- Launch that session, and wait until it is counted: the server shows a process a moment after it
-- was launched. It inherits the settings of the caller of jobs.cancel: none that limits time, none
-- that forbids it to write.
create or replace function jobs_internal.launch_stop(p_job bigint, p_attempt integer, p_by text)
returns void
language plpgsql volatile
set search_path = pg_catalog, pg_temp
set statement_timeout = 0
set transaction_timeout = 0
set lock_timeout = 0
set idle_in_transaction_session_timeout = 0
set default_transaction_isolation = 'read committed'
set default_transaction_read_only = off
set default_transaction_deferrable = off
as $$
begin
  perform jobs_internal.run_in_background(format('call jobs_internal.stop_job(%s, %s, %L)', p_job,
      p_attempt, p_by), 'pyworker cancel', p_until_shown => true);
end
$$;

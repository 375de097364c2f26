-- A job that was running when the server stopped has lost an attempt.

-- Replaces jobs_internal.rescue_one, md5 7d833f1c2198286c255d672b9f9a2576.
create or replace function jobs_internal.rescue_one(p_session jobs_internal.session,
    p_found timestamptz default clock_timestamp())
returns boolean
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp
as $$
declare
  v_job jobs_internal.job;
  v_statement jobs_internal.statement;
  v_result jobs_internal.attempt_result;
  v_lost jobs_internal.attempt_result;
  v_top_level boolean;
  v_reason text;
  v_revoked boolean;
  v_other jsonb;
  v_left bigint[];
begin
  if p_session.msg_ids is not null then
    -- Where the server stopped, note_crash has named the suspects.
    v_left := jobs_internal.hand_on(p_session, p_session.crash_attribution is null);
  end if;
  if p_session.job_id is not null then
    select j.* into v_job from jobs_internal.job as j
    where j.id = p_session.job_id and j.attempt = p_session.attempt and j.session_id = p_session.id
      and j.state = 'running'
    for update skip locked;
    if not found then
      select j.* into v_job from jobs_internal.job as j
      where j.id = p_session.job_id and j.attempt = p_session.attempt
        and j.session_id = p_session.id and j.state = 'running';
      if found and jobs_internal.alive(v_job.child_pid, v_job.child_start) then
        -- its child has it: the job gave up its key in a transaction that is open (gives_up_key)
        return false;
      elsif found then
        raise exception using errcode = '55P03', message = format('job %s is locked', v_job.id),
          detail = 'Another transaction, of its owner or of an operator, holds its row.',
            hint = 'It is tried again.';
      end if;
    end if;
    if v_job.id is not null then
      select s.* into v_statement from jobs_internal.statement as s
      where s.job_id = v_job.id for update nowait;
      perform from jobs_internal.stop_request as x where x.job_id = v_job.id for update nowait;
      perform from jobs_internal.progress_message as m where m.job_id = v_job.id for update nowait;
      v_top_level := coalesce(v_statement.top_level, false)
        or exists (select from jobs_internal.call_template as s where s.id = v_job.call_template_id
            and s.procedure);
      if v_top_level and v_job.child_pid is null then
        v_job := jobs_internal.find_orphan(v_job, p_session);
      end if;
      if v_job.child_pid is not null and jobs_internal.alive(v_job.child_pid, v_job.child_start)
        then
        return false;
      end if;
      -- What its statement left invalid is in jobs.health from now on: there may be no further
      -- attempt, and history keeps no identity.
      begin
        perform jobs_internal.store_leftover(v_job.id, v_job.owner, v_statement.target,
            v_statement.identity);
      exception
        when others then
          null;  -- an identity that its owner made up does not keep the session from being seen to
      end;
      v_reason := (select x.reason from jobs_internal.stop_request as x where x.job_id = v_job.id
          and x.attempt = v_job.attempt);
      v_result.job_id := v_job.id;
      v_result.attempt := v_job.attempt;
      v_result.started_at := v_job.started_at;
      v_result.finished_at := clock_timestamp();
      v_result.child_pid := v_job.child_pid;
      if v_reason is null and p_session.crash_attribution is null and v_job.timeout is not null
        and v_job.started_at + v_job.timeout <= v_result.finished_at then
        -- The server's own limit ended the session; no supervisor was there to do it.
        v_reason := 'timed_out';
      end if;
      if v_reason is not null and v_top_level and jobs_internal.was_done(v_statement) then
        -- its child came to the end of its work all the same
        v_result.outcome := 'succeeded';
        v_result.result := jsonb_build_object('verified', true, 'despite', v_reason);
      elsif v_reason is not null then
        v_result.outcome := v_reason;
        v_result.error := jobs_internal.stop_error(v_reason, v_job.timeout,
            'Its session was ended.');
      else
        if p_session.crash_attribution is null then
          -- When the server crashes, or its postmaster is gone, its processes end one after
          -- another, and the last ones must not judge the first: a session that belongs to a dying
          -- server does not come back from this. Those that were found together are waited for
          -- once.
          perform pg_sleep(least(extract(epoch
                from p_found + interval '0.2 seconds' - clock_timestamp()), 0.2)::double precision);
        end if;
        -- Put out of jobs_runner in the middle of a job, its session cannot even write down how
        -- that ended: no fault of the job's.
        v_revoked := p_session.crash_attribution is null and not exists (
          select from pg_roles as r where r.oid = p_session.owner
            and pg_has_role(r.oid, 'jobs_runner', 'member'));
        v_result.outcome := 'lost';
        v_result.error := case
          when p_session.crash_attribution = 'charged' and v_job.crashes >= v_job.max_attempts then
            jobs_internal.error_object('PWL02',
                format('the server crashed %s while it ran',
                    jobs_internal.counted(v_job.crashes, 'time')),
              format('The last time it ran isolated from other suspects: worker session %s, '
                  'pid %s.', p_session.id, p_session.pid),
              'Look in the server log for what ended that pid. A retry crashes the server again, '
              'unless its cause is gone.')
          when p_session.crash_attribution = 'charged' then
            jobs_internal.error_object('PWL01', 'the server crashed while it ran',
              format('It ran isolated from other suspects: worker session %s, pid %s.',
                  p_session.id, p_session.pid),
              'Look in the server log for what ended that pid. A retry runs apart from other '
              'suspects.')
          when v_revoked then
            jobs_internal.error_object('PWL01', 'its owner lost the right to run jobs while it ran',
                format('Worker session %s, pid %s, is gone.',
              p_session.id, p_session.pid), 'It is not charged for that, and waits until its owner '
                'is a member of jobs_runner again.')
          when p_session.crash_attribution = 'not_charged' then
            jobs_internal.error_object('PWL01', 'the server stopped while it ran',
                format('Worker session %s, pid %s, is gone.',
              p_session.id, p_session.pid), 'It is not charged for that.')
          else
            jobs_internal.error_object('PWL01', 'the session that ran it died',
                format('Worker session %s, pid %s, is gone.',
              p_session.id, p_session.pid),
              'Look in the server log for that pid. A retry may live.')
        end;
        if v_result.error ->> 'sqlstate' = 'PWL02' then
          null;  -- whatever it did: it is not run again
        elsif v_top_level then
          if v_statement.done_when is null and not jobs_internal.is_repeatable(v_job.id) then
            v_result.outcome := 'in_doubt';
            v_result.error := jobs_internal.error_object('PWD01', 'it ended unseen',
                'The session that watched it died, it has no post-condition, and it is not said to '
                'be repeatable.',
              'Look whether it did its work; then select jobs.retry(id), or leave it.');
          else
            -- Its post-condition can be asked by its owner only: the next worker session does,
            -- before it runs anything.
            update jobs_internal.job
            set state = 'scheduled', due_at = clock_timestamp(), session_id = null, verify = true,
              child_pid = null, child_start = null,
              started_at = null, attempt = attempt
                - (p_session.crash_attribution is not distinct from 'not_charged')::integer,
              error = v_result.error,
              max_attempts = greatest(max_attempts,
                  attempt + (p_session.crash_attribution is distinct from 'not_charged')::integer)
            where id = v_job.id;
            perform jobs_internal.leave_keys(array[v_job.id]);
            if p_session.crash_attribution is distinct from 'not_charged' then
              v_lost := v_result;
              v_lost.outcome := 'lost';
              perform jobs_internal.store_attempt(v_job.owner, p_session.pid, v_lost);
            end if;
            perform jobs_internal.put_in_outbox(v_job.queue_id, v_job.owner, p_session.id,
                p_session.pid, null, jsonb_build_array(jsonb_build_object(
              'job_id', v_job.id, 'task', jobs_internal.task_name(v_job.id, v_job.call_template_id),
              'outcome', v_result.outcome, 'attempt', v_job.attempt,
              'max_attempts', v_job.max_attempts, 'state', 'scheduled', 'retry_at',
                clock_timestamp(),
              'ms', round((extract(epoch from v_result.finished_at - v_job.started_at)
                    * 1000)::numeric, 3),
              'error', v_result.error - 'context' - 'detail', 'note',
                jobs_internal.brief_note(v_job.note))));
            v_result.outcome := null;
          end if;
        end if;
      end if;
      if v_result.outcome is not null then
        v_other := jobs_internal.end_attempt(p_session.pid, 'running', v_job.attempt, v_result);
        perform jobs_internal.put_in_outbox(v_job.queue_id, v_job.owner, p_session.id,
            p_session.pid, null, jsonb_build_array(v_other));
      end if;
    end if;
  end if;
  perform jobs_internal.free_slots(p_session.id);
  if v_left is not null then
    update jobs_internal.session set msg_ids = v_left where id = p_session.id;
    return null;
  end if;
  delete from jobs_internal.session where id = p_session.id;
  return true;
end
$$;

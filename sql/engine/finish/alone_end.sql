-- The end of a job that ran alone.

-- The fence of a job that runs alone, asked inside its own subtransaction: it is still this
-- session's running attempt.
-- Errors: PW041 when it is not: the job tampered with itself, and what it did is undone.
create or replace function jobs_internal.fence(p_session bigint, p_job bigint, p_attempt integer)
returns void
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp
as $$
begin
  if not exists (
    select from jobs_internal.job as j
    join jobs_internal.session as s on s.id = j.session_id and s.job_id = j.id
    where j.id = p_job and j.attempt = p_attempt and j.state = 'running'
      and j.session_id = p_session and j.owner = jobs_internal.caller())
  then
    raise exception using errcode = 'PW041', message = format('job %s ended itself while it ran',
        p_job),
      detail = 'Its row is not the running attempt of this session any more. What the job did was '
        'undone.',
      hint = 'A job must not cancel, retry or finish itself through the functions of pyworker. A '
        'retry cannot help.';
  end if;
end
$$;

-- End a job that ran alone, in the transaction that did its work. A fence that misses here means
-- that the job row went while the job ran: nothing is left to write, and the transaction must not
-- commit. Errors: PW040, PW041.
create or replace function jobs_internal.finish_alone(p_session bigint, p_lane integer,
    p_result jobs_internal.attempt_result)
returns void
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp
set enable_seqscan = off
as $$
declare
  v_session jobs_internal.session := jobs_internal.my_session(p_session);
  v_other jsonb;
  v_template integer;
  v_queue integer;
begin
  perform jobs_internal.assert_my_lane(p_lane);
  if not jobs_internal.is_small(p_result.result) then
    raise exception using errcode = 'PW040',
      message = 'the result is larger than the setting result_bytes, or the quota of its owner',
      hint = 'Write large results into a table. A retry cannot help.';
  end if;
  select j.call_template_id, j.queue_id into v_template, v_queue
  from jobs_internal.job as j where j.id = p_result.job_id
    and j.session_id = p_session;
  if not found then
    p_result.job_id := null;
  elsif v_template = any (v_session.new_template_ids) or v_template is not null and exists (
      select from jobs_internal.call_stats as d where d.call_template_id = v_template
        and d.owner = v_session.owner)
  then
    v_template := null;  -- known
  end if;
  v_other := jobs_internal.end_attempt(v_session.pid, 'running', p_result.attempt, p_result);
  update jobs_internal.session
  set job_id = null, attempt = null, new_template_ids = case when v_template is null
    then new_template_ids else new_template_ids || v_template end
  where id = p_session;
  if v_other is null then
    raise exception using errcode = 'PW041',
      message = format('job %s is not this session''s running attempt any more', p_result.job_id),
      detail = 'Its row was changed while it ran. What the job did is undone.',
        hint = 'Look at jobs.job and jobs.attempts for it.';
  end if;
  if v_other ->> 'outcome' = 'succeeded' then
    perform jobs_internal.put_in_outbox(v_queue, v_session.owner, p_session, v_session.pid,
        jsonb_build_array(jsonb_build_object('task', v_other -> 'task', 'job_ids',
          jsonb_build_array(v_other -> 'job_id'), 'ms', jsonb_build_array(v_other -> 'ms'))), '[]');
  else
    perform jobs_internal.put_in_outbox(v_queue, v_session.owner, p_session, v_session.pid, null,
        jsonb_build_array(v_other));
  end if;
end
$$;

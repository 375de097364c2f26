-- Running a finished job again, or a scheduled one now.

-- Refuse to run a job again whose way back is enqueued, or was done: it would go on upon what is
-- not there any more. Errors: PW065.
create or replace function jobs_internal.assert_not_taken_back(p_job bigint)
returns void
language plpgsql stable security definer
set search_path = pg_catalog, pg_temp
as $$
declare
  v_by record := jobs_internal.taken_back_by(p_job);
begin
  if v_by.id is not null then
    raise exception using errcode = 'PW065', message = format('job %s is taken back', p_job),
      detail = format('By job %s, which is %s.', v_by.id, v_by.state),
      hint = 'Enqueue it again as a new job. A retry helps only when that one was cancelled, has '
        'failed, or was taken back itself.';
  end if;
end
$$;

-- Does the work of jobs.retry.
create or replace function jobs_internal.retry(id bigint)
returns text
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp
set exit_on_error = off
as $$
declare
  v_job jobs_internal.finished;
  v_due_at timestamptz;
begin
  select f.* into v_job from jobs_internal.finished as f where f.id = retry.id for update;
  if not found then
    perform jobs_internal.assert_controls(retry.id, (select j.owner from jobs_internal.job as j
          where j.id = retry.id));
    return (select j.state from jobs_internal.job as j where j.id = retry.id);
  end if;
  perform jobs_internal.assert_controls(retry.id, v_job.owner);
  if v_job.state = 'succeeded' then
    raise exception using errcode = 'PW031', message = format('job %s has succeeded', retry.id),
      detail = 'Its effect is there; running it again would be another job.',
        hint = 'Enqueue a new job. A retry cannot help.';
  end if;
  perform jobs_internal.assert_not_taken_back(retry.id);
  if exists (select from jobs_internal.queue as q where q.id = v_job.queue_id
      and q.dropped_at is not null) then
    raise exception using errcode = 'PW007', message = 'its queue was dropped',
      detail = format('Job %s.', retry.id),
      hint = 'Enqueue it again in another queue.';
  end if;
  if v_job.unique_key is not null and exists (select from jobs_internal.job as j
    where j.owner = v_job.owner and j.queue_id = v_job.queue_id and j.unique_key = v_job.unique_key
      and j.publication_id is not distinct from v_job.publication_id
      and j.enqueued_by is not distinct from v_job.enqueued_by)
  then
    perform jobs_internal.refuse_taken_key(v_job);
  end if;
  -- It comes back: the limits of its owner and of its publication hold for it as for one that
  -- comes.
  v_due_at := greatest(now(),
      jobs_internal.charge(v_job.owner, 1, null, coalesce(v_job.publication_id, 0)));
  if jobs_internal.forgive_parents(retry.id) then
    v_due_at := 'infinity';  -- it still waits for others
  end if;
  if not jobs_internal.relive(v_job, v_due_at) then
    perform jobs_internal.refuse_taken_key(v_job);  -- another session was quicker
  end if;
  perform jobs_internal.note_change(retry.id);
  if v_due_at <= clock_timestamp() then
    perform jobs_internal.enter_lane(retry.id);
  else
    perform jobs_internal.wake(null);
  end if;
  perform jobs_internal.record_control('retry', retry.id, v_job.owner,
      jsonb_build_object('state', v_job.state), '{"state": "scheduled"}');
  return 'retrying';
end
$$;

-- Does the work of jobs.run_now.
create or replace function jobs_internal.run_now(id bigint)
returns text
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp
as $$
declare
  v_job jobs_internal.job;
begin
  -- Only what waits for its time is locked: the row of a queued job may be in another session's
  -- open chunk, or be wanted by one.
  select j.* into v_job from jobs_internal.job as j where j.id = run_now.id;
  if v_job.state = 'scheduled'
    and (v_job.owner = jobs_internal.caller() or jobs_internal.caller_is('jobs_operator')) then
    select j.* into v_job from jobs_internal.job as j where j.id = run_now.id for update;
  end if;
  if v_job.id is null then
    perform jobs_internal.assert_controls(run_now.id,
        (select f.owner from jobs_internal.finished as f
          where f.id = run_now.id));
    return (select f.state from jobs_internal.finished as f where f.id = run_now.id);
  end if;
  perform jobs_internal.assert_controls(run_now.id, v_job.owner);
  if v_job.state <> 'scheduled' then
    return v_job.state;
  end if;
  perform jobs_internal.charge_hurry(v_job.owner);
  if v_job.due_at = 'infinity' and exists (select from jobs_internal.dependency as d
      where d.child = run_now.id) then
    update jobs_internal.job as j set run_at = least(j.run_at, now()) where j.id = run_now.id;
    perform jobs_internal.record_control('run_now', run_now.id, v_job.owner,
        jsonb_build_object('run_at', v_job.run_at), '{"run_at": "now"}');
    return 'scheduled';  -- it still waits for other jobs
  end if;
  update jobs_internal.job as j set due_at = now() where j.id = run_now.id;
  perform jobs_internal.enter_lane(run_now.id),
    jobs_internal.record_control('run_now', run_now.id, v_job.owner,
        jsonb_build_object('due_at', v_job.due_at), '{"due_at": "now"}');
  if jobs_internal.is_gated(v_job.options) and exists (select from jobs_internal.job as j
    where j.id = run_now.id and j.due_at > clock_timestamp()) then
    return 'scheduled';  -- a gate keeps it outside of its lane
  end if;
  return 'queued';
end
$$;

-- A cancel of a job that runs says that it is being cancelled, and tells no session.

-- Replaces jobs_internal.cancel, md5 82a58615ec1043b6f4ddca2c24f50178.
create or replace function jobs_internal.cancel(id bigint)
returns text
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp
set exit_on_error = off
as $$
declare
  v_job jobs_internal.job;
  v_owner oid;
  v_by text := session_user;
begin
  select jobs_internal.visible_owner(j.owner, j.enqueued_by) into v_owner
  from jobs_internal.job as j
  where j.id = cancel.id;
  if not found then
    select f.owner into v_owner from jobs_internal.finished as f where f.id = cancel.id;
  end if;
  perform jobs_internal.assert_controls(cancel.id, v_owner);
  if jobs_internal.cancel_waiting(cancel.id, v_by) then
    perform jobs_internal.record_control('cancel', cancel.id, v_owner, null,
        '{"state": "cancelled"}');
    return 'cancelled';
  end if;
  select j.* into v_job from jobs_internal.job as j where j.id = cancel.id;
  if not found then
    -- A person has looked at what ended unseen, and leaves it at that. What is known of
    -- its attempt stays.
    if exists (select from jobs_internal.finished as f where f.id = cancel.id
        and f.state = 'in_doubt') then
      update jobs_internal.finished as f set state = 'cancelled' where f.id = cancel.id
        and f.state = 'in_doubt';
      perform jobs_internal.note_change(cancel.id), jobs_internal.wake(null);
      perform jobs_internal.count_end((f.options ->> 'batch')::bigint, 'in_doubt', -1),
        jobs_internal.count_end((f.options ->> 'batch')::bigint, 'cancelled', 1)
      from jobs_internal.finished as f where f.id = cancel.id and f.options ? 'batch';
      perform jobs_internal.notify_of_end(f.options, f.id, f.state,
          jobs_internal.task_name(f.id, f.call_template_id))
      from jobs_internal.finished as f where f.id = cancel.id and f.options is not null;
      perform jobs_internal.record_control('cancel', cancel.id, v_owner, '{"state": "in_doubt"}',
          '{"state": "cancelled"}');
    end if;
    return (select f.state from jobs_internal.finished as f where f.id = cancel.id);
  end if;
  perform jobs_internal.record_control('cancel', cancel.id, v_owner, '{"state": "running"}',
      '{"state": "cancelling"}');
  if exists (
    select from jobs_internal.stop_request as x
    where x.job_id = cancel.id and x.attempt = case v_job.state when 'running' then v_job.attempt
      else v_job.attempt + 1 end and x.reason = 'cancelled'
      and coalesce(x.signalled_at, x.requested_at) between clock_timestamp()
        - interval '5 seconds' and clock_timestamp())
  then
    -- a session is at it: one more for each call would take all worker slots
    return 'cancelling';
  end if;
  -- It runs. The reason must be committed before anybody is signalled, which a function cannot do:
  -- a session of its own does. Should the server have no slot for one, a supervisor acts on the
  -- reason when this transaction commits.
  begin
    -- Nor would a login leave a slot to others that cancels many jobs at once: the sessions that it
    -- has see to this one too, once it is committed, and so does a supervisor.
    if jobs_internal.stop_sessions() >= 4 then
      raise exception using errcode = 'PW999', message = 'it has enough of them';
    end if;
    perform (cancel.id, case v_job.state when 'running' then v_job.attempt
        else v_job.attempt + 1 end, v_by);
  exception
    when sqlstate 'PW999' or insufficient_resources or configuration_limit_exceeded
      or too_many_connections then
      perform jobs_internal.request_cancel(cancel.id, case v_job.state when 'running'
          then v_job.attempt else v_job.attempt + 1 end, v_by);
      perform jobs_internal.wake(null);
  end;
  return 'cancelling';
end
$$;

-- Another priority for a job that has not started.

-- Does the work of jobs.set_priority.
create or replace function jobs_internal.set_priority(id bigint, priority text)
returns text
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp
as $$
declare
  v_job jobs_internal.job;
  v_new smallint := case set_priority.priority when 'high' then 0 when 'normal' then 1 when 'low'
    then 2 end;
  v_locked boolean;
begin
  if v_new is null then
    raise exception using errcode = 'PW020',
      message = format('there is no priority "%s"', coalesce(left(priority, 100), 'null')),
      detail = 'Priorities are high, normal and low.',
        hint = 'Use one of them. A retry cannot help.';
  end if;
  loop
    select j.* into v_job from jobs_internal.job as j where j.id = set_priority.id;
    if not found then
      perform jobs_internal.assert_controls(set_priority.id,
          (select f.owner from jobs_internal.finished as f where f.id = set_priority.id));
      return (select f.state from jobs_internal.finished as f where f.id = set_priority.id);
    end if;
    perform jobs_internal.assert_controls(set_priority.id, v_job.owner);
    if v_job.state = 'running' or v_job.priority = v_new then
      return v_job.state;
    end if;
    if v_job.state = 'queued' then
      -- It goes to another lane. The session that holds the message runs the job.
      execute format('select true from pgmq.%I as m where m.msg_id = $1 for update skip locked',
          'q_pyworker_' || v_job.lane_id)
      into v_locked using v_job.msg_id;
      if v_locked is null then
        return 'running';
      end if;
      execute format('delete from pgmq.%I where msg_id = $1', 'q_pyworker_' || v_job.lane_id)
        using v_job.msg_id;
    end if;
    update jobs_internal.job as j
    set priority = v_new, state = 'scheduled', due_at = coalesce(j.due_at, now()), lane_id = null,
      msg_id = null
    where j.id = set_priority.id and j.state = v_job.state and j.attempt = v_job.attempt
      and j.msg_id is not distinct from v_job.msg_id;
    exit when found;  -- else it moved on between the look and the lock
  end loop;
  update jobs_internal.key_wait as w set priority = v_new where w.job_id = set_priority.id;
  perform jobs_internal.record_control('set_priority', set_priority.id, v_job.owner,
    jsonb_build_object('priority', v_job.priority), jsonb_build_object('priority', v_new));
  if v_job.state = 'scheduled' and v_job.due_at > clock_timestamp() then
    return 'scheduled';
  end if;
  perform jobs_internal.enter_lane(set_priority.id);
  if jobs_internal.is_gated(v_job.options) and exists (select from jobs_internal.job as j
    where j.id = set_priority.id and j.due_at > clock_timestamp()) then
    return 'scheduled';  -- a gate keeps it outside of its lane
  end if;
  return 'queued';
end
$$;

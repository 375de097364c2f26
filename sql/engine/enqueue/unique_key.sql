-- Unique keys: given up by a running job that enqueues its successor under its own key (the chain
-- that people write until there are schedules), refused where another job has one.

-- Have a job give up its unique_key for one that it enqueues itself, in the transaction that does
-- so; its history keeps it. Returns false when the calling session does not run that job: the job
-- keeps its key. Locks: job; never before the watcher of a child has noted it: the watcher would
-- wait for this transaction. Writes: job.
create or replace function jobs_internal.gives_up_key(p_job bigint)
returns boolean
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp
as $$
declare
  v_job jobs_internal.job;
  v_until timestamptz := clock_timestamp() + interval '5 seconds';
begin
  -- which the session could have set itself
  if p_job is distinct from jobs_internal.current_job() then
    return false;
  end if;
  loop
    select j.* into v_job from jobs_internal.job as j where j.id = p_job
      and j.owner = jobs_internal.caller();
    exit when v_job.child_pid = pg_backend_pid()
      or exists (select from jobs_internal.session as s
        where s.pid = pg_backend_pid() and jobs_internal.alive(s.pid, s.backend_start)
          and (s.job_id = p_job or s.job_id is null and v_job.msg_id = any (s.msg_ids)));
    if v_job.state is distinct from 'running' or v_job.child_pid is not null
      or current_setting('pyworker.child', true) is distinct from 'on'
      or clock_timestamp() > v_until
    then
      return false;
    end if;
    perform pg_sleep(0.005);
  end loop;
  update jobs_internal.job set former_key = unique_key, unique_key = null where id = p_job;
  return true;
end
$$;

-- Refuse to run a job again beside another one with its unique_key. Errors: PW032.
create or replace function jobs_internal.refuse_taken_key(p_job jobs_internal.finished)
returns void
language plpgsql stable security definer
set search_path = pg_catalog, pg_temp
as $$
begin
  raise exception using errcode = 'PW032',
    message = format('another unfinished job has the unique_key of job %s', p_job.id),
    detail = format('unique_key: %s.', p_job.unique_key),
      hint = 'Retry when that job is finished, or cancel it.';
end
$$;

-- A job that enqueues its successor under its own unique_key, to run once more later: the chain that people write until there are schedules.

-- Purpose: have a job give up its unique_key for one that it enqueues itself, in the transaction that does so; its history keeps it.
-- Returns false when the calling session does not run that job: the job keeps its key. Locks: job; never before the watcher of a child has noted
-- it: the watcher would wait for this transaction. Writes: job.
create or replace function jobs_internal.gives_up_key(p_job bigint)
returns boolean
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp
as $$
declare
  v_job jobs_internal.job;
  v_until timestamptz := pg_catalog.clock_timestamp() + interval '5 seconds';
begin
  if p_job is distinct from jobs_internal.current_job() then  -- which the session could have set itself
    return false;
  end if;
  loop
    select j.* into v_job from jobs_internal.job as j where j.id = p_job and j.owner = jobs_internal.me();
    exit when v_job.child_pid = pg_catalog.pg_backend_pid()
      or exists (select from jobs_internal.session as s
        where s.pid = pg_catalog.pg_backend_pid() and jobs_internal.alive(s.pid, s.backend_start)
          and (s.job_id = p_job or s.job_id is null and v_job.msg_id = any (s.msg_ids)));
    if v_job.state is distinct from 'running' or v_job.child_pid is not null
      or pg_catalog.current_setting('pyworker.child', true) is distinct from 'on' or pg_catalog.clock_timestamp() > v_until
    then
      return false;
    end if;
    perform pg_catalog.pg_sleep(0.005);
  end loop;
  update jobs_internal.job set former_key = unique_key, unique_key = null where id = p_job;
  return true;
end
$$;
comment on function jobs_internal.gives_up_key(bigint) is 'The job that this session runs gives up its unique_key for one that it enqueues';

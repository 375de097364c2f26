-- What is noted of the child session of a statement that cannot run in a transaction, and what
-- becomes of its job where there is no slot for one.

-- Whether the calling login could still open a session of this database.
create or replace function jobs_internal.may_connect()
returns boolean
language sql volatile security definer
set search_path = pg_catalog, pg_temp
begin atomic
  select exists (select from pg_roles as r where r.oid = jobs_internal.caller() and r.rolcanlogin
    and has_database_privilege(r.oid, current_database(), 'CONNECT'));
end;

-- Note the child of a running job. Returns its backend_start; null when it has not connected yet,
-- or has ended.
create or replace function jobs_internal.note_child(p_session bigint, p_job bigint,
    p_attempt integer, p_pid integer)
returns timestamptz
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp
as $$
declare
  v_start timestamptz;
begin
  perform jobs_internal.my_session(p_session), pg_stat_clear_snapshot();
  select a.backend_start into v_start from pg_stat_get_activity(p_pid) as a
  -- a session of another role is no child: it would be signalled
  where a.usesysid = jobs_internal.caller() and a.backend_type <> 'client backend';
  update jobs_internal.job set child_pid = p_pid, child_start = v_start
  where id = p_job and attempt = p_attempt and session_id = p_session and v_start is not null;
  return v_start;
end
$$;

-- Find the child that the calling session launched and never heard of, because a signal came in
-- between; noted for its job.
create or replace function jobs_internal.find_child(p_session bigint, p_job bigint,
    p_attempt integer, out pid integer, out child_start timestamptz)
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp
as $$
declare
  v_session jobs_internal.session := jobs_internal.my_session(p_session);
  v_job jobs_internal.job;
begin
  perform pg_stat_clear_snapshot();
  select j.* into v_job from jobs_internal.job as j
  where j.id = p_job and j.attempt = p_attempt and j.session_id = p_session and j.state = 'running';
  if found then
    v_job := jobs_internal.find_orphan(v_job, v_session);
    pid := v_job.child_pid;
    child_start := v_job.child_start;
  end if;
end
$$;

-- Put a started job back, uncharged, a second later: there was no worker slot for its child.
create or replace function jobs_internal.requeue_uncharged(p_session bigint, p_job bigint,
    p_attempt integer)
returns void
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp
as $$
begin
  perform jobs_internal.my_session(p_session);
  update jobs_internal.job
  set state = 'scheduled', due_at = clock_timestamp() + interval '1 second', session_id = null,
    started_at = null, attempt = p_attempt - 1
  where id = p_job and attempt = p_attempt and session_id = p_session and state = 'running';
  if found then
    perform jobs_internal.leave_keys(array[p_job]);
  end if;
  perform jobs_internal.wake(null);
  update jobs_internal.session set job_id = null, attempt = null where id = p_session
    and job_id = p_job and attempt = p_attempt;
end
$$;

-- Watching a child session until it ends.

-- Press the child of the calling session, which has run for longer than its job may: the server's
-- own limit fires once, and a job may have trapped it. To be called in two transactions: the first
-- notes the reason, the others send what the ladder says. Writes: stop_request.
create or replace function jobs_internal.signal_late_child(p_session bigint, p_job bigint,
    p_attempt integer)
returns void
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp
as $$
begin
  perform jobs_internal.my_session(p_session);
  if exists (select from jobs_internal.stop_request as x where x.job_id = p_job
      and x.attempt = p_attempt)
    then
    perform jobs_internal.send_stop_signals(p_job) from jobs_internal.session as s
      where s.id = p_session
      and s.job_id = p_job and s.attempt = p_attempt;
  else
    insert into jobs_internal.stop_request (job_id, attempt, reason, requested_by)
    select j.id, j.attempt, 'timed_out', session_user
    from jobs_internal.job as j
    where j.id = p_job and j.attempt = p_attempt and j.session_id = p_session
      and j.state = 'running'
      and j.started_at + j.timeout <= clock_timestamp()
    on conflict do nothing;
  end if;
end
$$;

-- Wait for a child for some milliseconds; true when it has ended.
create or replace function jobs_internal.wait_child(p_pid integer, p_cookie bigint, p_ms integer)
returns boolean
language plpgsql volatile
as $$
declare
  v_ended boolean;
begin
  execute pg_catalog.format('select %s($1, $2, $3)', jobs_internal.background('wait')) into v_ended
    using p_pid, p_cookie, p_ms;
  return v_ended;
end
$$;

-- How a child ended, with the full error.
create or replace function jobs_internal.child_outcome(
  p_pid integer,
  p_cookie bigint,
  out completed boolean,
  out has_error boolean,
  out command_tag text,
  out sqlstate text,
  out message text,
  out detail text,
  out hint text,
  out context text,
  out table_name text,
  out constraint_name text
)
language plpgsql volatile
as $$
begin
  execute pg_catalog.format('select r.completed, r.has_error, r.command_tag from %s($1, $2) as r',
      jobs_internal.background('result_info'))
  into completed, has_error, command_tag using p_pid, p_cookie;
  if has_error then
    execute pg_catalog.format('select e.sqlstate, e.message, e.detail, e.hint, e.context, '
      'e.table_name, e.constraint_name from %s($1, $2) as e',
      jobs_internal.background('error_info'))
    into sqlstate, message, detail, hint, context, table_name, constraint_name using p_pid,
      p_cookie;
  end if;
end
$$;

-- Let go of a child. It goes on by itself if it still runs.
create or replace function jobs_internal.detach_child(p_pid integer, p_cookie bigint)
returns void
language plpgsql volatile
as $$
begin
  execute pg_catalog.format('select %s($1, $2)', jobs_internal.background('detach')) using p_pid,
    p_cookie;
end
$$;

-- Whether a child waits because its messages are not read.
create or replace function jobs_internal.child_is_stuck(p_pid integer)
returns boolean
language sql volatile security definer
set search_path = pg_catalog, pg_temp
begin atomic
  select exists (select from pg_stat_get_activity(p_pid) as a
    where a.wait_event in ('MessageQueueSend', 'MessageQueuePutMessage')
      and a.usesysid = jobs_internal.caller());
end;

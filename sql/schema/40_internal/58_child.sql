-- Child sessions: the small steps around pg_background that the worker takes, each in its own statement.
-- Invoker on purpose: a child must be launched and watched by the owner's own session.

-- Purpose: launch one statement. The label carries job and attempt, for a person who looks; it is no identity.
create or replace function jobs_internal.launch_child(p_statement text, p_label text, out pid integer, out cookie bigint)
language plpgsql volatile
as $$
begin
  execute pg_catalog.format('select h.pid, h.cookie from %s($1, $2, $3) as h', jobs_internal.background('submit'))
  into pid, cookie using p_statement, jobs_internal.setting('child_queue_bytes')::integer, 'pyworker ' operator(pg_catalog.||) p_label;
end
$$;
comment on function jobs_internal.launch_child(text, text) is 'Launches one statement in a child session';

-- Purpose: note the child of a running job. Returns its backend_start; null when it has not connected yet, or has ended.
create or replace function jobs_internal.note_child(p_session bigint, p_job bigint, p_attempt integer, p_pid integer)
returns timestamptz
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp
as $$
declare
  v_start timestamptz;
begin
  perform jobs_internal.my_session(p_session), pg_catalog.pg_stat_clear_snapshot();
  select a.backend_start into v_start from pg_catalog.pg_stat_get_activity(p_pid) as a
  where a.usesysid = jobs_internal.me() and a.backend_type <> 'client backend';  -- a session of somebody else is no child: it would be signalled
  update jobs_internal.job set child_pid = p_pid, child_start = v_start
  where id = p_job and attempt = p_attempt and session_id = p_session and v_start is not null;
  return v_start;
end
$$;
comment on function jobs_internal.note_child(bigint, bigint, integer, integer) is 'Notes the child session of a running job';

-- Purpose: find the child that the calling session launched and never heard of, because a signal came in between; noted for its job.
create or replace function jobs_internal.find_child(p_session bigint, p_job bigint, p_attempt integer, out pid integer, out child_start timestamptz)
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp
as $$
declare
  v_session jobs_internal.session := jobs_internal.my_session(p_session);
  v_job jobs_internal.job;
begin
  perform pg_catalog.pg_stat_clear_snapshot();
  select j.* into v_job from jobs_internal.job as j
  where j.id = p_job and j.attempt = p_attempt and j.session_id = p_session and j.state = 'running';
  if found then
    v_job := jobs_internal.adopt_child(v_job, v_session);
    pid := v_job.child_pid;
    child_start := v_job.child_start;
  end if;
end
$$;
comment on function jobs_internal.find_child(bigint, bigint, integer) is 'Finds the child that the calling session launched and never heard of';

-- Purpose: press the child of the calling session, which has run for longer than its job may: the server's own limit fires once, and a job may
-- have trapped it. To be called in two transactions: the first notes the reason, the others send what the ladder says. Writes: stop.
create or replace function jobs_internal.press_late_child(p_session bigint, p_job bigint, p_attempt integer)
returns void
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp
as $$
begin
  perform jobs_internal.my_session(p_session);
  if exists (select from jobs_internal.stop as x where x.job_id = p_job and x.attempt = p_attempt) then
    perform jobs_internal.press(p_job) from jobs_internal.session as s where s.id = p_session and s.job_id = p_job and s.attempt = p_attempt;
  else
    insert into jobs_internal.stop (job_id, attempt, reason, requested_by)
    select j.id, j.attempt, 'timed_out', session_user
    from jobs_internal.job as j
    where j.id = p_job and j.attempt = p_attempt and j.session_id = p_session and j.state = 'running'
      and j.started_at + j.timeout <= pg_catalog.clock_timestamp()
    on conflict do nothing;
  end if;
end
$$;
comment on function jobs_internal.press_late_child(bigint, bigint, integer) is 'Presses the child of the calling session, which is overdue';

-- Purpose: whether the calling login could still open a session of this database.
create or replace function jobs_internal.may_connect()
returns boolean
language sql volatile security definer
set search_path = pg_catalog, pg_temp
begin atomic
  select exists (select from pg_catalog.pg_roles as r where r.oid = jobs_internal.me() and r.rolcanlogin
    and pg_catalog.has_database_privilege(r.oid, pg_catalog.current_database(), 'CONNECT'));
end;
comment on function jobs_internal.may_connect() is 'The calling login could still open a session of this database';

-- Purpose: wait for a child for some milliseconds; true when it has ended.
create or replace function jobs_internal.wait_child(p_pid integer, p_cookie bigint, p_ms integer)
returns boolean
language plpgsql volatile
as $$
declare
  v_ended boolean;
begin
  execute pg_catalog.format('select %s($1, $2, $3)', jobs_internal.background('wait')) into v_ended using p_pid, p_cookie, p_ms;
  return v_ended;
end
$$;
comment on function jobs_internal.wait_child(integer, bigint, integer) is 'Waits for a child session; true when it has ended';

-- Purpose: how a child ended, with the full error.
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
  execute pg_catalog.format('select r.completed, r.has_error, r.command_tag from %s($1, $2) as r', jobs_internal.background('result_info'))
  into completed, has_error, command_tag using p_pid, p_cookie;
  if has_error then
    execute pg_catalog.format('select e.sqlstate, e.message, e.detail, e.hint, e.context, e.table_name, e.constraint_name from %s($1, $2) as e',
      jobs_internal.background('error_info'))
    into sqlstate, message, detail, hint, context, table_name, constraint_name using p_pid, p_cookie;
  end if;
end
$$;
comment on function jobs_internal.child_outcome(integer, bigint) is 'How a child session ended, with the full error';

-- Purpose: let go of a child. It goes on by itself if it still runs.
create or replace function jobs_internal.detach_child(p_pid integer, p_cookie bigint)
returns void
language plpgsql volatile
as $$
begin
  execute pg_catalog.format('select %s($1, $2)', jobs_internal.background('detach')) using p_pid, p_cookie;
end
$$;
comment on function jobs_internal.detach_child(integer, bigint) is 'Lets go of a child session';

-- Purpose: whether a child waits because nobody reads its messages.
create or replace function jobs_internal.child_is_stuck(p_pid integer)
returns boolean
language sql volatile security definer
set search_path = pg_catalog, pg_temp
begin atomic
  select exists (select from pg_catalog.pg_stat_get_activity(p_pid) as a
    where a.wait_event in ('MessageQueueSend', 'MessageQueuePutMessage') and a.usesysid = jobs_internal.me());
end;
comment on function jobs_internal.child_is_stuck(integer) is 'The child waits because nobody reads its messages';

-- Purpose: a statement that refused to run in a transaction runs at top level from now on. Returns: its post-condition.
create or replace function jobs_internal.mark_top_level(p_job bigint)
returns text
language sql volatile security definer
set search_path = pg_catalog, pg_temp
begin atomic
  update jobs_internal.statement as s
  set top_level = true, done_when = coalesce(s.done_when, jobs_internal.built_in_condition(s.target))
  from jobs_internal.job as j
  where s.job_id = p_job and j.id = p_job and j.owner = jobs_internal.me()
  returning s.done_when;
end;
comment on function jobs_internal.mark_top_level(bigint) is 'This statement runs at top level from now on';

-- Purpose: put a started job back, uncharged, a second later: there was no worker slot for its child.
create or replace function jobs_internal.put_back(p_session bigint, p_job bigint, p_attempt integer)
returns void
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp
as $$
begin
  perform jobs_internal.my_session(p_session);
  update jobs_internal.job
  set state = 'scheduled', due_at = pg_catalog.clock_timestamp() + interval '1 second', session_id = null, started_at = null, attempt = p_attempt - 1
  where id = p_job and attempt = p_attempt and session_id = p_session and state = 'running';
  update jobs_internal.session set job_id = null, attempt = null where id = p_session and job_id = p_job and attempt = p_attempt;
end
$$;
comment on function jobs_internal.put_back(bigint, bigint, integer) is 'Puts a started job back, uncharged';

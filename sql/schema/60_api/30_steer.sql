-- Steering jobs: cancel, retry, run_now, wait, await, start. An owner steers its own jobs; an operator all.

-- Purpose: refuse to steer a job that is not the caller's. Errors: PW030 for a job that is not there or not the caller's: which of both is
-- not told, ids could be guessed. PW060 in a copy: its numbers are those of other roles and of other processes.
create or replace function jobs_internal.assert_steers(p_id bigint, p_owner oid)
returns void
language plpgsql stable security definer
set search_path = pg_catalog, pg_temp
as $$
begin
  if not jobs_internal.is_home() then
    perform jobs_internal.assert_home();
  end if;
  if p_owner is null or not (p_owner = jobs_internal.me() or jobs_internal.may('jobs_operator')) then
    raise exception using errcode = 'PW030', message = pg_catalog.format('there is no job %s', coalesce(p_id::text, 'null')),
      detail = 'Or it belongs to another role: who enqueued it by a publication may cancel it and wait for it, no more.',
      hint = 'See jobs.job for the jobs that you may see. A retry cannot help.';
  end if;
end
$$;
comment on function jobs_internal.assert_steers(bigint, oid) is 'PW030 unless the caller may steer this job';

-- Purpose: whom a job counts as for those who may see its end and cancel it: the role that enqueued it by a publication, if that is who asks.
create or replace function jobs_internal.holder(p_owner oid, p_enqueued_by oid)
returns oid
language sql stable
set search_path = pg_catalog, pg_temp
begin atomic
  select case when p_enqueued_by = jobs_internal.me() then p_enqueued_by else p_owner end;
end;
comment on function jobs_internal.holder(oid, oid) is 'Whom a job counts as: its owner, or who enqueued it by a publication and asks';

-- Purpose: cancel a job that has not started. Returns false when it has: it runs, or a session holds its message, or it is finished.
-- Locks: message (skip locked), then job. Writes: the lane's pgmq queue, job, finished, stop, feed.
create or replace function jobs_internal.cancel_waiting(p_id bigint, p_by text)
returns boolean
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp
as $$
declare
  v_job jobs_internal.job;
  v_locked boolean;
  v_bucket integer;
begin
  loop
    select j.* into v_job from jobs_internal.job as j where j.id = p_id;
    if not found or v_job.state = 'running' or p_id = jobs_internal.current_job() then
      return false;
    end if;
    if v_job.state = 'queued' then
      -- Whoever holds the message runs the job.
      execute pg_catalog.format('select true from pgmq.%I as m where m.msg_id = $1 for update skip locked', 'q_pyworker_' || v_job.lane_id)
      into v_locked using v_job.msg_id;
      if v_locked is null then
        execute pg_catalog.format('select exists (select from pgmq.%I as m where m.msg_id = $1)', 'q_pyworker_' || v_job.lane_id)
        into v_locked using v_job.msg_id;
        if v_locked then
          return false;
        end if;
        -- Somebody removed its message by hand: nobody would ever run it.
      end if;
      execute pg_catalog.format('delete from pgmq.%I where msg_id = $1', 'q_pyworker_' || v_job.lane_id) using v_job.msg_id;
    end if;
    delete from jobs_internal.job as j
    where j.id = p_id and j.state = v_job.state and j.attempt = v_job.attempt and j.msg_id is not distinct from v_job.msg_id;
    continue when not found;  -- it moved on between the look and the lock
    delete from jobs_internal.stop where job_id = p_id;
    insert into jobs_internal.finished (id, bucket, queue_id, owner, priority, state, shape_id, attempt, max_attempts, run_at, created_at, finished_at,
      publication_id, enqueued_by, timeout, unique_key, args, settings, note, options, error)
    select v_job.id, jobs_internal.bucket_of(v_job.queue_id, v_job.owner), v_job.queue_id, v_job.owner, v_job.priority, 'cancelled', v_job.shape_id, v_job.attempt, v_job.max_attempts,
      v_job.run_at, v_job.created_at, pg_catalog.clock_timestamp(), v_job.publication_id, v_job.enqueued_by, v_job.timeout, coalesce(v_job.unique_key, v_job.former_key),
      v_job.args, v_job.settings, v_job.note, v_job.options,
      jobs_internal.error_object('PWC01', pg_catalog.format('cancelled by %s', p_by), 'It was not running.', 'select jobs.retry(id) runs it again.')
    returning bucket into strict v_bucket;
    if v_job.shape_id is null or jobs_internal.has_past(array[v_job.id]) then
      perform jobs_internal.bury(array[v_job.id], v_bucket);
    end if;
    if v_job.options is not null then
      perform jobs_internal.tell_end(v_job.options, v_job.id, 'cancelled', jobs_internal.task_name(v_job.id, v_job.shape_id));
    end if;
    insert into jobs_internal.feed (bytes, body)
    select 1000, pg_catalog.jsonb_build_object('queue', q.name, 'owner', pg_catalog.pg_get_userbyid(v_job.owner), 'session', null, 'pid', pg_catalog.pg_backend_pid(),
      'succeeded', '[]'::jsonb, 'others', pg_catalog.jsonb_build_array(pg_catalog.jsonb_build_object('job_id', v_job.id,
        'task', jobs_internal.task_name(v_job.id, v_job.shape_id), 'attempt', v_job.attempt, 'max_attempts', v_job.max_attempts, 'outcome', 'cancelled',
        'state', 'cancelled', 'retry_at', null, 'ms', null, 'error', null, 'note', jobs_internal.brief_note(v_job.note))))
    from jobs_internal.queue as q where q.id = v_job.queue_id;
    return true;
  end loop;
end
$$;
comment on function jobs_internal.cancel_waiting(bigint, text) is 'Cancels a job that has not started; false when it has';

create or replace function jobs.cancel(id bigint)
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
  select jobs_internal.holder(j.owner, j.enqueued_by) into v_owner from jobs_internal.job as j where j.id = cancel.id;
  if not found then
    select f.owner into v_owner from jobs_internal.finished as f where f.id = cancel.id;
  end if;
  perform jobs_internal.assert_steers(cancel.id, v_owner);
  if jobs_internal.cancel_waiting(cancel.id, v_by) then
    perform jobs_internal.note_steering('cancel', cancel.id, v_owner, null, '{"state": "cancelled"}');
    return 'cancelled';
  end if;
  select j.* into v_job from jobs_internal.job as j where j.id = cancel.id;
  if not found then
    -- Somebody has looked at what nobody saw the end of, and leaves it at that. What is known of its attempt stays.
    if exists (select from jobs_internal.finished as f where f.id = cancel.id and f.state = 'in_doubt') then
      update jobs_internal.finished as f set state = 'cancelled' where f.id = cancel.id and f.state = 'in_doubt';
      perform jobs_internal.tell_end(f.options, f.id, f.state, jobs_internal.task_name(f.id, f.shape_id))
      from jobs_internal.finished as f where f.id = cancel.id and f.options is not null;
      perform jobs_internal.note_steering('cancel', cancel.id, v_owner, '{"state": "in_doubt"}', '{"state": "cancelled"}');
    end if;
    return (select f.state from jobs_internal.finished as f where f.id = cancel.id);
  end if;
  perform jobs_internal.note_steering('cancel', cancel.id, v_owner, '{"state": "running"}', '{"state": "cancelling"}');
  if exists (
    select from jobs_internal.stop as x
    where x.job_id = cancel.id and x.attempt = case v_job.state when 'running' then v_job.attempt else v_job.attempt + 1 end and x.reason = 'cancelled'
      and coalesce(x.pressed_at, x.requested_at) between pg_catalog.clock_timestamp() - interval '5 seconds' and pg_catalog.clock_timestamp())
  then
    return 'cancelling';  -- somebody is at it: one session more for each call would take all worker slots
  end if;
  -- It runs. The reason must be committed before anybody is signalled, which a function cannot do: a session of its own does. Should the
  -- server have no slot for one, a supervisor acts on the reason when this transaction commits.
  begin
    perform jobs_internal.launch_stop(cancel.id, case v_job.state when 'running' then v_job.attempt else v_job.attempt + 1 end, v_by);
  exception
    when insufficient_resources or configuration_limit_exceeded or too_many_connections then
      insert into jobs_internal.stop (job_id, attempt, reason, requested_by)
      values (cancel.id, case v_job.state when 'running' then v_job.attempt else v_job.attempt + 1 end, 'cancelled', v_by)
      on conflict do nothing;
      perform jobs_internal.wake(null);
  end;
  return 'cancelling';
end
$$;
comment on function jobs.cancel(bigint) is
'Cancels a job. Returns what it did: cancelled (it had not started; undone if the caller rolls back), cancelling (it runs: its session is
told to stop, at once and whatever the caller''s transaction does), or the state of a job that is finished already. A job that is in_doubt
becomes cancelled: somebody has looked, and it is not run again. Errors: PW030.';

-- Purpose: refuse to run a job again beside another one with its unique_key. Errors: PW032.
create or replace function jobs_internal.refuse_taken_key(p_job jobs_internal.finished)
returns void
language plpgsql stable security definer
set search_path = pg_catalog, pg_temp
as $$
begin
  raise exception using errcode = 'PW032', message = pg_catalog.format('another unfinished job has the unique_key of job %s', p_job.id),
    detail = pg_catalog.format('unique_key: %s.', p_job.unique_key), hint = 'Retry when that job is finished, or cancel it.';
end
$$;
comment on function jobs_internal.refuse_taken_key(jobs_internal.finished) is 'PW032: another unfinished job has its unique_key';

create or replace function jobs.retry(id bigint)
returns text
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp
set exit_on_error = off
as $$
declare
  v_job jobs_internal.finished;
  v_due_at timestamptz;
begin
  lock table jobs_internal.job in row exclusive mode;  -- no queue is dropped until this transaction ends
  select f.* into v_job from jobs_internal.finished as f where f.id = retry.id for update;
  if not found then
    perform jobs_internal.assert_steers(retry.id, (select j.owner from jobs_internal.job as j where j.id = retry.id));
    return (select j.state from jobs_internal.job as j where j.id = retry.id);
  end if;
  perform jobs_internal.assert_steers(retry.id, v_job.owner);
  if v_job.state = 'succeeded' then
    raise exception using errcode = 'PW031', message = pg_catalog.format('job %s has succeeded', retry.id),
      detail = 'Its effect is there; running it again would be another job.', hint = 'Enqueue a new job. A retry cannot help.';
  end if;
  if exists (select from jobs_internal.queue as q where q.id = v_job.queue_id and q.dropped_at is not null) then
    raise exception using errcode = 'PW007', message = 'its queue was dropped', detail = pg_catalog.format('Job %s.', retry.id),
      hint = 'Enqueue it again in another queue.';
  end if;
  if v_job.unique_key is not null and exists (select from jobs_internal.job as j
    where j.owner = v_job.owner and j.queue_id = v_job.queue_id and j.unique_key = v_job.unique_key
      and j.publication_id is not distinct from v_job.publication_id and j.enqueued_by is not distinct from v_job.enqueued_by)
  then
    perform jobs_internal.refuse_taken_key(v_job);
  end if;
  -- It comes back: the limits of its owner and of its publication hold for it as for one that comes.
  v_due_at := greatest(pg_catalog.now(), jobs_internal.charge(v_job.owner, 1, null, coalesce(v_job.publication_id, 0)));
  perform jobs_internal.exhume(v_job.id, v_job.bucket);
  if v_job.outcome is not null then
    insert into jobs_internal.attempt (job_id, attempt, outcome, owner, started_at, finished_at, pid, child_pid,
      waited_ms, rows, wal_bytes, buffers_hit, buffers_read, buffers_dirtied, temp_bytes, result, error)
    values (v_job.id, v_job.attempt, v_job.outcome, v_job.owner, v_job.started_at, v_job.finished_at, v_job.pid, v_job.child_pid,
      v_job.waited_ms, v_job.rows, v_job.wal_bytes, v_job.buffers_hit, v_job.buffers_read, v_job.buffers_dirtied, v_job.temp_bytes, v_job.result, v_job.error)
    on conflict do nothing;
  end if;
  delete from jobs_internal.finished as f where f.id = retry.id and f.bucket = v_job.bucket;
  begin
    insert into jobs_internal.job (id, queue_id, owner, priority, state, shape_id, attempt, max_attempts, run_at, due_at, created_at, timeout,
      publication_id, enqueued_by, unique_key, args, settings, note, options, error)
    values (v_job.id, v_job.queue_id, v_job.owner, v_job.priority, 'scheduled', v_job.shape_id, v_job.attempt,
      greatest(v_job.max_attempts, v_job.attempt + 1), v_job.run_at, v_due_at, v_job.created_at, v_job.timeout, v_job.publication_id,
      v_job.enqueued_by, v_job.unique_key, v_job.args, v_job.settings, v_job.note, v_job.options, v_job.error);
  exception
    when unique_violation then  -- somebody was quicker
      perform jobs_internal.refuse_taken_key(v_job);
  end;
  if v_due_at <= pg_catalog.clock_timestamp() then
    perform jobs_internal.enter_lane(retry.id);
  else
    perform jobs_internal.wake(null);
  end if;
  perform jobs_internal.note_steering('retry', retry.id, v_job.owner, pg_catalog.jsonb_build_object('state', v_job.state), '{"state": "scheduled"}');
  return 'retrying';
end
$$;
comment on function jobs.retry(bigint) is
'Runs a failed, cancelled or in_doubt job again, under its id, with at least one more attempt. Returns retrying, or the state of a job that
is not finished. It counts under the quota of its owner, and the limits of its publication, as an enqueue does. Errors: PW030 not there or not
yours, PW031 it has succeeded, PW032 its unique_key is taken, PW007 its queue is gone, PW071, PW072, PW074 over a limit.';

-- Purpose: put a scheduled job into its lane now, when that lane exists; else the next tick does.
create or replace function jobs_internal.enter_lane(p_id bigint)
returns void
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp
set standard_conforming_strings = on  -- pgmq needs it
as $$
declare
  v_lane record;
  v_msg_id bigint;
begin
  select l.id, l.pgmq_queue into v_lane
  from jobs_internal.job as j
  join jobs_internal.lane as l on l.queue_id = j.queue_id and l.owner = j.owner and l.priority = j.priority
  where j.id = p_id;
  if found then
    v_msg_id := pgmq.send(v_lane.pgmq_queue, pg_catalog.jsonb_build_object('job', p_id), null::jsonb, pg_catalog.clock_timestamp());
    update jobs_internal.job set state = 'queued', due_at = null, lane_id = v_lane.id, msg_id = v_msg_id where id = p_id;
  end if;
  perform jobs_internal.wake(v_lane.id);
end
$$;
comment on function jobs_internal.enter_lane(bigint) is 'Puts a scheduled job into its lane now';

create or replace function jobs.run_now(id bigint)
returns text
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp
as $$
declare
  v_job jobs_internal.job;
begin
  -- Only what waits for its time is locked: the row of a queued job may be in somebody's open chunk, or be wanted by one.
  select j.* into v_job from jobs_internal.job as j where j.id = run_now.id;
  if v_job.state = 'scheduled' and (v_job.owner = jobs_internal.me() or jobs_internal.may('jobs_operator')) then
    select j.* into v_job from jobs_internal.job as j where j.id = run_now.id for update;
  end if;
  if v_job.id is null then
    perform jobs_internal.assert_steers(run_now.id, (select f.owner from jobs_internal.finished as f where f.id = run_now.id));
    return (select f.state from jobs_internal.finished as f where f.id = run_now.id);
  end if;
  perform jobs_internal.assert_steers(run_now.id, v_job.owner);
  if v_job.state <> 'scheduled' then
    return v_job.state;
  end if;
  perform jobs_internal.charge_hurry(v_job.owner);
  update jobs_internal.job as j set due_at = pg_catalog.now() where j.id = run_now.id;
  perform jobs_internal.enter_lane(run_now.id),
    jobs_internal.note_steering('run_now', run_now.id, v_job.owner, pg_catalog.jsonb_build_object('due_at', v_job.due_at), '{"due_at": "now"}');
  return 'queued';
end
$$;
comment on function jobs.run_now(bigint) is
'Makes a scheduled or retrying job due now. Returns queued, or the state of a job that is not scheduled. Errors: PW030, PW072 jobs of its owner wait
for a quota per minute.';

create or replace function jobs.set_priority(id bigint, priority text)
returns text
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp
as $$
declare
  v_job jobs_internal.job;
  v_new smallint := case set_priority.priority when 'high' then 0 when 'normal' then 1 when 'low' then 2 end;
  v_locked boolean;
begin
  if v_new is null then
    raise exception using errcode = 'PW020', message = pg_catalog.format('there is no priority "%s"', coalesce(pg_catalog.left(priority, 100), 'null')),
      detail = 'Priorities are high, normal and low.', hint = 'Use one of them. A retry cannot help.';
  end if;
  lock table jobs_internal.job in row exclusive mode;  -- no queue is dropped until this transaction ends
  loop
    select j.* into v_job from jobs_internal.job as j where j.id = set_priority.id;
    if not found then
      perform jobs_internal.assert_steers(set_priority.id, (select f.owner from jobs_internal.finished as f where f.id = set_priority.id));
      return (select f.state from jobs_internal.finished as f where f.id = set_priority.id);
    end if;
    perform jobs_internal.assert_steers(set_priority.id, v_job.owner);
    if v_job.state = 'running' or v_job.priority = v_new then
      return v_job.state;
    end if;
    if v_job.state = 'queued' then
      -- It goes to another lane. Whoever holds the message runs the job.
      execute pg_catalog.format('select true from pgmq.%I as m where m.msg_id = $1 for update skip locked', 'q_pyworker_' || v_job.lane_id)
      into v_locked using v_job.msg_id;
      if v_locked is null then
        return 'running';
      end if;
      execute pg_catalog.format('delete from pgmq.%I where msg_id = $1', 'q_pyworker_' || v_job.lane_id) using v_job.msg_id;
    end if;
    update jobs_internal.job as j
    set priority = v_new, state = 'scheduled', due_at = coalesce(j.due_at, pg_catalog.now()), lane_id = null, msg_id = null
    where j.id = set_priority.id and j.state = v_job.state and j.attempt = v_job.attempt and j.msg_id is not distinct from v_job.msg_id;
    exit when found;  -- else it moved on between the look and the lock
  end loop;
  perform jobs_internal.note_steering('set_priority', set_priority.id, v_job.owner,
    pg_catalog.jsonb_build_object('priority', v_job.priority), pg_catalog.jsonb_build_object('priority', v_new));
  if v_job.state = 'scheduled' and v_job.due_at > pg_catalog.clock_timestamp() then
    return 'scheduled';
  end if;
  perform jobs_internal.enter_lane(set_priority.id);
  return 'queued';
end
$$;
comment on function jobs.set_priority(bigint, text) is
'Gives a job that has not started another priority: high, normal or low. Returns its state: queued, scheduled, running (it has started, nothing was
changed), or that of a finished job. Errors: PW020, PW030.';

-- Purpose: the state of a job for a waiter; refuses what cannot be waited for. Errors: PW030.
create or replace function jobs_internal.state_of(p_id bigint)
returns text
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp
as $$
declare
  v_owner oid;
  v_state text;
begin
  select jobs_internal.holder(j.owner, j.enqueued_by), j.state into v_owner, v_state from jobs_internal.job as j where j.id = p_id;
  if not found then
    select jobs_internal.holder(f.owner, f.enqueued_by), f.state into v_owner, v_state from jobs_internal.finished as f where f.id = p_id;
  end if;
  if v_owner is null or not (v_owner = jobs_internal.me() or jobs_internal.may('jobs_operator') or jobs_internal.may('jobs_reader')) then
    perform jobs_internal.assert_steers(p_id, null);
  end if;
  return v_state;
end
$$;
comment on function jobs_internal.state_of(bigint) is 'The state of a job that the caller may see';

-- Purpose: whether the present transaction wrote the job's row: we see it although its writer, we or a subtransaction of ours, goes on.
-- xmin has 32 bits: it is completed from the number of the present transaction, which is not younger than its subtransactions.
create or replace function jobs_internal.is_mine(p_id bigint)
returns boolean
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp
as $$
declare
  v_me bigint := pg_catalog.pg_current_xact_id_if_assigned()::text::bigint;
  v_ahead bigint;
begin
  select (j.xmin::text::bigint - v_me % 4294967296 + 4294967296) % 4294967296 into v_ahead from jobs_internal.job as j where j.id = p_id;
  return coalesce(v_ahead < 1000000 and pg_catalog.pg_xact_status((v_me + v_ahead)::text::xid8) = 'in progress', false);
end
$$;
comment on function jobs_internal.is_mine(bigint) is 'The present transaction wrote the job''s row';

-- Purpose: what a waiter should know of a job that is not finished in time. Errors: PW030.
create or replace function jobs_internal.what_it_waits_for(p_id bigint)
returns text
language sql volatile security definer
set search_path = pg_catalog, pg_temp
as $$
  select case
    when jobs_internal.state_of(p_id) is null then null
    when (select s.paused from jobs_internal.switch as s) then 'Everything is paused: an operator resumes it (select jobs.resume()).'
    when (select q.paused from jobs_internal.job as j join jobs_internal.queue as q on q.id = j.queue_id where j.id = p_id)
      then 'Its queue is paused: an operator resumes it (select jobs.resume(queue)).'
    when exists (select from jobs_internal.left_children() as c where c.job_id = p_id)
      then 'Its session is gone, and its child session goes on alone (jobs.running shows it): wait for that to end.'
    when exists (select from jobs_internal.job as j join jobs_internal.session as s on s.id = j.session_id
      where j.id = p_id and not jobs_internal.alive(s.pid, s.backend_start))
      then 'Its session is gone: a supervisor, or select jobs.start(), sees to it.'
    when not exists (select from jobs_internal.job as j where j.id = p_id and j.state = 'running')
      and not exists (select from jobs_internal.supervisor as v where jobs_internal.alive(v.pid, v.backend_start))
      then 'It has not started, and no supervisor runs: start one (pyworker run), or select jobs.start().'
    else 'Wait again; the job goes on.'
  end
$$;
comment on function jobs_internal.what_it_waits_for(bigint) is 'What a waiter should know of a job that is not finished in time';

create or replace function jobs.wait(id bigint, timeout interval)
returns text
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp
as $$
declare
  -- null: without end; and a time and a timeout always have a sum
  v_until timestamptz := pg_catalog.clock_timestamp()
    + least(greatest(coalesce(timeout, interval '1000 years'), interval '0'), interval '1000 years');
  v_state text := jobs_internal.state_of(wait.id);
  v_nap double precision := 0.002;
begin
  if v_state in ('succeeded', 'failed', 'cancelled', 'in_doubt') then
    return v_state;
  end if;
  if pg_catalog.current_setting('transaction_isolation') <> 'read committed' then
    raise exception using errcode = 'PW033', message = pg_catalog.format('jobs.wait cannot see the end of a job in a %s transaction', pg_catalog.current_setting('transaction_isolation')),
      detail = 'Its snapshot stays the same.', hint = 'Use READ COMMITTED, or: call jobs.await(id, timeout).';
  end if;
  if exists (select from jobs_internal.statement as s where s.job_id = wait.id and s.top_level)
    or exists (select from jobs_internal.job as j join jobs_internal.shape as s on s.id = j.shape_id where j.id = wait.id and s.procedure)
  then
    raise exception using errcode = 'PW034', message = pg_catalog.format('jobs.wait does not wait for job %s', wait.id),
      detail = 'It runs at top level and might wait for this very snapshot, for ever (CREATE INDEX CONCURRENTLY does).',
      hint = 'Use: call jobs.await(id, timeout).';
  end if;
  if jobs_internal.is_mine(wait.id) then
    raise exception using errcode = 'PW035', message = pg_catalog.format('job %s was enqueued by this very transaction', wait.id),
      detail = 'It cannot start before the transaction commits.', hint = 'Commit, then wait.';
  end if;
  loop
    v_state := jobs_internal.state_of(wait.id);
    if v_state in ('succeeded', 'failed', 'cancelled', 'in_doubt') then
      return v_state;
    end if;
    if pg_catalog.clock_timestamp() > v_until then
      raise exception using errcode = 'PW036', message = pg_catalog.format('job %s is not finished after %s', wait.id, timeout),
        detail = pg_catalog.format('Its state is %s.', v_state), hint = jobs_internal.what_it_waits_for(wait.id);
    end if;
    perform pg_catalog.pg_sleep(v_nap);
    v_nap := least(v_nap * 1.5, 0.1);
  end loop;
end
$$;
comment on function jobs.wait(bigint, interval) is
'Waits until a job is finished and returns its state: succeeded, failed, cancelled or in_doubt. Holds the caller''s snapshot, so it refuses
jobs that run at top level. Errors: PW030, PW033 isolation, PW034 top level, PW035 enqueued by this transaction, PW036 not finished in time.';

-- Purpose: what COMMIT says where nothing may be committed, in the language of the session's messages. A function is such a place always.
create or replace function jobs_internal.refusal_of_commit()
returns text
language plpgsql volatile
set search_path = pg_catalog, pg_temp
set exit_on_error = off
as $$
begin
  begin
    commit;
  exception
    when invalid_transaction_termination then
      return sqlerrm;
  end;
  return null;
end
$$;
comment on function jobs_internal.refusal_of_commit() is 'What COMMIT says where nothing may be committed';

create or replace procedure jobs.await(id bigint, timeout interval)
language plpgsql
as $$
declare
  v_until pg_catalog.timestamptz := pg_catalog.clock_timestamp()
    operator(pg_catalog.+) least(greatest(coalesce(timeout, interval '1000 years'), interval '0'), interval '1000 years');
  v_state pg_catalog.text;
  v_nap double precision := 0.002;
  v_refusal pg_catalog.text;
begin
  -- Inside of a block with a handler COMMIT is always refused, but first for what it is asked here: whether the one who called commits at all.
  -- Times would not tell: under the extended protocol a statement begins later than its transaction.
  perform pg_catalog.set_config('exit_on_error', 'off', true);
  begin
    commit;
  exception
    when invalid_transaction_termination then
      v_refusal := sqlerrm;
  end;
  if v_refusal operator(pg_catalog.=) jobs_internal.refusal_of_commit() then
    raise exception using errcode = 'PW037', message = 'jobs.await cannot run inside a transaction block',
      detail = 'It commits between two looks, so that it holds no snapshot. Here that is not possible: in a transaction block, in a function, or'
        ' beside other statements in one text.',
      hint = 'Commit first (a driver: autocommit) and call it alone, or use jobs.wait(id, timeout).';
  end if;
  loop
    v_state := jobs_internal.state_of(await.id);
    commit;
    exit when v_state operator(pg_catalog.=) any (array['succeeded', 'failed', 'cancelled', 'in_doubt']);
    if pg_catalog.clock_timestamp() operator(pg_catalog.>) v_until then
      raise exception using errcode = 'PW036', message = pg_catalog.format('job %s is not finished after %s', await.id, timeout),
        detail = pg_catalog.format('Its state is %s.', v_state), hint = jobs_internal.what_it_waits_for(await.id);
    end if;
    perform pg_catalog.pg_sleep(v_nap);
    v_nap := least(v_nap operator(pg_catalog.*) 1.5, 0.1);
    commit;
  end loop;
  raise notice using message = pg_catalog.format('job %s: %s', await.id, v_state);
end
$$;
comment on procedure jobs.await(bigint, interval) is
'Waits until a job is finished, as jobs.wait, but commits between two looks and so holds no snapshot; says the state in a NOTICE.
Not inside a transaction block. Errors: PW030, PW036, PW037 inside a transaction block.';

-- jobs.start is its door (38_operate.sql).
create or replace function jobs_internal.start(sessions integer default 1)
returns integer
language plpgsql volatile
set search_path = pg_catalog, pg_temp
as $$
begin
  if sessions is null or sessions not between 1 and 100 then
    raise exception using errcode = 'PW025', message = 'sessions must be between 1 and 100',
      detail = pg_catalog.format('It is %s.', coalesce(sessions::text, 'null')), hint = 'Start one or two; more do not drain faster than the server has processors. A retry cannot help.';
  end if;
  perform jobs_internal.assert_home(), jobs_internal.dispatch_mine();
  return jobs_internal.launch(least(sessions, jobs_internal.my_free_sessions())::integer, interval '0');
end
$$;
comment on function jobs_internal.start(integer) is 'Does the work of jobs.start';

-- Purpose: move the caller's due jobs into their lanes, so that jobs.start needs no tick.
create or replace function jobs_internal.dispatch_mine()
returns integer
language sql volatile security definer
set search_path = pg_catalog, pg_temp
begin atomic
  select jobs_internal.dispatch(jobs_internal.me(), 1000000);
end;
comment on function jobs_internal.dispatch_mine() is 'Moves the caller''s due jobs into their lanes';

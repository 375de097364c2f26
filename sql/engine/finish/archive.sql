-- The history of jobs: what goes from the tables of live jobs into their bucket when they end, and
-- comes back for a retry. No other function writes finished, attempt and the finished_ tables
-- (tests/catalog/test_writers.py), but for what a person says of a finished job, and for the
-- upkeep of history.

-- Store an attempt that is not its job's last.
create or replace function jobs_internal.store_attempt(p_owner oid, p_pid integer,
    p_result jobs_internal.attempt_result)
returns void
language sql volatile security definer
set search_path = pg_catalog, pg_temp
begin atomic
  insert into jobs_internal.attempt (job_id, attempt, outcome, owner, started_at, finished_at, pid,
    child_pid, waited_ms, rows, wal_bytes, buffers_hit, buffers_read, buffers_dirtied, temp_bytes,
    result, error)
  values (p_result.job_id, p_result.attempt, p_result.outcome, p_owner, p_result.started_at,
    p_result.finished_at, p_pid, p_result.child_pid, jobs_internal.waited(p_result), p_result.rows,
    p_result.wal_bytes, p_result.buffers_hit, p_result.buffers_read, p_result.buffers_dirtied,
    p_result.temp_bytes, p_result.result, p_result.error);
end;

-- Whether jobs have earlier attempts or log lines in the tables of live jobs.
create or replace function jobs_internal.has_earlier_attempts(p_jobs bigint[])
returns boolean
language sql stable security definer
set search_path = pg_catalog, pg_temp
begin atomic
  select exists (select from jobs_internal.attempt as a where a.job_id = any (p_jobs))
    or exists (select from jobs_internal.log_line as l where l.job_id = any (p_jobs));
end;

-- Move what jobs that have just finished left behind (earlier attempts, log lines, their statement)
-- into the bucket of their rows in finished, so that it goes with them. Writes: attempt, log_line,
-- statement, finished_attempt, finished_log_line, finished_statement.
create or replace function jobs_internal.archive_attempts(p_jobs bigint[], p_bucket integer)
returns void
language sql volatile security definer
set search_path = pg_catalog, pg_temp
set enable_seqscan = off
begin atomic
  with gone as (
    delete from jobs_internal.attempt as a where a.job_id = any (p_jobs) returning a.*
  )
  insert into jobs_internal.finished_attempt (job_id, bucket, attempt, outcome, owner, started_at,
      finished_at, pid, child_pid,
    waited_ms, rows, wal_bytes, buffers_hit, buffers_read, buffers_dirtied, temp_bytes, result,
      error)
  select g.job_id, p_bucket, g.attempt, g.outcome, g.owner, g.started_at, g.finished_at, g.pid,
    g.child_pid,
    g.waited_ms, g.rows, g.wal_bytes, g.buffers_hit, g.buffers_read, g.buffers_dirtied,
      g.temp_bytes, g.result, g.error
  from gone as g;
  with gone as (
    delete from jobs_internal.log_line as l where l.job_id = any (p_jobs) returning l.*
  )
  insert into jobs_internal.finished_log_line (job_id, bucket, attempt, n, owner, at, level,
      message,
      fields)
  select g.job_id, p_bucket, g.attempt, g.n, g.owner, g.at, g.level, g.message, g.fields
  from gone as g;
  with gone as (
    delete from jobs_internal.statement as s where s.job_id = any (p_jobs) returning s.*
  )
  insert into jobs_internal.finished_statement (job_id, bucket, body, command, top_level, done_when,
      rollback_sql, path, object, target,
    identity)
  select g.job_id, p_bucket, g.body, g.command, g.top_level, g.done_when, g.rollback_sql, g.path,
    g.object, g.target, g.identity from gone as g;
end;

-- Finish jobs of one owner in one queue: the row of each goes from job into the open bucket of that
-- queue, with its last attempt and all that it left behind; those whose option says so are told.
-- p_live: the state that they are in; p_uncounted: 1 where their rows do not count that attempt
--   yet (a chunk), else 0. A job that is not so any more is left out.
-- p_state: what they end in; p_pid: the session that ran them; p_results: how each ended.
-- Returns: how many were finished, and for a supervisor's log per_task, [{task, job_ids, ms}].
-- Writes: job, finished, attempt, log_line, statement, finished_attempt, finished_log_line,
-- finished_statement, parent_event, batch_delta, window_wait, task_run; see leave_keys.
create or replace function jobs_internal.archive_jobs(p_queue integer, p_owner oid, p_live text,
    p_uncounted integer, p_state text, p_pid integer, p_results jobs_internal.attempt_result[],
    out finished bigint, out per_task jsonb)
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp
set enable_seqscan = off
set enable_mergejoin = off
set plan_cache_mode = force_generic_plan
as $$
declare
  v_ids bigint[] := array(select e.job_id from unnest(p_results) as e);
  v_bucket integer;
  v_statements boolean;
  v_asked boolean;
  v_keyed bigint[];
  v_windows boolean;
  v_of_queue boolean;  -- it has a window
begin
  with dropped as (
    delete from jobs_internal.job as j
    where j.id = any (v_ids) and j.state = p_live and j.owner = p_owner
    returning j.*
  ), kept as (
    -- The bucket is read by the statement that writes there: see history/steps.sql.
    insert into jobs_internal.finished (id, bucket, queue_id, owner, priority, state,
      call_template_id, attempt, max_attempts, outcome, run_at, created_at, started_at,
      finished_at, pid, child_pid, waited_ms, rows, wal_bytes, buffers_hit, buffers_read,
      buffers_dirtied, temp_bytes, publication_id, enqueued_by, timeout, unique_key, args,
      settings, note, options, result, error, snoozes)
    select j.id, (select jobs_internal.bucket_of(p_queue, p_owner)), j.queue_id, j.owner,
      j.priority, p_state, j.call_template_id, e.attempt, j.max_attempts, e.outcome, j.run_at,
      j.created_at, e.started_at, e.finished_at, p_pid, e.child_pid, jobs_internal.waited(e),
      e.rows, e.wal_bytes, e.buffers_hit, e.buffers_read, e.buffers_dirtied, e.temp_bytes,
      j.publication_id, j.enqueued_by, j.timeout, coalesce(j.unique_key, j.former_key), j.args,
      j.settings, j.note, j.options, e.result, e.error, j.snoozes
    from dropped as j
    join unnest(p_results) as e on e.job_id = j.id and e.attempt = j.attempt + p_uncounted
    returning id, bucket, call_template_id, started_at, finished_at, options
  ), tasks as (
    select s.task, jsonb_agg(k.id) as job_ids,
      jsonb_agg(round((extract(epoch from k.finished_at - k.started_at) * 1000)::numeric, 3))
        as ms,
      count(*) as n, bool_or(k.options is not null) as asked,
      bool_or(k.options ? 'window') as windows, min(k.bucket) as bucket
    from kept as k
    left join jobs_internal.call_template as s on s.id = k.call_template_id
    group by s.task
  )
  select jsonb_agg(jsonb_build_object('task', t.task, 'job_ids', t.job_ids, 'ms', t.ms)),
    coalesce(sum(t.n), 0), bool_or(t.asked), min(t.bucket), bool_or(t.task is null),
    bool_or(t.windows),
    (select q.window_name is not null from jobs_internal.queue as q where q.id = p_queue)
  into per_task, finished, v_asked, v_bucket, v_statements, v_windows, v_of_queue
  from tasks as t;
  -- A new statement, which sees what was committed up to the delete: docs/order.md.
  if p_state <> 'in_doubt'
    and (exists (select from jobs_internal.dependency as d where d.parent = any (v_ids))
      or current_setting('transaction_isolation') <> 'read committed')
  then
    perform jobs_internal.note_ends(v_ids, p_state);
  end if;
  -- Not those that succeeded at once and said nothing: nearly all.
  if v_statements then
    update jobs_internal.operation as o
    set state = p_state, ended_at = clock_timestamp(), deadlock_risk = null, gives_way = null,
      bucket = v_bucket, disk_bytes = jobs_internal.made_bytes(o)
    where o.job_id = any (v_ids);
    -- a supervisor that sleeps while they run hears of their end
    perform jobs_internal.end_phases(v_ids, p_state = 'succeeded'),
      jobs_internal.store_clean_ups(v_ids), jobs_internal.wake_beside(v_ids),
      jobs_internal.wake(null), jobs_internal.mark_operations(v_ids, v_bucket);
  end if;
  if v_statements or jobs_internal.has_earlier_attempts(v_ids) then
    perform jobs_internal.archive_attempts(v_ids, v_bucket);
  end if;
  if v_windows or v_of_queue then
    delete from jobs_internal.window_wait as w where w.job_id = any (v_ids);
    if p_state = 'succeeded' then
      perform jobs_internal.keep_runs_of(v_ids, v_bucket, p_owner, v_of_queue);
    end if;
  end if;
  if v_asked then
    perform jobs_internal.count_ends(v_ids, v_bucket, p_state);
    perform jobs_internal.clear_deadline(array(
      select f.id from jobs_internal.finished as f
      where f.id = any (v_ids) and f.bucket = v_bucket and f.options ? 'deadline'));
    v_keyed := array(
      select f.id from jobs_internal.finished as f
      where f.id = any (v_ids) and f.bucket = v_bucket and f.options ? 'concurrency_key');
    if v_keyed <> '{}' then
      perform jobs_internal.leave_keys(v_keyed);
    end if;
    if p_state = 'succeeded' then
      perform jobs_internal.store_fresh_results(v_ids, v_bucket);
    end if;
    perform jobs_internal.notify_of_end(f.options, f.id, f.state,
        jobs_internal.task_name(f.id, f.call_template_id))
    from jobs_internal.finished as f
    where f.id = any (v_ids) and f.bucket = v_bucket and f.options ? 'notify'
    order by f.id;
  end if;
  perform jobs_internal.wake_for_ends(v_ids);
end
$$;

-- Have a finished job live again, scheduled for p_due_at. False, and nothing is done: another
-- unfinished job has its unique_key. The caller has locked its row.
-- Writes: job, finished, batch_delta; see restore_attempts.
create or replace function jobs_internal.relive(p_job jobs_internal.finished, p_due_at timestamptz)
returns boolean
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp
as $$
begin
  insert into jobs_internal.job (id, queue_id, owner, priority, state, call_template_id, attempt,
      max_attempts, run_at, due_at, created_at, timeout, publication_id, enqueued_by, unique_key,
      args, settings, note, options, error)
  values (p_job.id, p_job.queue_id, p_job.owner, p_job.priority, 'scheduled',
    p_job.call_template_id, p_job.attempt, greatest(p_job.max_attempts, p_job.attempt + 1),
    p_job.run_at, p_due_at, p_job.created_at, p_job.timeout, p_job.publication_id,
    p_job.enqueued_by, p_job.unique_key, p_job.args, p_job.settings, p_job.note, p_job.options,
    p_job.error)
  on conflict do nothing;
  if not found then
    return false;
  end if;
  perform jobs_internal.restore_attempts(p_job.id, p_job.bucket);
  delete from jobs_internal.finished as f where f.id = p_job.id and f.bucket = p_job.bucket;
  if p_job.options ? 'batch' then
    perform jobs_internal.count_end((p_job.options ->> 'batch')::bigint, p_job.state, -1);
  end if;
  return true;
end
$$;

-- Take all attempts back, the last one too, for a job that lives again; its row of finished is
-- left to the caller. Writes: attempt, log_line, statement, operation, finished_attempt,
-- finished_log_line, finished_statement.
create or replace function jobs_internal.restore_attempts(p_job bigint, p_bucket integer)
returns void
language sql volatile security definer
set search_path = pg_catalog, pg_temp
set enable_seqscan = off
begin atomic
  with gone as (
    delete from jobs_internal.finished_attempt as a where a.job_id = p_job and a.bucket = p_bucket
      returning a.*
  )
  insert into jobs_internal.attempt (job_id, attempt, outcome, owner, started_at, finished_at, pid,
      child_pid,
    waited_ms, rows, wal_bytes, buffers_hit, buffers_read, buffers_dirtied, temp_bytes, result,
      error)
  select g.job_id, g.attempt, g.outcome, g.owner, g.started_at, g.finished_at, g.pid, g.child_pid,
    g.waited_ms, g.rows, g.wal_bytes, g.buffers_hit, g.buffers_read, g.buffers_dirtied,
      g.temp_bytes, g.result, g.error
  from gone as g;
  insert into jobs_internal.attempt (job_id, attempt, outcome, owner, started_at, finished_at, pid,
    child_pid, waited_ms, rows, wal_bytes, buffers_hit, buffers_read, buffers_dirtied, temp_bytes,
    result, error)
  select f.id, f.attempt, f.outcome, f.owner, f.started_at, f.finished_at, f.pid, f.child_pid,
    f.waited_ms, f.rows, f.wal_bytes, f.buffers_hit, f.buffers_read, f.buffers_dirtied,
    f.temp_bytes, f.result, f.error
  from jobs_internal.finished as f
  where f.id = p_job and f.bucket = p_bucket and f.outcome is not null
  on conflict do nothing;
  with gone as (
    delete from jobs_internal.finished_log_line as l where l.job_id = p_job and l.bucket = p_bucket
      returning l.*
  )
  insert into jobs_internal.log_line (job_id, attempt, n, owner, at, level, message, fields)
  select g.job_id, g.attempt, g.n, g.owner, g.at, g.level, g.message, g.fields from gone as g;
  with gone as (
    delete from jobs_internal.finished_statement as s where s.job_id = p_job and s.bucket = p_bucket
      returning s.*
  )
  insert into jobs_internal.statement (job_id, body, command, top_level, done_when, rollback_sql,
      path,
      object, target, identity)
  select g.job_id, g.body, g.command, g.top_level, g.done_when, g.rollback_sql, g.path, g.object,
    g.target, g.identity from gone as g;
  -- it lives again, and everything about it is counted anew
  update jobs_internal.operation as o
  set state = null, ended_at = null, bucket = null, lock_attempts = 0, yields = 0,
    step_asides = 0, held = null
  where o.job_id = p_job;
end;

-- Writing outcomes. History is written here and nowhere else.

-- Purpose: how long to wait before the next attempt: doubles with each, capped, and moved by up to a quarter so that jobs that failed
-- together do not come back together.
create or replace function jobs_internal.backoff(p_queue integer, p_attempt integer)
returns interval
language sql volatile security definer
set search_path = pg_catalog, pg_temp
begin atomic
  -- In seconds: an interval of days, doubled thirty times, would be out of range.
  select least(extract(epoch from q.backoff_cap), extract(epoch from q.backoff) * pg_catalog.power(2, least(p_attempt - 1, 30)))::double precision
    * interval '1 second' * (0.75 + pg_catalog.random() * 0.5)
  from jobs_internal.queue as q
  where q.id = p_queue;
end;
comment on function jobs_internal.backoff(integer, integer) is 'Wait before the next attempt: exponential, capped, with jitter';

-- Purpose: a note as the feed carries it to a supervisor's log line: as it is, or cut. A text so short holds no number and no nesting that
-- any reader of JSON would refuse.
create or replace function jobs_internal.brief_note(p_note jsonb)
returns jsonb
language sql immutable
set search_path = pg_catalog, pg_temp
begin atomic
  select case when p_note is null then '{}'::jsonb when pg_catalog.length(p_note::text) <= 900 then p_note
    else pg_catalog.jsonb_build_object('cut', pg_catalog.left(p_note::text, 900)) end;
end;
comment on function jobs_internal.brief_note(jsonb) is 'A note as the feed carries it: as it is, or cut at 900 characters';

-- Purpose: an error as the feed carries it to a supervisor's log line: a commit may have a hundred of them, and the whole stands in jobs.attempts.
create or replace function jobs_internal.brief_error(p_error jsonb)
returns jsonb
language sql immutable
set search_path = pg_catalog, pg_temp
begin atomic
  select p_error - array['context', 'detail'] || pg_catalog.jsonb_build_object('message', pg_catalog.left(p_error ->> 'message', 1000),
    'hint', pg_catalog.left(p_error ->> 'hint', 500));
end;
comment on function jobs_internal.brief_error(jsonb) is 'An error as the feed carries it: without context and detail, and cut';

-- Purpose: an error as it comes from a job's own session, which may have put anything there, as it is kept and read by others.
create or replace function jobs_internal.plain_error(p_error jsonb)
returns jsonb
language sql immutable
set search_path = pg_catalog, pg_temp
begin atomic
  select case coalesce(pg_catalog.jsonb_typeof(p_error), 'null')
    when 'object' then jobs_internal.error_object(pg_catalog.left(p_error ->> 'sqlstate', 5), p_error ->> 'message', p_error ->> 'detail',
      p_error ->> 'hint', p_error ->> 'context', pg_catalog.left(p_error ->> 'constraint', 200), pg_catalog.left(p_error ->> 'table', 200))
    when 'null' then null
    else jobs_internal.error_object('XX000', p_error::text) end;
end;
comment on function jobs_internal.plain_error(jsonb) is 'The error that a job''s own session told, as it is kept';

-- Purpose: keep the lines that a job wrote with jobs.log. They come from the job's own session: what is no time is now, what is no level info,
-- and they are bounded once more.
create or replace function jobs_internal.keep_log(p_job bigint, p_attempt integer, p_owner oid, p_logs jsonb)
returns void
language sql volatile security definer
set search_path = pg_catalog, pg_temp
begin atomic
  insert into jobs_internal.log_line (job_id, attempt, n, owner, at, level, message, fields)
  select p_job, p_attempt,
    l.n + coalesce((select pg_catalog.max(o.n) from jobs_internal.log_line as o where o.job_id = p_job and o.attempt = p_attempt), 0),
    p_owner,
    case when pg_catalog.pg_input_is_valid(l.v ->> 'at', 'timestamptz') then (l.v ->> 'at')::timestamptz else pg_catalog.clock_timestamp() end,
    case when l.v ->> 'level' in ('debug', 'info', 'warning', 'error') then l.v ->> 'level' else 'info' end,
    pg_catalog.left(coalesce(l.v ->> 'message', ''), 8000),
    case when pg_catalog.pg_column_size(l.v -> 'fields') > 64000 then '{"cut": "fields had more than 8000 bytes"}'::jsonb
      when pg_catalog.octet_length((l.v -> 'fields')::text) > 8000 then '{"cut": "fields had more than 8000 bytes"}'
      else nullif(l.v -> 'fields', 'null') end
  from pg_catalog.jsonb_array_elements(case when pg_catalog.jsonb_typeof(p_logs) = 'array' then p_logs else '[]' end) with ordinality as l(v, n)
  where l.n <= jobs_internal.setting('log_lines')::integer + 1;
end;
comment on function jobs_internal.keep_log(bigint, integer, oid, jsonb) is 'Keeps the lines that a job wrote with jobs.log';

-- Purpose: whether jobs have earlier attempts or log lines in the tables of live jobs.
create or replace function jobs_internal.has_past(p_jobs bigint[])
returns boolean
language sql stable security definer
set search_path = pg_catalog, pg_temp
begin atomic
  select exists (select from jobs_internal.attempt as a where a.job_id = any (p_jobs))
    or exists (select from jobs_internal.log_line as l where l.job_id = any (p_jobs));
end;
comment on function jobs_internal.has_past(bigint[]) is 'Jobs have earlier attempts or log lines';

-- Purpose: move what jobs that have just finished left behind (earlier attempts, log lines, their statement) into the bucket of their rows
-- in finished, so that it goes with them. Writes: attempt, log_line, statement and their past_ tables.
create or replace function jobs_internal.bury(p_jobs bigint[], p_bucket integer)
returns void
language sql volatile security definer
set search_path = pg_catalog, pg_temp
set enable_seqscan = off
begin atomic
  with gone as (
    delete from jobs_internal.attempt as a where a.job_id = any (p_jobs) returning a.*
  )
  insert into jobs_internal.past_attempt (job_id, bucket, attempt, outcome, owner, started_at, finished_at, pid, child_pid,
    waited_ms, rows, wal_bytes, buffers_hit, buffers_read, buffers_dirtied, temp_bytes, result, error)
  select g.job_id, p_bucket, g.attempt, g.outcome, g.owner, g.started_at, g.finished_at, g.pid, g.child_pid,
    g.waited_ms, g.rows, g.wal_bytes, g.buffers_hit, g.buffers_read, g.buffers_dirtied, g.temp_bytes, g.result, g.error
  from gone as g;
  with gone as (
    delete from jobs_internal.log_line as l where l.job_id = any (p_jobs) returning l.*
  )
  insert into jobs_internal.past_log_line (job_id, bucket, attempt, n, owner, at, level, message, fields)
  select g.job_id, p_bucket, g.attempt, g.n, g.owner, g.at, g.level, g.message, g.fields from gone as g;
  with gone as (
    delete from jobs_internal.statement as s where s.job_id = any (p_jobs) returning s.*
  )
  insert into jobs_internal.past_statement (job_id, bucket, body, command, top_level, done_when, way_back, path, object, target,
    identity)
  select g.job_id, p_bucket, g.body, g.command, g.top_level, g.done_when, g.way_back, g.path, g.object, g.target, g.identity from gone as g;
end;
comment on function jobs_internal.bury(bigint[], integer) is 'Moves earlier attempts, log lines and statements of jobs that have finished into their bucket';

-- Purpose: take it all back, for a job that lives again. Writes: the same.
create or replace function jobs_internal.exhume(p_job bigint, p_bucket integer)
returns void
language sql volatile security definer
set search_path = pg_catalog, pg_temp
set enable_seqscan = off
begin atomic
  with gone as (
    delete from jobs_internal.past_attempt as a where a.job_id = p_job and a.bucket = p_bucket returning a.*
  )
  insert into jobs_internal.attempt (job_id, attempt, outcome, owner, started_at, finished_at, pid, child_pid,
    waited_ms, rows, wal_bytes, buffers_hit, buffers_read, buffers_dirtied, temp_bytes, result, error)
  select g.job_id, g.attempt, g.outcome, g.owner, g.started_at, g.finished_at, g.pid, g.child_pid,
    g.waited_ms, g.rows, g.wal_bytes, g.buffers_hit, g.buffers_read, g.buffers_dirtied, g.temp_bytes, g.result, g.error
  from gone as g;
  with gone as (
    delete from jobs_internal.past_log_line as l where l.job_id = p_job and l.bucket = p_bucket returning l.*
  )
  insert into jobs_internal.log_line (job_id, attempt, n, owner, at, level, message, fields)
  select g.job_id, g.attempt, g.n, g.owner, g.at, g.level, g.message, g.fields from gone as g;
  with gone as (
    delete from jobs_internal.past_statement as s where s.job_id = p_job and s.bucket = p_bucket returning s.*
  )
  insert into jobs_internal.statement (job_id, body, command, top_level, done_when, way_back, path, object, target, identity)
  select g.job_id, g.body, g.command, g.top_level, g.done_when, g.way_back, g.path, g.object, g.target, g.identity from gone as g;
end;
comment on function jobs_internal.exhume(bigint, integer) is 'Takes attempts, log lines and the statement of a job that is retried out of its bucket';

-- Purpose: end one attempt that did not simply succeed in a chunk, or that ran alone. Decides what comes next.
-- p_expected: the attempt number stored on the job row (alone: the running attempt; chunk: one less).
-- Returns: one feed object, or null when the fence missed (the job is not in that state any more).
-- Locks: job. Writes: job, finished, attempt, log_line, stop; the past_ tables.
create or replace function jobs_internal.settle(p_pid integer, p_state text, p_expected integer, p_ending jobs_internal.ending)
returns jsonb
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp
set enable_seqscan = off
as $$
declare
  v_job jobs_internal.job;
  v_state text;
  v_due timestamptz;
  v_error jsonb := jobs_internal.plain_error(p_ending.error);
  v_retry boolean;
  v_outcome text := p_ending.outcome;
  v_cancelled boolean;
  v_top_level boolean;
  v_excused boolean;
  v_bucket integer;
begin
  select j.* into v_job from jobs_internal.job as j
  where j.id = p_ending.job_id and j.state = p_state and j.attempt = p_expected
  for update;
  if not found then
    return null;
  end if;
  -- An attempt begins where its start was committed: that is what its timeout counts from and what the views showed.
  p_ending.started_at := coalesce(v_job.started_at, p_ending.started_at);
  v_cancelled := exists (select from jobs_internal.stop as x where x.job_id = p_ending.job_id and x.attempt = p_ending.attempt and x.reason = 'cancelled');
  if v_cancelled and v_outcome = 'interrupted' then
    v_outcome := 'cancelled';
    v_error := jobs_internal.stop_error('cancelled', null, null);
  end if;
  delete from jobs_internal.stop where job_id = p_ending.job_id;
  delete from jobs_internal.progress_message where job_id = p_ending.job_id;
  if p_ending.logs is not null then
    perform jobs_internal.keep_log(p_ending.job_id, p_ending.attempt, v_job.owner, p_ending.logs);
  end if;

  v_top_level := p_state = 'running' and exists (select from jobs_internal.statement as s where s.job_id = v_job.id and s.top_level);
  if v_outcome = 'interrupted' then
    -- Somebody signalled the session without a reason of ours: a shutdown, an administrator, the end of another job. Nothing is charged,
    -- until one job has been hit three times. Where the server stopped (PWL01), it was certainly not the job's own doing.
    v_excused := v_error ->> 'sqlstate' = 'PWL01' or jobs_internal.shutting_down();
    if v_job.interruptions < 2 or v_excused then
      update jobs_internal.job
      set state = 'scheduled', due_at = pg_catalog.clock_timestamp(), session_id = null, msg_id = null, started_at = null, child_pid = null,
        child_start = null, attempt = p_ending.attempt - 1, verify = nullif(coalesce(verify, false) or v_top_level, false),
        interruptions = interruptions + (v_excused is not true)::integer
      where id = v_job.id;
      return pg_catalog.jsonb_build_object('job_id', v_job.id, 'task', jobs_internal.task_name(v_job.id, v_job.shape_id), 'outcome', 'interrupted',
        'attempt', p_ending.attempt, 'max_attempts', v_job.max_attempts, 'state', 'scheduled');
    end if;
    v_outcome := 'cancelled';
    v_state := 'failed';
    v_error := jobs_internal.error_object('PWC02', 'interrupted three times without a known reason',
      pg_catalog.concat_ws(' ', 'Somebody signalled its session each time (pg_cancel_backend, pg_terminate_backend), or it raises that error itself.',
        'The last time it said: ' || (v_error ->> 'message') || '.', v_error ->> 'detail'), 'Look in the server log; then select jobs.retry(id).', v_error ->> 'context');
  end if;

  v_retry := v_outcome in ('failed', 'timed_out', 'lost') and p_ending.attempt < v_job.max_attempts
    and jobs_internal.worth_retry(v_error ->> 'sqlstate');
  if v_retry and v_cancelled then
    -- It failed by itself before the signal came: it is not tried again.
    v_retry := false;
    v_state := 'cancelled';
  end if;
  if v_retry then
    v_state := 'scheduled';
    v_due := pg_catalog.clock_timestamp() + jobs_internal.backoff(v_job.queue_id, p_ending.attempt);
    update jobs_internal.job
    set state = 'scheduled', due_at = v_due, session_id = null, msg_id = null, started_at = null, child_pid = null, child_start = null,
      attempt = p_ending.attempt, error = v_error, verify = nullif(v_top_level and v_outcome = 'lost', false)
    where id = v_job.id;
    insert into jobs_internal.attempt (job_id, attempt, outcome, owner, started_at, finished_at, pid, child_pid,
      waited_ms, rows, wal_bytes, buffers_hit, buffers_read, buffers_dirtied, temp_bytes, result, error)
    values (v_job.id, p_ending.attempt, v_outcome, v_job.owner, p_ending.started_at, p_ending.finished_at, p_pid, p_ending.child_pid,
      jobs_internal.waited(p_ending), p_ending.rows, p_ending.wal_bytes, p_ending.buffers_hit, p_ending.buffers_read, p_ending.buffers_dirtied, p_ending.temp_bytes, p_ending.result, v_error);
  else
    v_state := coalesce(v_state, case v_outcome when 'succeeded' then 'succeeded' when 'cancelled' then 'cancelled' when 'in_doubt' then 'in_doubt' else 'failed' end);
    delete from jobs_internal.job where id = v_job.id;
    -- The bucket is read by the statement that writes there: see 73_history.sql.
    insert into jobs_internal.finished (id, bucket, queue_id, owner, priority, state, shape_id, attempt, max_attempts, outcome, run_at, created_at,
      started_at, finished_at, pid, child_pid, waited_ms, rows, wal_bytes, buffers_hit, buffers_read, buffers_dirtied, temp_bytes,
      publication_id, enqueued_by, timeout, unique_key, args, settings, note, options, result, error)
    select v_job.id, jobs_internal.bucket_of(v_job.queue_id, v_job.owner), v_job.queue_id, v_job.owner, v_job.priority, v_state, v_job.shape_id, p_ending.attempt, v_job.max_attempts, v_outcome,
      v_job.run_at, v_job.created_at, p_ending.started_at, p_ending.finished_at, p_pid, p_ending.child_pid,
      jobs_internal.waited(p_ending), p_ending.rows, p_ending.wal_bytes, p_ending.buffers_hit, p_ending.buffers_read, p_ending.buffers_dirtied, p_ending.temp_bytes,
      v_job.publication_id, v_job.enqueued_by, v_job.timeout, coalesce(v_job.unique_key, v_job.former_key), v_job.args, v_job.settings, v_job.note, v_job.options, p_ending.result, v_error
    returning bucket into strict v_bucket;
    if v_job.shape_id is null or jobs_internal.has_past(array[v_job.id]) then
      perform jobs_internal.bury(array[v_job.id], v_bucket);
    end if;
    if v_job.options is not null then
      perform jobs_internal.tell_end(v_job.options, v_job.id, v_state, jobs_internal.task_name(v_job.id, v_job.shape_id));
    end if;
  end if;
  return pg_catalog.jsonb_build_object('job_id', v_job.id, 'task', jobs_internal.task_name(v_job.id, v_job.shape_id), 'outcome', v_outcome,
    'attempt', p_ending.attempt, 'max_attempts', v_job.max_attempts, 'state', v_state, 'retry_at', v_due,
    'ms', pg_catalog.round((extract(epoch from p_ending.finished_at - p_ending.started_at) * 1000)::numeric, 3),
    'error', jobs_internal.brief_error(v_error), 'note', jobs_internal.brief_note(v_job.note));
end
$$;
comment on function jobs_internal.settle(integer, text, integer, jobs_internal.ending) is 'Ends one attempt, decides about a retry and writes the history; null when the fence missed';

-- Purpose: what the views call a job's task.
create or replace function jobs_internal.task_name(p_job bigint, p_shape integer)
returns text
language sql stable security definer
set search_path = pg_catalog, pg_temp
begin atomic
  select coalesce(
    (select s.task from jobs_internal.shape as s where s.id = p_shape),
    (select s.command || coalesce(' ' || s.object, '') from jobs_internal.statement as s where s.job_id = p_job),
    (select s.command || coalesce(' ' || s.object, '') from jobs_internal.past_statement as s where s.job_id = p_job));
end;
comment on function jobs_internal.task_name(bigint, integer) is 'What the views call a job''s task';

-- Purpose: whether the result of an attempt is as large as allowed at most. The worker has looked; the session is the job's own.
create or replace function jobs_internal.is_small(p_result jsonb)
returns boolean
language sql stable
set search_path = pg_catalog, pg_temp
begin atomic
  select p_result is null or pg_catalog.pg_column_size(p_result) <= 500 or pg_catalog.octet_length(p_result::text) <= jobs_internal.result_limit();
end;
comment on function jobs_internal.is_small(jsonb) is 'The result of an attempt is as large as allowed at most';

-- Purpose: the second half of a chunk: messages deleted, job rows turned into history, in the transaction that ran the jobs.
-- p_msg_ids: messages of the jobs that ran and of stale ones; p_endings: how each job ended.
-- Returns: false when a fence missed: the chunk must be rolled back and its jobs run alone.
-- Locks: job. Writes: the lane's pgmq queue, job, finished, attempt, feed.
create or replace function jobs_internal.finish_chunk(p_session bigint, p_lane integer, p_msg_ids bigint[], p_endings jobs_internal.ending[])
returns boolean
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp
set enable_seqscan = off
set enable_mergejoin = off
set plan_cache_mode = force_generic_plan
as $$
declare
  v_pid integer := pg_catalog.pg_backend_pid();
  v_owner oid := jobs_internal.me();
  v_ids bigint[];
  v_done jsonb;
  v_n bigint;
  v_expected bigint;
  v_ending jobs_internal.ending;
  v_other jsonb;
  v_others jsonb := '[]';
  v_asked boolean;
begin
  perform jobs_internal.assert_my_lane(p_lane);
  if exists (select from pg_catalog.unnest(p_endings) as e where pg_catalog.pg_column_size(e.result) > 500 and not jobs_internal.is_small(e.result)) then
    return false;
  end if;
  execute pg_catalog.format('delete from pgmq.%I where msg_id = any ($1)', 'q_pyworker_' || p_lane) using p_msg_ids;
  v_expected := (select pg_catalog.count(*) from pg_catalog.unnest(p_endings) as e where e.outcome = 'succeeded' and e.logs is null);
  if v_expected > 0 then
    v_ids := array(select e.job_id from pg_catalog.unnest(p_endings) as e where e.outcome = 'succeeded' and e.logs is null);
    with dropped as (
      delete from jobs_internal.job as j
      where j.id = any (v_ids) and j.state = 'queued' and j.owner = v_owner
      returning j.*
    ), gone as (
      select j.id, j.queue_id, j.owner, j.priority, j.shape_id, e.attempt, j.max_attempts, j.run_at, j.created_at, e.started_at, e.finished_at,
        jobs_internal.waited(e) as waited_ms, e.rows, e.wal_bytes, e.buffers_hit, e.buffers_read, e.buffers_dirtied, e.temp_bytes,
        j.timeout, coalesce(j.unique_key, j.former_key) as unique_key, j.args, j.settings, j.note, j.options, e.result
      from dropped as j
      join pg_catalog.unnest(p_endings) as e on e.job_id = j.id and e.attempt = j.attempt + 1
    ), kept as (
      insert into jobs_internal.finished (id, bucket, queue_id, owner, priority, state, shape_id, attempt, max_attempts, outcome, run_at, created_at,
        started_at, finished_at, pid, waited_ms, rows, wal_bytes, buffers_hit, buffers_read, buffers_dirtied, temp_bytes,
        timeout, unique_key, args, settings, note, options, result)
      select g.id,
        (select jobs_internal.bucket_of(l.queue_id, l.owner) from jobs_internal.lane as l where l.id = p_lane),
        g.queue_id, g.owner, g.priority, 'succeeded', g.shape_id, g.attempt, g.max_attempts, 'succeeded', g.run_at, g.created_at,
        g.started_at, g.finished_at, v_pid, g.waited_ms, g.rows, g.wal_bytes, g.buffers_hit, g.buffers_read, g.buffers_dirtied, g.temp_bytes,
        g.timeout, g.unique_key, g.args, g.settings, g.note, g.options, g.result
      from gone as g
      returning id, shape_id, started_at, finished_at, options
    ), per_task as (
      select s.task, pg_catalog.jsonb_agg(k.id) as job_ids,
        pg_catalog.jsonb_agg(pg_catalog.round((extract(epoch from k.finished_at - k.started_at) * 1000)::numeric, 3)) as ms,
        pg_catalog.count(*) as n, pg_catalog.bool_or(k.options is not null) as asked
      from kept as k
      join jobs_internal.shape as s on s.id = k.shape_id
      group by s.task
    )
    select pg_catalog.jsonb_agg(pg_catalog.jsonb_build_object('task', p.task, 'job_ids', p.job_ids, 'ms', p.ms)), pg_catalog.sum(p.n),
      pg_catalog.bool_or(p.asked)
    into v_done, v_n, v_asked
    from per_task as p;
    if v_n is distinct from v_expected then
      return false;
    end if;
    -- Not those that succeeded at once and said nothing: nearly all.
    if jobs_internal.has_past(v_ids) then
      perform jobs_internal.bury(v_ids, (select f.bucket from jobs_internal.finished as f where f.id = v_ids[1]));
    end if;
    if v_asked then
      perform jobs_internal.tell_end(f.options, f.id, f.state, s.task)
      from jobs_internal.finished as f
      join jobs_internal.shape as s on s.id = f.shape_id
      where f.id = any (v_ids) and f.options is not null
      order by f.id;
    end if;
  end if;
  if v_expected < pg_catalog.cardinality(p_endings) then
    foreach v_ending in array p_endings loop
      continue when v_ending.outcome = 'succeeded' and v_ending.logs is null;
      if not exists (select from jobs_internal.job as j where j.id = v_ending.job_id and j.owner = v_owner) then
        return false;
      end if;
      v_other := jobs_internal.settle(v_pid, 'queued', v_ending.attempt - 1, v_ending);
      if v_other is null then
        return false;
      end if;
      v_others := v_others || v_other;
    end loop;
  end if;
  if pg_catalog.cardinality(p_endings) > 0 then
    perform jobs_internal.tell(p_session, p_lane, v_pid, v_done, v_others);
  end if;
  return true;
end
$$;
comment on function jobs_internal.finish_chunk(bigint, integer, bigint[], jobs_internal.ending[]) is 'Ends a chunk: messages deleted, history written; false when a fence missed';

-- Purpose: the fence of a job that runs alone, asked inside its own subtransaction: it is still this session's running attempt.
-- Errors: PW041 when it is not: the job tampered with itself, and what it did is undone.
create or replace function jobs_internal.fence(p_session bigint, p_job bigint, p_attempt integer)
returns void
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp
as $$
begin
  if not exists (
    select from jobs_internal.job as j
    join jobs_internal.session as s on s.id = j.session_id and s.job_id = j.id
    where j.id = p_job and j.attempt = p_attempt and j.state = 'running' and j.session_id = p_session and j.owner = jobs_internal.me())
  then
    raise exception using errcode = 'PW041', message = pg_catalog.format('job %s ended itself while it ran', p_job),
      detail = 'Its row is not the running attempt of this session any more. What the job did was undone.',
      hint = 'A job must not cancel, retry or finish itself through the functions of pyworker. A retry cannot help.';
  end if;
end
$$;
comment on function jobs_internal.fence(bigint, bigint, integer) is 'PW041 unless the job is still this session''s running attempt';

-- Purpose: end a job that ran alone, in the transaction that did its work. A fence that misses here means that the job row went while
-- the job ran: nothing is left to write, and the transaction must not commit. Errors: PW040, PW041.
create or replace function jobs_internal.finish_alone(p_session bigint, p_lane integer, p_ending jobs_internal.ending)
returns void
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp
set enable_seqscan = off
as $$
declare
  v_session jobs_internal.session := jobs_internal.my_session(p_session);
  v_other jsonb;
  v_shape integer;
begin
  perform jobs_internal.assert_my_lane(p_lane);
  if not jobs_internal.is_small(p_ending.result) then
    raise exception using errcode = 'PW040', message = 'the result is larger than the setting result_bytes, or the quota of its owner',
      hint = 'Write large results into a table. A retry cannot help.';
  end if;
  select j.shape_id into v_shape from jobs_internal.job as j where j.id = p_ending.job_id and j.session_id = p_session;
  if not found then
    p_ending.job_id := null;
  elsif v_shape = any (v_session.shapes) or v_shape is not null and exists (
      select from jobs_internal.duration as d where d.shape_id = v_shape and d.owner = v_session.owner)
  then
    v_shape := null;  -- known
  end if;
  v_other := jobs_internal.settle(v_session.pid, 'running', p_ending.attempt, p_ending);
  update jobs_internal.session set job_id = null, attempt = null, shapes = case when v_shape is null then shapes else shapes || v_shape end
  where id = p_session;
  if v_other is null then
    raise exception using errcode = 'PW041', message = pg_catalog.format('job %s is not this session''s running attempt any more', p_ending.job_id),
      detail = 'Its row was changed while it ran. What the job did is undone.', hint = 'Look at jobs.job and jobs.attempts for it.';
  end if;
  if p_ending.outcome = 'succeeded' then
    perform jobs_internal.tell(p_session, p_lane, v_session.pid, pg_catalog.jsonb_build_array(pg_catalog.jsonb_build_object(
      'task', v_other -> 'task', 'job_ids', pg_catalog.jsonb_build_array(v_other -> 'job_id'), 'ms', pg_catalog.jsonb_build_array(v_other -> 'ms'))), '[]');
  else
    perform jobs_internal.tell(p_session, p_lane, v_session.pid, null, pg_catalog.jsonb_build_array(v_other));
  end if;
end
$$;
comment on function jobs_internal.finish_alone(bigint, integer, jobs_internal.ending) is 'Ends a job that ran alone';

-- Purpose: put outcomes where a supervisor finds them for its log.
create or replace function jobs_internal.tell(p_session bigint, p_lane integer, p_pid integer, p_succeeded jsonb, p_others jsonb)
returns void
language sql volatile security definer
set search_path = pg_catalog, pg_temp
begin atomic
  insert into jobs_internal.feed (body, bytes)
  select b.body, pg_catalog.pg_column_size(b.body)  -- it is not compressed yet
  from (
    select pg_catalog.jsonb_build_object('queue', q.name, 'owner', pg_catalog.pg_get_userbyid(l.owner), 'session', p_session, 'pid', p_pid,
      'succeeded', coalesce(p_succeeded, '[]'), 'others', coalesce(p_others, '[]')) as body
    from jobs_internal.lane as l
    join jobs_internal.queue as q on q.id = l.queue_id
    where l.id = p_lane
    offset 0  -- made once
  ) as b;
end;
comment on function jobs_internal.tell(bigint, integer, integer, jsonb, jsonb) is 'Puts outcomes where a supervisor finds them for its log';

-- Attempts, log lines and statements of finished jobs: into their bucket, and back for a retry.

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

-- Take it all back, for a job that lives again. Writes: attempt, log_line, statement,
-- finished_attempt, finished_log_line, finished_statement.
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
end;

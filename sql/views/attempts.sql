-- jobs.attempts and jobs.log_lines.

create or replace view jobs.attempts with (security_barrier) as
with active as materialized (
  select r.job_id, r.attempt, r.owner, r.started_at, r.pid, r.child_pid
  from jobs_internal.activity() as r
  where r.job_id is not null and exists (select from jobs_internal.job as j where j.id = r.job_id)
)
select
  a.job_id, a.attempt, a.outcome, a.started_at, a.finished_at, a.pid, a.child_pid,
  round((extract(epoch from a.finished_at - a.started_at) * 1000)::numeric, 1) as run_ms,
  a.waited_ms, a.rows, a.wal_bytes, a.buffers_hit, a.buffers_read, a.buffers_dirtied, a.temp_bytes,
  case when a.owner = (select jobs_internal.viewer()) or jobs_internal.reads(a.owner)
    then a.result end as result,
  case when a.owner = (select jobs_internal.viewer()) or jobs_internal.reads(a.owner) then a.error
    when (select jobs_internal.caller_is('jobs_operator'))
      then a.error - 'detail' - 'context' end as error,
  case
    when a.wal_bytes is not null or a.outcome is null then null
    when a.outcome <> 'succeeded' then 'it did not succeed'
    when a.child_pid is not null then (select jobs_internal.why_child_costs_are_unknown())
    when (select jobs_internal.measures_no_cost()) then 'measure_cost is off'
    else 'it shared a transaction with short jobs, of which a sample is measured: jobs.cost'
  end as not_measured
from (
  select f.id as job_id, f.attempt, f.outcome, f.owner, f.started_at, f.finished_at, f.pid,
    f.child_pid,
    f.waited_ms, f.rows, f.wal_bytes, f.buffers_hit, f.buffers_read, f.buffers_dirtied,
      f.temp_bytes, f.result, f.error, false as live
  from jobs_internal.finished as f
  union all
  select t.job_id, t.attempt, t.outcome, t.owner, t.started_at, t.finished_at, t.pid, t.child_pid,
    t.waited_ms, t.rows, t.wal_bytes, t.buffers_hit, t.buffers_read, t.buffers_dirtied,
      t.temp_bytes, t.result, t.error, false
  from jobs_internal.attempt as t
  union all
  select p.job_id, p.attempt, p.outcome, p.owner, p.started_at, p.finished_at, p.pid, p.child_pid,
    p.waited_ms, p.rows, p.wal_bytes, p.buffers_hit, p.buffers_read, p.buffers_dirtied,
      p.temp_bytes, p.result, p.error, false
  from jobs_internal.finished_attempt as p
  union all
  select r.job_id, r.attempt, null, r.owner, r.started_at, null, r.pid, r.child_pid, null, null,
    null, null, null, null, null, null, null, true
  from active as r
) as a
where (a.live or a.outcome is not null)
  and (a.owner = (select jobs_internal.viewer()) or (select jobs_internal.caller_is('jobs_reader'))
      or (select jobs_internal.caller_is('jobs_operator')))
order by a.job_id desc, a.attempt;
comment on view jobs.attempts is 'Attempts, each with its session and outcome; the latest job '
  'first, its attempts in their order';
comment on column jobs.attempts.job_id is 'Job';
comment on column jobs.attempts.attempt is 'Number of the attempt, from 1';
comment on column jobs.attempts.outcome
  is 'succeeded, failed, timed_out, cancelled, lost, in_doubt; null: it runs';
comment on column jobs.attempts.started_at is 'Start';
comment on column jobs.attempts.finished_at is 'End';
comment on column jobs.attempts.pid
  is 'Process of the worker session; null while only its child session is left';
comment on column jobs.attempts.child_pid is 'Process of the child session';
comment on column jobs.attempts.run_ms is 'Wall time, ms';
comment on column jobs.attempts.waited_ms is 'Time that it waited in its lane for a session, ms';
comment on column jobs.attempts.rows
  is 'Rows that its statement changed or returned, or its function returned as a set';
comment on column jobs.attempts.wal_bytes is 'WAL that it wrote, bytes. This and the following '
  'columns are null where it was not measured: not_measured says why. Of a statement at top level '
  'they come from pg_stat_statements, where that is installed';
comment on column jobs.attempts.buffers_hit is 'Buffers that it found in memory';
comment on column jobs.attempts.buffers_read is 'Buffers that it read';
comment on column jobs.attempts.buffers_dirtied is 'Buffers that it dirtied';
comment on column jobs.attempts.temp_bytes is 'Temporary files that it wrote, bytes';
comment on column jobs.attempts.result is 'Result';
comment on column jobs.attempts.error is 'Error: sqlstate, message, detail, hint, context; the '
  'detail and context for those who see the arguments';
comment on column jobs.attempts.not_measured is 'Why wal_bytes and the figures beside it are null, '
  'as far as the present settings say; null: they are measured, or it runs';

create or replace view jobs.log_lines with (security_barrier) as
select l.job_id, l.attempt, l.n, l.at, l.level, l.message, coalesce(l.fields, '{}') as fields
from (
  select o.job_id, o.attempt, o.n, o.owner, o.at, o.level, o.message, o.fields
  from jobs_internal.log_line as o
  union all
  select p.job_id, p.attempt, p.n, p.owner, p.at, p.level, p.message, p.fields
  from jobs_internal.finished_log_line as p
) as l
where l.owner = (select jobs_internal.viewer()) or (select jobs_internal.caller_is('jobs_operator'))
order by l.job_id desc, l.attempt desc, l.n;
comment on view jobs.log_lines is 'Lines that jobs wrote with jobs.log';
comment on column jobs.log_lines.job_id is 'Job';
comment on column jobs.log_lines.attempt is 'Attempt';
comment on column jobs.log_lines.n is 'Number of the line in its attempt';
comment on column jobs.log_lines.at is 'When it was written';
comment on column jobs.log_lines.level is 'debug, info, warning or error';
comment on column jobs.log_lines.message is 'Text';
comment on column jobs.log_lines.fields is 'More facts';

-- Views on jobs. Each shows the jobs of the login that asks, and all of them to operators and readers. Arguments, statements and results
-- are for the owner of the job, operators who are members of the owner, and the administrator; errors and notes for all operators, without
-- DETAIL and CONTEXT: those quote rows and the statement.
-- security_barrier: no function of a caller sees a row before the rule of visibility has let it through.

-- Names are looked up by scalar subqueries, not by joins, and the live and the finished jobs are plain branches of one union: so
-- "order by id desc limit 20" walks two primary keys from their ends, however long the history is.
create or replace view jobs.job with (security_barrier) as
with active as materialized (
  select a.job_id, a.attempt, a.started_at from jobs_internal.activity() as a where a.job_id is not null
)
select
  j.id,
  (select q.name from jobs_internal.queue as q where q.id = j.queue_id) as queue,
  pg_catalog.pg_get_userbyid(j.owner)::text as owner,
  case when j.shape_id is null then case when j.bucket is null
      then (select st.command || coalesce(' ' || st.object, '') from jobs_internal.statement as st where st.job_id = j.id)
      else (select st.command || coalesce(' ' || st.object, '')
          from jobs_internal.past_statement as st where st.job_id = j.id and st.bucket = j.bucket) end
    else (select s.task from jobs_internal.shape as s where s.id = j.shape_id) end as task,
  case when j.state = 'queued' and j.id in (select a.job_id from active as a) then 'running' else j.state end as state,
  case when j.state = 'queued' then coalesce((select a.attempt from active as a where a.job_id = j.id), j.attempt) else j.attempt end as attempt,
  j.max_attempts,
  case j.priority when 0 then 'high' when 1 then 'normal' else 'low' end as priority,
  j.run_at,
  j.created_at,
  case when j.state = 'queued' then (select a.started_at from active as a where a.job_id = j.id) else j.started_at end as started_at,
  j.finished_at,
  case when j.owner = (select jobs_internal.viewer()) or jobs_internal.reads(j.owner) then j.result end as result,
  case when j.owner = (select jobs_internal.viewer()) or jobs_internal.reads(j.owner) then j.error
    when (select jobs_internal.may('jobs_operator')) then j.error - 'detail' - 'context' end as error,
  case when (select jobs_internal.viewer()) in (j.owner, j.enqueued_by) or (select jobs_internal.may('jobs_operator'))
    then coalesce(j.note, '{}') end as note,
  j.timeout,
  j.unique_key,
  case when (select jobs_internal.viewer()) in (j.owner, j.enqueued_by) or jobs_internal.reads(j.owner)
    then coalesce(j.args, '{}') end as args,
  case when j.owner = (select jobs_internal.viewer()) or jobs_internal.reads(j.owner) then coalesce(j.settings, '{}') end as settings,
  case when j.shape_id is null and (j.owner = (select jobs_internal.viewer()) or jobs_internal.reads(j.owner))
    then case when j.bucket is null then (select st.body from jobs_internal.statement as st where st.job_id = j.id)
      else (select st.body from jobs_internal.past_statement as st where st.job_id = j.id and st.bucket = j.bucket) end end as statement,
  case when j.shape_id is null and (j.owner = (select jobs_internal.viewer()) or jobs_internal.reads(j.owner))
    then case when j.bucket is null then (select st.done_when from jobs_internal.statement as st where st.job_id = j.id)
      else (select st.done_when from jobs_internal.past_statement as st where st.job_id = j.id and st.bucket = j.bucket) end end as done_when,
  case when j.shape_id is null and (j.owner = (select jobs_internal.viewer()) or jobs_internal.reads(j.owner))
    then case when j.bucket is null then (select st.way_back from jobs_internal.statement as st where st.job_id = j.id)
      else (select st.way_back from jobs_internal.past_statement as st where st.job_id = j.id and st.bucket = j.bucket) end end as rollback,
  pg_catalog.pg_get_userbyid(coalesce(j.enqueued_by, j.owner))::text as enqueued_by,
  case
    when j.bucket is not null or j.state not in ('scheduled', 'queued') then null
    when j.state = 'queued' and j.id in (select a.job_id from active as a) then null
    when j.due_at > (select pg_catalog.clock_timestamp()) then case when j.attempt > 0 then 'its next attempt' else 'its time' end
    -- Found once for each lane, and not for each job.
    else coalesce((select jobs_internal.lane_waits()) ->> (j.queue_id || ' ' || j.owner || ' ' || j.priority),
      case when j.crashes > 0 then 'a run by itself, because it ran when the server crashed' else 'its turn' end)
  end as waits_for,
  j.dismissed_at,
  j.dismissed_by,
  coalesce(
    case when (select jobs_internal.viewer()) in (j.owner, j.enqueued_by) or (select jobs_internal.may('jobs_operator'))
      then j.options ->> 'title' end,
    case when j.shape_id is not null then (select s.task from jobs_internal.shape as s where s.id = j.shape_id)
      when j.bucket is null then (select st.command || coalesce(' ' || st.object, '') from jobs_internal.statement as st where st.job_id = j.id)
      else (select st.command || coalesce(' ' || st.object, '') from jobs_internal.past_statement as st
        where st.job_id = j.id and st.bucket = j.bucket)
    end) as title
from (
  select l.id, null::integer as bucket, l.queue_id, l.owner, l.state, l.shape_id, l.attempt, l.max_attempts, l.priority, l.run_at, l.created_at,
    l.started_at,
    null::timestamptz as finished_at, null::jsonb as result, l.error, l.note, l.timeout, l.unique_key, l.args, l.settings, l.enqueued_by, l.due_at,
    l.crashes,
    null::timestamptz as dismissed_at, null::text as dismissed_by, l.options
  from jobs_internal.job as l
  union all
  select f.id, f.bucket, f.queue_id, f.owner, f.state, f.shape_id, f.attempt, f.max_attempts, f.priority, f.run_at, f.created_at,
    f.started_at, f.finished_at, f.result, f.error, f.note, f.timeout, f.unique_key, f.args, f.settings, f.enqueued_by, null, 0::smallint,
    f.dismissed_at, f.dismissed_by, f.options
  from jobs_internal.finished as f
) as j
where (select jobs_internal.viewer()) in (j.owner, j.enqueued_by) or (select jobs_internal.may('jobs_reader'))
  or (select jobs_internal.may('jobs_operator'))
order by j.id desc;
comment on view jobs.job is 'Every job, live or finished, the latest first';
comment on column jobs.job.id is 'Number of the job';
comment on column jobs.job.queue is 'Queue';
comment on column jobs.job.owner is 'Role that it runs as';
comment on column jobs.job.task is 'Function; of a statement its first words, with its object where it can be read';
comment on column jobs.job.state is 'scheduled (waits for run_at or for its lane), queued, running, succeeded, failed, cancelled, in_doubt';
comment on column jobs.job.attempt is 'Attempts made or under way, count';
comment on column jobs.job.max_attempts is 'Attempts allowed, count';
comment on column jobs.job.priority is 'high, normal or low';
comment on column jobs.job.run_at is 'Not before this time, as enqueued';
comment on column jobs.job.created_at is 'Start of the transaction that enqueued it';
comment on column jobs.job.started_at is 'Start of the present or last attempt';
comment on column jobs.job.finished_at is 'End of the last attempt; null: not finished';
comment on column jobs.job.result is 'What the function returned; of a statement {"rows": count} or {"command_tag": text}, of a CALL its OUT values';
comment on column jobs.job.error is 'Error of the last attempt: sqlstate, message, detail, hint, context; the detail and context for those who see the arguments';
comment on column jobs.job.note is 'What a person wants beside the job';
comment on column jobs.job.timeout is 'Longest time that an attempt may take; null: no limit';
comment on column jobs.job.unique_key is 'At most one unfinished job per owner, queue and key; each enqueuer by a publication has keys of its own';
comment on column jobs.job.args is 'Arguments, as cast at enqueue';
comment on column jobs.job.settings is 'Settings for this job alone';
comment on column jobs.job.statement is 'The statement of jobs.enqueue_sql';
comment on column jobs.job.done_when is 'Post-condition of the statement: given, or known by pyworker';
comment on column jobs.job.rollback is 'Statement that undoes it, kept for people';
comment on column jobs.job.enqueued_by is 'Role that enqueued it: its owner, or another by a publication';
comment on column jobs.job.waits_for is 'Why it does not start, in short: the first that holds of jobs.wait_reasons; null: it runs, or is finished. jobs.explain(id) says more';
comment on column jobs.job.dismissed_at is 'When its failure was dismissed (jobs.dismiss); null: not, or it has been retried since';
comment on column jobs.job.title is 'Title, as in jobs.running';
comment on column jobs.job.dismissed_by is 'Login that dismissed it';

-- In the order of the ids, which is an index's: "limit 20" reads some rows, and not all that wait. Names are joined from the left, so that who
-- only counts joins nothing.
create or replace view jobs.queued with (security_barrier) as
select
  j.id,
  q.name as queue,
  pg_catalog.pg_get_userbyid(j.owner)::text as owner,
  coalesce(s.task, st.command || coalesce(' ' || st.object, '')) as task,
  j.state,
  case j.priority when 0 then 'high' when 1 then 'normal' else 'low' end as priority,
  j.attempt,
  j.max_attempts,
  coalesce(j.due_at, j.run_at)::timestamptz(0) as due_at,
  pg_catalog.date_trunc('second', pg_catalog.now() - j.created_at) as age,
  case when j.owner = (select jobs_internal.viewer()) or (select jobs_internal.may('jobs_operator')) then j.error ->> 'message' end as last_error,
  case
    when j.due_at > (select pg_catalog.clock_timestamp()) then case when j.attempt > 0 then 'its next attempt' else 'its time' end
    -- Found once for each lane, and not for each job.
    else coalesce((select jobs_internal.lane_waits()) ->> (j.queue_id || ' ' || j.owner || ' ' || j.priority),
      case when j.crashes > 0 then 'a run by itself, because it ran when the server crashed' else 'its turn' end)
  end as waits_for,
  coalesce(case when j.owner = (select jobs_internal.viewer()) or (select jobs_internal.may('jobs_operator')) then j.options ->> 'title' end,
    s.task, st.command || coalesce(' ' || st.object, '')) as title
from jobs_internal.job as j
left join jobs_internal.queue as q on q.id = j.queue_id
left join jobs_internal.shape as s on s.id = j.shape_id
left join jobs_internal.statement as st on st.job_id = j.id and j.shape_id is null
where j.state in ('scheduled', 'queued')
  and j.id not in (select a.job_id from jobs_internal.activity() as a where a.job_id is not null)
  and (j.owner = (select jobs_internal.viewer()) or (select jobs_internal.may('jobs_reader')) or (select jobs_internal.may('jobs_operator')))
order by j.id;
comment on view jobs.queued is 'Jobs that wait, in the order of their ids';
comment on column jobs.queued.id is 'Number of the job';
comment on column jobs.queued.queue is 'Queue';
comment on column jobs.queued.owner is 'Owner';
comment on column jobs.queued.task is 'Function; of a statement its first words, with its object where it can be read';
comment on column jobs.queued.state is 'queued: next in its lane; scheduled: waits for due_at';
comment on column jobs.queued.priority is 'high, normal or low';
comment on column jobs.queued.attempt is 'Attempts made, count';
comment on column jobs.queued.max_attempts is 'Attempts allowed, count';
comment on column jobs.queued.due_at is 'When it may start';
comment on column jobs.queued.age is 'Time since it was enqueued';
comment on column jobs.queued.waits_for is 'Why it does not start, as in jobs.job; never null';
comment on column jobs.queued.title is 'Title, as in jobs.running';
comment on column jobs.queued.last_error is 'Message of the last attempt''s error';

create or replace view jobs.running with (security_barrier) as
select
  a.job_id as id,
  coalesce(s.task, st.command || coalesce(' ' || st.object, '')) as task,
  pg_catalog.pg_get_userbyid(a.owner)::text as owner,
  a.pid,
  a.child_pid,
  a.started_at::timestamptz(0) as started_at,
  a.done,
  a.total,
  case when a.total > 0 then pg_catalog.round(100 * least(a.done / a.total, 1), 1) end as percent,
  jobs_internal.eta(a.started_at, a.done, a.total, a.first_done, a.first_at, a.attempt = 1 and j.interruptions = 0 and j.crashes = 0) as eta,
  a.message,
  a.wait_event,
  a.blocked_by,
  (select q.name from jobs_internal.queue as q where q.id = j.queue_id) as queue,
  a.attempt,
  pg_catalog.date_trunc('second', pg_catalog.clock_timestamp() - a.started_at) as elapsed,
  (a.started_at + j.timeout)::timestamptz(0) as deadline,
  coalesce(case when a.owner = (select jobs_internal.viewer()) or (select jobs_internal.may('jobs_operator')) then j.options ->> 'title' end,
    s.task, st.command || coalesce(' ' || st.object, '')) as title
from jobs_internal.activity() as a
left join jobs_internal.job as j on j.id = a.job_id
left join jobs_internal.shape as s on s.id = j.shape_id
left join jobs_internal.statement as st on st.job_id = j.id and j.shape_id is null
where a.job_id is not null and j.id is not null
order by a.started_at, a.job_id;
comment on view jobs.running is 'Jobs that run now, the oldest first, live';
comment on column jobs.running.id is 'Number of the job';
comment on column jobs.running.task is 'Function; of a statement its first words, with its object where it can be read';
comment on column jobs.running.owner is 'Owner';
comment on column jobs.running.pid is 'Process of the worker session; null: it died, and the child session goes on alone';
comment on column jobs.running.child_pid is 'Process of the child session that runs a top-level statement';
comment on column jobs.running.started_at is 'Start of this attempt';
comment on column jobs.running.done is 'How much is done: of jobs.progress, else of the server''s own progress (blocks, tuples or lockers)';
comment on column jobs.running.total is 'Of how much, in the same unit; of VACUUM and CREATE INDEX within the present phase';
comment on column jobs.running.percent is 'done of total, in percent';
comment on column jobs.running.eta is 'When it ends if it goes on as since the first report of this attempt; null: not known yet; within the present phase for VACUUM and CREATE INDEX';
comment on column jobs.running.message is 'Text of jobs.progress, else the phase of the server''s own progress';
comment on column jobs.running.wait_event is 'What its session waits for, type:event; null: it works';
comment on column jobs.running.blocked_by is 'Processes whose locks it waits for';
comment on column jobs.running.queue is 'Queue';
comment on column jobs.running.attempt is 'Number of this attempt, from 1';
comment on column jobs.running.elapsed is 'Time since its start';
comment on column jobs.running.deadline is 'When its timeout ends it; null: no limit';
comment on column jobs.running.title is 'Title that it was given (option title; for the owner and operators), else its task, of a statement with what it works on';

-- These two are ordered by what they show, to the second, and by nothing else that had to be joined: so the plan walks the index of each
-- partition also where the reader asks for "order by finished_at desc limit 20".
create or replace view jobs.failed with (security_barrier) as
select
  f.id,
  (select q.name from jobs_internal.queue as q where q.id = f.queue_id) as queue,
  pg_catalog.pg_get_userbyid(f.owner)::text as owner,
  case when f.shape_id is null then (select st.command || coalesce(' ' || st.object, '')
      from jobs_internal.past_statement as st where st.job_id = f.id and st.bucket = f.bucket)
    else (select s.task from jobs_internal.shape as s where s.id = f.shape_id) end as task,
  f.state,
  f.outcome,
  f.attempt,
  f.finished_at::timestamptz(0) as finished_at,
  f.error ->> 'sqlstate' as sqlstate,
  case when f.owner = (select jobs_internal.viewer()) or (select jobs_internal.may('jobs_operator'))
    then case when pg_catalog.length(f.error ->> 'message') > 40 then pg_catalog.left(f.error ->> 'message', 37) || '...'
      else f.error ->> 'message' end
  end as message
from jobs_internal.finished as f
where f.state in ('failed', 'in_doubt') and f.dismissed_at is null
  and (f.owner = (select jobs_internal.viewer()) or (select jobs_internal.may('jobs_reader')) or (select jobs_internal.may('jobs_operator')))
order by f.finished_at::timestamptz(0) desc, f.finished_at desc;
comment on view jobs.failed is 'Jobs that failed or are in doubt and were not dismissed, the latest first; jobs.retry(id) runs one again, jobs.dismiss(id) takes it off this list';
comment on column jobs.failed.id is 'Number of the job';
comment on column jobs.failed.queue is 'Queue';
comment on column jobs.failed.owner is 'Owner';
comment on column jobs.failed.task is 'Function; of a statement its first words, with its object where it can be read';
comment on column jobs.failed.state is 'failed or in_doubt';
comment on column jobs.failed.outcome is 'Outcome of the last attempt: failed, timed_out, lost, in_doubt';
comment on column jobs.failed.attempt is 'Attempts made, count';
comment on column jobs.failed.finished_at is 'End of the last attempt';
comment on column jobs.failed.sqlstate is 'SQLSTATE of its error';
comment on column jobs.failed.message is 'Message of its error, cut at 40 characters; all of it is in jobs.job.error';

create or replace view jobs.finished with (security_barrier) as
select
  f.id,
  (select q.name from jobs_internal.queue as q where q.id = f.queue_id) as queue,
  pg_catalog.pg_get_userbyid(f.owner)::text as owner,
  case when f.shape_id is null then (select st.command || coalesce(' ' || st.object, '')
      from jobs_internal.past_statement as st where st.job_id = f.id and st.bucket = f.bucket)
    else (select s.task from jobs_internal.shape as s where s.id = f.shape_id) end as task,
  f.state,
  f.outcome,
  f.attempt,
  f.finished_at::timestamptz(0) as finished_at,
  pg_catalog.round((extract(epoch from f.started_at - greatest(f.created_at, f.run_at)) * 1000)::numeric, 1) as wait_ms,
  pg_catalog.round((extract(epoch from f.finished_at - f.started_at) * 1000)::numeric, 1) as run_ms
from jobs_internal.finished as f
where f.owner = (select jobs_internal.viewer()) or (select jobs_internal.may('jobs_reader')) or (select jobs_internal.may('jobs_operator'))
order by f.finished_at::timestamptz(0) desc, f.finished_at desc;
comment on view jobs.finished is 'Finished jobs, the latest first, until their queue''s retention removes them';
comment on column jobs.finished.id is 'Number of the job';
comment on column jobs.finished.queue is 'Queue';
comment on column jobs.finished.owner is 'Owner';
comment on column jobs.finished.task is 'Function; of a statement its first words, with its object where it can be read';
comment on column jobs.finished.state is 'succeeded, failed, cancelled or in_doubt';
comment on column jobs.finished.outcome is 'Outcome of the last attempt; null: never ran';
comment on column jobs.finished.attempt is 'Attempts made, count';
comment on column jobs.finished.finished_at is 'End of the last attempt, or time of the cancel';
comment on column jobs.finished.wait_ms is 'From due (or enqueued) to the start of the last attempt, ms';
comment on column jobs.finished.run_ms is 'Duration of the last attempt, ms';

create or replace view jobs.attempts with (security_barrier) as
with active as materialized (
  select r.job_id, r.attempt, r.owner, r.started_at, r.pid, r.child_pid from jobs_internal.activity() as r
  where r.job_id is not null and exists (select from jobs_internal.job as j where j.id = r.job_id)
)
select
  a.job_id, a.attempt, a.outcome, a.started_at, a.finished_at, a.pid, a.child_pid,
  pg_catalog.round((extract(epoch from a.finished_at - a.started_at) * 1000)::numeric, 1) as run_ms,
  a.waited_ms, a.rows, a.wal_bytes, a.buffers_hit, a.buffers_read, a.buffers_dirtied, a.temp_bytes,
  case when a.owner = (select jobs_internal.viewer()) or jobs_internal.reads(a.owner) then a.result end as result,
  case when a.owner = (select jobs_internal.viewer()) or jobs_internal.reads(a.owner) then a.error
    when (select jobs_internal.may('jobs_operator')) then a.error - 'detail' - 'context' end as error,
  case
    when a.wal_bytes is not null or a.outcome is null then null
    when a.outcome <> 'succeeded' then 'it did not succeed'
    when a.child_pid is not null then (select jobs_internal.why_child_costs_are_unknown())
    when (select jobs_internal.measures_no_cost()) then 'measure_cost is off'
    else 'it shared a transaction with short jobs, of which a sample is measured: jobs.cost'
  end as not_measured
from (
  select f.id as job_id, f.attempt, f.outcome, f.owner, f.started_at, f.finished_at, f.pid, f.child_pid,
    f.waited_ms, f.rows, f.wal_bytes, f.buffers_hit, f.buffers_read, f.buffers_dirtied, f.temp_bytes, f.result, f.error, false as live
  from jobs_internal.finished as f
  union all
  select t.job_id, t.attempt, t.outcome, t.owner, t.started_at, t.finished_at, t.pid, t.child_pid,
    t.waited_ms, t.rows, t.wal_bytes, t.buffers_hit, t.buffers_read, t.buffers_dirtied, t.temp_bytes, t.result, t.error, false
  from jobs_internal.attempt as t
  union all
  select p.job_id, p.attempt, p.outcome, p.owner, p.started_at, p.finished_at, p.pid, p.child_pid,
    p.waited_ms, p.rows, p.wal_bytes, p.buffers_hit, p.buffers_read, p.buffers_dirtied, p.temp_bytes, p.result, p.error, false
  from jobs_internal.past_attempt as p
  union all
  select r.job_id, r.attempt, null, r.owner, r.started_at, null, r.pid, r.child_pid, null, null, null, null, null, null, null, null, null, true
  from active as r
) as a
where (a.live or a.outcome is not null)
  and (a.owner = (select jobs_internal.viewer()) or (select jobs_internal.may('jobs_reader')) or (select jobs_internal.may('jobs_operator')))
order by a.job_id desc, a.attempt;
comment on view jobs.attempts is 'Attempts, each with its session and outcome; the latest job first, its attempts in their order';
comment on column jobs.attempts.job_id is 'Job';
comment on column jobs.attempts.attempt is 'Number of the attempt, from 1';
comment on column jobs.attempts.outcome is 'succeeded, failed, timed_out, cancelled, lost, in_doubt; null: it runs';
comment on column jobs.attempts.started_at is 'Start';
comment on column jobs.attempts.finished_at is 'End';
comment on column jobs.attempts.pid is 'Process of the worker session; null while only its child session is left';
comment on column jobs.attempts.child_pid is 'Process of the child session';
comment on column jobs.attempts.run_ms is 'Wall time, ms';
comment on column jobs.attempts.waited_ms is 'Time that it waited in its lane for a session, ms';
comment on column jobs.attempts.rows is 'Rows that its statement changed or returned, or its function returned as a set';
comment on column jobs.attempts.wal_bytes is 'WAL that it wrote, bytes. This and the following columns are null where it was not measured: not_measured says why. Of a statement at top level they come from pg_stat_statements, where that is installed';
comment on column jobs.attempts.buffers_hit is 'Buffers that it found in memory';
comment on column jobs.attempts.buffers_read is 'Buffers that it read';
comment on column jobs.attempts.buffers_dirtied is 'Buffers that it dirtied';
comment on column jobs.attempts.temp_bytes is 'Temporary files that it wrote, bytes';
comment on column jobs.attempts.result is 'Result';
comment on column jobs.attempts.error is 'Error: sqlstate, message, detail, hint, context; the detail and context for those who see the arguments';
comment on column jobs.attempts.not_measured is 'Why wal_bytes and the figures beside it are null, as far as can be told from the present settings; null: they are measured, or it runs';

create or replace view jobs.log_lines with (security_barrier) as
select l.job_id, l.attempt, l.n, l.at, l.level, l.message, coalesce(l.fields, '{}') as fields
from (
  select o.job_id, o.attempt, o.n, o.owner, o.at, o.level, o.message, o.fields from jobs_internal.log_line as o
  union all
  select p.job_id, p.attempt, p.n, p.owner, p.at, p.level, p.message, p.fields from jobs_internal.past_log_line as p
) as l
where l.owner = (select jobs_internal.viewer()) or (select jobs_internal.may('jobs_operator'))
order by l.job_id desc, l.attempt desc, l.n;
comment on view jobs.log_lines is 'Lines that jobs wrote with jobs.log';
comment on column jobs.log_lines.job_id is 'Job';
comment on column jobs.log_lines.attempt is 'Attempt';
comment on column jobs.log_lines.n is 'Number of the line in its attempt';
comment on column jobs.log_lines.at is 'When it was written';
comment on column jobs.log_lines.level is 'debug, info, warning or error';
comment on column jobs.log_lines.message is 'Text';
comment on column jobs.log_lines.fields is 'More facts';

-- Views on jobs. Each shows the jobs of the login that asks, and all of them to operators and
-- readers. Arguments, statements and results are for the owner of the job, operators who are
-- members of the owner, and the administrator; errors and notes for all operators, without DETAIL
-- and CONTEXT: those quote rows and the statement. security_barrier: no function of a caller sees a
-- row before the rule of visibility has let it through.

-- Names are looked up by scalar subqueries, not by joins, and the live and the finished jobs are
-- plain branches of one union: so "order by id desc limit 20" walks two primary keys from their
-- ends, however long the history is.
create or replace view jobs.job with (security_barrier) as
with active as materialized (
  select a.job_id, a.attempt, a.started_at from jobs_internal.activity() as a
  where a.job_id is not null
)
select
  j.id,
  (select q.name from jobs_internal.queue as q where q.id = j.queue_id) as queue,
  pg_get_userbyid(j.owner)::text as owner,
  case when j.call_template_id is null then case when j.bucket is null
      then (select st.command || coalesce(' ' || st.object, '') from jobs_internal.statement as st
          where st.job_id = j.id)
      else (select st.command || coalesce(' ' || st.object, '')
          from jobs_internal.finished_statement as st where st.job_id = j.id
            and st.bucket = j.bucket) end
    else (select s.task from jobs_internal.call_template as s where s.id = j.call_template_id) end
      as task,
  case when j.state = 'queued' and j.id in (select a.job_id from active as a) then 'running'
    else j.state end as state,
  case when j.state = 'queued'
    then coalesce((select a.attempt from active as a where a.job_id = j.id), j.attempt)
      else j.attempt end as attempt,
  j.max_attempts,
  case j.priority when 0 then 'high' when 1 then 'normal' else 'low' end as priority,
  j.run_at,
  j.created_at,
  case when j.state = 'queued' then (select a.started_at from active as a where a.job_id = j.id)
    else j.started_at end as started_at,
  j.finished_at,
  case when j.owner = (select jobs_internal.viewer()) or jobs_internal.reads(j.owner)
    then j.result end as result,
  case when j.owner = (select jobs_internal.viewer()) or jobs_internal.reads(j.owner) then j.error
    when (select jobs_internal.caller_is('jobs_operator'))
      then j.error - 'detail' - 'context' end as error,
  case when (select jobs_internal.viewer()) in (j.owner, j.enqueued_by)
    or (select jobs_internal.caller_is('jobs_operator'))
    then coalesce(j.note, '{}') end as note,
  j.timeout,
  j.unique_key,
  case when (select jobs_internal.viewer()) in (j.owner, j.enqueued_by)
    or jobs_internal.reads(j.owner)
    then coalesce(j.args, '{}') end as args,
  case when j.owner = (select jobs_internal.viewer()) or jobs_internal.reads(j.owner)
    then coalesce(j.settings, '{}') end as settings,
  case when j.call_template_id is null
    and (j.owner = (select jobs_internal.viewer()) or jobs_internal.reads(j.owner))
    then case when j.bucket is null then (select st.body from jobs_internal.statement as st
        where st.job_id = j.id)
      else (select st.body from jobs_internal.finished_statement as st where st.job_id = j.id
          and st.bucket = j.bucket) end end as statement,
  case when j.call_template_id is null
    and (j.owner = (select jobs_internal.viewer()) or jobs_internal.reads(j.owner))
    then case when j.bucket is null then (select st.done_when from jobs_internal.statement as st
        where st.job_id = j.id)
      else (select st.done_when from jobs_internal.finished_statement as st where st.job_id = j.id
          and st.bucket = j.bucket) end end as done_when,
  case when j.call_template_id is null
    and (j.owner = (select jobs_internal.viewer()) or jobs_internal.reads(j.owner))
    then case when j.bucket is null then (select st.rollback_sql from jobs_internal.statement as st
        where st.job_id = j.id)
      else (select st.rollback_sql from jobs_internal.finished_statement as st
          where st.job_id = j.id
          and st.bucket = j.bucket) end end as rollback,
  pg_get_userbyid(coalesce(j.enqueued_by, j.owner))::text as enqueued_by,
  case
    when j.bucket is not null or j.state not in ('scheduled', 'queued') then null
    when j.state = 'queued' and j.id in (select a.job_id from active as a) then null
    when j.due_at = 'infinity' and exists (select from jobs_internal.dependency as d
        where d.child = j.id and not d.broken)
      then (select 'the end of ' || case when count(*) = 1 then 'job ' || min(d.parent)
            else count(*) || ' jobs' end
          from jobs_internal.dependency as d where d.child = j.id and not d.broken)
    when j.due_at = 'infinity' and exists (select from jobs_internal.key_wait as w
        where w.job_id = j.id) then 'a place of its key'
    when j.due_at = 'infinity' and exists (select from jobs_internal.window_wait as w
        where w.job_id = j.id)
      then (select 'its window ' || w.name from jobs_internal.window_wait as w
        where w.job_id = j.id)
    when j.due_at > (select clock_timestamp())
      then case when j.snoozes > 0 and j.error is null then 'the end of its snooze'
      when j.attempt > 0 or j.error is not null then 'its next attempt'
      else 'its time' end
    -- Found once for each lane, and not for each job.
    else coalesce((select jobs_internal.lane_waits()) ->> (j.queue_id || ' ' || j.owner || ' '
          || j.priority),
      case when j.call_template_id = any ((select jobs_internal.functions_gone())::integer[])
        then 'its turn, to fail: its function is not what it was'
      when j.crashes > 0 then 'a run by itself, because it ran when the server crashed'
        else 'its turn' end)
  end as waits_for,
  j.dismissed_at,
  j.dismissed_by,
  coalesce(
    case when (select jobs_internal.viewer()) in (j.owner, j.enqueued_by)
      or (select jobs_internal.caller_is('jobs_operator'))
      then j.options ->> 'title' end,
    case when j.call_template_id is not null
      then (select s.task from jobs_internal.call_template as s where s.id = j.call_template_id)
      when j.bucket is null then (select st.command || coalesce(' ' || st.object, '')
          from jobs_internal.statement as st where st.job_id = j.id)
      else (select st.command || coalesce(' ' || st.object, '')
          from jobs_internal.finished_statement as st
        where st.job_id = j.id and st.bucket = j.bucket)
    end) as title,
  coalesce(j.snoozes, 0) as snoozes,
  case when j.bucket is not null and j.options ? 'reuse_for'
    then (select coalesce(sum(u.times), 0)::bigint from jobs_internal.reuse as u
      where u.job_id = j.id) else 0 end as reused,
  case when j.options ? 'after' then array(
    select e::bigint from jsonb_array_elements_text(j.options -> 'after') as e) end as after,
  (j.options ->> 'batch')::bigint as batch
from (
  select l.id, null::integer as bucket, l.queue_id, l.owner, l.state, l.call_template_id, l.attempt,
    l.max_attempts, l.priority, l.run_at, l.created_at,
    l.started_at,
    null::timestamptz as finished_at, null::jsonb as result, l.error, l.note, l.timeout,
      l.unique_key, l.args, l.settings, l.enqueued_by, l.due_at,
    l.crashes,
    null::timestamptz as dismissed_at, null::text as dismissed_by, l.options, l.snoozes
  from jobs_internal.job as l
  union all
  select f.id, f.bucket, f.queue_id, f.owner, f.state, f.call_template_id, f.attempt,
    f.max_attempts,
    f.priority, f.run_at, f.created_at,
    f.started_at, f.finished_at, f.result, f.error, f.note, f.timeout, f.unique_key, f.args,
      f.settings, f.enqueued_by, null, 0::smallint,
    f.dismissed_at, f.dismissed_by, f.options, f.snoozes
  from jobs_internal.finished as f
) as j
where (select jobs_internal.viewer()) in (j.owner, j.enqueued_by)
  or (select jobs_internal.caller_is('jobs_reader'))
  or (select jobs_internal.caller_is('jobs_operator'))
order by j.id desc;
comment on view jobs.job is 'Every job, live or finished, the latest first';
comment on column jobs.job.id is 'Number of the job';
comment on column jobs.job.queue is 'Queue';
comment on column jobs.job.owner is 'Role that it runs as';
comment on column jobs.job.task
  is 'Function; of a statement its first words, with its object where it can be read';
comment on column jobs.job.state is 'scheduled (waits for run_at or for its lane), queued, '
  'running, succeeded, failed, cancelled, in_doubt';
comment on column jobs.job.attempt is 'Attempts made or under way, count';
comment on column jobs.job.max_attempts is 'Attempts allowed, count';
comment on column jobs.job.priority is 'high, normal or low';
comment on column jobs.job.run_at is 'Not before this time, as enqueued';
comment on column jobs.job.created_at is 'Start of the transaction that enqueued it';
comment on column jobs.job.started_at is 'Start of the present or last attempt';
comment on column jobs.job.finished_at is 'End of the last attempt; null: not finished';
comment on column jobs.job.result is 'What the function returned; of a statement {"rows": count} '
  'or {"command_tag": text}, of a CALL its OUT values';
comment on column jobs.job.error is 'Error of the last attempt: sqlstate, message, detail, hint, '
  'context; the detail and context for those who see the arguments';
comment on column jobs.job.note is 'What a person wants beside the job';
comment on column jobs.job.timeout is 'Longest time that an attempt may take; null: no limit';
comment on column jobs.job.unique_key is 'At most one unfinished job per owner, queue and key; '
  'each enqueuer by a publication has keys of its own';
comment on column jobs.job.args is 'Arguments, as cast at enqueue';
comment on column jobs.job.settings is 'Settings for this job alone';
comment on column jobs.job.statement is 'The statement of jobs.enqueue_sql; of '
  'jobs.enqueue_steps the present one, or the one at which the job ended';
comment on column jobs.job.done_when
  is 'Post-condition of the statement: given, or known by pyworker';
comment on column jobs.job.rollback
  is 'Statement that undoes it, as it was given: jobs.undo runs it';
comment on column jobs.job.enqueued_by
  is 'Role that enqueued it: its owner, or another by a publication';
comment on column jobs.job.waits_for is 'Why it does not start, in short: the first that holds of '
  'jobs.wait_reasons; null: it runs, or is finished. jobs.explain(id) says more';
comment on column jobs.job.dismissed_at
  is 'When its failure was dismissed (jobs.dismiss); null: not, or it has been retried since';
comment on column jobs.job.title is 'Title, as in jobs.running';
comment on column jobs.job.dismissed_by is 'Login that dismissed it';
comment on column jobs.job.snoozes is 'Runs that ended with jobs.snooze, and charged no attempt; '
  'started_at is that of the last run';
comment on column jobs.job.reused is 'How often its result was the answer to another '
  'enqueue, by the option reuse_for';
comment on column jobs.job.after is 'Jobs whose end it waits for, or waited for, as enqueued';
comment on column jobs.job.batch is 'Batch that it belongs to; jobs.batch_jobs lists those of one';

-- jobs.finished and jobs.failed.

-- These two are ordered by what they show, to the second, and by nothing else that had to be
-- joined: so the plan walks the index of each partition also where the reader asks for "order by
-- finished_at desc limit 20".
create or replace view jobs.failed with (security_barrier) as
select
  f.id,
  (select q.name from jobs_internal.queue as q where q.id = f.queue_id) as queue,
  pg_get_userbyid(f.owner)::text as owner,
  case when f.call_template_id is null then (select st.command || coalesce(' ' || st.object, '')
      from jobs_internal.finished_statement as st where st.job_id = f.id and st.bucket = f.bucket)
    else (select s.task from jobs_internal.call_template as s where s.id = f.call_template_id) end
      as task,
  f.state,
  f.outcome,
  f.attempt,
  f.finished_at::timestamptz(0) as finished_at,
  f.error ->> 'sqlstate' as sqlstate,
  case when f.owner = (select jobs_internal.viewer())
    or (select jobs_internal.caller_is('jobs_operator'))
    then case when length(f.error ->> 'message') > 40 then left(f.error ->> 'message', 37) || '...'
      else f.error ->> 'message' end
  end as message
from jobs_internal.finished as f
where f.state in ('failed', 'in_doubt') and f.dismissed_at is null
  and (f.owner = (select jobs_internal.viewer()) or (select jobs_internal.caller_is('jobs_reader'))
      or (select jobs_internal.caller_is('jobs_operator')))
order by f.finished_at::timestamptz(0) desc, f.finished_at desc;
comment on view jobs.failed is 'Jobs that failed or are in doubt and were not dismissed, the '
  'latest first; jobs.retry(id) runs one again, jobs.dismiss(id) takes it off this list';
comment on column jobs.failed.id is 'Number of the job';
comment on column jobs.failed.queue is 'Queue';
comment on column jobs.failed.owner is 'Owner';
comment on column jobs.failed.task
  is 'Function; of a statement its first words, with its object where it can be read';
comment on column jobs.failed.state is 'failed or in_doubt';
comment on column jobs.failed.outcome
  is 'Outcome of the last attempt: failed, timed_out, lost, in_doubt';
comment on column jobs.failed.attempt is 'Attempts made, count';
comment on column jobs.failed.finished_at is 'End of the last attempt';
comment on column jobs.failed.sqlstate is 'SQLSTATE of its error';
comment on column jobs.failed.message
  is 'Message of its error, cut at 40 characters; all of it is in jobs.job.error';

create or replace view jobs.finished with (security_barrier) as
select
  f.id,
  (select q.name from jobs_internal.queue as q where q.id = f.queue_id) as queue,
  pg_get_userbyid(f.owner)::text as owner,
  case when f.call_template_id is null then (select st.command || coalesce(' ' || st.object, '')
      from jobs_internal.finished_statement as st where st.job_id = f.id and st.bucket = f.bucket)
    else (select s.task from jobs_internal.call_template as s where s.id = f.call_template_id) end
      as task,
  f.state,
  f.outcome,
  f.attempt,
  f.finished_at::timestamptz(0) as finished_at,
  round((extract(epoch from f.started_at - greatest(f.created_at, f.run_at)) * 1000)::numeric,
      1) as wait_ms,
  round((extract(epoch from f.finished_at - f.started_at) * 1000)::numeric, 1) as run_ms
from jobs_internal.finished as f
where f.owner = (select jobs_internal.viewer()) or (select jobs_internal.caller_is('jobs_reader'))
  or (select jobs_internal.caller_is('jobs_operator'))
order by f.finished_at::timestamptz(0) desc, f.finished_at desc;
comment on view jobs.finished
  is 'Finished jobs, the latest first, until their queue''s retention removes them';
comment on column jobs.finished.id is 'Number of the job';
comment on column jobs.finished.queue is 'Queue';
comment on column jobs.finished.owner is 'Owner';
comment on column jobs.finished.task
  is 'Function; of a statement its first words, with its object where it can be read';
comment on column jobs.finished.state is 'succeeded, failed, cancelled or in_doubt';
comment on column jobs.finished.outcome is 'Outcome of the last attempt; null: never ran';
comment on column jobs.finished.attempt is 'Attempts made, count';
comment on column jobs.finished.finished_at is 'End of the last attempt, or time of the cancel';
comment on column jobs.finished.wait_ms
  is 'From due (or enqueued) to the start of the last attempt, ms';
comment on column jobs.finished.run_ms is 'Duration of the last attempt, ms';

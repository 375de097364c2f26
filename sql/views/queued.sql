-- jobs.queued.

-- In the order of the ids, which is an index's: "limit 20" reads some rows, and not all that wait.
-- Names are joined from the left, so that who only counts joins nothing.
create or replace view jobs.queued with (security_barrier) as
select
  j.id,
  q.name as queue,
  pg_get_userbyid(j.owner)::text as owner,
  coalesce(s.task, st.command || coalesce(' ' || st.object, '')) as task,
  j.state,
  case j.priority when 0 then 'high' when 1 then 'normal' else 'low' end as priority,
  j.attempt,
  j.max_attempts,
  coalesce(nullif(j.due_at, 'infinity'), j.run_at)::timestamptz(0) as due_at,
  date_trunc('second', now() - j.created_at) as age,
  case when j.owner = (select jobs_internal.viewer())
    or (select jobs_internal.caller_is('jobs_operator'))
    then j.error ->> 'message' end as last_error,
  case
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
  coalesce(case when j.owner = (select jobs_internal.viewer())
      or (select jobs_internal.caller_is('jobs_operator')) then j.options ->> 'title' end,
    s.task, st.command || coalesce(' ' || st.object, '')) as title
from jobs_internal.job as j
left join jobs_internal.queue as q on q.id = j.queue_id
left join jobs_internal.call_template as s on s.id = j.call_template_id
left join jobs_internal.statement as st on st.job_id = j.id and j.call_template_id is null
where j.state in ('scheduled', 'queued')
  and j.id not in (select a.job_id from jobs_internal.activity() as a where a.job_id is not null)
  and (j.owner = (select jobs_internal.viewer()) or (select jobs_internal.caller_is('jobs_reader'))
      or (select jobs_internal.caller_is('jobs_operator')))
order by j.id;
comment on view jobs.queued is 'Jobs that wait, in the order of their ids';
comment on column jobs.queued.id is 'Number of the job';
comment on column jobs.queued.queue is 'Queue';
comment on column jobs.queued.owner is 'Owner';
comment on column jobs.queued.task
  is 'Function; of a statement its first words, with its object where it can be read';
comment on column jobs.queued.state is 'queued: next in its lane; scheduled: waits for due_at';
comment on column jobs.queued.priority is 'high, normal or low';
comment on column jobs.queued.attempt is 'Attempts made, count';
comment on column jobs.queued.max_attempts is 'Attempts allowed, count';
comment on column jobs.queued.due_at is 'When it may start';
comment on column jobs.queued.age is 'Time since it was enqueued';
comment on column jobs.queued.waits_for is 'Why it does not start, as in jobs.job; never null';
comment on column jobs.queued.title is 'Title, as in jobs.running';
comment on column jobs.queued.last_error is 'Message of the last attempt''s error';

-- jobs.running.

create or replace view jobs.running with (security_barrier) as
select
  a.job_id as id,
  coalesce(s.task, st.command || coalesce(' ' || st.object, '')) as task,
  pg_get_userbyid(a.owner)::text as owner,
  a.pid,
  a.child_pid,
  a.started_at::timestamptz(0) as started_at,
  a.done,
  coalesce(a.total, p.total) as total,
  case when p.job_id is not null then p.percent
    when a.total > 0 then round(100 * least(a.done / a.total, 1), 1) end as percent,
  case when p.job_id is not null then p.eta
    else jobs_internal.eta(a.started_at, a.done, a.total, a.first_done, a.first_at, a.attempt = 1
      and j.interruptions = 0 and j.crashes = 0) end as eta,
  a.message,
  a.wait_event,
  a.blocked_by,
  (select q.name from jobs_internal.queue as q where q.id = j.queue_id) as queue,
  a.attempt,
  date_trunc('second', clock_timestamp() - a.started_at) as elapsed,
  (a.started_at + j.timeout)::timestamptz(0) as deadline,
  coalesce(case when a.owner = (select jobs_internal.viewer())
      or (select jobs_internal.caller_is('jobs_operator')) then j.options ->> 'title' end,
    s.task, st.command || coalesce(' ' || st.object, '')) as title
from jobs_internal.activity() as a
left join jobs_internal.live_operations() as p on p.job_id = a.job_id
left join jobs_internal.job as j on j.id = a.job_id
left join jobs_internal.call_template as s on s.id = j.call_template_id
left join jobs_internal.statement as st on st.job_id = j.id and j.call_template_id is null
where a.job_id is not null and j.id is not null
order by a.started_at, a.job_id;
comment on view jobs.running is 'Jobs that run now, the oldest first, live';
comment on column jobs.running.id is 'Number of the job';
comment on column jobs.running.task
  is 'Function; of a statement its first words, with its object where it can be read';
comment on column jobs.running.owner is 'Owner';
comment on column jobs.running.pid
  is 'Process of the worker session; null: it died, and the child session goes on alone';
comment on column jobs.running.child_pid
  is 'Process of the child session that runs a top-level statement';
comment on column jobs.running.started_at is 'Start of this attempt';
comment on column jobs.running.done
  is 'How much is done: of jobs.progress, else what the server''s '
  'own progress counts in the present phase (blocks, tuples, lockers, ...)';
comment on column jobs.running.total
  is 'Of how much, in the same unit; of a long operation within the present phase';
comment on column jobs.running.percent is 'done of total, in percent; of a long operation over all '
  'its phases, as in jobs.operations';
comment on column jobs.running.eta is 'When it ends if it goes on as since the first report of '
  'this attempt; of a long operation as in jobs.operations; null: not known yet, or it waits';
comment on column jobs.running.message
  is 'Text of jobs.progress, else the phase of the server''s own progress';
comment on column jobs.running.wait_event
  is 'What its session waits for, type:event; null: it works';
comment on column jobs.running.blocked_by is 'Processes whose locks it waits for';
comment on column jobs.running.queue is 'Queue';
comment on column jobs.running.attempt is 'Number of this attempt, from 1';
comment on column jobs.running.elapsed is 'Time since its start';
comment on column jobs.running.deadline is 'When its timeout ends it; null: no limit';
comment on column jobs.running.title is 'Title that it was given (option title; for the owner and '
  'operators), else its task, of a statement with what it works on';

-- Narrow siblings of the wide views: what people look at first, cut to fit 160 columns as psql
-- prints them. To filter and to join, use the wide ones.

-- A text that is cut where it is too long, on one line.
create or replace function jobs_internal.shortened(p_text text, p_length integer)
returns text
language sql immutable
set search_path = pg_catalog, pg_temp
begin atomic
  select case when length(t.line) > p_length then left(t.line, greatest(p_length - 3, 0)) || '...'
    else t.line end
  from (select regexp_replace(p_text, '\s+', ' ', 'g') as line) as t;
end;

create or replace view jobs.job_list with (security_barrier) as
select
  j.id,
  jobs_internal.shortened(j.queue, 12) as queue,
  jobs_internal.shortened(j.owner, 12) as owner,
  jobs_internal.shortened(j.title, 40) as title,
  j.state,
  j.attempt || '/' || j.max_attempts as tries,
  to_char(coalesce(j.finished_at, j.started_at, greatest(j.run_at, j.created_at)),
      'MM-DD HH24:MI:SS') as at,
  jobs_internal.shortened(coalesce(j.waits_for, j.error ->> 'message', j.result::text), 36) as says
from jobs.job as j
order by j.id desc;
comment on view jobs.job_list
  is 'jobs.job in 160 columns: every job, live or finished, the latest first';
comment on column jobs.job_list.id is 'Number of the job';
comment on column jobs.job_list.queue is 'Queue, cut at 12 characters';
comment on column jobs.job_list.owner is 'Role that it runs as, cut at 12 characters';
comment on column jobs.job_list.title is 'Title, as in jobs.running, cut at 40 characters';
comment on column jobs.job_list.state is 'State, as in jobs.job';
comment on column jobs.job_list.tries is 'Attempts made or under way, of those allowed';
comment on column jobs.job_list.at
  is 'Month, day and time of its end, else of its start, else when it may start';
comment on column jobs.job_list.says
  is 'Why it waits, else its last error''s message, else its result; cut at 36 characters';

create or replace view jobs.queued_list with (security_barrier) as
select
  q.id,
  jobs_internal.shortened(q.queue, 12) as queue,
  jobs_internal.shortened(q.owner, 12) as owner,
  jobs_internal.shortened(q.title, 40) as title,
  q.priority,
  q.attempt || '/' || q.max_attempts as tries,
  to_char(q.due_at, 'MM-DD HH24:MI:SS') as due,
  jobs_internal.shortened(q.waits_for, 36) as waits_for
from jobs.queued as q;
comment on view jobs.queued_list
  is 'jobs.queued in 160 columns: jobs that have not started, in the order of jobs.queued';
comment on column jobs.queued_list.id is 'Number of the job';
comment on column jobs.queued_list.queue is 'Queue, cut at 12 characters';
comment on column jobs.queued_list.owner is 'Owner, cut at 12 characters';
comment on column jobs.queued_list.title is 'Title, as in jobs.running, cut at 40 characters';
comment on column jobs.queued_list.priority is 'high, normal or low';
comment on column jobs.queued_list.tries is 'Attempts made, of those allowed';
comment on column jobs.queued_list.due is 'Month, day and time when it may start';
comment on column jobs.queued_list.waits_for is 'Why it does not start, cut at 36 characters';

create or replace view jobs.running_list with (security_barrier) as
select
  r.id,
  jobs_internal.shortened(r.queue, 12) as queue,
  jobs_internal.shortened(r.owner, 12) as owner,
  jobs_internal.shortened(r.title, 40) as title,
  r.pid,
  r.elapsed,
  r.percent,
  to_char(r.eta, 'MM-DD HH24:MI') as eta,
  jobs_internal.shortened(r.wait_event, 24) as wait_event,
  jobs_internal.shortened(array_to_string(r.blocked_by, ' '), 12) as blocked_by
from jobs.running as r;
comment on view jobs.running_list is 'jobs.running in 160 columns: jobs that run now';
comment on column jobs.running_list.id is 'Number of the job';
comment on column jobs.running_list.queue is 'Queue, cut at 12 characters';
comment on column jobs.running_list.owner is 'Owner, cut at 12 characters';
comment on column jobs.running_list.title is 'Title, as in jobs.running, cut at 40 characters';
comment on column jobs.running_list.pid is 'Process of its worker session';
comment on column jobs.running_list.elapsed is 'Time since its start';
comment on column jobs.running_list.percent is 'Percent done, as far as it tells';
comment on column jobs.running_list.eta is 'Month, day and time when it may be done';
comment on column jobs.running_list.wait_event is 'What it waits for, cut at 24 characters';
comment on column jobs.running_list.blocked_by is 'Processes that block it, cut at 12 characters';

create or replace view jobs.failed_list with (security_barrier) as
select
  f.id,
  jobs_internal.shortened(f.queue, 12) as queue,
  jobs_internal.shortened(f.owner, 12) as owner,
  jobs_internal.shortened(f.task, 28) as task,
  coalesce(f.outcome, f.state) as outcome,
  f.attempt as tries,
  to_char(f.finished_at, 'MM-DD HH24:MI:SS') as at,
  f.sqlstate,
  jobs_internal.shortened(f.message, 36) as message
from jobs.failed as f
order by f.finished_at desc;
comment on view jobs.failed_list
  is 'jobs.failed in 160 columns: jobs that failed or are in doubt, the latest first';
comment on column jobs.failed_list.id is 'Number of the job';
comment on column jobs.failed_list.queue is 'Queue, cut at 12 characters';
comment on column jobs.failed_list.owner is 'Owner, cut at 12 characters';
comment on column jobs.failed_list.task is 'Function, or the first words of the statement, with '
  'its object where it can be read, cut at 28 characters';
comment on column jobs.failed_list.outcome is 'Outcome of the last attempt';
comment on column jobs.failed_list.tries is 'Attempts made, count';
comment on column jobs.failed_list.at is 'Month, day and time of its end';
comment on column jobs.failed_list.sqlstate is 'SQLSTATE of its error';
comment on column jobs.failed_list.message is 'Message of its error, cut at 36 characters';

create or replace view jobs.attempt_list with (security_barrier) as
select
  a.job_id,
  a.attempt,
  a.outcome,
  to_char(a.started_at, 'MM-DD HH24:MI:SS') as started,
  to_char(a.finished_at, 'MM-DD HH24:MI:SS') as finished,
  coalesce(a.child_pid, a.pid) as pid,
  a.run_ms,
  a.waited_ms,
  a.rows,
  jobs_internal.shortened(coalesce(a.error ->> 'sqlstate' || ' ' || (a.error ->> 'message'),
        a.result::text), 44) as says
from jobs.attempts as a
order by a.job_id desc, a.attempt;
comment on view jobs.attempt_list
  is 'jobs.attempts in 160 columns: attempts, the latest job first, its attempts in their order';
comment on column jobs.attempt_list.job_id is 'Job';
comment on column jobs.attempt_list.attempt is 'Number of the attempt, from 1';
comment on column jobs.attempt_list.outcome is 'Outcome; null: it runs';
comment on column jobs.attempt_list.started is 'Month, day and time of its start';
comment on column jobs.attempt_list.finished is 'Month, day and time of its end';
comment on column jobs.attempt_list.pid
  is 'Process of its child session, else of its worker session';
comment on column jobs.attempt_list.run_ms is 'Wall time, ms';
comment on column jobs.attempt_list.waited_ms
  is 'Time that it waited in its lane for a session, ms';
comment on column jobs.attempt_list.rows
  is 'Rows that its statement changed or returned, or its function returned as a set';
comment on column jobs.attempt_list.says is 'Its error, else its result; cut at 44 characters';

create or replace view jobs.queue_list with (security_barrier) as
select jobs_internal.shortened(q.queue, 24) as queue, q.paused, q.accepting, q.concurrency, q.slots,
  q.queued, q.running, q.scheduled, q.oldest,
  q.failed, q.rate
from jobs.queues as q
order by q.queue;
comment on view jobs.queue_list is 'jobs.queues in 160 columns: queues, with the figures of the '
  'jobs that you may see, and without their defaults';
comment on column jobs.queue_list.queue is 'Name, cut at 24 characters';
comment on column jobs.queue_list.paused is 'Its jobs do not start';
comment on column jobs.queue_list.accepting is 'It accepts new jobs';
comment on column jobs.queue_list.concurrency
  is 'Jobs that run at once at most, count; null: no limit';
comment on column jobs.queue_list.slots is 'Slots that sessions hold, count, of concurrency';
comment on column jobs.queue_list.queued is 'Jobs that wait in their lanes, count';
comment on column jobs.queue_list.running is 'Jobs that run, count';
comment on column jobs.queue_list.scheduled is 'Jobs that wait for their time or a retry, count';
comment on column jobs.queue_list.oldest is 'How long the job that is due longest waits';
comment on column jobs.queue_list.failed is 'Jobs kept that failed or are in doubt, count';
comment on column jobs.queue_list.rate
  is 'Attempts that ended per second, over the last 5 minutes, of all owners';

create or replace view jobs.health_list with (security_barrier) as
select
  h."check",
  h.status,
  (select string_agg(w.line, E'\n')
      from jobs_internal.wrapped(coalesce(h.detail, ''), '', 56) as w(line)) as detail,
  (select string_agg(w.line, E'\n')
      from jobs_internal.wrapped(coalesce(h.remedy, ''), '', 56) as w(line)) as remedy
from jobs.health as h
order by array_position(array['critical', 'warning', 'ok'], h.status);
comment on view jobs.health_list
  is 'jobs.health in 160 columns, the worst first: long texts are in lines';
comment on column jobs.health_list."check" is 'What is checked';
comment on column jobs.health_list.status is 'ok, warning or critical';
comment on column jobs.health_list.detail is 'What was found';
comment on column jobs.health_list.remedy is 'What to do; null: nothing';

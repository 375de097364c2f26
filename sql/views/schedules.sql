-- jobs.schedules and jobs.schedule_runs: an owner sees its own; readers and operators see all.

-- What has to be reckoned for each row is reckoned outside of the part that sorts: of many
-- schedules only for those that are read.

create or replace view jobs.schedules with (security_barrier) as
select
  s.name,
  s.owner_name as owner,
  s.expression as schedule,
  jobs_internal.schedule_in_words(s.timetable, s.timezone) as in_words,
  s.timezone,
  s.task,
  s.paused_at is not null as paused,
  date_trunc('second', s.next_at) as next_at,
  date_trunc('second', s.last_due) as last_at,
  s.last_job,
  coalesce(j.state, f.state) as last_state,
  round(extract(epoch from f.finished_at - f.started_at), 3) as last_seconds,
  s.overlap,
  s.missed,
  case when s.last_job is null then 0 else jobs_internal.failures_seen(s.id) end
    as failures_in_a_row,
  s.missed_within,
  s.jitter,
  s.starts_at,
  s.ends_at,
  s.pause_after,
  s.paused_at,
  coalesce(s.paused_by, s.paused_why) as paused_by,
  (select q.name from jobs_internal.queue as q where q.id = s.queue_id) as queue,
  s.created_at
from (
  select s.*, pg_get_userbyid(s.owner)::text as owner_name, t.next_at, t.last_due, t.last_job
  from jobs_internal.schedule as s
  left join jobs_internal.schedule_state as t on t.schedule_id = s.id
  where s.dropped_at is null and (s.owner = (select jobs_internal.viewer())
      or (select jobs_internal.caller_is('jobs_reader'))
      or (select jobs_internal.caller_is('jobs_operator'))
      or (select jobs_internal.caller_is('jobs_supervisor')))
  order by s.name, owner_name
) as s
left join lateral (
  select l.state from jobs_internal.job as l where l.id = s.last_job offset 0) as j on true
left join lateral (
  select h.state, h.started_at, h.finished_at from jobs_internal.finished as h
  where h.id = s.last_job limit 1) as f on true;
comment on view jobs.schedules is 'What is enqueued again and again, and when; made by '
  'jobs.schedule and jobs.schedule_sql';
comment on column jobs.schedules.name is 'Name, one of its owner''s';
comment on column jobs.schedules.owner is 'Role that its jobs run as';
comment on column jobs.schedules.schedule is 'When, as it was written';
comment on column jobs.schedules.in_words is 'The same in words';
comment on column jobs.schedules.timezone is 'Time zone in which that is meant';
comment on column jobs.schedules.task is 'Function that is called, or what the statement does';
comment on column jobs.schedules.paused is 'It fires nothing until jobs.resume_schedule';
comment on column jobs.schedules.next_at is 'When it fires next; null: never, it is paused, or it '
  'counts from the end of the job that runs';
comment on column jobs.schedules.last_at is 'Occurrence that was fired last';
comment on column jobs.schedules.last_job is 'Job of that';
comment on column jobs.schedules.last_state is 'State of that job; null: it is gone from history';
comment on column jobs.schedules.last_seconds is 'How long its last attempt took';
comment on column jobs.schedules.overlap is 'What happens while an earlier job is unfinished';
comment on column jobs.schedules.missed is 'Which missed occurrences are made up for';
comment on column jobs.schedules.failures_in_a_row is 'How many of its last runs failed, one after '
  'the other; of the last hundred';
comment on column jobs.schedules.missed_within is 'How old one may be that is made up for; null: '
  'the time between two, at most a day';
comment on column jobs.schedules.jitter is 'By how much it is put off at most';
comment on column jobs.schedules.starts_at is 'No occurrence before';
comment on column jobs.schedules.ends_at is 'No occurrence from then on';
comment on column jobs.schedules.pause_after is 'So many failures in a row pause it';
comment on column jobs.schedules.paused_at is 'When it was paused';
comment on column jobs.schedules.paused_by is 'Login that paused it, or why it is paused';
comment on column jobs.schedules.queue is 'Queue of its jobs';
comment on column jobs.schedules.created_at is 'When it was made';

create or replace view jobs.schedule_runs with (security_barrier) as
select
  r.name,
  r.due_at,
  date_trunc('milliseconds', r.fired_at) as fired_at,
  r.outcome,
  r.reason,
  r.job_id,
  r.owner_name as owner,
  r.until,
  r.occurrences,
  r.rerun,
  coalesce((select l.state from jobs_internal.job as l where l.id = r.job_id),
    (select h.state from jobs_internal.finished as h where h.id = r.job_id limit 1)) as state
from (
  select r.*, s.name, pg_get_userbyid(s.owner)::text as owner_name
  from jobs_internal.schedule_run as r
  join jobs_internal.schedule as s on s.id = r.schedule_id
  where s.owner = (select jobs_internal.viewer())
    or (select jobs_internal.caller_is('jobs_reader'))
    or (select jobs_internal.caller_is('jobs_operator'))
    or (select jobs_internal.caller_is('jobs_supervisor'))
  order by r.due_at desc, r.rerun desc
) as r;
comment on view jobs.schedule_runs is 'What became of each occurrence of the schedules, the latest '
  'first; one row may stand for a stretch of them';
comment on column jobs.schedule_runs.name is 'Schedule';
comment on column jobs.schedule_runs.due_at is 'Occurrence; of a stretch the first';
comment on column jobs.schedule_runs.fired_at is 'When that was decided';
comment on column jobs.schedule_runs.outcome is 'fired: its job was enqueued; queued: it will be, '
  'when the one before has ended; skipped; coalesced: a later one stands for it; missed; paused; '
  'outside window: a later one comes before its window opens';
comment on column jobs.schedule_runs.reason is 'Why it was not fired';
comment on column jobs.schedule_runs.job_id is 'Job that was enqueued for it';
comment on column jobs.schedule_runs.owner is 'Owner of the schedule';
comment on column jobs.schedule_runs.until is 'Last occurrence of a stretch; null: it is one';
comment on column jobs.schedule_runs.occurrences is 'How many; null: more than 1000';
comment on column jobs.schedule_runs.rerun is 'Number of its repetition by run_schedule or '
  'rerun_schedule; 0: it came by itself';
comment on column jobs.schedule_runs.state is 'State of its job; null: none, or gone from history';

create or replace view jobs.schedule_list with (security_barrier) as
select
  jobs_internal.shortened(s.name, 24) as name,
  jobs_internal.shortened(s.owner_name, 12) as owner,
  jobs_internal.shortened(jobs_internal.schedule_in_words(s.timetable, s.timezone), 42) as "when",
  jobs_internal.shortened(s.task, 20) as task,
  case when s.paused_at is not null then 'paused' else to_char(s.next_at, 'MM-DD HH24:MI:SS') end
    as next,
  to_char(s.last_due, 'MM-DD HH24:MI:SS') as last,
  coalesce((select l.state from jobs_internal.job as l where l.id = s.last_job),
    (select h.state from jobs_internal.finished as h where h.id = s.last_job limit 1)) as state,
  case when s.last_job is null then 0 else jobs_internal.failures_seen(s.id) end as failed
from (
  select s.*, pg_get_userbyid(s.owner)::text as owner_name, t.next_at, t.last_due, t.last_job
  from jobs_internal.schedule as s
  left join jobs_internal.schedule_state as t on t.schedule_id = s.id
  where s.dropped_at is null and (s.owner = (select jobs_internal.viewer())
      or (select jobs_internal.caller_is('jobs_reader'))
      or (select jobs_internal.caller_is('jobs_operator'))
      or (select jobs_internal.caller_is('jobs_supervisor')))
  order by t.next_at, s.name
) as s;
comment on view jobs.schedule_list is 'jobs.schedules in 160 columns: the next one first';
comment on column jobs.schedule_list.name is 'Name, cut at 24 characters';
comment on column jobs.schedule_list.owner is 'Owner, cut at 12 characters';
comment on column jobs.schedule_list."when" is 'When, in words, cut at 42 characters';
comment on column jobs.schedule_list.task is 'What it runs, cut at 20 characters';
comment on column jobs.schedule_list.next is 'When it fires next; paused; null: not for now';
comment on column jobs.schedule_list.last is 'Occurrence that was fired last';
comment on column jobs.schedule_list.state is 'State of the job of that';
comment on column jobs.schedule_list.failed is 'How many of its runs failed in a row up to now';

create or replace view jobs.schedule_run_list with (security_barrier) as
select
  jobs_internal.shortened(r.name, 24) as name,
  to_char(r.due_at, 'YYYY-MM-DD HH24:MI:SS') as due,
  to_char(r.until, 'MM-DD HH24:MI:SS') as until,
  r.occurrences as runs,
  r.outcome,
  r.job_id as job,
  r.state,
  jobs_internal.shortened(r.reason, 44) as reason
from jobs.schedule_runs as r;
comment on view jobs.schedule_run_list is 'jobs.schedule_runs in 160 columns: the latest first';
comment on column jobs.schedule_run_list.name is 'Schedule, cut at 24 characters';
comment on column jobs.schedule_run_list.due is 'Occurrence; of a stretch the first';
comment on column jobs.schedule_run_list.until is 'Last occurrence of a stretch';
comment on column jobs.schedule_run_list.runs is 'How many; null: more than 1000';
comment on column jobs.schedule_run_list.outcome is 'As in jobs.schedule_runs';
comment on column jobs.schedule_run_list.job is 'Job that was enqueued';
comment on column jobs.schedule_run_list.state is 'State of that';
comment on column jobs.schedule_run_list.reason is 'Why it was not fired, cut at 44 characters';

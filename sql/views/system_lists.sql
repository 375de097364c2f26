-- Narrow siblings of the other views that do not fit 160 columns, as those of lists.sql.

-- A text in lines of so many characters at most, as psql prints them in one cell; null stays null.
create or replace function jobs_internal.folded(p_text text, p_width integer)
returns text
language sql immutable
set search_path = pg_catalog, pg_temp
begin atomic
  select string_agg(w.line, E'\n' order by w.n) from jobs_internal.wrapped(p_text, '', p_width)
    with ordinality as w(line, n);
end;

create or replace view jobs.finished_list with (security_barrier) as
select
  f.id,
  jobs_internal.shortened(f.queue, 12) as queue,
  jobs_internal.shortened(f.owner, 12) as owner,
  jobs_internal.shortened(f.task, 40) as task,
  f.state,
  f.outcome,
  f.attempt as tries,
  to_char(f.finished_at, 'MM-DD HH24:MI:SS') as at,
  round(f.wait_ms) as wait_ms,
  round(f.run_ms) as run_ms
from jobs.finished as f;
comment on view jobs.finished_list
  is 'jobs.finished in 160 columns: jobs that are finished, in the order of jobs.finished';
comment on column jobs.finished_list.id is 'Number of the job';
comment on column jobs.finished_list.queue is 'Queue, cut at 12 characters';
comment on column jobs.finished_list.owner is 'Owner, cut at 12 characters';
comment on column jobs.finished_list.task is 'Task, as in jobs.job, cut at 40 characters';
comment on column jobs.finished_list.state is 'succeeded, failed, cancelled or in_doubt';
comment on column jobs.finished_list.outcome is 'Outcome of the last attempt';
comment on column jobs.finished_list.tries is 'Attempts made, count';
comment on column jobs.finished_list.at is 'Month, day and time of its end';
comment on column jobs.finished_list.wait_ms is 'As in jobs.finished, whole ms';
comment on column jobs.finished_list.run_ms is 'As in jobs.finished, whole ms';

create or replace view jobs.cost_list with (security_barrier) as
select
  c.day,
  jobs_internal.shortened(c.queue, 12) as queue,
  jobs_internal.shortened(c.owner::text, 12) as owner,
  jobs_internal.shortened(c.task, 32) as task,
  c.attempts,
  c.failed,
  round(c.run_ms) as run_ms,
  c.rows,
  pg_size_pretty(c.wal_bytes) as wal,
  pg_size_pretty((c.buffers_hit + c.buffers_read) * current_setting('block_size')::bigint)
    as buffers,
  pg_size_pretty(c.temp_bytes) as temp
from jobs.cost as c;
comment on view jobs.cost_list
  is 'jobs.cost in 160 columns: what jobs cost, in the order of jobs.cost';
comment on column jobs.cost_list.day is 'Day, UTC; kept for a year';
comment on column jobs.cost_list.queue is 'Queue, cut at 12 characters';
comment on column jobs.cost_list.owner is 'Owner, cut at 12 characters';
comment on column jobs.cost_list.task
  is 'Function, or the first words of the statement, cut at 32 characters';
comment on column jobs.cost_list.attempts is 'Attempts, count';
comment on column jobs.cost_list.failed is 'Those that did not succeed, count';
comment on column jobs.cost_list.run_ms is 'Their wall time, whole ms';
comment on column jobs.cost_list.rows
  is 'Rows that their statements changed or returned, or their functions returned as sets';
comment on column jobs.cost_list.wal is 'WAL written; null: not known';
comment on column jobs.cost_list.buffers
  is 'Buffers found in memory and read, as bytes; null: not known';
comment on column jobs.cost_list.temp is 'Temporary files written; null: not known';

create or replace view jobs.session_list with (security_barrier) as
select
  s.id,
  jobs_internal.shortened(s.owner, 16) as owner,
  s.pid,
  to_char(s.started_at, 'MM-DD HH24:MI:SS') as started,
  s.jobs,
  jobs_internal.shortened(s.queue, 16) as queue,
  s.job_id,
  s.attempt,
  s.child_pid,
  jobs_internal.shortened(s.wait_event, 24) as wait_event
from jobs.sessions as s;
comment on view jobs.session_list is 'jobs.sessions in 160 columns: worker sessions';
comment on column jobs.session_list.id is 'Number of the session';
comment on column jobs.session_list.owner is 'Role that it runs as, cut at 16 characters';
comment on column jobs.session_list.pid is 'Its process';
comment on column jobs.session_list.started is 'Month, day and time of its start';
comment on column jobs.session_list.jobs is 'Jobs that it ran, count';
comment on column jobs.session_list.queue is 'Queue of its lane, cut at 16 characters';
comment on column jobs.session_list.job_id is 'Job that it runs; null: none';
comment on column jobs.session_list.attempt is 'Attempt of that job';
comment on column jobs.session_list.child_pid is 'Process of its child session; null: none';
comment on column jobs.session_list.wait_event is 'What it waits for, cut at 24 characters';

create or replace view jobs.supervisor_list with (security_barrier) as
select
  s.id,
  jobs_internal.shortened(s.name, 40) as name,
  s.version,
  s.pid,
  to_char(s.started_at, 'MM-DD HH24:MI:SS') as started,
  to_char(s.last_seen, 'MM-DD HH24:MI:SS') as last_seen,
  s.asleep
from jobs.supervisors as s;
comment on view jobs.supervisor_list is 'jobs.supervisors in 160 columns: supervisors';
comment on column jobs.supervisor_list.id is 'Number of the supervisor';
comment on column jobs.supervisor_list.name
  is 'Its name, of its own host and process where it was not given one, cut at 40 characters';
comment on column jobs.supervisor_list.version is 'Version of the program';
comment on column jobs.supervisor_list.pid is 'Process of its connection';
comment on column jobs.supervisor_list.started is 'Month, day and time of its start';
comment on column jobs.supervisor_list.last_seen is 'Month, day and time of its last round';
comment on column jobs.supervisor_list.asleep is 'It sleeps until it is woken';

create or replace view jobs.log_list with (security_barrier) as
select
  l.job_id,
  l.attempt,
  to_char(l.at, 'MM-DD HH24:MI:SS') as at,
  l.level,
  jobs_internal.folded(l.message, 60) as message,
  jobs_internal.folded(l.fields::text, 40) as fields
from jobs.log_lines as l;
comment on view jobs.log_list
  is 'jobs.log_lines in 160 columns, in the order of jobs.log_lines: long texts are in lines';
comment on column jobs.log_list.job_id is 'Job';
comment on column jobs.log_list.attempt is 'Attempt';
comment on column jobs.log_list.at is 'Month, day and time';
comment on column jobs.log_list.level is 'debug, info, warning or error';
comment on column jobs.log_list.message is 'Message, in lines of 60 characters';
comment on column jobs.log_list.fields is 'Fields, in lines of 40 characters';

create or replace view jobs.audit_list with (security_barrier) as
select
  a.id,
  to_char(a.at, 'MM-DD HH24:MI:SS') as at,
  jobs_internal.shortened(a.login, 16) as login,
  a.action,
  jobs_internal.shortened(a.object, 30) as object,
  jobs_internal.folded(a.before::text, 28) as before,
  jobs_internal.folded(a.after::text, 28) as after
from jobs.audit as a;
comment on view jobs.audit_list
  is 'jobs.audit in 160 columns, in the order of jobs.audit: long texts are in lines';
comment on column jobs.audit_list.id is 'Number of the entry';
comment on column jobs.audit_list.at is 'Month, day and time';
comment on column jobs.audit_list.login is 'Login, cut at 16 characters';
comment on column jobs.audit_list.action is 'What was done';
comment on column jobs.audit_list.object is 'To what, cut at 30 characters';
comment on column jobs.audit_list.before is 'What was there before, in lines of 28 characters';
comment on column jobs.audit_list.after is 'What is there since, in lines of 28 characters';

create or replace view jobs.publication_list with (security_barrier) as
select
  p.id,
  jobs_internal.shortened(p.task, 30) as task,
  jobs_internal.shortened(p.publisher, 16) as publisher,
  jobs_internal.shortened(p.to_role, 16) as to_role,
  jobs_internal.shortened(p.queue, 12) as queue,
  p.timeout,
  p.per_minute,
  p.pending,
  p.jobs_pending as jobs,
  to_char(p.revoked_at, 'MM-DD HH24:MI:SS') as revoked
from jobs.publications as p;
comment on view jobs.publication_list
  is 'jobs.publications in 160 columns: functions that others may enqueue';
comment on column jobs.publication_list.id is 'Number of the publication';
comment on column jobs.publication_list.task is 'Function, cut at 30 characters';
comment on column jobs.publication_list.publisher is 'Owner of the jobs, cut at 16 characters';
comment on column jobs.publication_list.to_role is 'Role that may enqueue it, cut at 16 characters';
comment on column jobs.publication_list.queue is 'Queue, cut at 12 characters';
comment on column jobs.publication_list.timeout is 'As in jobs.publications';
comment on column jobs.publication_list.per_minute is 'As in jobs.publications';
comment on column jobs.publication_list.pending is 'As in jobs.publications';
comment on column jobs.publication_list.jobs is 'Unfinished jobs of it, count';
comment on column jobs.publication_list.revoked
  is 'Month, day and time when it was revoked; null: not';

create or replace view jobs.option_list with (security_barrier) as
select
  o.key,
  o.type,
  array_to_string(o.functions, E'\n') as functions,
  jobs_internal.folded(o.default_value, 40) as default_value,
  jobs_internal.folded(o.meaning, 60) as meaning
from jobs.options as o;
comment on view jobs.option_list is 'jobs.options in 160 columns: long texts are in lines';
comment on column jobs.option_list.key is 'Key';
comment on column jobs.option_list.type is 'Type of its value';
comment on column jobs.option_list.functions is 'Functions of schema jobs that take it, one a line';
comment on column jobs.option_list.default_value is 'What holds without it; null: nothing';
comment on column jobs.option_list.meaning is 'What it does';

create or replace view jobs.wait_reason_list with (security_barrier) as
select w.code, jobs_internal.folded(w.meaning, 60) as meaning,
  jobs_internal.folded(w.remedy, 60) as remedy from jobs.wait_reasons as w;
comment on view jobs.wait_reason_list
  is 'jobs.wait_reasons in 160 columns: long texts are in lines';
comment on column jobs.wait_reason_list.code is 'Code';
comment on column jobs.wait_reason_list.meaning is 'What it means';
comment on column jobs.wait_reason_list.remedy is 'What to do; null: nothing';

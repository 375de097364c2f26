-- jobs.marks and jobs.mark_list.

create or replace view jobs.marks with (security_barrier) as
select
  m.id,
  m.at::timestamptz(0) as at,
  m.kind,
  m.name,
  pg_get_userbyid(m.owner)::text as owner,
  m.set_by,
  m.job_id,
  m.note
from jobs_internal.mark as m
where m.owner = (select jobs_internal.viewer()) or (select jobs_internal.caller_is('jobs_reader'))
  or (select jobs_internal.caller_is('jobs_operator'))
order by m.at desc, m.id desc;
comment on view jobs.marks is 'Marks in time, the latest first: deployments (jobs.mark), and the '
  'starts and ends of long operations; select * from jobs.compare(id) says what is different since';
comment on column jobs.marks.id is 'Number of the mark';
comment on column jobs.marks.at is 'When; of an operation: its start, or its end';
comment on column jobs.marks.kind is 'deploy, operation_start, operation_end, or as given';
comment on column jobs.marks.name is 'What was changed';
comment on column jobs.marks.owner is 'Role that set it; of an operation: owner of the job';
comment on column jobs.marks.set_by is 'Login that set it';
comment on column jobs.marks.job_id is 'Job of the operation; null: set by jobs.mark';
comment on column jobs.marks.note is 'Note';

create or replace view jobs.mark_list with (security_barrier) as
select
  m.id,
  to_char(m.at, 'MM-DD HH24:MI:SS') as at,
  jobs_internal.shortened(m.kind, 16) as kind,
  jobs_internal.shortened(m.name, 40) as name,
  jobs_internal.shortened(m.owner, 12) as owner,
  m.job_id,
  jobs_internal.shortened(m.note::text, 40) as note
from jobs.marks as m;
comment on view jobs.mark_list is 'jobs.marks in 160 columns';
comment on column jobs.mark_list.id is 'Number of the mark';
comment on column jobs.mark_list.at is 'When; of an operation: its start, or its end';
comment on column jobs.mark_list.kind is 'Kind, cut at 16 characters';
comment on column jobs.mark_list.name is 'What was changed, cut at 40 characters';
comment on column jobs.mark_list.owner is 'Role that set it, cut at 12 characters';
comment on column jobs.mark_list.job_id is 'Job of the operation; null: set by jobs.mark';
comment on column jobs.mark_list.note is 'Note, cut at 40 characters';

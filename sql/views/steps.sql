-- jobs.steps and its narrow sibling.

create or replace view jobs.steps with (security_barrier) as
select
  s.job_id as id,
  s.n as step,
  (select max(o.n) from jobs_internal.step as o where o.job_id = s.job_id) as steps,
  pg_get_userbyid(o.owner)::text as owner,
  s.state,
  s.command || coalesce(' ' || s.object, '') as title,
  s.started_at,
  s.finished_at,
  case when v.reads then s.body end as statement,
  case when v.reads then s.done_when end as done_when,
  case when v.reads then s.rollback_sql end as rollback,
  s.lock_timeout,
  case when v.reads then s.result end as result
from jobs_internal.step as s
join jobs_internal.operation as o on o.job_id = s.job_id
cross join lateral (
  select o.owner = (select jobs_internal.viewer()) or jobs_internal.reads(o.owner) as reads
) as v
where o.owner = (select jobs_internal.viewer()) or (select jobs_internal.caller_is('jobs_reader'))
  or (select jobs_internal.caller_is('jobs_operator'))
order by s.job_id desc, s.n;
comment on view jobs.steps
  is 'Steps of jobs of several statements (jobs.enqueue_steps), the latest job first';
comment on column jobs.steps.id is 'Number of the job';
comment on column jobs.steps.step is 'Place in the job, from 1';
comment on column jobs.steps.steps is 'How many steps the job has';
comment on column jobs.steps.owner is 'Role that it runs as';
comment on column jobs.steps.state
  is 'done; current: it runs, is next, or is the one at which the job ended; waiting';
comment on column jobs.steps.title
  is 'Its first words, with what it works on where that can be read';
comment on column jobs.steps.started_at is 'When it became the current step; null: not yet';
comment on column jobs.steps.finished_at is 'When it was done; null: it is not';
comment on column jobs.steps.statement is 'The statement';
comment on column jobs.steps.done_when
  is 'Its post-condition, given or known by pyworker; null: none';
comment on column jobs.steps.rollback is 'Statement that undoes it; null: none was given';
comment on column jobs.steps.lock_timeout
  is 'Longest wait for its locks; null: as for the whole job';
comment on column jobs.steps.result
  is 'Its result; {"verified": true} alone: it was done already, and was not run';

create or replace view jobs.step_list with (security_barrier) as
select
  s.id,
  s.step || '/' || s.steps as step,
  jobs_internal.shortened(s.owner, 12) as owner,
  s.state,
  jobs_internal.shortened(s.title, 30) as title,
  to_char(coalesce(s.finished_at, s.started_at), 'MM-DD HH24:MI:SS') as at,
  date_trunc('second', s.finished_at - s.started_at) as took,
  jobs_internal.shortened(s.statement, 40) as statement
from jobs.steps as s
order by s.id desc, s.step;
comment on view jobs.step_list is 'jobs.steps in 160 columns: the latest job first';
comment on column jobs.step_list.id is 'Number of the job';
comment on column jobs.step_list.step is 'Place in the job, of how many';
comment on column jobs.step_list.owner is 'Role that it runs as, cut at 12 characters';
comment on column jobs.step_list.state is 'done, current or waiting, as in jobs.steps';
comment on column jobs.step_list.title is 'Its first words and what it works on, cut at 30 '
  'characters';
comment on column jobs.step_list.at
  is 'Month, day and time of its end, else of when it became the current one';
comment on column jobs.step_list.took is 'From then to its end';
comment on column jobs.step_list.statement is 'The statement, cut at 40 characters';

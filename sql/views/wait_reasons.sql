-- The codes of jobs.explain, as a view, so that the manual is in the database.

create or replace view jobs.wait_reasons with (security_barrier) as
select c.code, c.meaning, c.remedy from jobs_internal.wait_codes() as c order by c.n;
comment on view jobs.wait_reasons is 'The codes of jobs.explain, in the order in which they are '
  'looked for: the first that holds is the reason';
comment on column jobs.wait_reasons.code is 'Code';
comment on column jobs.wait_reasons.meaning is 'What it means';
comment on column jobs.wait_reasons.remedy is 'What to do; null: nothing';

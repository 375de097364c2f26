-- jobs.settings and jobs.retry_rules.

create or replace view jobs.settings with (security_barrier) as
select s.name, s.value, s.unit, s.description from jobs_internal.setting as s order by s.name;
comment on view jobs.settings
  is 'Settings of this installation; an operator changes them with jobs.configure(name, value)';
comment on column jobs.settings.name is 'Name';
comment on column jobs.settings.value is 'Value';
comment on column jobs.settings.unit is 'Unit of the value';
comment on column jobs.settings.description is 'What it does';

create or replace view jobs.retry_rules with (security_barrier) as
select r.pattern, r.retry, r.why from jobs_internal.retry_rule as r order by r.pattern;
comment on view jobs.retry_rules is 'Which errors are worth another attempt; the longest pattern '
  'that fits decides; jobs.set_retry_rule changes them';
comment on column jobs.retry_rules.pattern
  is 'SQLSTATE, class of two characters, or * for all others';
comment on column jobs.retry_rules.retry is 'Another attempt is worth it';
comment on column jobs.retry_rules.why is 'Reason';

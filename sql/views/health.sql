-- jobs.health: every check, with a figure and what to do (engine/health).

create or replace view jobs.health with (security_barrier) as
select h."check", h.status, h.detail, h.remedy
from jobs_internal.look_at_health() as h
order by h.n;
comment on view jobs.health is 'One row per check: is everything well, and if not, what to do';
comment on column jobs.health."check" is 'What is checked';
comment on column jobs.health.status is 'ok, warning or critical';
comment on column jobs.health.detail is 'What was found';
comment on column jobs.health.remedy is 'What to do; null: nothing';

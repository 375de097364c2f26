-- Views on owners: what operators did, quotas, publications, privileged roles that are switched on.

create or replace view jobs.audit with (security_barrier) as
select a.id, a.at, a.login, a.action, a.object, a.before, a.after
from jobs_internal.audit as a
where (select jobs_internal.caller_is('jobs_operator'))
  or (select jobs_internal.caller_is('jobs_reader'))
order by a.id desc;
comment on view jobs.audit is 'What operators and administrators did, the latest first; no '
  'function changes or removes a row';
comment on column jobs.audit.id is 'Number';
comment on column jobs.audit.at is 'When';
comment on column jobs.audit.login is 'Who: the login';
comment on column jobs.audit.action is 'What: the function that was called';
comment on column jobs.audit.object is 'For what';
comment on column jobs.audit.before is 'How it was; null: not there';
comment on column jobs.audit.after is 'How it is; null: gone';

-- What owners have of their quotas now.
create or replace function jobs_internal.quota_figures()
returns table (owner oid, jobs_pending bigint, sessions bigint, last_minute bigint)
language sql volatile security definer
set search_path = pg_catalog, pg_temp
begin atomic
  select u.owner, jobs_internal.pending_jobs(u.owner, coalesce(u.pending, 1000000)),
    jobs_internal.live_sessions(u.owner),
    jobs_internal.recent_jobs(u.owner, 0)
  from jobs_internal.quota as u
  where u.owner = jobs_internal.viewer() or jobs_internal.caller_is('jobs_operator')
    or jobs_internal.caller_is('jobs_reader');
end;

create or replace view jobs.quotas with (security_barrier) as
select
  pg_get_userbyid(u.owner)::text as owner, u.pending, f.jobs_pending, u.running, f.sessions,
    u.per_minute, f.last_minute, u.over_rate,
  u.args_bytes, u.result_bytes, u.history_rows
from jobs_internal.quota as u
join jobs_internal.quota_figures() as f on f.owner = u.owner
order by 1;
comment on view jobs.quotas is 'Quotas of owners, and what they have of them; an owner sees its '
  'own; an operator changes them with jobs.set_quota';
comment on column jobs.quotas.owner is 'Owner';
comment on column jobs.quotas.pending
  is 'Unfinished jobs at most; null: no limit, as in the other limits';
comment on column jobs.quotas.jobs_pending
  is 'Unfinished jobs now, counted to the limit, or to a million';
comment on column jobs.quotas.running is 'Worker sessions at once at most';
comment on column jobs.quotas.sessions is 'Worker sessions now';
comment on column jobs.quotas.per_minute is 'Jobs enqueued in any 60 seconds at most';
comment on column jobs.quotas.last_minute is 'Jobs that count for the last 60 seconds or later; of '
  'owners without that limit only published ones';
comment on column jobs.quotas.over_rate is 'What becomes of a job over per_minute: refuse or wait';
comment on column jobs.quotas.args_bytes is 'What one job carries at most, bytes of text: '
  'arguments, settings, note, options, and the texts of a statement';
comment on column jobs.quotas.result_bytes is 'Result of one job at most, bytes of text';
comment on column jobs.quotas.history_rows is 'Finished jobs that are kept';

create or replace view jobs.publications with (security_barrier) as
select
  p.id, p.task, p.signature, pg_get_userbyid(p.publisher)::text as publisher,
    pg_get_userbyid(p.to_role)::text as to_role,
  (select q.name from jobs_internal.queue as q where q.id = p.queue_id) as queue,
  p.timeout, p.per_minute, p.pending,
  (select count(*) from jobs_internal.job as j where j.publication_id = p.id) as jobs_pending,
  p.published_at, p.revoked_at
from jobs_internal.publication as p
where p.publisher = (select jobs_internal.viewer())
  or (select jobs_internal.caller_is('jobs_operator'))
  or (select jobs_internal.caller_is('jobs_reader'))
  or p.revoked_at is null and exists (select from pg_roles as r where r.oid = p.to_role)
    and pg_has_role(session_user, p.to_role, 'member')
order by p.task, p.id;
comment on view jobs.publications is 'Functions that their owner lets other roles enqueue: one''s '
  'own, and those that one may enqueue with jobs.enqueue_published';
comment on column jobs.publications.id is 'Number, for jobs.unpublish';
comment on column jobs.publications.task is 'Name of the function';
comment on column jobs.publications.signature is 'Its name with argument types';
comment on column jobs.publications.publisher is 'Owner of the function; its jobs run as this role';
comment on column jobs.publications.to_role is 'Role whose members may enqueue it';
comment on column jobs.publications.queue is 'Queue of its jobs';
comment on column jobs.publications.timeout is 'Longest timeout of its jobs; null: the queue''s';
comment on column jobs.publications.per_minute
  is 'Jobs enqueued in any 60 seconds at most; null: no limit of its own';
comment on column jobs.publications.pending is 'Unfinished jobs at most; null: no limit of its own';
comment on column jobs.publications.jobs_pending is 'Unfinished jobs now';
comment on column jobs.publications.published_at is 'When it was published';
comment on column jobs.publications.revoked_at is 'When it was revoked; null: it counts';

create or replace view jobs.admitted_roles with (security_barrier) as
select
  pg_get_userbyid(a.role)::text as role, jobs_internal.privileges_seen(a.role) as powers,
    a.admitted_by,
  a.admitted_at::timestamptz(0) as admitted_at
from jobs_internal.admitted_role as a
where a.role = (select jobs_internal.viewer()) or (select jobs_internal.caller_is('jobs_operator'))
  or (select jobs_internal.caller_is('jobs_reader'))
order by 1;
comment on view jobs.admitted_roles
  is 'Privileged roles whose jobs an administrator has switched on by name (jobs.admit_role)';
comment on column jobs.admitted_roles.role is 'Role';
comment on column jobs.admitted_roles.powers is 'What makes it privileged; null: nothing any more';
comment on column jobs.admitted_roles.admitted_by is 'Login that switched it on';
comment on column jobs.admitted_roles.admitted_at is 'When';

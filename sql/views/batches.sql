-- jobs.batches: an owner sees its own; readers and operators see all. What is not folded yet is
-- counted here.

create or replace view jobs.batches with (security_barrier) as
with active as materialized (
  select (j.options ->> 'batch')::bigint as batch, count(*) as running
  from jobs_internal.activity() as a
  join jobs_internal.job as j on j.id = a.job_id and j.options ? 'batch'
  group by 1
)
select
  b.id,
  b.name,
  b.owner_name as owner,
  case when b.closed_at is null then 'open'
    when c.total > c.ended then 'closed'
    when b.called then 'finished'
    else 'calling' end as state,
  c.total,
  greatest(c.total - c.ended - c.in_doubt - coalesce(a.running, 0), 0) as queued,
  coalesce(a.running, 0) as running,
  c.succeeded,
  c.failed,
  c.cancelled,
  c.in_doubt,
  case when c.total > 0 then round(100.0 * c.ended / c.total, 1)
    when b.called then 100.0 end as percent,
  case when c.total > c.ended and c.ended > c.first_ended
    then date_trunc('second', clock_timestamp()
      + (clock_timestamp() - c.first_end_at) * ((c.total - c.ended)::double precision
        / (c.ended - c.first_ended))) end as eta,
  b.created_at,
  b.closed_at,
  b.finished_at,
  array(select k.job_id from jobs_internal.batch_call as k where k.batch_id = b.id
    order by k.n, k.kind) as callback_jobs,
  b.error ->> 'message' as trouble,
  case
    when b.closed_at is null then format('jobs.close_batch(%s)', b.id)
      || coalesce(', and the end of ' || jobs_internal.counted(nullif(c.total - c.ended, 0), 'job'),
        '')
    when c.total > c.ended then 'the end of ' || jobs_internal.counted(c.total - c.ended, 'job')
      || case when c.in_doubt > 0 then format(', %s of them in doubt', c.in_doubt) else '' end
    when b.called then null
    when b.error is not null then 'its next try to enqueue them: ' || (b.error ->> 'message')
    when b.retry_at is not null
      then 'an open transaction that may add to it, or jobs that may come back'
    else 'a round of a supervisor, or a session of its owner'
  end as waits_for
from (
  select b.*, pg_get_userbyid(b.owner)::text as owner_name from jobs_internal.batch as b
  where b.owner = (select jobs_internal.viewer())
    or (select jobs_internal.caller_is('jobs_reader'))
    or (select jobs_internal.caller_is('jobs_operator'))
  order by b.id desc
) as b
cross join lateral (
  select s.total, s.succeeded, s.failed, s.cancelled, s.in_doubt,
    s.succeeded + s.failed + s.cancelled as ended, s.first_end_at, s.first_ended
  from (
    select coalesce(o.total + d.total, o.total) as total,
      coalesce(o.succeeded + d.succeeded, o.succeeded)::bigint as succeeded,
      coalesce(o.failed + d.failed, o.failed)::bigint as failed,
      coalesce(o.cancelled + d.cancelled, o.cancelled)::bigint as cancelled,
      coalesce(o.in_doubt + d.in_doubt, o.in_doubt)::bigint as in_doubt,
      o.first_end_at, o.first_ended
    from jobs_internal.batch_count as o
    cross join lateral (
      select sum(l.total)::bigint as total, sum(l.succeeded) as succeeded,
        sum(l.failed) as failed, sum(l.cancelled) as cancelled, sum(l.in_doubt) as in_doubt
      from jobs_internal.batch_delta as l where l.owner = b.owner and l.batch_id = b.id
    ) as d
    where o.batch_id = b.id
    offset 0
  ) as s
) as c
left join active as a on a.batch = b.id;
comment on view jobs.batches is 'Batches of jobs, the latest first; made by jobs.create_batch';
comment on column jobs.batches.id is 'Number: the option "batch" of the enqueue functions';
comment on column jobs.batches.name is 'What its owner calls it';
comment on column jobs.batches.owner is 'Role that made it, and that its callbacks run as';
comment on column jobs.batches.state is 'open: jobs may be added; closed: its jobs have not all '
  'ended; calling: they have, and its callbacks are to be enqueued; finished: they are';
comment on column jobs.batches.total is 'Jobs that were added';
comment on column jobs.batches.queued is 'Those that wait: scheduled or queued';
comment on column jobs.batches.running is 'Those that run';
comment on column jobs.batches.succeeded is 'Those that succeeded';
comment on column jobs.batches.failed is 'Those that failed';
comment on column jobs.batches.cancelled is 'Those that were cancelled';
comment on column jobs.batches.in_doubt is 'Those in doubt: that is no end';
comment on column jobs.batches.percent is 'How many have ended, in percent';
comment on column jobs.batches.eta is 'When the last one ends if it goes on as since the first end';
comment on column jobs.batches.created_at is 'When it was made';
comment on column jobs.batches.closed_at is 'When it was closed';
comment on column jobs.batches.finished_at is 'When its callbacks were enqueued';
comment on column jobs.batches.callback_jobs is 'Jobs of its callbacks: of each end of the batch, '
  'which are more than one only after jobs.retry_batch';
comment on column jobs.batches.trouble is 'Why its callbacks could not be enqueued, the last time';
comment on column jobs.batches.waits_for is 'What its callbacks wait for; null: they are enqueued '
  '(callback_jobs), or none is for this end';

create or replace view jobs.batch_list with (security_barrier) as
select
  b.id,
  jobs_internal.shortened(b.name, 30) as name,
  jobs_internal.shortened(b.owner, 12) as owner,
  b.state,
  b.total,
  b.queued,
  b.running,
  b.succeeded as ok,
  b.failed,
  b.cancelled,
  b.percent as "%",
  to_char(b.eta, 'MM-DD HH24:MI') as eta,
  to_char(b.created_at, 'MM-DD HH24:MI') as created
from jobs.batches as b;
comment on view jobs.batch_list is 'jobs.batches in 160 columns: the latest first';
comment on column jobs.batch_list.id is 'Number';
comment on column jobs.batch_list.name is 'Name, cut at 30 characters';
comment on column jobs.batch_list.owner is 'Owner, cut at 12 characters';
comment on column jobs.batch_list.state is 'open, closed, calling, finished';
comment on column jobs.batch_list.total is 'Jobs that were added';
comment on column jobs.batch_list.queued is 'Those that wait';
comment on column jobs.batch_list.running is 'Those that run';
comment on column jobs.batch_list.ok is 'Those that succeeded';
comment on column jobs.batch_list.failed is 'Those that failed';
comment on column jobs.batch_list.cancelled is 'Those that were cancelled';
comment on column jobs.batch_list."%" is 'How many have ended, in percent';
comment on column jobs.batch_list.eta is 'Month, day and time when the last one may end';
comment on column jobs.batch_list.created is 'Month, day and time when it was made';

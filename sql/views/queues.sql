-- jobs.queues.

-- Figures of each queue, of the jobs that the caller may see. A definer function: counters are not
-- for everybody.
create or replace function jobs_internal.queue_figures()
returns table (queue_id integer, queued bigint, running bigint, scheduled bigint, oldest interval,
    failed bigint, rate numeric, slots_used bigint)
language sql volatile security definer
set search_path = pg_catalog, pg_temp
as $$
  with seen as (
    select jobs_internal.caller_is('jobs_reader') or jobs_internal.caller_is('jobs_operator')
      or jobs_internal.caller_is('jobs_supervisor') as everything, jobs_internal.viewer() as me
  ), active as (
    select j.queue_id, count(*) as n,
      count(*) filter (where j.state = 'queued') as in_chunk
    from jobs_internal.activity() as a
    join jobs_internal.job as j on j.id = a.job_id
    group by j.queue_id
  ), waiting as (
    select j.queue_id,
      count(*) filter (where j.state = 'queued') as queued,
      count(*) filter (where j.state = 'scheduled') as scheduled,
      min(greatest(j.run_at, j.created_at)) filter (where j.state = 'queued'
          or j.due_at <= now()) as oldest
    from jobs_internal.job as j, seen
    where seen.everything or j.owner = seen.me
    group by j.queue_id
  ), broken as (
    select f.queue_id, count(*) as failed
    from jobs_internal.finished as f, seen
    where f.state <> 'succeeded' and f.state in ('failed', 'in_doubt') and f.dismissed_at is null
      and (seen.everything or f.owner = seen.me)
    group by f.queue_id
  ), rates as (
    select m.queue_id,
      round(sum(m.succeeded + m.failed) / greatest(60, extract(epoch from now() - min(m.minute))),
          2) as rate
    from jobs_internal.queue_minute_stats as m
    where m.minute > now() - interval '5 minutes'
    group by m.queue_id
  ), slots as (
    select s.queue_id, count(s.session_id) as used from jobs_internal.slot as s group by s.queue_id
  )
  select q.id, greatest(coalesce(w.queued, 0) - coalesce(a.in_chunk, 0), 0), coalesce(a.n, 0),
    coalesce(w.scheduled, 0), date_trunc('second', now() - w.oldest),
    coalesce(b.failed, 0), coalesce(r.rate, 0), coalesce(s.used, 0)
  from jobs_internal.queue as q
  left join active as a on a.queue_id = q.id
  left join waiting as w on w.queue_id = q.id
  left join broken as b on b.queue_id = q.id
  left join rates as r on r.queue_id = q.id
  left join slots as s on s.queue_id = q.id
  where q.dropped_at is null
$$;

create or replace view jobs.queues with (security_barrier) as
select
  q.name as queue,
  q.paused or (select s.paused from jobs_internal.switch as s) as paused,
  q.concurrency,
  f.queued,
  f.running,
  f.scheduled,
  f.oldest,
  f.failed,
  f.rate,
  f.slots_used as slots,
  q.accepting,
  q.timeout,
  q.max_attempts,
  q.retention,
  q.share_commits,
  q.retention_rows
from jobs_internal.queue as q
join jobs_internal.queue_figures() as f on f.queue_id = q.id
order by q.name;
comment on view jobs.queues is 'Queues, with the figures of the jobs that you may see';
comment on column jobs.queues.queue is 'Name';
comment on column jobs.queues.paused is 'Its jobs do not start (it, or everything, is paused)';
comment on column jobs.queues.concurrency is 'Jobs that run at once at most, count; null: no limit';
comment on column jobs.queues.queued is 'Jobs that wait in their lanes, count';
comment on column jobs.queues.running is 'Jobs that run, count';
comment on column jobs.queues.scheduled is 'Jobs that wait for their time or a retry, count';
comment on column jobs.queues.oldest is 'How long the job that is due longest waits';
comment on column jobs.queues.failed
  is 'Jobs kept that failed or are in doubt and were not dismissed, count';
comment on column jobs.queues.rate
  is 'Attempts that ended per second, over the last 5 minutes, of all owners';
comment on column jobs.queues.slots is 'Slots that sessions hold, count, of concurrency';
comment on column jobs.queues.accepting is 'It accepts new jobs';
comment on column jobs.queues.timeout is 'Timeout of jobs that name none; null: none';
comment on column jobs.queues.max_attempts is 'Attempts of jobs that name no number, count';
comment on column jobs.queues.retention is 'Finished jobs are kept so long at least';
comment on column jobs.queues.share_commits is 'Short jobs may share a transaction';
comment on column jobs.queues.retention_rows
  is 'So many finished jobs are kept at least, count; older ones go; null: no limit';

-- jobs.queues.

-- Jobs that wait, of each queue, of one owner or (null) of all; a queue without any may be missing.
-- A job in a lane is one message there: a narrow table for each queue and owner, which is counted
-- without a look at a column, in a quarter of the time that the wide rows of job need. What has no
-- lane yet, or is not due, is read from the index of its own. A lane that is idle and that no
-- wakeup request names is empty (dispatch/wakeup.sql). The job that is due longest is the first one
-- of a lane, or the first one due that is in none; its due time after an attempt is that of the
-- retry. One snapshot for all of it: the function is stable.
-- Not granted: queue_figures gives it the owner.
create or replace function jobs_internal.waiting_figures(p_owner oid)
returns table (queue_id integer, queued bigint, scheduled bigint, oldest timestamptz)
language plpgsql stable security definer
set search_path = pg_catalog, pg_temp
set exit_on_error = off
as $$
declare
  v_lane record;
begin
  scheduled := 0;
  for v_lane in
    select l.queue_id, l.pgmq_queue
    from jobs_internal.lane as l
    where (p_owner is null or l.owner = p_owner)
      and (l.idle_state <> 'idle'
        or l.id in (select n.lane_id from jobs_internal.wakeup_request as n))
  loop
    begin
      execute format('select (select count(*) from pgmq.%1$I), (select case when j.attempt = 0 '
        'then greatest(j.run_at, j.created_at) else m.enqueued_at end '
        'from (select f.message, f.enqueued_at from pgmq.%1$I as f order by f.msg_id limit 1) as m '
        'cross join lateral (select o.attempt, o.run_at, o.created_at '
        'from jobs_internal.job as o where o.id = (m.message ->> ''job'')::bigint offset 0) as j)',
        'q_' || v_lane.pgmq_queue)
      into queued, oldest;
    exception
      when undefined_table then
        continue;  -- its queue was dropped meanwhile
    end;
    queue_id := v_lane.queue_id;
    return next;
  end loop;
  return query
    select j.queue_id, 0::bigint, count(*), min(j.due_at) filter (where j.due_at <= now())
    from jobs_internal.job as j
    where j.due_at is not null and (p_owner is null or j.owner = p_owner)
    group by j.queue_id;
end
$$;

-- Figures of each queue, of the jobs that the caller may see. A definer function: counters are not
-- for everybody.
create or replace function jobs_internal.queue_figures()
returns table (queue_id integer, queued bigint, running bigint, scheduled bigint, oldest interval,
    failed bigint, rate numeric, slots_used bigint)
language sql stable security definer
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
    select w.queue_id, sum(w.queued)::bigint as queued, sum(w.scheduled)::bigint as scheduled,
      min(w.oldest) as oldest
    from seen
    cross join lateral jobs_internal.waiting_figures(case when not seen.everything then seen.me end)
      as w
    group by w.queue_id
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
  q.retention_rows,
  q.window_name,
  q.rate_limit,
  q.rate_period,
  q.rate_by
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
comment on column jobs.queues.window_name
  is 'Maintenance window in which its jobs start (jobs.windows); null: at any time';
comment on column jobs.queues.rate_limit
  is 'So many of its jobs start in a rate_period; null: no limit';
comment on column jobs.queues.rate_period is 'Period of rate_limit';
comment on column jobs.queues.rate_by
  is 'Argument each value of which has that limit of its own; null: all jobs share it';

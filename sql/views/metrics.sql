-- jobs.metrics: the figures that a monitoring system collects, one row each. pyworker run --http
-- shows them at /metrics.
--
-- Counters are sums of the day (UTC) in tables: they begin anew at midnight, as a counter may, so
-- that a restart loses nothing, all supervisors show the same, and what is read does not grow with
-- the history. Nothing here reads a table of jobs that are over, but for failures that are not
-- dismissed, by their index.

-- Tasks that have a label of their own today: the fifty with the most attempts in the thirty days
-- before, and new ones while there is room for all of those. So a task keeps its label until
-- midnight, when the counters begin anew. None for a caller that may not see the tasks of all: a
-- supervisor's login that is no reader.
create or replace function jobs_internal.labelled_tasks(p_today date)
returns table (task text)
language sql stable security definer
set search_path = pg_catalog, pg_temp
begin atomic
  with known as (
    select d.task from jobs_internal.daily_cost as d
    where d.day >= p_today - 30 and d.day < p_today
    group by d.task order by sum(d.attempts) desc, d.task limit 50
  ), new as (
    select d.task from jobs_internal.daily_cost as d where d.day = p_today
    except select k.task from known as k
  )
  select l.task
  from (
    select k.task from known as k
    union all
    select n.task from new as n
    where (select count(*) from known) + (select count(*) from new) <= 50
  ) as l
  where jobs_internal.caller_is('jobs_reader') or jobs_internal.caller_is('jobs_operator');
end;

-- Counters of the day.
create or replace function jobs_internal.counted_today()
returns table (metric text, labels jsonb, value numeric)
language sql stable security definer
set search_path = pg_catalog, pg_temp
begin atomic
  with day as (
    select (now() at time zone 'UTC')::date as today
  ), cost as (
    select q.name as queue, case when l.task is null then 'other' else d.task end as task,
      sum(d.attempts) as attempts, sum(d.failed) as failed, sum(d.ms) / 1000 as seconds,
      sum(d.waited_ms) / 1000 as waited
    from day
    join jobs_internal.daily_cost as d on d.day = day.today
    join jobs_internal.queue as q on q.id = d.queue_id
    left join jobs_internal.labelled_tasks(day.today) as l on l.task = d.task
    group by q.name, case when l.task is null then 'other' else d.task end
  ), queues as (
    select jsonb_build_object('queue', q.name) as labels, coalesce(sum(c.attempts), 0) as attempts,
      coalesce(sum(c.failed), 0) as failed, coalesce(sum(c.seconds), 0) as seconds,
      coalesce(sum(c.waited), 0) as waited
    from jobs_internal.queue as q
    left join cost as c on c.queue = q.name
    where q.dropped_at is null or c.queue is not null
    group by q.name
  ), tasks as (
    select jsonb_build_object('task', c.task) as labels, sum(c.attempts) as attempts,
      sum(c.failed) as failed, sum(c.seconds) as seconds
    from cost as c
    group by c.task
  )
  select m.metric, q.labels || m.labels, m.value
  from queues as q
  cross join lateral (values
    ('pyworker_attempts_total', jsonb '{"outcome": "succeeded"}', q.attempts - q.failed),
    ('pyworker_attempts_total', '{"outcome": "failed"}', q.failed),
    ('pyworker_attempt_duration_seconds_count', '{}', q.attempts),
    ('pyworker_attempt_duration_seconds_sum', '{}', q.seconds),
    ('pyworker_wait_duration_seconds_count', '{}', q.attempts),
    ('pyworker_wait_duration_seconds_sum', '{}', q.waited)) as m (metric, labels, value)
  union all
  select m.metric, t.labels || m.labels, m.value
  from tasks as t
  cross join lateral (values
    ('pyworker_task_attempts_total', jsonb '{"outcome": "succeeded"}', t.attempts - t.failed),
    ('pyworker_task_attempts_total', '{"outcome": "failed"}', t.failed),
    ('pyworker_task_duration_seconds_count', '{}', t.attempts),
    ('pyworker_task_duration_seconds_sum', '{}', t.seconds)) as m (metric, labels, value)
  union all
  select 'pyworker_schedule_missed_total', '{}', coalesce((
      select sum(coalesce(r.occurrences, 1)) from jobs_internal.schedule_run as r
      -- the second condition is that of the index
      where r.outcome = 'missed' and r.outcome in ('missed', 'skipped')
        and r.fired_at >= day.today::timestamp at time zone 'UTC'), 0)
  from day;
end;

-- How things stand.
create or replace function jobs_internal.gauges()
returns table (metric text, labels jsonb, value numeric)
language sql volatile security definer
set search_path = pg_catalog, pg_temp
as $$
  select m.metric, jsonb_build_object('queue', q.name) || m.labels, m.value
  from jobs_internal.queue_figures() as f
  join jobs_internal.queue as q on q.id = f.queue_id
  cross join lateral (values
    ('pyworker_jobs', jsonb '{"state": "queued"}', f.queued::numeric),
    ('pyworker_jobs', '{"state": "running"}', f.running),
    ('pyworker_jobs', '{"state": "scheduled"}', f.scheduled),
    ('pyworker_jobs', '{"state": "failed"}', f.failed),
    ('pyworker_queue_oldest_seconds', '{}',
      greatest(extract(epoch from coalesce(f.oldest, interval '0')), 0)),
    ('pyworker_queue_paused', '{}',
      (q.paused or (select s.paused from jobs_internal.switch as s))::integer),
    ('pyworker_slots_used_ratio', '{}', f.slots_used::numeric / nullif(q.concurrency, 0))
    ) as m (metric, labels, value)
  where m.value is not null
  union all
  select 'pyworker_sessions', jsonb_build_object('state', s.state),
    count(a.session_id) filter (where (a.job_id is not null) = (s.state = 'busy'))
  from (values ('busy'), ('idle')) as s (state)
  left join jobs_internal.active_sessions() as a on true
  group by s.state
  union all
  select 'pyworker_supervisors', '{}', count(*) from jobs_internal.live_supervisors()
  union all
  select m.metric, jsonb_build_object('job_kind', o.kind, 'object', coalesce(o.object_name, '')),
    max(m.value)
  from jobs_internal.live_operations() as l
  join jobs_internal.operation as o on o.job_id = l.job_id
  cross join lateral (values
    ('pyworker_operation_progress_ratio', l.percent / 100),
    ('pyworker_operation_eta_timestamp_seconds', extract(epoch from l.eta))) as m (metric, value)
  where m.value is not null
  group by m.metric, o.kind, o.object_name
  union all
  (select 'pyworker_schedule_next_timestamp_seconds',
    jsonb_build_object('schedule', s.name, 'owner', pg_get_userbyid(s.owner)),
    extract(epoch from t.next_at)
  from jobs_internal.schedule_state as t
  join jobs_internal.schedule as s on s.id = t.schedule_id
  where t.next_at is not null and t.next_at < 'infinity' and s.dropped_at is null
    and s.paused_at is null
  order by t.next_at
  limit 100)
$$;

create or replace view jobs.metrics with (security_barrier) as
select m.metric, m.labels, m.value::double precision as value
from (
  select g.metric, g.labels, g.value from jobs_internal.gauges() as g
  union all
  select c.metric, c.labels, c.value from jobs_internal.counted_today() as c
) as m
order by m.metric, m.labels;
comment on view jobs.metrics is 'Figures for a monitoring system, of all owners; tasks by name for '
  'readers and operators, for others all as "other"; '
  'docs/monitoring.md lists them. Counters (_total, _count, _sum) begin anew at midnight UTC';
comment on column jobs.metrics.metric is 'Name, as Prometheus writes it, with its unit';
comment on column jobs.metrics.labels is 'Labels: queue, state, task, outcome and the like; no ids';
comment on column jobs.metrics.value is 'Figure, in seconds, bytes, counts or as a ratio';

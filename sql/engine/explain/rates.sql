-- Why jobs wait: their queue has had its starts.

-- Queues that have a rate_limit and no start free now; when the next one is.
create or replace function jobs_internal.rate_waits()
returns table (queue_id integer, reason text, next_at timestamptz, remedy text)
language sql volatile security definer
set search_path = pg_catalog, pg_temp
rows 5
as $$
  select q.id,
    format('its queue %s has had the starts that it is allowed, %s in %s', q.name, q.rate_limit,
      q.rate_period),
    r.next_at,
    format('select jobs.alter_queue(%L, rate_limit => 0);  -- as a member of jobs_operator; or '
      'wait', q.name)
  from jobs_internal.queue as q
  cross join lateral (select jobs_internal.next_start(q.id, q.rate_limit, q.rate_period, null,
      false) as next_at offset 0) as r
  where q.rate_limit is not null and q.rate_by is null and q.removed_at is null
    and r.next_at > clock_timestamp()
$$;

-- Why a job waits that has left its lane until its value has a start.
create or replace function jobs_internal.awaited_rate(p_job jobs_internal.job)
returns table (n integer, code text, reason text, remedy text)
language sql stable security definer
set search_path = pg_catalog, pg_temp
rows 1
as $$
  select 49, 'rate_by',
    format('its queue %s starts %s in %s of each %s: its turn is at %s', q.name, q.rate_limit,
      q.rate_period, q.rate_by, p_job.due_at::timestamptz(0)),
    format('select jobs.alter_queue(%L, rate_limit => 0);  -- as a member of jobs_operator; or '
      'wait', q.name)
  from jobs_internal.queue as q
  where q.id = p_job.queue_id
$$;

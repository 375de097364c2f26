-- Checks of jobs.health: batches that do not end.

-- Batches whose callbacks cannot be enqueued, and open ones whose jobs have all ended a day ago: of
-- those that have not ended two thousand are looked at, the oldest first.
create or replace function jobs_internal.health_batches(out status text, out detail text,
    out remedy text)
language sql volatile
set search_path = pg_catalog, pg_temp
begin atomic
  with unfinished as (
    select b.id, b.owner, b.closed_at, b.failures, b.error from jobs_internal.batch as b
    where not b.called order by b.id limit 2000
  ), trouble as (
    select u.id, u.failures > 0 as stuck, u.error
    from unfinished as u
    join jobs_internal.batch_count as c on c.batch_id = u.id
    where u.failures > 0
      or u.closed_at is null and c.changed_at < clock_timestamp() - interval '1 day'
      and c.total = c.succeeded + c.failed + c.cancelled
      and not exists (select from jobs_internal.batch_delta as d
        where d.owner = u.owner and d.batch_id = u.id)
  )
  select case when count(*) > 0 then 'warning' else 'ok' end,
    case when count(*) = 0 then 'no batch waits for more than its jobs'
      else concat_ws('; ',
        case when count(*) filter (where t.stuck) > 0
          then format('the callbacks of %s cannot be enqueued, of batch %s: %s',
            jobs_internal.counted(count(*) filter (where t.stuck), 'batch', 'batches'),
            min(t.id) filter (where t.stuck),
            (array_agg(format('%s (%s)', t.error ->> 'message', t.error ->> 'sqlstate')
                order by t.id) filter (where t.stuck))[1]) end,
        case when count(*) filter (where not t.stuck) > 0
          then format('%s open, and all their jobs ended more than a day ago: the first is %s',
            jobs_internal.counted(count(*) filter (where not t.stuck), 'batch is', 'batches are'),
            min(t.id) filter (where not t.stuck)) end) end,
    case when count(*) = 0 then null
      when count(*) filter (where t.stuck) > 0
        then 'remove the cause; it is tried again by itself, every five minutes at least'
      else format('select jobs.close_batch(%s);  -- or add to it; see jobs.batches', min(t.id)) end
  from trouble as t;
end;

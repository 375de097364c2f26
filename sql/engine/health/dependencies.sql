-- Checks of jobs.health: jobs that wait for others in vain.

-- Jobs that wait for one in doubt, or for one that waits for jobs.run_now. Of what is waited for,
-- two thousand are looked at.
create or replace function jobs_internal.health_dependencies(out status text, out detail text,
    out remedy text)
language sql volatile
set search_path = pg_catalog, pg_temp
set enable_seqscan = off
begin atomic
  with recursive parents (id) as (
    (select d.parent from jobs_internal.dependency as d where not d.broken
      order by d.parent limit 1)
    union all
    select n.parent
    from parents as p
    cross join lateral (
      select d.parent from jobs_internal.dependency as d
      where d.parent > p.id and not d.broken
      order by d.parent limit 1) as n
  ), looked_at as (
    select p.id from parents as p limit 2000
  ), trouble as (
    select l.id, coalesce(j.owner, f.owner) as owner, f.id is not null as in_doubt
    from looked_at as l
    left join jobs_internal.job as j on j.id = l.id and j.due_at = 'infinity'
      and not exists (select from jobs_internal.dependency as d where d.child = j.id)
      and not exists (select from jobs_internal.window_wait as w where w.job_id = j.id)
    left join lateral (
      select h.id, h.owner from jobs_internal.finished as h
      where h.id = l.id and h.state = 'in_doubt' and j.id is null
      limit 1
    ) as f on true
    where j.id is not null or f.id is not null
  )
  select case when count(*) > 0 then 'warning' else 'ok' end,
    case when count(*) = 0 then 'no job waits for one that does not go on'
      else concat_ws('; ',
        case when count(*) filter (where t.in_doubt) > 0
          then 'jobs wait for ' || jobs_internal.counted(count(*) filter (where t.in_doubt),
            'job that is in doubt', 'jobs that are in doubt') end,
        case when count(*) filter (where not t.in_doubt) > 0
          then 'jobs wait for ' || jobs_internal.counted(count(*) filter (where not t.in_doubt),
            'job that has no time', 'jobs that have no time') end) end,
    case when count(*) filter (where t.in_doubt) > 0 then 'see jobs.failed where state = '
      '''in_doubt''; look what it did, then jobs.retry(id) or jobs.cancel(id)'
      when count(*) > 0 then 'see jobs.queued for those without a time: jobs.run_now(id), or '
        'jobs.cancel(id)' end
  from trouble as t;
end;

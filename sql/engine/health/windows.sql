-- Check of jobs.health: windows that are too small for jobs that wait for them.

-- Jobs that need longer than their window is ever open by its schedule, and jobs whose window was
-- dropped. Those that the caller may not see are counted only; two thousand are looked at.
create or replace function jobs_internal.health_windows(out status text, out detail text,
    out remedy text)
language sql volatile
set search_path = pg_catalog, pg_temp
set enable_seqscan = off
begin atomic
  with recursive named (name) as (
    (select w.name from jobs_internal.window_wait as w order by w.name limit 1)
    union all
    select n.name
    from named as p
    cross join lateral (
      select w.name from jobs_internal.window_wait as w where w.name > p.name
      order by w.name limit 1) as n
  ), too_long as (
    select t.job_id, t.needs, r.name, r.duration, j.owner, j.call_template_id,
      j.owner = (select jobs_internal.viewer()) or (select jobs_internal.caller_is('jobs_reader'))
        or (select jobs_internal.caller_is('jobs_operator')) as seen
    from jobs_internal.run_window as r
    cross join lateral (
      select w.job_id, w.needs from jobs_internal.window_wait as w
      where w.name = r.name and w.needs > r.duration limit 2000) as t
    join jobs_internal.job as j on j.id = t.job_id and j.due_at = 'infinity'
  ), gone as (
    select n.name from named as n
    where not exists (select from jobs_internal.run_window as r where r.name = n.name)
      and exists (select from jobs_internal.window_wait as w
        join jobs_internal.job as j on j.id = w.job_id and j.due_at = 'infinity'
        where w.name = n.name)
  ), trouble as (
    select 1 as n, format('job %s (%s) needs %s, and window %s is open for %s', s.job_id,
        jobs_internal.task_name(s.job_id, s.call_template_id), jobs_internal.elapsed(s.needs),
        s.name, jobs_internal.elapsed(s.duration)) as what,
      format('select jobs.alter_window(%L, duration => %L);', s.name,
        jobs_internal.elapsed(s.needs * 1.1)) as cure
    from (select t.* from too_long as t where t.seen order by t.job_id limit 5) as s
    union all
    select 2, format('%s more that need longer than their window is open',
        jobs_internal.counted(count(*), 'job')), null
    from (select t.job_id from too_long as t
      order by (not t.seen), t.job_id
      offset (select least(count(*), 5) from too_long as o where o.seen)) as m
    having count(*) > 0
    union all
    select 3, format('jobs wait for window %s, which was dropped', g.name),
      format('select jobs.create_window(%L, ...);', g.name)
    from gone as g
  )
  select case when count(*) > 0 then 'warning' else 'ok' end,
    case when count(*) > 0 then left(string_agg(t.what, '; ' order by t.n, t.what), 2000)
      else 'no job needs longer than its window is open' end,
    left(string_agg(distinct t.cure, ' '), 2000)
  from trouble as t;
end;

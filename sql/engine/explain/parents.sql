-- Which jobs a job waits for.

-- The jobs that this one waits for: those in doubt, then all others; no row: it waits for none. n
-- as in wait_codes.
create or replace function jobs_internal.awaited_jobs(p_job jobs_internal.job)
returns table (n integer, code text, reason text, jobs bigint[], remedy text)
language sql stable security definer
set search_path = pg_catalog, pg_temp
set enable_seqscan = off
rows 2
begin atomic
  with awaited as materialized (
    select d.parent, d.wants, coalesce(j.state, f.state, 'not known any more') as state
    from jobs_internal.dependency as d
    left join jobs_internal.job as j on j.id = d.parent
    left join lateral (
      select h.state from jobs_internal.finished as h where h.id = d.parent and j.id is null
      limit 1
    ) as f on true
    where d.child = p_job.id and not d.broken and p_job.due_at = 'infinity'
  )
  select 43, 'parent_in_doubt',
    format('job %s, which it waits for, ended in doubt: it waits until that is decided',
      min(a.parent)),
    (array_agg(a.parent order by a.parent))[1:100],
    format('select jobs.retry(%s);  -- once it is known what that job did; or jobs.cancel(%1$s)',
      min(a.parent))
  from awaited as a where a.state = 'in_doubt'
  having count(*) > 0
  union all
  select 44, 'dependency',
    format('it waits for %s of %s: %s%s',
      case min(a.wants) when 0 then 'the success' when 1 then 'the failure' else 'the end' end,
      jobs_internal.counted(count(*), 'job'),
      array_to_string((array_agg(format('%s (%s)', a.parent, a.state) order by a.parent))[1:5],
        ', '),
      case when count(*) > 5 then format(' and %s more', count(*) - 5) else '' end),
    (array_agg(a.parent order by a.parent))[1:100],
    format('select * from jobs.explain(%s);  -- says what that job waits for', min(a.parent))
  from awaited as a where a.state <> 'in_doubt'
  having count(*) > 0;
end;

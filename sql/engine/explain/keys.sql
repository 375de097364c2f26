-- Which jobs hold the places of a key that a job waits for.

-- Why a job waits for its key; no row: it does not. n as in wait_codes. The holders are jobs of the
-- same owner: who sees one sees the others.
create or replace function jobs_internal.awaited_key(p_job jobs_internal.job)
returns table (n integer, code text, reason text, since timestamptz, jobs bigint[], remedy text)
language sql stable security definer
set search_path = pg_catalog, pg_temp
set enable_seqscan = off
rows 1
begin atomic
  select 47, 'key',
    case
      when m.max = 0 then 'jobs of its key are not begun: jobs.set_concurrency says 0'
      when h.jobs is null then 'a place of its key is free: the next claim or round gives it'
      else format('its key has %s, held by %s %s%s', jobs_internal.counted(m.max, 'place'),
        case when cardinality(h.jobs) = 1 then 'job' else 'jobs' end,
        array_to_string(h.jobs[1:5], ', '),
        case when cardinality(h.jobs) > 5
          then format(' and %s more', cardinality(h.jobs) - 5) else '' end) end,
    w.waits_since, h.jobs[1:100],
    case
      when m.max = 0 then format('select jobs.set_concurrency(%L, 1);  -- as its owner', w.key)
      when h.jobs is not null then format('select jobs.set_concurrency(%L, %s);  -- as its owner, '
        'where they may run beside one another; or wait for one of those jobs', w.key,
        least(1000, cardinality(h.jobs) + 1)) end
  from jobs_internal.key_wait as w
  cross join lateral (select jobs_internal.max_of_key(w.owner, w.key) as max) as m
  cross join lateral (
    -- without those that stand behind the first one
    select coalesce(array_agg(k.job_id order by k.job_id) filter (where k.n > 0),
      (array_agg(k.job_id order by k.n desc))[1:1]) as jobs
    from jobs_internal.key_held as k
    where k.owner = w.owner and k.key = w.key) as h
  where w.job_id = p_job.id and p_job.due_at = 'infinity';
end;

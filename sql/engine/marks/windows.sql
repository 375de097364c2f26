-- What tasks did in the windows around a mark: the one after it, and the seven before.

-- The windows: 0 is the one after the mark, as far as it has passed; 1 to 7 go back from it.
create or replace function jobs_internal.windows_around(p_at timestamptz, p_span interval)
returns table (n integer, begins timestamptz, ends timestamptz)
language sql stable
set search_path = pg_catalog, pg_temp
begin atomic
  select w.n, p_at - w.n * p_span, least(p_at - (w.n - 1) * p_span, clock_timestamp())
  from generate_series(0, 7) as w(n)
  where p_at - w.n * p_span < clock_timestamp();
end;

-- What each task did in each window, by the jobs that ended in it; cancelled ones count for
-- nothing. p_owner: of this owner alone; null: of all. Of each twentieth of a window the first
-- 2,000 jobs are read at most, by the index, so that a flood costs no more than that; whole: that
-- was all. jobs; tries: their attempts, failed: those that did not succeed; ms, waits: quartiles of
-- the time of those that succeeded, and of the time from due to start of those with one attempt,
-- ms; depth: how many waited on average.
create or replace function jobs_internal.tasks_in_windows(p_at timestamptz, p_span interval,
    p_owner oid)
returns table (owner oid, task text, n integer, jobs bigint, tries bigint, failed bigint,
    ms double precision[], waits double precision[], depth double precision, whole boolean)
language sql volatile security definer
set search_path = pg_catalog, pg_temp
begin atomic
  with part as materialized (
    select w.n, w.begins, w.ends, w.begins + (w.ends - w.begins) * (i - 1) / 20 as since,
      w.begins + (w.ends - w.begins) * i / 20 as until
    from jobs_internal.windows_around(p_at, p_span) as w
    cross join generate_series(1, 20) as i
  ), seen as materialized (
    select p.n, p.begins, p.ends, f.*
    from part as p
    cross join lateral (
      select f.owner, f.call_template_id, f.id, f.bucket, f.state, f.attempt, f.started_at,
        f.finished_at, greatest(f.created_at, f.run_at) as due_at,
        row_number() over () as place
      from (
        select o.* from jobs_internal.finished as o
        -- as the index has it, to the second; then exactly
        where o.finished_at::timestamptz(0) >= p.since - interval '1 second'
          and o.finished_at::timestamptz(0) <= p.until + interval '1 second'
          and o.finished_at >= p.since and o.finished_at < p.until
        order by o.finished_at::timestamptz(0), o.finished_at
        limit 2000) as f) as f
  ), kept as (
    select s.n, s.begins, s.ends, s.owner, s.state, s.attempt,
      extract(epoch from s.finished_at - s.started_at)::double precision * 1000 as ms,
      extract(epoch from s.started_at - s.due_at)::double precision * 1000 as waited,
      case when s.call_template_id is null then (
        select t.command || coalesce(' ' || t.object, '')
        from jobs_internal.finished_statement as t where t.job_id = s.id and t.bucket = s.bucket)
      else c.task end as task
    from seen as s
    left join jobs_internal.call_template as c on c.id = s.call_template_id
    where s.started_at is not null and s.state <> 'cancelled'
      and (p_owner is null or s.owner = p_owner)
  )
  select k.owner, k.task, k.n, count(*), sum(k.attempt),
    sum(k.attempt - (k.state = 'succeeded')::integer),
    percentile_cont(array[0.25, 0.5, 0.75]) within group (order by k.ms)
      filter (where k.state = 'succeeded'),
    percentile_cont(array[0.25, 0.5, 0.75]) within group (order by k.waited)
      filter (where k.attempt = 1),
    sum(greatest(k.waited, 0)) / 1000 / nullif(extract(epoch from k.ends - k.begins), 0),
    k.n <> all (array(select s.n from seen as s where s.place = 2000))
  from kept as k
  where k.task is not null
  group by k.n, k.begins, k.ends, k.owner, k.task;
end;

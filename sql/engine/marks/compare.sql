-- Whether something is different since a mark. docs/marks.md says how that is decided, and why so.

-- The median absolute deviation, from the median, of some figures; null without any.
create or replace function jobs_internal.deviation(p_figures double precision[],
    out centre double precision, out median double precision, out largest double precision)
language sql immutable
set search_path = pg_catalog, pg_temp
begin atomic
  select c.v, percentile_cont(0.5) within group (order by abs(f.v - c.v)), max(abs(f.v - c.v))
  from (select percentile_cont(0.5) within group (order by u.v) as v from unnest(p_figures) as u(v))
      as c
  cross join unnest(p_figures) as f(v)
  group by c.v;
end;

-- The verdict on a figure that is better when it is less. p_after, p_before: it, and the one of the
-- window before the mark; p_earlier: those of the windows before the mark with enough jobs; times
-- as logarithms, since their ratio counts. p_error: what chance alone makes of p_after; p_least:
-- the smallest difference that is worth a word. A difference counts that is larger than all of:
-- three times the median deviation of those windows, twice their largest, four times p_error, and
-- p_least; from their median, and, as to the first and the last, from the window before. With fewer
-- than five such windows there is no verdict.
create or replace function jobs_internal.verdict_of(p_after double precision,
    p_before double precision, p_earlier double precision[], p_error double precision,
    p_least double precision)
returns text
language sql immutable
set search_path = pg_catalog, pg_temp
begin atomic
  select coalesce((
    select case when p_after > d.centre then 'worse' else 'better' end
    from jobs_internal.deviation(p_earlier) as d
    where cardinality(p_earlier) >= 5
      and abs(p_after - d.centre)
        > greatest(3 * d.median, 2 * d.largest, 4 * p_error, p_least)
      and abs(p_after - p_before) > greatest(3 * d.median, p_least)
      and sign(p_after - p_before) = sign(p_after - d.centre)), 'not enough');
end;

-- The logarithm of a time in ms; what is shorter than 0.05 ms counts as that.
create or replace function jobs_internal.log_ms(p_ms double precision)
returns double precision
language sql immutable
set search_path = pg_catalog, pg_temp
begin atomic
  select ln(greatest(p_ms, 0.05));
end;

-- A share of n, on a scale on which chance makes the same of each: 1 / (2 * sqrt(n)).
create or replace function jobs_internal.scaled_share(p_count bigint, p_n bigint)
returns double precision
language sql immutable
set search_path = pg_catalog, pg_temp
begin atomic
  select asin(sqrt((p_count + 0.375::double precision) / (p_n + 0.75)));
end;

-- What chance alone makes of the logarithm of a median, of its quartiles and their number.
create or replace function jobs_internal.error_of_median(p_quartiles double precision[], p_n bigint)
returns double precision
language sql immutable
set search_path = pg_catalog, pg_temp
begin atomic
  -- the distance of the quartiles of a normal distribution is 1.349 deviations; the median of n
  -- strays by 1.2533 deviations / sqrt(n)
  select 1.2533 * (jobs_internal.log_ms(p_quartiles[3]) - jobs_internal.log_ms(p_quartiles[1]))
    / 1.349 / sqrt(nullif(p_n, 0));
end;

-- Does the work of jobs.compare for a mark that the caller may see. p_owner: of this owner's tasks
-- alone; null: of all.
create or replace function jobs_internal.compare_tasks(p_at timestamptz, p_span interval,
    p_owner oid)
returns table (what text, owner oid, task text, before double precision, after double precision,
    n_before bigint, n_after bigint, verdict text)
language sql volatile security definer
set search_path = pg_catalog, pg_temp
begin atomic
  with figures as materialized (
    select * from jobs_internal.tasks_in_windows(p_at, p_span, p_owner)
  ), side as (
    select f.owner, f.task, f.n, f.jobs, m.what,
      case m.what when 'failures' then f.failed::double precision / f.tries
        when 'duration_ms' then f.ms[2] when 'wait_ms' then f.waits[2]
        else case when f.whole then f.depth end end as figure,
      case m.what when 'failures' then jobs_internal.scaled_share(f.failed, f.tries)
        when 'duration_ms' then jobs_internal.log_ms(f.ms[2])
        when 'wait_ms' then jobs_internal.log_ms(f.waits[2])
        else case when f.whole then ln(greatest(f.depth, 0.01)) end end as scaled,
      case m.what when 'duration_ms' then jobs_internal.error_of_median(f.ms, f.jobs)
        when 'wait_ms' then jobs_internal.error_of_median(f.waits, f.jobs) end as error,
      f.tries, f.failed
    from figures as f
    cross join (values ('failures'), ('duration_ms'), ('wait_ms'), ('depth')) as m(what)
  ), compared as (
    select s.what, s.owner, s.task, max(s.figure) filter (where s.n = 1) as before,
      max(s.figure) filter (where s.n = 0) as after,
      coalesce(max(s.jobs) filter (where s.n = 1), 0) as n_before,
      coalesce(max(s.jobs) filter (where s.n = 0), 0) as n_after,
      max(s.scaled) filter (where s.n = 1) as log_before,
      max(s.scaled) filter (where s.n = 0) as log_after,
      array_agg(s.scaled) filter (where s.n > 0 and s.jobs >= 30 and s.scaled is not null)
        as earlier,
      max(s.error) filter (where s.n = 0) as error,
      sum(s.tries) filter (where s.n = 0) as tries_after,
      sum(s.tries) filter (where s.n > 0) as tries_before
    from side as s
    group by s.what, s.owner, s.task
  )
  select c.what, c.owner, c.task, c.before, c.after, c.n_before, c.n_after,
    case when least(c.n_before, c.n_after) < 30
        or c.what in ('duration_ms', 'wait_ms')
          and abs(c.after - c.before) < case c.what when 'wait_ms' then 5 else 0.1 end
        or c.what = 'depth' and abs(c.after - c.before) < 1
        or c.what = 'failures' and abs(c.after - c.before) < 0.01
      then 'not enough'
    else jobs_internal.verdict_of(c.log_after, c.log_before, c.earlier,
      case c.what
        when 'failures' then sqrt(1.0 / nullif(c.tries_after, 0)
          + 1.0 / nullif(c.tries_before, 0)) / 2
        else c.error end,
      case c.what when 'failures' then 0 when 'depth' then ln(1.5) else ln(1.25) end) end
  from compared as c;
end;

-- What is learned of an operation that has succeeded: how long its phases took here.

-- Close the phases of operations whose jobs end, and learn from those that succeeded. A phase that
-- was not seen took less than the time between two looks: of what took less than three seconds in
-- all nothing is learned. Rates that another session changes at this moment stay as they are.
-- Writes: phase, phase_rate. Locks: phase_rate (skip locked).
create or replace function jobs_internal.end_phases(p_jobs bigint[], p_succeeded boolean)
returns void
language sql volatile security definer
set search_path = pg_catalog, pg_temp
begin atomic
  update jobs_internal.phase as h set finished_at = clock_timestamp()
  where h.job_id = any (p_jobs) and h.finished_at is null;
  with took as (
    select o.kind, coalesce(w.method, '') as method, w.phase, w.units,
      coalesce((select sum(extract(epoch from h.finished_at - h.started_at))
        from jobs_internal.phase as h
        where h.job_id = o.job_id and h.attempt = o.attempt and h.phase = w.phase
          and coalesce(h.method, '') = coalesce(w.method, '')
          and h.started_at >= (o.place ->> 'began')::timestamptz), 0) as seconds
    from jobs_internal.operation as o
    cross join lateral (
      select f.v ->> 'method' as method, f.v ->> 'phase' as phase,
        sum((f.v ->> 'units')::numeric) as units
      from jsonb_array_elements(o.weights -> 'parts') as p(v)
      cross join lateral jsonb_array_elements(p.v -> 'phases') as f(v)
      group by 1, 2
    ) as w
    where p_succeeded and o.job_id = any (p_jobs) and w.units > 0
      and not jobs_internal.is_wait(w.phase)
      and (o.place ->> 'worked')::numeric + extract(epoch from clock_timestamp() - o.looked_at) >= 3
  ), rate as (
    select t.kind, t.method, t.phase,
      greatest(avg(t.seconds / t.units), 1e-12)::double precision as seconds
    from took as t
    group by t.kind, t.method, t.phase
  ), mine as (
    select r.kind, r.method, r.phase
    from jobs_internal.phase_rate as r
    where (r.kind, r.method, r.phase) in (select t.kind, t.method, t.phase from rate as t)
    for no key update skip locked
  ), changed as (
    update jobs_internal.phase_rate as r
    set seconds_per_unit = 0.7 * r.seconds_per_unit + 0.3 * t.seconds, runs = r.runs + 1, at = now()
    from rate as t
    join mine as m on (m.kind, m.method, m.phase) = (t.kind, t.method, t.phase)
    where (r.kind, r.method, r.phase) = (t.kind, t.method, t.phase)
  )
  insert into jobs_internal.phase_rate (kind, method, phase, seconds_per_unit)
  select t.kind, t.method, t.phase, t.seconds from rate as t
  where not exists (select from jobs_internal.phase_rate as r
    where (r.kind, r.method, r.phase) = (t.kind, t.method, t.phase))
  on conflict do nothing;
end;

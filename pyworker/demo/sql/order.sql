-- The demo's jobs that wait: for a time, for other jobs, for a window. Who sets the clock or has to
-- do with the window is the administrator; all else is done as the demo's ordinary role.

-- name: night
select jobs.schedule('night report', '30 1,2 * * *', 'demo.report',
  timezone => 'America/New_York', missed => 'none', overlap => 'parallel');

-- name: set_clock
begin; select jobs_internal.set_next_due(s, '2013-03-10 00:00-05') from jobs_internal.schedule as s;

-- name: ticks
select jobs_internal.fire_schedules(clock)
from generate_series(timestamptz '2013-03-10 00:00-05', '2013-11-04 00:00-05', '10 min') as clock
where (clock at time zone 'America/New_York')::date in ('2013-03-10', '2013-11-03');

-- name: set_back
select jobs_internal.set_next_due(s, now()) from jobs_internal.schedule as s; commit;

-- name: night_ends
select jobs.unschedule('night report');

-- name: nights
select to_char(r.due_at at time zone 'America/New_York', 'Dy DD Mon HH24:MI') as "in New York",
  to_char(r.due_at at time zone 'UTC', 'HH24:MI') as utc, occurrences, outcome, n.flights
from jobs.schedule_runs as r
left join demo.reported as n using (due_at)
where name = 'night report'
order by due_at;

-- name: pulse
select jobs.schedule('pulse', 'every 1 second', 'demo.pulse',
  missed => 'all', overlap => 'queue', ends_at => now() + interval '5 s');

-- name: batch
select jobs.create_batch('months of 2013', on_finish => 'demo.sum_year');

-- name: months
select jobs.enqueue_many('demo.count_month', array_agg(jsonb_build_object('month', month)),
  options => jsonb_build_object('batch', b.id))
from jobs.batches as b, generate_series(1, 12) as month
group by b.id;

-- name: close_batch
select jobs.close_batch(id) from jobs.batches;

-- name: batches
select state, total, succeeded, failed, cancelled, percent,
  cardinality(callback_jobs) as callbacks
from jobs.batches;

-- name: chain
select jobs.enqueue('demo.headline', options => jsonb_build_object('after', array[
  jobs.enqueue('demo.worst_routes', options => jsonb_build_object('after', array[
    jobs.enqueue('demo.late_routes')]))]));

-- name: window
select jobs.create_window('night',
  to_char(now() at time zone 'UTC' - interval '45 min', 'MI HH24 * * *'), '1 hour',
  on_close => 'stop');

-- name: fits
select jobs.enqueue('demo.recount', timeout => '5 minutes', options => '{"window": "night"}');

-- name: too_long
select jobs.enqueue_sql('vacuum full demo.weather', timeout => '30 minutes',
  options => '{"window": "night"}');

-- name: windows
select w.open, w.jobs_waiting, w.jobs_running, e.code, e.reason
from jobs.windows as w, jobs.job as j, jobs.explain(j.id) as e where j.task = 'vacuum demo.weather';

-- name: close_window
select jobs.close_window('night');

-- name: broken
select id, task, state, error ->> 'message' as error from jobs.job
where task ~ '(late|worst)_routes|headline'
order by id;

-- name: corrected
create or replace function demo.share(part bigint, whole bigint)
returns numeric
language sql
return round(100.0 * part / nullif(whole, 0), 1);

-- name: retry
select jobs.retry(id) from jobs.failed where task = 'demo.late_routes';

-- name: open_window
select jobs.open_window('night', '1 hour');

-- name: over
select not exists (select from jobs.job where finished_at is null)
  and not exists (select from jobs.batches where state <> 'finished')
  and (select next_at from jobs.schedules) is null
  and not exists (select from jobs.schedule_runs where outcome = 'queued');

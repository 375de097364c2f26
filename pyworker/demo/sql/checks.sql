-- Each check returns two texts: what was found, and what it has to be.

-- check: flights loaded
select count(*)::text, '336776' from demo.flights;

-- check: days and airports counted, each exactly once
select count(*) filter (where runs = 1) || ' of ' || count(*), '1095 of 1095' from demo.daily;

-- check: flights in the daily table
select sum(flights)::text, '336776' from demo.daily;

-- check: daily rows that differ from one direct computation
with direct as (
  select flight_date, origin, count(*)::integer, count(dep_time)::integer,
    count(*) filter (where dep_time is null)::integer,
    round(avg(dep_delay), 2), percentile_cont(0.5) within group (order by dep_delay), max(arr_delay)
  from demo.flights group by flight_date, origin
), computed as (
  select day, origin, flights, departed, cancelled,
    mean_dep_delay, median_dep_delay, max_arr_delay
  from demo.daily
)
select count(*)::text, '0' from (
  (table direct except all table computed) union all (table computed except all table direct)
) as differing;

-- check: jobs of the queue "flights": state, attempts, count
select string_agg(format('%s %s %s', state, attempt, n), ', '), 'succeeded 1 1095'
from (
  select state, attempt, count(*) as n from jobs.job where queue = 'flights'
  group by state, attempt
) as kinds;

-- check: create index concurrently: valid indexes named flights_date_origin
select count(*)::text, '1' from pg_index
where indexrelid = to_regclass('demo.flights_date_origin') and indisvalid and indisready;

-- check: invalid indexes in the database
select count(*)::text, '0' from pg_index where not (indisvalid and indisready and indislive);

-- check: the measured query: plan changed, index used, at least three times as fast
select string_agg(format('%s, %s, %s',
    case when plan_changed then 'yes' end, case when uses_index then 'yes' end,
    case when ratio <= 1 / 3.0 then 'yes' else ratio::text end), '; '),
  'yes, yes, yes'
from jobs.measurements;

-- check: the NOT NULL in four steps: state, attempts charged, column not null, CHECKs left
select format('%s, %s, %s, %s', j.state, j.attempt,
    (select attnotnull from pg_attribute
      where attrelid = 'demo.weather'::regclass and attname = 'time_hour'),
    (select count(*) from pg_constraint
      where conrelid = 'demo.weather'::regclass and contype = 'c')),
  'succeeded, 1, t, 0'
from jobs.job as j where j.task = 'alter table demo.weather';

-- check: the build that ANALYZE would have killed: state, attempts
select string_agg(state || ', ' || attempt, '; '), 'succeeded, 1'
from jobs.operations where title = 'create index concurrently demo.flights_tailnum';

-- check: the index that was taken back, its undo
select format('%s, %s', coalesce(to_regclass('demo.flights_tailnum')::text, 'gone'),
    string_agg(u.state, '; ')),
  'gone, succeeded'
from jobs.operations as o join jobs.operations as u on u.id = o.undone_by and u.undo_of = o.id;

-- check: rows of the view that was refreshed by the size of its file, beside the flights
select format('%s, %s', count(*),
    count(distinct (carrier, flight, time_hour, origin, dest, tailnum))),
  '336776, 336776'
from demo.in_weather;

-- check: vacuum (analyze): vacuumed and analyzed so often
select vacuum_count || ' and ' || analyze_count, '1 and 1' from pg_stat_user_tables
where relid = 'demo.flights'::regclass;

-- check: queue "maintenance" ran one job at a time, in order
select string_agg(task, ', ' order by started_at)
    || case when bool_or(too_soon) then ', overlapping' else '' end,
  'create index concurrently demo.flights_date_origin, vacuum demo.flights, '
    'refresh materialized view demo.monthly'
from (
  select task, started_at, started_at < lag(finished_at) over (order by id) as too_soon
  from jobs.job where queue = 'maintenance'
) as maintenance;

-- check: rows of the refreshed view that differ from one direct computation
with direct as (
  select date_trunc('month', flight_date)::date, origin, count(*), count(*) - count(dep_time),
    max(arr_delay)
  from demo.flights group by 1, 2
)
select count(*)::text, '0' from (
  (table direct except all table demo.monthly)
  union all
  (table demo.monthly except all table direct)
) as differing;

-- check: the procedure's commits, and its rows that differ from one direct computation
with direct as (
  select f.tailnum, count(*)::integer, sum(f.distance), min(p.model)
  from demo.flights as f left join demo.planes as p using (tailnum)
  where f.tailnum is not null
  group by f.tailnum
), differing as (
  (table direct except all table demo.plane_total)
  union all
  (table demo.plane_total except all table direct)
)
select format('%s, %s', (select count(distinct xmin::text) from demo.plane_total),
    (select count(*) from differing)),
  '9, 0';

-- check: log lines that the procedure left, one per commit
select count(*)::text, '9' from jobs.log_lines as l join jobs.job as j on j.id = l.job_id
where j.task = 'call demo.sum_planes';

-- check: the job that overran its 2 s was stopped in time
select string_agg(format('%s %s %s', state, outcome,
    case when run_ms between 2000 and 4000 then 'in time' else run_ms || ' ms' end), ', '),
  'failed timed_out in time'
from jobs.finished where task = 'pg_catalog.pg_sleep';

-- check: the job with serialization errors, its attempts
select string_agg(coalesce(a.error ->> 'sqlstate', a.outcome), ', ' order by a.attempt),
  '40001, 40001, succeeded'
from jobs.attempts as a join jobs.job as j on j.id = a.job_id where j.task = 'demo.book';

-- check: what it booked, and at which attempt
select string_agg('attempt ' || attempt, ', '), 'attempt 3' from demo.booked;

-- check: the job cancelled half-way: state, attempts, rows that it left
select string_agg(format('%s, %s, %s', j.state, j.attempt, (select count(*) from demo.walked)),
    '; '),
  'cancelled, 1, 0'
from jobs.job as j where j.task = 'demo.walk';

-- check: the night report: each occurrence in UTC, what became of it, how often it ran; runs in all
select string_agg(format('%s %s %s', to_char(r.due_at at time zone 'UTC', 'DD Mon HH24:MI'),
    r.outcome, n.runs), ', ' order by r.due_at)
    || (select format('; %s', count(*)) from demo.reported),
  '10 Mar 06:30 fired 1, 10 Mar 07:00 fired 1, 11 Mar 05:30 missed 0, '
    '03 Nov 05:30 fired 1, 03 Nov 07:30 fired 1; 4'
from jobs.schedule_runs as r,
  lateral (select count(*) as runs from demo.reported as n where n.due_at = r.due_at) as n
where r.name = 'night report';

-- check: flights that it reported, of these two days
select sum(n.flights)::text,
  (select 2 * count(*) from demo.flights where flight_date in ('2013-03-10', '2013-11-03'))::text
from demo.reported as n;

-- check: the job of each second: seconds that were due, how many of them ran once, runs in all
select format('%s, %s, %s', count(*), count(*) filter (where p.runs = 1), sum(p.runs)),
  format('%1$s, %1$s, %1$s', greatest(count(*), 4))
from jobs.schedules as s,
  generate_series((select min(due_at) from jobs.schedule_runs where name = 'pulse'), s.ends_at,
    interval '1 s') as due,
  lateral (select count(*) as runs from demo.pulses as p
    where p.due_at = due and p.flights = 336776) as p;

-- check: the batch: its state, jobs that succeeded, jobs of its callback, what those summed up
select format('%s, %s of %s, %s: %s', b.state, b.succeeded, b.total, cardinality(b.callback_jobs), (
    select string_agg(format('batch %s, %s months, %s flights, %s miles',
        y.batch, y.months, y.flights, y.miles), '; ')
    from demo.year_total as y)),
  (select format('finished, 12 of 12, 1: batch %s, 12 months, 336776 flights, %s miles',
      b.id, sum(distance))
    from demo.flights)
from jobs.batches as b;

-- check: the chain, brought back: states and attempts, and what it found
select format('%s, %s', string_agg(format('%s %s', state, attempt), ', ' order by id),
    max(result #>> '{}') filter (where task = 'demo.headline')),
  'succeeded 2, succeeded 1, succeeded 1, ' || (
    select format('%s %% late from %s to %s',
      round(100.0 * count(*) filter (where dep_delay >= 15) / count(dep_time), 1), origin, dest)
    from demo.flights group by origin, dest having count(*) >= 365
    order by 1.0 * count(*) filter (where dep_delay >= 15) / count(dep_time) desc limit 1)
from jobs.job where task ~ '(late|worst)_routes|headline';

-- check: the job that its window stopped: attempts charged, months and flights counted
select format('%s %s, %s, %s', j.state, j.attempt, count(*), sum(r.flights)),
  'succeeded 1, 12, 336776'
from jobs.job as j, demo.recounted as r where j.task = 'demo.recount' group by j.state, j.attempt;

-- check: jobs of the window that began in its second opening, and succeeded
select count(*)::text, '2' from jobs.job as j, jobs.windows as w
where j.task in ('demo.recount', 'vacuum demo.weather') and j.state = 'succeeded'
  and j.started_at >= w.opened_at;

-- check: unfinished jobs, and jobs in all but those of each second (the refused call left none)
select format('%s, %s', count(*) filter (where finished_at is null),
    count(*) filter (where task <> 'demo.pulse')),
  '0, 1128'
from jobs.job;

-- check: owners of the jobs that are ordinary roles
select format('%s of %s', count(*) filter (where not r.rolsuper), count(*)), '1 of 1'
from (select distinct owner from jobs.job) as o join pg_roles as r on r.rolname = o.owner;

-- check: worker sessions and processes left over
select format('%s, %s', (select count(*) from jobs.sessions), count(*)), '0, 0'
from pg_stat_activity
where datname = current_database() and usename = session_user and backend_type <> 'client backend';

-- check: advisory locks held in the database
select count(*)::text, '0' from pg_locks
where locktype = 'advisory'
  and database = (select oid from pg_database where datname = current_database());

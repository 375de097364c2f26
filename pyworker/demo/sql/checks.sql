-- Each check returns two texts: what was found, and what it has to be.

-- check: flights loaded
select count(*)::text, '336776' from demo.flights;

-- check: days and airports counted, each exactly once
select count(*) filter (where runs = 1) || ' of ' || count(*), '1095 of 1095' from demo.daily;

-- check: flights in the daily table
select sum(flights)::text, '336776' from demo.daily;

-- check: daily rows that differ from one direct computation
with direct as (
  select flight_date, origin, count(*)::integer, count(dep_time)::integer, count(*) filter (where dep_time is null)::integer,
    round(avg(dep_delay), 2), percentile_cont(0.5) within group (order by dep_delay), max(arr_delay)
  from demo.flights group by flight_date, origin
), computed as (
  select day, origin, flights, departed, cancelled, mean_dep_delay, median_dep_delay, max_arr_delay from demo.daily
)
select count(*)::text, '0' from (
  (table direct except all table computed) union all (table computed except all table direct)
) as differing;

-- check: jobs of the queue "flights": state, attempts, count
select string_agg(format('%s %s %s', state, attempt, n), ', '), 'succeeded 1 1095'
from (select state, attempt, count(*) as n from jobs.job where queue = 'flights' group by state, attempt) as kinds;

-- check: create index concurrently: valid indexes named flights_date_origin
select count(*)::text, '1' from pg_index where indexrelid = to_regclass('demo.flights_date_origin') and indisvalid and indisready;

-- check: invalid indexes in the database
select count(*)::text, '0' from pg_index where not (indisvalid and indisready and indislive);

-- check: the measured query: plan changed, index used, at least three times as fast
select string_agg(format('%s, %s, %s', case when plan_changed then 'yes' end, case when uses_index then 'yes' end,
  case when ratio <= 1 / 3.0 then 'yes' else ratio::text end), '; '), 'yes, yes, yes'
from jobs.measurements;

-- check: the NOT NULL in four steps: state, attempts charged, column not null, CHECKs left
select format('%s, %s, %s, %s', j.state, j.attempt,
  (select attnotnull from pg_attribute where attrelid = 'demo.weather'::regclass and attname = 'time_hour'),
  (select count(*) from pg_constraint where conrelid = 'demo.weather'::regclass and contype = 'c')), 'succeeded, 1, t, 0'
from jobs.job as j where j.task = 'alter table demo.weather';

-- check: the build that ANALYZE would have killed: state, attempts
select string_agg(state || ', ' || attempt, '; '), 'succeeded, 1'
from jobs.operations where title = 'create index concurrently demo.flights_tailnum';

-- check: the index that was taken back, its undo
select format('%s, %s', coalesce(to_regclass('demo.flights_tailnum')::text, 'gone'), string_agg(u.state, '; ')), 'gone, succeeded'
from jobs.operations as o join jobs.operations as u on u.id = o.undone_by and u.undo_of = o.id;

-- check: rows of the view that was refreshed by the size of its file, beside the flights
select format('%s, %s', count(*), count(distinct (carrier, flight, time_hour, origin, dest, tailnum))), '336776, 336776' from demo.in_weather;

-- check: vacuum (analyze): vacuumed and analyzed so often
select vacuum_count || ' and ' || analyze_count, '1 and 1' from pg_stat_user_tables where relid = 'demo.flights'::regclass;

-- check: queue "maintenance" ran one job at a time, in order
select string_agg(task, ', ' order by started_at) || case when bool_or(too_soon) then ', overlapping' else '' end,
  'create index concurrently demo.flights_date_origin, vacuum demo.flights, refresh materialized view demo.monthly'
from (
  select task, started_at, started_at < lag(finished_at) over (order by id) as too_soon from jobs.job where queue = 'maintenance'
) as maintenance;

-- check: rows of the refreshed view that differ from one direct computation
with direct as (
  select date_trunc('month', flight_date)::date, origin, count(*), count(*) - count(dep_time), max(arr_delay)
  from demo.flights group by 1, 2
)
select count(*)::text, '0' from (
  (table direct except all table demo.monthly) union all (table demo.monthly except all table direct)
) as differing;

-- check: the procedure's commits, and its rows that differ from one direct computation
with direct as (
  select f.tailnum, count(*)::integer, sum(f.distance), min(p.model)
  from demo.flights as f left join demo.planes as p using (tailnum)
  where f.tailnum is not null
  group by f.tailnum
), differing as (
  (table direct except all table demo.plane_total) union all (table demo.plane_total except all table direct)
)
select format('%s, %s', (select count(distinct xmin::text) from demo.plane_total), (select count(*) from differing)), '9, 0';

-- check: log lines that the procedure left, one per commit
select count(*)::text, '9' from jobs.log_lines as l join jobs.job as j on j.id = l.job_id where j.task = 'call demo.sum_planes';

-- check: the job that overran its 2 s was stopped in time
select string_agg(format('%s %s %s', state, outcome, case when run_ms between 2000 and 4000 then 'in time' else run_ms || ' ms' end), ', '),
  'failed timed_out in time'
from jobs.finished where task = 'pg_catalog.pg_sleep';

-- check: the job with serialization errors, its attempts
select string_agg(coalesce(a.error ->> 'sqlstate', a.outcome), ', ' order by a.attempt), '40001, 40001, succeeded'
from jobs.attempts as a join jobs.job as j on j.id = a.job_id where j.task = 'demo.book';

-- check: what it booked, and at which attempt
select string_agg('attempt ' || attempt, ', '), 'attempt 3' from demo.booked;

-- check: the job cancelled half-way: state, attempts, rows that it left
select string_agg(format('%s, %s, %s', j.state, j.attempt, (select count(*) from demo.walked)), '; '), 'cancelled, 1, 0'
from jobs.job as j where j.task = 'demo.walk';

-- check: unfinished jobs, and jobs in all (the refused call left none)
select format('%s, %s', count(*) filter (where finished_at is null), count(*)), '0, 1106' from jobs.job;

-- check: owners of the jobs that are ordinary roles
select format('%s of %s', count(*) filter (where not r.rolsuper), count(*)), '1 of 1'
from (select distinct owner from jobs.job) as o join pg_roles as r on r.rolname = o.owner;

-- check: worker sessions and processes left over
select format('%s, %s', (select count(*) from jobs.sessions), count(*)), '0, 0' from pg_stat_activity
where datname = current_database() and usename = session_user and backend_type <> 'client backend';

-- check: advisory locks held in the database
select count(*)::text, '0' from pg_locks
where locktype = 'advisory' and database = (select oid from pg_database where datname = current_database());

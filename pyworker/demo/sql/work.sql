-- The demo's jobs, as its ordinary role enqueues them: each statement returns the ids of its jobs.
-- "cancel" is asked again and again until there is something to cancel, "refused" raises an error.

-- name: index
select jobs.enqueue_sql(
  'create index concurrently flights_date_origin on demo.flights (flight_date, origin)',
  queue => 'maintenance', options => '{"measure":
    ["select avg(dep_delay) from demo.flights '
      'where flight_date = ''2013-07-04'' and origin = ''JFK''"]}');

-- name: vacuum
select jobs.enqueue_sql('vacuum (analyze) demo.flights', queue => 'maintenance');

-- name: steps
select jobs.enqueue_steps('[
    "alter table demo.weather add constraint hour_known check (time_hour is not null) not valid",
    "alter table demo.weather validate constraint hour_known",
    "alter table demo.weather alter time_hour set not null",
    "alter table demo.weather drop constraint hour_known"]',
  queue => 'retries', settings => '{"lock_timeout": "30 s"}');

-- name: days
select jobs.enqueue_many('demo.count_day',
  array_agg(jsonb_build_object('day', day, 'origin', origin)), queue => 'flights')
from (select distinct flight_date as day, origin from demo.flights) as each_day;

-- name: planes
select jobs.enqueue_sql('call demo.sum_planes(chunk => 500)',
  done_when => 'select count(*) = (select count(distinct tailnum) from demo.flights) '
    'from demo.plane_total');

-- name: timeout
select jobs.enqueue('pg_sleep', '{"$1": 60}', timeout => '2 seconds', max_attempts => 1);

-- name: retried
select jobs.enqueue('demo.book', queue => 'retries');

-- name: cancelled
select jobs.enqueue('demo.walk', '{"steps": 300}');

-- name: build
select jobs.enqueue_sql('create index concurrently flights_tailnum on demo.flights (tailnum)',
  options => '{"on_deadlock_risk": "cancel_waiter"}');

-- name: by_size
select jobs.enqueue_sql('refresh materialized view demo.in_weather');

-- name: cancel
select jobs.cancel(id), percent from jobs.running where task = 'demo.walk' and percent >= 50;

-- name: refused
select jobs.enqueue('demo.count_day', '{"day": "2013-02-29", "origin": "JFK"}', queue => 'flights');

-- name: refresh
select jobs.enqueue_sql('refresh materialized view demo.monthly', queue => 'maintenance');

-- name: undo
select jobs.undo(id) from jobs.operations
where title = 'create index concurrently demo.flights_tailnum';

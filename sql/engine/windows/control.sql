-- What is behind the functions of operators for windows.

-- The row of a window, locked so that it is changed by one session at a time; enqueuers that name
-- it wait for nothing. Errors: PW111.
create or replace function jobs_internal.window_named(p_name text)
returns jobs_internal.run_window
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp
as $$
declare
  v jobs_internal.run_window;
begin
  select w.* into v from jobs_internal.run_window as w where w.name = p_name for no key update;
  if not found then
    perform jobs_internal.hold_window(coalesce(p_name, ''));
  end if;
  return v;
end
$$;

-- The options of a window, for the audit.
create or replace function jobs_internal.window_options(p_window jobs_internal.run_window)
returns jsonb
language sql immutable
set search_path = pg_catalog, pg_temp
begin atomic
  select jsonb_build_object('schedule', (p_window).expression, 'timezone', (p_window).timezone,
    'duration', (p_window).duration, 'on_close', (p_window).on_close);
end;

-- Does the work of jobs.create_window.
create or replace function jobs_internal.create_window(name text, schedule text,
    duration interval, timezone text, on_close text)
returns boolean
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp
as $$
declare
  v jobs_internal.run_window;
begin
  perform jobs_internal.assert_not_copy();
  v.name := create_window.name;
  v.expression := create_window.schedule;
  v.duration := create_window.duration;
  v.timezone := create_window.timezone;
  v.on_close := create_window.on_close;
  v := jobs_internal.checked_window(v);
  insert into jobs_internal.run_window as w
    (name, expression, timetable, timezone, duration, on_close)
  values (v.name, v.expression, v.timetable, v.timezone, v.duration, v.on_close)
  on conflict do nothing;
  if not found then
    raise notice using message = format('window "%s" exists already: nothing was changed', v.name),
      hint = 'jobs.alter_window changes it.';
    return false;
  end if;
  insert into jobs_internal.window_state (name, opened_at, closes_at, next_opens_at)
  select v.name, o.opened_at, o.closes_at, o.next_opens_at
  from jobs_internal.window_opening(v, clock_timestamp()) as o;
  perform jobs_internal.wake(null), jobs_internal.record_audit('create_window',
    'window ' || v.name, null, jobs_internal.window_options(v));
  return true;
end
$$;

-- Does the work of jobs.alter_window: what is null stays. When it opens by another schedule, it is
-- open or closed by that from now on.
create or replace function jobs_internal.alter_window(name text, schedule text,
    duration interval, timezone text, on_close text)
returns boolean
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp
as $$
declare
  v_before jobs_internal.run_window := jobs_internal.window_named(alter_window.name);
  v jobs_internal.run_window := v_before;
begin
  perform jobs_internal.assert_not_copy();
  v.expression := coalesce(alter_window.schedule, v.expression);
  v.duration := coalesce(alter_window.duration, v.duration);
  v.timezone := coalesce(alter_window.timezone, v.timezone);
  v.on_close := coalesce(alter_window.on_close, v.on_close);
  v := jobs_internal.checked_window(v);
  update jobs_internal.run_window as w
  set (expression, timetable, timezone, duration, on_close)
    = (v.expression, v.timetable, v.timezone, v.duration, v.on_close)
  where w.name = v.name;
  if coalesce(alter_window.schedule, alter_window.timezone) is not null
    or alter_window.duration is not null then
    update jobs_internal.window_state as s
    set (opened_at, closes_at, next_opens_at)
      = (select o.opened_at, o.closes_at, o.next_opens_at
        from jobs_internal.window_opening(v, clock_timestamp()) as o)
    where s.name = v.name;
  end if;
  perform jobs_internal.wake(null), jobs_internal.record_audit('alter_window',
    'window ' || v.name, jobs_internal.window_options(v_before), jobs_internal.window_options(v));
  return true;
end
$$;

-- What names a window: unfinished jobs, schedules, queues; null: nothing does.
create or replace function jobs_internal.users_of_window(p_name text)
returns text
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp
as $$
declare
  v_jobs text;
  v_schedules text;
  v_queues text;
begin
  select case when count(*) = 1 then 'job ' || min(j.id)
    when count(*) > 1 then format('%s, the first is %s', jobs_internal.counted(count(*), 'job'),
      min(j.id)) end
  into v_jobs
  from jobs_internal.job as j where j.options ->> 'window' = p_name;
  select string_agg(format('schedule %s of %s', quote_literal(s.name), pg_get_userbyid(s.owner)),
    ', ' order by s.name)
  into v_schedules
  from (select * from jobs_internal.schedule as o
    where o.dropped_at is null and o.options ->> 'window' = p_name order by o.name limit 20) as s;
  select string_agg('queue ' || q.name, ', ' order by q.name) into v_queues
  from jobs_internal.queue as q where q.removed_at is null and q.window_name = p_name;
  return nullif(concat_ws('; ', v_queues, v_schedules, v_jobs), '');
end
$$;

-- Does the work of jobs.drop_window. It waits for the transactions that are enqueuing a job with
-- the window just now: their locks of its row.
-- Locks: run_window. Errors: 0A000, PW111, PW113.
create or replace function jobs_internal.drop_window(name text)
returns boolean
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp
as $$
declare
  v jobs_internal.run_window;
  v_users text;
begin
  if current_setting('transaction_isolation') <> 'read committed' then
    raise exception using errcode = '0A000',
      message = format('jobs.drop_window is not for a %s transaction',
          current_setting('transaction_isolation')),
      detail = 'Its snapshot would not show the jobs that came meanwhile.',
        hint = 'Use READ COMMITTED.';
  end if;
  perform jobs_internal.assert_not_copy();
  select w.* into v from jobs_internal.run_window as w where w.name = drop_window.name for update;
  if not found then
    perform jobs_internal.hold_window(coalesce(drop_window.name, ''));
  end if;
  v_users := jobs_internal.users_of_window(v.name);
  if v_users is not null then
    raise exception using errcode = 'PW113', message = format('window "%s" is in use', v.name),
      detail = format('It is named by: %s.', v_users),
      hint = 'Let the jobs finish or cancel them, give the schedules and queues another one, then '
        'drop it.';
  end if;
  delete from jobs_internal.run_window as w where w.name = v.name;
  perform jobs_internal.record_audit('drop_window', 'window ' || v.name,
    jobs_internal.window_options(v), null);
  return true;
end
$$;

-- Does the work of jobs.open_window: it is open from now on, for so long at least. Returns when it
-- closes.
create or replace function jobs_internal.open_window(name text, duration interval)
returns timestamptz
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp
as $$
declare
  v jobs_internal.run_window := jobs_internal.window_named(open_window.name);
  v_duration interval := jobs_internal.checked_duration(open_window.duration);
  v_now timestamptz := clock_timestamp();
  v_before timestamptz;
  v_closes_at timestamptz;
begin
  perform jobs_internal.assert_not_copy();
  v_before := (select s.closes_at from jobs_internal.window_state as s
    where s.name = v.name and s.closes_at > v_now);
  update jobs_internal.window_state as s
  set opened_at = v_now, closes_at = greatest(v_now + v_duration, s.closes_at)
  where s.name = v.name
  returning s.closes_at into v_closes_at;
  perform jobs_internal.wake(null), jobs_internal.record_audit('open_window', 'window ' || v.name,
    jsonb_build_object('closes_at', v_before), jsonb_build_object('closes_at', v_closes_at));
  return v_closes_at;
end
$$;

-- Does the work of jobs.close_window: it is closed until its next occurrence. Returns whether it
-- was open.
create or replace function jobs_internal.close_window(name text)
returns boolean
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp
as $$
declare
  v jobs_internal.run_window := jobs_internal.window_named(close_window.name);
  v_now timestamptz := clock_timestamp();
  v_state jobs_internal.window_state;
begin
  perform jobs_internal.assert_not_copy();
  select s.* into v_state from jobs_internal.window_state as s where s.name = v.name for update;
  if coalesce(v_state.closes_at <= v_now, true) and v_state.next_opens_at > v_now then
    return false;
  end if;
  update jobs_internal.window_state as s
  set opened_at = null, closes_at = null,
    next_opens_at = jobs_internal.next_time(v.timetable, v.timezone, v_now)
  where s.name = v.name;
  perform jobs_internal.wake(null), jobs_internal.record_audit('close_window', 'window ' || v.name,
    jsonb_build_object('closes_at', v_state.closes_at), jsonb_build_object('closes_at', null));
  return true;
end
$$;

-- In a copy that is taken into use no window is open before its next occurrence.
create or replace function jobs_internal.shut_windows()
returns void
language sql volatile security definer
set search_path = pg_catalog, pg_temp
begin atomic
  update jobs_internal.window_state as s
  set opened_at = null, closes_at = null,
    next_opens_at = jobs_internal.next_time(w.timetable, w.timezone, clock_timestamp())
  from jobs_internal.run_window as w
  where w.name = s.name;
end;

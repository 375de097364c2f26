-- Checks of what a window is given, and of options that name one.

-- A time for which a window is open, as it is kept: elapsed time. Errors: PW112.
create or replace function jobs_internal.checked_duration(p_duration interval)
returns interval
language plpgsql immutable
set search_path = pg_catalog, pg_temp
as $$
begin
  if p_duration is null or not isfinite(p_duration) or extract(epoch from p_duration) <= 0
    or p_duration > interval '41 years' then
    perform jobs_internal.refuse('PW112', 'the duration of a window must be longer than zero, and '
      '41 years at most', format('It is %s.', coalesce(p_duration::text, 'null')));
  end if;
  return make_interval(secs => extract(epoch from p_duration)::double precision);
end
$$;

-- Check a window of which name, expression, timezone, duration and on_close are given. Returns: the
-- same with its timetable. Errors: PW100, PW101, PW112.
create or replace function jobs_internal.checked_window(p_window jobs_internal.run_window)
returns jobs_internal.run_window
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $$
declare
  v jobs_internal.run_window := p_window;
  v_period interval;
begin
  if v.name is null or octet_length(v.name) > 63 or v.name !~ '^[A-Za-z0-9_][A-Za-z0-9_.:-]{0,62}$'
  then
    perform jobs_internal.refuse('PW112', format('"%s" is no name for a window', left(v.name, 100)),
      'A name has 1 to 63 letters, digits, or one of _ . : - and begins with a letter, a digit or '
      '_.');
  end if;
  if v.on_close is null or v.on_close not in ('finish', 'stop', 'park') then
    perform jobs_internal.refuse('PW112', format('on_close cannot be %s',
        coalesce(quote_literal(left(v.on_close, 100)), 'null')), 'It is finish, stop or park.');
  end if;
  v.timetable := jobs_internal.parse_schedule(v.expression);
  v.timezone := jobs_internal.assert_zone(v.timezone);
  v.duration := jobs_internal.checked_duration(v.duration);
  if (v.timetable).after_end is not null then
    perform jobs_internal.refuse('PW112', format('a window cannot open "%s"', v.expression),
      'No run ends from which that would count: write five fields, or every ...');
  end if;
  if jobs_internal.next_time(v.timetable, v.timezone, clock_timestamp()) is null then
    perform jobs_internal.refuse('PW112', 'the window never opens',
      'Its schedule has no occurrence within 41 years.');
  end if;
  v_period := jobs_internal.shortest_period(v.timetable);
  if v.duration > v_period then
    perform jobs_internal.refuse('PW112', 'the duration of the window is longer than the time from '
      'one opening to the next', format('It is %s; the shortest such time is %s.',
        jobs_internal.elapsed(v.duration), jobs_internal.elapsed(v_period)));
  end if;
  return v;
end
$$;

-- A time for people, in seconds where it is short: 00:20:00, 1.5 s.
create or replace function jobs_internal.elapsed(p_interval interval)
returns text
language sql immutable
set search_path = pg_catalog, pg_temp
begin atomic
  select case when extract(epoch from p_interval) < 60
    then round(extract(epoch from p_interval), 3)::double precision || ' s'
    else date_trunc('second', justify_hours(p_interval))::text end;
end;

-- Keep a window until this transaction ends: who drops it waits, and then sees who names it. Null:
-- no window. Locks: run_window (key share). Errors: PW111.
create or replace function jobs_internal.hold_window(p_name text)
returns void
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp
as $$
begin
  if p_name is null then
    return;
  end if;
  perform from jobs_internal.run_window as w where w.name = p_name for key share;
  if not found then
    raise exception using errcode = 'PW111',
      message = format('there is no window "%s"', left(p_name, 100)),
      detail = 'Windows are made by an operator, and may be dropped.',
      hint = 'See jobs.windows, or: select jobs.create_window(...). A retry cannot help.';
  end if;
end
$$;

-- When a schedule is due next. A pure function of the timetable, the zone and an instant.
--
-- A timetable speaks of the wall clock, which jumps. Three rules say what becomes of a time in a
-- jump, and each has its search:
--   fixed   neither minute nor hour has a `*`: each wall time once, at the first instant at which
--           the wall clock has reached it. So a time in a gap runs at the end of the gap, all
--           times in one gap as one, and a time that is read twice runs at the first reading.
--   wild    minute or hour has a `*`: whenever the wall clock shows a time that matches. So both
--           readings count, and what is in a gap does not.
--   every   elapsed time from an anchor; the wall clock is not asked.
-- Fixed and wild take for granted that a zone changes at most once in eight hours, and goes back by
-- less than that: so it is in all zones since 1970.

-- The first wall minute from p_from on that matches, up to the month of p_until; null: none. The
-- wall clock is taken to run on without a jump. Raises nothing.
create or replace function jobs_internal.next_wall(p_timetable jobs_internal.timetable,
    p_from timestamp, p_until date)
returns timestamp
language plpgsql immutable
set search_path = pg_catalog, pg_temp
as $$
declare
  v_minutes integer[] := p_timetable.minutes;
  v_hours integer[] := p_timetable.hours;
  v_days integer[] := p_timetable.days;
  v_months integer[] := p_timetable.months;
  v_weekdays integer[] := p_timetable.weekdays;
  v_both boolean := p_timetable.both_days;
  v_year integer := extract(year from p_from);
  v_month integer := extract(month from p_from);
  v_day integer := extract(day from p_from);  -- the search goes on from this day of the month
  v_hour integer := extract(hour from p_from);
  v_minute integer := extract(minute from p_from);
  v_time integer;     -- minutes of the day at which the first day runs; null: it does no more
  v_opens integer := v_hours[1] * 60 + v_minutes[1];  -- the same of any later day
  v_found integer;
  v_first date;
  v_length integer;
  v_offset integer;   -- the weekday of the day before the first
begin
  -- width_bucket tells how many numbers of a sorted array are not above a given one.
  v_found := v_hours[width_bucket(v_hour - 1, v_hours) + 1];
  if v_found = v_hour then
    v_time := v_hour * 60 + v_minutes[width_bucket(v_minute - 1, v_minutes) + 1];
    v_found := v_hours[width_bucket(v_hour, v_hours) + 1];
  end if;
  v_time := coalesce(v_time, v_found * 60 + v_minutes[1]);
  if v_time is null then
    v_day := v_day + 1;
    v_time := v_opens;
  end if;
  loop
    v_found := v_months[width_bucket(v_month - 1, v_months) + 1];
    if v_found is distinct from v_month then
      v_year := v_year + (v_found is null)::integer;
      v_month := coalesce(v_found, v_months[1]);
      v_day := 1;
      v_time := v_opens;
    end if;
    v_first := make_date(v_year, v_month, 1);
    if v_first > p_until then
      return null;
    end if;
    v_length := case when v_month in (4, 6, 9, 11) then 30 when v_month <> 2 then 31
      when v_year % 4 = 0 and (v_year % 100 <> 0 or v_year % 400 = 0) then 29 else 28 end;
    -- 2000-01-01 was a Saturday.
    v_offset := (v_first - date '2000-01-01' + 7000000 + 5) % 7;
    for v_d in v_day .. v_length loop
      if (case when v_both
        then (v_d = any(v_days) or v_d = v_length and 32 = any(v_days))
          and (v_offset + v_d) % 7 = any(v_weekdays)
        else v_d = any(v_days) or v_d = v_length and 32 = any(v_days)
          or (v_offset + v_d) % 7 = any(v_weekdays) end)
      then
        return v_first + (v_d - 1) + make_interval(mins => v_time);
      end if;
      v_time := v_opens;
    end loop;
    v_month := v_month + 1;
    v_day := 1;
    v_time := v_opens;
  end loop;
end
$$;

-- The instant, between the two, at which the zone changes. It must change exactly once there.
-- Raises nothing.
create or replace function jobs_internal.zone_change(p_zone text, p_low timestamptz,
    p_high timestamptz)
returns timestamptz
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $$
declare
  v_low timestamptz := date_trunc('second', p_low);
  v_high timestamptz := date_trunc('second', p_high);
  v_offset interval := (v_high at time zone p_zone) - (v_high at time zone 'UTC');
  v_middle timestamptz;
begin
  while v_high - v_low > interval '1 second' loop
    v_middle := date_trunc('second', v_low + (v_high - v_low) / 2);
    if (v_middle at time zone p_zone) - (v_middle at time zone 'UTC') = v_offset then
      v_high := v_middle;
    else
      v_low := v_middle;
    end if;
  end loop;
  return v_high;
end
$$;

-- A wall time, up to the next whole minute. Raises nothing.
create or replace function jobs_internal.whole_minute(p_wall timestamp)
returns timestamp
language sql immutable
set search_path = pg_catalog, pg_temp
begin atomic
  select date_trunc('minute', p_wall + interval '59.999999 s');
end;

-- An instant so much earlier. A whole day of the difference of two times is 24 hours here, whatever
-- the TimeZone of the session. Raises nothing.
create or replace function jobs_internal.before(p_at timestamptz, p_by interval)
returns timestamptz
language sql immutable
set search_path = pg_catalog, pg_temp
begin atomic
  select p_at - make_interval(secs => extract(epoch from p_by)::double precision);
end;

-- The next time of a timetable without `*` in minute and hour: see above. Raises nothing.
create or replace function jobs_internal.next_fixed(p_timetable jobs_internal.timetable,
    p_zone text, p_after timestamptz)
returns timestamptz
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $$
declare
  v_wall timestamp := p_after at time zone p_zone;
  -- what the clock would show if it had not been set in the last eight hours
  v_unset timestamp
    := ((p_after - interval '8 hours') at time zone p_zone) + interval '8 hours';
  v_from timestamp := date_trunc('minute', v_wall) + interval '1 minute';
  v_change timestamptz;
  v_next timestamp;
  v_at timestamptz;
  v_shown timestamp;
  v_earlier timestamptz;
begin
  if v_unset > v_wall then
    -- It was set back. What it had reached before is done with.
    v_change := jobs_internal.zone_change(p_zone, p_after - interval '8 hours', p_after);
    v_from := greatest(v_from, jobs_internal.whole_minute((v_change at time zone p_zone)
          + (v_unset - v_wall)));
  end if;
  v_next := jobs_internal.next_wall(p_timetable, v_from, (v_wall + interval '41 years')::date);
  v_at := v_next at time zone p_zone;
  v_shown := v_at at time zone p_zone;
  if v_shown > v_next then
    -- In a gap, a time is taken to be that of the offset before: so it lies behind the gap's end.
    return jobs_internal.zone_change(p_zone, jobs_internal.before(v_at, v_shown - v_next), v_at);
  end if;
  -- A time that is read twice is taken for the second.
  v_unset := ((v_at - interval '8 hours') at time zone p_zone) + interval '8 hours';
  if v_unset > v_next then
    v_earlier := v_at - (v_unset - v_next);
    if v_earlier at time zone p_zone = v_next then
      return v_earlier;
    end if;
  end if;
  return v_at;
end
$$;

-- The next time of a timetable with `*` in minute or hour: see above. Raises nothing.
create or replace function jobs_internal.next_wild(p_timetable jobs_internal.timetable,
    p_zone text, p_after timestamptz)
returns timestamptz
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $$
declare
  v_wall timestamp := p_after at time zone p_zone;
  v_until date := (v_wall + interval '41 years')::date;
  -- what the clock shows in eight hours, less these
  v_ahead timestamp
    := ((p_after + interval '8 hours') at time zone p_zone) - interval '8 hours';
  v_from timestamp := date_trunc('minute', v_wall) + interval '1 minute';
  v_change timestamptz;
  v_next timestamp;
  v_at timestamptz;
  v_shown timestamp;
  v_unset timestamp;
begin
  if v_ahead < v_wall then
    -- It is about to be set back: what it shows until then, else from then on.
    v_change := jobs_internal.zone_change(p_zone, p_after, p_after + interval '8 hours');
    v_next := jobs_internal.next_wall(p_timetable, v_from, v_until);
    if v_next < (v_change at time zone p_zone) + (v_wall - v_ahead) then
      return p_after + (v_next - v_wall);
    end if;
    v_from := jobs_internal.whole_minute(v_change at time zone p_zone);
  end if;
  loop
    v_next := jobs_internal.next_wall(p_timetable, v_from, v_until);
    v_at := v_next at time zone p_zone;
    v_shown := v_at at time zone p_zone;
    exit when v_shown = v_next or v_next is null;
    -- In a gap: the search goes on at its end.
    v_change := jobs_internal.zone_change(p_zone, jobs_internal.before(v_at, v_shown - v_next),
        v_at);
    v_from := jobs_internal.whole_minute(v_change at time zone p_zone);
  end loop;
  -- A time that is read twice is taken for the second; the first counts too, if it is to come.
  v_unset := ((v_at - interval '8 hours') at time zone p_zone) + interval '8 hours';
  if v_unset > v_next and v_at - (v_unset - v_next) > p_after
    and (v_at - (v_unset - v_next)) at time zone p_zone = v_next
  then
    return v_at - (v_unset - v_next);
  end if;
  return v_at;
end
$$;

-- The first time after p_after, and never p_after itself, at which a schedule is due; null: none
-- within 41 years, or p_after is not within the years 1 to 9999. p_zone: as assert_zone gives it,
-- null for UTC. p_anchor: of `every`, the first time of all, from which the others are counted;
-- null: they are counted from 1970-01-01 00:00 UTC. Of `after`, p_after is the end of the last run.
-- Errors: none of ours.
create or replace function jobs_internal.next_time(p_timetable jobs_internal.timetable, p_zone text,
    p_after timestamptz, p_anchor timestamptz default null)
returns timestamptz
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $$
declare
  v_anchor timestamptz := coalesce(p_anchor, '1970-01-01 00:00:00+00');
  v_every numeric;
  v_count numeric;
begin
  if p_after is null or not p_after between '0001-01-03 00:00:00+00' and '9999-12-30 00:00:00+00'
  then
    return null;
  elsif p_timetable.after_end is not null then
    return p_after + p_timetable.after_end;
  elsif p_timetable.every is not null then
    v_every := extract(epoch from p_timetable.every);
    v_count := floor((extract(epoch from p_after) - extract(epoch from v_anchor)) / v_every) + 1;
    if p_anchor is not null then
      v_count := greatest(v_count, 0);
    end if;
    -- Whole seconds, of which a float8 holds more than there are.
    return v_anchor + make_interval(secs => (v_count * v_every)::double precision);
  elsif p_timetable.wild then
    return jobs_internal.next_wild(p_timetable, coalesce(p_zone, 'UTC'), p_after);
  end if;
  return jobs_internal.next_fixed(p_timetable, coalesce(p_zone, 'UTC'), p_after);
end
$$;

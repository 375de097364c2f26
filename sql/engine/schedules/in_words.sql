-- A schedule in plain English, so that people see what they wrote.

-- "a", "a and b", "a, b and c". Raises nothing.
create or replace function jobs_internal.enumerated(p_texts text[], p_last text default 'and')
returns text
language sql immutable
set search_path = pg_catalog, pg_temp
begin atomic
  select case when cardinality(p_texts) < 2 then p_texts[1]
    else array_to_string(p_texts[: cardinality(p_texts) - 1], ', ') || ' ' || p_last || ' '
      || p_texts[cardinality(p_texts)] end;
end;

-- Numbers, sorted, as ranges: "1, 3 to 5 and 9"; with equal steps between four or more: "1 to 31 in
-- steps of 2". p_names: what stands for 0, 1, ...; null: the numbers themselves. Raises nothing.
create or replace function jobs_internal.ranges_in_words(p_numbers integer[],
    p_names text[] default null)
returns text
language sql immutable
set search_path = pg_catalog, pg_temp
begin atomic
  with number as (
    select n, i, coalesce(p_names[n + 1], n::text) as name, n - i as run,
      n - lag(n) over (order by i) as step
    from unnest(p_numbers) with ordinality as u(n, i)
  ),
  piece as (
    select min(n) as low, case when count(*) > 2
        then min(name) filter (where n = r.low) || ' to ' || min(name) filter (where n = r.high)
        else string_agg(name, ' and ' order by n) end as text,
      array_agg(name order by n) as names, count(*) as size
    from (select n.*, min(n) over w as low, max(n) over w as high from number as n
      window w as (partition by run)) as r
    group by r.run
  )
  select case
    when (select count(distinct step) = 1 and count(*) > 3 and min(step) > 1 from number)
      then (select min(name) filter (where i = 1) || ' to '
          || min(name) filter (where i = cardinality(p_numbers)) || ' in steps of ' || max(step)
        from number)
    else (select jobs_internal.enumerated(array_agg(t.text order by p.low, t.n))
      from piece as p cross join lateral unnest(case when p.size > 2 then array[p.text]
          else p.names end) with ordinality as t(text, n)) end;
end;

-- A duration: "15 minutes", "1 hour 30 minutes". Raises nothing.
create or replace function jobs_internal.elapsed_in_words(p_interval interval)
returns text
language sql immutable
set search_path = pg_catalog, pg_temp
begin atomic
  select string_agg(format('%s %s%s', u.n, u.unit, case when u.n <> 1 then 's' end), ' '
    order by u.at)
  from (select extract(epoch from p_interval)::bigint as seconds) as s
  cross join lateral (values (1, s.seconds / 86400, 'day'), (2, s.seconds / 3600 % 24, 'hour'),
    (3, s.seconds / 60 % 60, 'minute'), (4, s.seconds % 60, 'second')) as u(at, n, unit)
  where u.n > 0;
end;

-- The times of a day. Raises nothing.
create or replace function jobs_internal.times_in_words(p_minutes integer[], p_hours integer[])
returns text
language sql immutable
set search_path = pg_catalog, pg_temp
begin atomic
  select case
    when cardinality(p_minutes) * cardinality(p_hours) <= 6 then 'at ' || (
      select jobs_internal.enumerated(array_agg(to_char(make_time(h, m, 0), 'HH24:MI')
          order by h, m))
      from unnest(p_hours) as h cross join unnest(p_minutes) as m)
    else case
      when cardinality(p_minutes) = 60 then 'every minute'
      when v.steady then format('every %s minutes', 60 / cardinality(p_minutes))
      when p_minutes = array[0] and cardinality(p_hours) = 24 then 'every hour'
      else format('at minute%s %s', case when cardinality(p_minutes) > 1 then 's' end,
        jobs_internal.ranges_in_words(p_minutes)) end
      || case when cardinality(p_hours) < 24
        then format(' of hour%s %s', case when cardinality(p_hours) > 1 then 's' end,
          jobs_internal.ranges_in_words(p_hours))
        when v.steady or cardinality(p_minutes) = 60 or p_minutes = array[0] then ''
        else ' of every hour' end end
  from (select cardinality(p_minutes) > 1 and 60 % cardinality(p_minutes) = 0
      and p_minutes = array(select generate_series(0, 59, 60 / cardinality(p_minutes)))
      as steady) as v;
end;

-- A schedule, and its zone, which is named even where it is UTC. `every` and `after` have none:
-- they are elapsed time. p_zone: null for UTC. Raises nothing.
create or replace function jobs_internal.schedule_in_words(p_timetable jobs_internal.timetable,
    p_zone text)
returns text
language plpgsql immutable security definer
set search_path = pg_catalog, pg_temp
as $$
declare
  v_numbers integer[];
  v_days text;
  v_weekdays text;
  v_months text;
begin
  if p_timetable.every is not null then
    return regexp_replace('every ' || jobs_internal.elapsed_in_words(p_timetable.every),
      '^every 1 (\w+)$', 'every \1');
  elsif p_timetable.after_end is not null then
    return jobs_internal.elapsed_in_words(p_timetable.after_end)
      || ' after the end of the last run';
  end if;
  if cardinality(p_timetable.months) < 12 then
    v_months := jobs_internal.ranges_in_words(p_timetable.months,
      array[null, 'January', 'February', 'March', 'April', 'May', 'June', 'July', 'August',
        'September', 'October', 'November', 'December']);
  end if;
  v_numbers := array_remove(p_timetable.days, 32);
  if cardinality(v_numbers) < 31 then
    v_days := format(' on %s of %s', concat_ws(' and ',
        case when cardinality(v_numbers) > 1 then 'days ' else 'day ' end
          || jobs_internal.ranges_in_words(nullif(v_numbers, '{}')),
        case when 32 = any (p_timetable.days) then 'the last day' end),
      coalesce(v_months, 'the month'));
  end if;
  if cardinality(p_timetable.weekdays) < 7 then
    v_weekdays := jobs_internal.ranges_in_words(array(
        select case w when 0 then 7 else w end from unnest(p_timetable.weekdays) as w order by 1),
      array[null, 'Monday', 'Tuesday', 'Wednesday', 'Thursday', 'Friday', 'Saturday', 'Sunday']);
  end if;
  v_months := coalesce(' in ' || v_months, '');
  return jobs_internal.times_in_words(p_timetable.minutes, p_timetable.hours)
    || case
      when v_days is not null and v_weekdays is not null
        then v_days || case when p_timetable.both_days then ', if that is ' || v_weekdays
          else format(', and on %s%s', v_weekdays, v_months) end
      when v_days is not null and p_timetable.both_days then v_days
      when v_weekdays is not null and p_timetable.both_days
        then ' on ' || v_weekdays || v_months
      else v_months end  -- one of the two is always true
    || ', ' || coalesce(p_zone, 'UTC');
end
$$;

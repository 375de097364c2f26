-- What people write as a schedule is read here, once, into a timetable: five fields as cron has
-- them, @daily and its kin, `every 15 minutes` and `after 15 minutes`. What cannot be meant is
-- refused (PW100), with what was expected.

-- Refuse a schedule. p_what says what is wrong with it (where it is null: the whole message),
-- p_expected what would be right, p_hint what to write instead. Errors: PW100, always.
create or replace function jobs_internal.refuse_schedule(p_schedule text, p_what text,
    p_expected text, p_hint text default 'Correct it.')
returns void
language plpgsql immutable
set search_path = pg_catalog, pg_temp
as $$
begin
  raise exception using errcode = 'PW100',
    message = case when p_schedule is null then p_what
      else format('schedule "%s": %s', case when length(p_schedule) > 100
        then left(p_schedule, 97) || '...' else p_schedule end, p_what) end,
    detail = p_expected,
    hint = p_hint || ' A retry cannot help.';
end
$$;

-- The number that a word of a field stands for, null where it is none. p_part: 1 minute to
-- 5 weekday; only months and weekdays have names. p_ends: it ends a range, where sun is the seventh
-- day. Raises nothing.
create or replace function jobs_internal.schedule_number(p_word text, p_part integer,
    p_ends boolean default false)
returns integer
language sql immutable
set search_path = pg_catalog, pg_temp
begin atomic
  select case
    when p_word ~ '^[0-9]{1,4}$' then p_word::integer
    when p_part = 4 then array_position(array['jan', 'feb', 'mar', 'apr', 'may', 'jun', 'jul',
          'aug', 'sep', 'oct', 'nov', 'dec'], p_word)
    when p_part = 5 and p_ends and p_word = 'sun' then 7
    when p_part = 5 then array_position(array['sun', 'mon', 'tue', 'wed', 'thu', 'fri', 'sat'],
        p_word) - 1
  end;
end;

-- Read one of the five fields: the numbers that match, sorted; Sunday is 0, the last day of the
-- month 32. p_part: 1 minute to 5 weekday. Errors: PW100.
create or replace function jobs_internal.parse_field(p_schedule text, p_field text, p_part integer)
returns integer[]
language plpgsql immutable
set search_path = pg_catalog, pg_temp
as $$
declare
  v_name text := (array['minute', 'hour', 'day', 'month', 'weekday'])[p_part];
  v_low integer := (array[0, 0, 1, 1, 0])[p_part];
  v_high integer := (array[59, 23, 31, 12, 7])[p_part];
  v_most integer := (array[60, 24, 31, 12, 7])[p_part];  -- a longer step is a mistake
  v_expected text := format('Expected: %s to %s%s, or *; lists (%s), ranges (%s) and steps of a '
    'range (%s).', v_low, v_high, (array['', '', ', L for the last day', ' or jan to dec',
        ' or sun to sat (0 and 7 are Sunday)'])[p_part],
    (array['0,30', '8,20', '1,15', '1,7', '1,3'])[p_part],
    (array['0-29', '9-17', '1-7', 'apr-sep', 'mon-fri'])[p_part],
    (array['*/15', '8-18/2', '*/2', '*/3', '1-5/2'])[p_part]);
  v_item text;
  v_part text[];
  v_from integer;
  v_to integer;
  v_step integer;
  v_found integer[] := '{}';
begin
  foreach v_item in array string_to_array(p_field, ',') loop
    if p_part = 3 and v_item in ('l', '$') then
      v_found := v_found || 32;
      continue;
    end if;
    v_part := regexp_match(v_item,
        '^(?:(\*)|([a-z]+|[0-9]{1,4})(?:-([a-z]+|[0-9]{1,4}))?)(?:/([0-9]{1,4}))?$');
    if v_part is null then
      perform jobs_internal.refuse_schedule(p_schedule,
        case v_item when '' then format('its field %s has an empty place', v_name)
          else format('"%s" is no %s', v_item, v_name) end, v_expected);
    end if;
    if v_part[1] = '*' then
      v_from := v_low;
      v_to := v_high;
    else
      v_from := jobs_internal.schedule_number(v_part[2], p_part);
      v_to := case when v_part[3] is null then v_from
        else jobs_internal.schedule_number(v_part[3], p_part, true) end;
      if v_from is null or v_to is null then
        perform jobs_internal.refuse_schedule(p_schedule, format('"%s" is no %s', v_item, v_name),
          v_expected);
      elsif v_part[3] is null and v_part[4] is not null then
        perform jobs_internal.refuse_schedule(p_schedule,
          format('"%s" has a step, but no range', v_item), v_expected,
          format('Write %s-%s/%s, or */%s.', v_part[2], v_high, v_part[4], v_part[4]));
      end if;
    end if;
    v_step := coalesce(v_part[4], '1')::integer;
    if v_from not between v_low and v_high or v_to not between v_low and v_high then
      perform jobs_internal.refuse_schedule(p_schedule,
        format('%s "%s" is out of range', v_name, v_item), v_expected);
    elsif v_from > v_to then
      perform jobs_internal.refuse_schedule(p_schedule,
        format('the range "%s" runs backwards', v_item), v_expected,
        format('Write %s-%s,%s-%s.', v_part[2], v_high, v_low, v_part[3]));
    elsif v_step not between 1 and v_most then
      perform jobs_internal.refuse_schedule(p_schedule,
        format('the step of "%s" is out of range', v_item),
        format('Expected: a step from 1 to %s.', v_most),
        case when v_step > v_most and p_part < 3
          then format('Did you mean: every %s %ss?', v_step, v_name) else 'Correct it.' end);
    end if;
    v_found := v_found || array(select n from generate_series(v_from, v_to, v_step) as n);
  end loop;
  return array(select distinct case when p_part = 5 then n % 7 else n end
    from unnest(v_found) as n order by 1);
end
$$;

-- Read the duration of `every` and `after`: numbers with units. Elapsed time, so that a day has 24
-- hours, and months there are none. Errors: PW100.
create or replace function jobs_internal.parse_elapsed(p_schedule text, p_duration text)
returns interval
language plpgsql immutable
set search_path = pg_catalog, pg_temp
as $$
declare
  v_expected text := 'Expected: numbers with units (seconds, minutes, hours, days, weeks), as in '
    'every 15 minutes, every 1 hour 30 minutes, after 10 minutes; from 1 second to 41 years.';
  v_seconds bigint;
begin
  if p_duration ~ '(month|year)s?$' then
    perform jobs_internal.refuse_schedule(p_schedule, 'months and years differ in length',
      v_expected, 'Use @monthly, @yearly or the five fields of cron.');
  elsif p_duration !~ '^(second|minute|hour|day|week)$'
    and p_duration !~ ('^([0-9]{1,9}\s*(seconds?|secs?|s|minutes?|mins?|min|hours?|hrs?|h|days?|d'
        '|weeks?|w)(\s+|$))+$')
  then
    perform jobs_internal.refuse_schedule(p_schedule, 'that is no duration', v_expected);
  end if;
  select sum(coalesce(nullif(m[1], ''), '1')::bigint * case left(m[2], 1)
        when 's' then 1 when 'm' then 60 when 'h' then 3600 when 'd' then 86400 else 604800 end)
  into v_seconds from regexp_matches(p_duration, '([0-9]*)\s*([a-z]+)', 'g') as m;
  if v_seconds not between 1 and 1293840000 then
    perform jobs_internal.refuse_schedule(p_schedule, 'the duration is out of range', v_expected);
  end if;
  return make_interval(secs => v_seconds);
end
$$;

-- Refuse days that come in none of the months. Errors: PW100.
create or replace function jobs_internal.assert_date_comes(p_schedule text, p_days integer[],
    p_months integer[])
returns void
language plpgsql immutable
set search_path = pg_catalog, pg_temp
as $$
begin
  if not 32 = any(p_days) and not exists (select from unnest(p_months) as m
    where p_days[1] <= case when m = 2 then 29 when m in (4, 6, 9, 11) then 30 else 31 end)
  then
    perform jobs_internal.refuse_schedule(p_schedule, 'its date never comes',
      format('Expected: a day that there is. Day %s comes in none of these months: %s.',
        array_to_string(p_days, ', '), array_to_string(p_months, ', ')),
      'For the last day of a month write L.');
  end if;
end
$$;

-- Read a schedule. Upper and lower case are the same, as are all kinds of white space. A range goes
-- upwards (mon-sun too). Errors: PW100.
create or replace function jobs_internal.parse_schedule(p_schedule text)
returns jobs_internal.timetable
language plpgsql immutable
set search_path = pg_catalog, pg_temp
as $$
declare
  v_expected text := 'Expected: five fields (minute, hour, day, month, weekday), as in '
    '"30 2 * * mon-fri"; @hourly, @daily, @weekly, @monthly, @yearly; every 15 minutes; '
    'after 15 minutes.';
  v_text text := btrim(regexp_replace(lower(left(p_schedule, 501) collate "C"), '\s+', ' ', 'g'));
  v_fields text[];
  v_verb text;
  v_found jobs_internal.timetable;
begin
  if coalesce(v_text, '') = '' then
    perform jobs_internal.refuse_schedule(p_schedule,
      case when p_schedule is null then 'the schedule is null' else 'it is empty' end, v_expected);
  elsif length(p_schedule) > 500 then
    perform jobs_internal.refuse_schedule(p_schedule, 'it is longer than 500 characters',
      v_expected);
  end if;
  v_verb := substring(v_text from '^(every|after)\M');
  if v_verb is not null then
    if v_verb = 'every' then
      v_found.every := jobs_internal.parse_elapsed(p_schedule, btrim(substr(v_text, 6)));
    else
      v_found.after_end := jobs_internal.parse_elapsed(p_schedule, btrim(substr(v_text, 6)));
    end if;
    return v_found;
  end if;
  if v_text = '@reboot' then
    perform jobs_internal.refuse_schedule(p_schedule, 'a start of the server is no time',
      v_expected, 'Enqueue the job where the server is started.');
  end if;
  v_text := coalesce(case v_text
      when '@yearly' then '0 0 1 1 *' when '@annually' then '0 0 1 1 *'
      when '@monthly' then '0 0 1 * *' when '@weekly' then '0 0 * * 0'
      when '@daily' then '0 0 * * *' when '@midnight' then '0 0 * * *'
      when '@hourly' then '0 * * * *' end, v_text);
  v_fields := string_to_array(v_text, ' ');
  if cardinality(v_fields) = 6 then
    perform jobs_internal.refuse_schedule(p_schedule, 'it has six fields, and seconds are not '
      'taken', v_expected, 'Leave the first field out; for seconds write every 10 seconds.');
  elsif cardinality(v_fields) <> 5 then
    perform jobs_internal.refuse_schedule(p_schedule,
      format('it has %s field%s', cardinality(v_fields),
        case when cardinality(v_fields) <> 1 then 's' end), v_expected);
  end if;
  v_found.minutes := jobs_internal.parse_field(p_schedule, v_fields[1], 1);
  v_found.hours := jobs_internal.parse_field(p_schedule, v_fields[2], 2);
  v_found.days := jobs_internal.parse_field(p_schedule, v_fields[3], 3);
  v_found.months := jobs_internal.parse_field(p_schedule, v_fields[4], 4);
  v_found.weekdays := jobs_internal.parse_field(p_schedule, v_fields[5], 5);
  v_found.both_days := left(v_fields[3], 1) = '*' or left(v_fields[5], 1) = '*';
  v_found.wild := v_fields[1] ~ '\*' or v_fields[2] ~ '\*';
  perform jobs_internal.assert_date_comes(p_schedule, v_found.days, v_found.months);
  return v_found;
end
$$;

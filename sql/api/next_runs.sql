-- A schedule is tried out before it is made.

create or replace function jobs.next_runs(schedule text, timezone text default null,
    n integer default 5, after timestamptz default now())
returns setof timestamptz
language plpgsql stable security definer
set search_path = pg_catalog, pg_temp
rows 5
as $$
declare
  v_timetable jobs_internal.timetable := jobs_internal.parse_schedule(schedule);
  v_zone text := jobs_internal.assert_zone(timezone);
  v_next timestamptz := after;
begin
  if n is null or n not between 1 and 1000 then
    raise exception using errcode = 'PW026',
      message = format('n is out of range: %s', coalesce(n::text, 'null')),
      detail = 'Expected: from 1 to 1000 runs.',
      hint = 'Ask for that many, and go on with after => the last of them. A retry cannot help.';
  end if;
  raise notice using message = jobs_internal.schedule_in_words(v_timetable, v_zone),
    detail = case
      when v_timetable.after_end is not null
        then 'Shown as if each run took no time: it is counted from the end of the run before.'
      when v_timetable.every is not null then 'It is counted from 1970-01-01 00:00 UTC, or from '
        'the start of the schedule, where that has one.'
      when timezone is null then 'No timezone is given: the schedule is read in UTC.'
      when v_timetable.wild then 'It follows elapsed time where the clock is set: a time that '
        'comes twice counts twice, one that is skipped does not.'
      else 'Where the clock is set, it runs once: a time that is skipped at the end of the gap, '
        'one that comes twice the first time.' end;
  for v_n in 1 .. n loop
    v_next := jobs_internal.next_time(v_timetable, v_zone, v_next);
    exit when v_next is null;
    return next v_next;
  end loop;
end
$$;
comment on function jobs.next_runs(text, text, integer, timestamptz) is
'Returns the next times of a schedule, at most 1000, after a time; says the schedule in words in a '
'NOTICE. schedule: five fields as of cron, @daily and its kin, every 15 minutes, after 15 minutes. '
'timezone: null is UTC. Changes nothing. Errors: PW026 n out of range, PW100 schedule, PW101 zone.';

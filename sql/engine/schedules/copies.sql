-- Schedules when time or place has changed: a copy that is taken into use, a clock that was set
-- back, other time zones, and old occurrences.

-- What was due in a copy up to now is missed, and not made up for: the original fired it.
-- Writes: schedule_run, schedule_state.
create or replace function jobs_internal.skip_schedules()
returns void
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp
as $$
declare
  v jobs_internal.schedule;
  v_now timestamptz := clock_timestamp();
begin
  for v in select s.* from jobs_internal.schedule as s
    where s.dropped_at is null and s.paused_at is null
    order by s.id
  loop
    perform jobs_internal.record_due(v, v_now, 'missed', 'it was due in the database that this is '
        'a copy of, or before the copy was taken into use'),
      jobs_internal.set_next_due(v, v_now);
  end loop;
end
$$;

-- After the clock was set back: the next occurrence of a schedule is one by the clock of now. What
-- was fired stays fired: an occurrence has one row. What was decided of occurrences that are to
-- come again, and that were not fired, is forgotten. Writes: schedule_state, schedule_run.
create or replace function jobs_internal.set_back(p_schedule jobs_internal.schedule,
    p_now timestamptz)
returns void
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp
as $$
declare
  v_due timestamptz := jobs_internal.next_due(p_schedule, p_now);
begin
  delete from jobs_internal.schedule_run as r
  where r.schedule_id = (p_schedule).id and r.rerun = 0 and r.due_at > p_now
    and r.outcome not in ('fired', 'queued');
  update jobs_internal.schedule_run as r
  set until = nullif(l.last, r.due_at),
    occurrences = jobs_internal.count_due(p_schedule, r.due_at, l.last)
  from jobs_internal.schedule_run as c
  cross join lateral (select jobs_internal.last_due(p_schedule, c.due_at, p_now) as last) as l
  where r.schedule_id = (p_schedule).id and r.until > p_now and r.rerun = 0
    and (c.schedule_id, c.due_at, c.rerun) = (r.schedule_id, r.due_at, r.rerun);
  update jobs_internal.schedule_state as t
  set next_due = v_due, next_at = v_due + jobs_internal.jitter_of(p_schedule, v_due)
  where t.schedule_id = (p_schedule).id and v_due < t.next_due;
end
$$;

-- Find the next occurrences anew, each schedule in a savepoint: an error in one is noted, and keeps
-- no other from that. p_back: the clock was set back; else the zones are others.
-- p_now: for tests that play time. Locks: schedule_state (skip locked).
-- Writes: schedule_state, schedule_run, duty_failure.
create or replace function jobs_internal.follow_clock(p_now timestamptz default clock_timestamp(),
    p_back boolean default true)
returns void
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp
set exit_on_error = off
as $$
declare
  v record;
begin
  perform jobs_internal.follow_clock_of_windows(p_now);
  for v in
    select s as schedule
    from jobs_internal.schedule_state as t
    join jobs_internal.schedule as s on s.id = t.schedule_id
    where t.next_due is not null and s.dropped_at is null and s.paused_at is null
      and (s.timetable).after_end is null
      -- what is due already was so by the zones of then
      and (p_back or t.next_due > p_now)
    for update of t skip locked for key share of s skip locked
  loop
    begin
      if p_back then
        perform jobs_internal.set_back(v.schedule, p_now);
      else
        perform jobs_internal.set_next_due(v.schedule, p_now);
      end if;
    exception
      when query_canceled then
        raise;
      when others then
        perform jobs_internal.note_failure('schedule', ((v.schedule).id)::text,
          jobs_internal.error_object(sqlstate, sqlerrm));
    end;
  end loop;
end
$$;

-- When a supervisor starts: where the time zones of the server have changed, the next occurrences
-- are found anew. Half a second, where there are schedules.
-- Writes: time_zone, zones_seen; see follow_clock.
create or replace function jobs_internal.follow_zones()
returns void
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp
as $$
declare
  v_hash text;
begin
  if not exists (select from jobs_internal.schedule as s where s.dropped_at is null)
    and not exists (select from jobs_internal.run_window) then
    return;
  end if;
  perform jobs_internal.keep_zones();
  v_hash := jobs_internal.zones_hash();
  if v_hash is distinct from (select z.hash from jobs_internal.zones_seen as z) then
    update jobs_internal.zones_seen set hash = v_hash;
    perform jobs_internal.follow_clock(p_back => false);
  end if;
end
$$;

-- Occurrences that were decided thirty days ago go, but for the last hundred of each schedule, and
-- for what stands for a job that is not finished; so do schedules that were removed then.
-- A few schedules at a time, each time others. Locks: schedule_run, schedule (skip locked).
-- Writes: schedule_run, schedule.
create or replace function jobs_internal.sweep_schedule_runs()
returns void
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp
as $$
declare
  v_schedule integer;
begin
  for v_schedule in select s.id from jobs_internal.schedule as s order by random() limit 20 loop
    delete from jobs_internal.schedule_run as d
    where d.ctid = any (array(
      select r.ctid from jobs_internal.schedule_run as r
      where r.schedule_id = v_schedule and r.outcome <> 'queued'
        and r.fired_at < now() - interval '30 days'
        and not exists (select from jobs_internal.job as j where j.id = r.job_id)
        and r.due_at < (select k.due_at from jobs_internal.schedule_run as k
          where k.schedule_id = v_schedule order by k.due_at desc offset 99 limit 1)
      limit 1000
      for update skip locked));
  end loop;
  delete from jobs_internal.schedule as d
  where d.id = any (array(
    select s.id from jobs_internal.schedule as s
    where s.dropped_at < now() - interval '30 days'
    limit 20
    for update skip locked));
end
$$;

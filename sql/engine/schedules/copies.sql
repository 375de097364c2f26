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
  for v in select s.* from jobs_internal.schedule as s where s.dropped_at is null and s.paused_at is null
    order by s.id
  loop
    perform jobs_internal.record_due(v, v_now, 'missed', 'it was due in the database that this is a '
        'copy of, or before the copy was taken into use'),
      jobs_internal.set_next_due(v, v_now);
  end loop;
end
$$;

-- After the clock was set back: the next occurrence is one by the clock of now. What was fired
-- stays fired: an occurrence has one row. What was decided of occurrences that are to come again,
-- and that were not fired, is forgotten. p_now: for tests that play time.
-- Locks: schedule_state (skip locked). Writes: schedule_state, schedule_run.
create or replace function jobs_internal.follow_clock(p_now timestamptz default clock_timestamp())
returns void
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp
as $$
declare
  v jobs_internal.schedule;
  v_due timestamptz;
begin
  for v in
    select s.*
    from (select t.schedule_id from jobs_internal.schedule_state as t where t.next_due is not null
      for update skip locked) as l
    join jobs_internal.schedule as s on s.id = l.schedule_id
    where s.dropped_at is null and s.paused_at is null and (s.timetable).after_end is null
  loop
    v_due := jobs_internal.next_due(v, p_now);
    delete from jobs_internal.schedule_run as r
    where r.schedule_id = v.id and r.rerun = 0 and r.due_at > p_now
      and r.outcome not in ('fired', 'queued');
    update jobs_internal.schedule_run as r
    set until = nullif(l.last, r.due_at),
      occurrences = jobs_internal.count_due(v, r.due_at, l.last)
    from jobs_internal.schedule_run as c
    cross join lateral (select jobs_internal.last_due(v, c.due_at, p_now) as last) as l
    where r.schedule_id = v.id and r.until > p_now and r.rerun = 0
      and (c.schedule_id, c.due_at, c.rerun) = (r.schedule_id, r.due_at, r.rerun);
    update jobs_internal.schedule_state as t
    set next_due = v_due, next_at = v_due + jobs_internal.jitter_of(v, v_due)
    where t.schedule_id = v.id and v_due < t.next_due;
  end loop;
end
$$;

-- When a supervisor starts: where the time zones of the server have changed, the next occurrences
-- are found anew. Half a second, where there are schedules.
-- Writes: time_zone, zones_seen, schedule_state.
create or replace function jobs_internal.follow_zones()
returns void
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp
as $$
declare
  v_hash text;
begin
  if not exists (select from jobs_internal.schedule as s where s.dropped_at is null) then
    return;
  end if;
  perform jobs_internal.keep_zones();
  v_hash := jobs_internal.zones_hash();
  if v_hash is distinct from (select z.hash from jobs_internal.zones_seen as z) then
    update jobs_internal.zones_seen set hash = v_hash;
    update jobs_internal.schedule_state as t
    set next_due = n.due, next_at = n.due + jobs_internal.jitter_of(n.schedule, n.due)
    from (
      select s.id, s as schedule, jobs_internal.next_due(s, clock_timestamp()) as due
      from jobs_internal.schedule as s
      where s.dropped_at is null and s.paused_at is null and (s.timetable).after_end is null
    ) as n
    -- what is due already was so by the zones of then
    where t.schedule_id = n.id and t.next_due > clock_timestamp() and n.due <> t.next_due;
  end if;
end
$$;

-- Occurrences that were decided thirty days ago go, some at a time; the last hundred of each
-- schedule stay, and what stands for a job that is not finished. So does a removed schedule that
-- has none left. Locks: schedule_run (skip locked). Writes: schedule_run, schedule.
create or replace function jobs_internal.sweep_schedule_runs()
returns void
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp
as $$
begin
  delete from jobs_internal.schedule_run as d
  where d.ctid = any (array(
    select r.ctid from jobs_internal.schedule_run as r
    where r.fired_at < now() - interval '30 days' and r.outcome <> 'queued'
      and not exists (select from jobs_internal.job as j where j.id = r.job_id)
      and r.due_at < (select k.due_at from jobs_internal.schedule_run as k
        where k.schedule_id = r.schedule_id order by k.due_at desc offset 99 limit 1)
    limit 1000
    for update skip locked));
  delete from jobs_internal.schedule as s
  where s.dropped_at < now() - interval '30 days'
    and not exists (select from jobs_internal.schedule_run as r where r.schedule_id = s.id
      and r.fired_at > now() - interval '30 days');
end
$$;

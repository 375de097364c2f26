-- The part of a supervisor's round that fires schedules.

-- How many runs of a schedule failed one after the other up to now, of the last hundred.
create or replace function jobs_internal.failures_in_a_row(p_schedule integer)
returns bigint
language sql stable security definer
set search_path = pg_catalog, pg_temp
begin atomic
  select count(*) filter (where e.failed and e.good = 0)
  from (
    select r.state in ('failed', 'in_doubt') as failed,
      count(*) filter (where r.state not in ('failed', 'in_doubt'))
        over (order by r.due_at desc, r.rerun desc) as good
    from (
      select r.due_at, r.rerun, f.state
      from jobs_internal.schedule_run as r
      join lateral (select f.state from jobs_internal.finished as f where f.id = r.job_id
        limit 1) as f on true
      where r.schedule_id = p_schedule and r.job_id is not null
      order by r.due_at desc, r.rerun desc
      limit 100
    ) as r
  ) as e;
end;

-- The same, of a schedule that the caller may see; null: of another.
create or replace function jobs_internal.failures_seen(p_schedule integer)
returns bigint
language sql stable security definer
set search_path = pg_catalog, pg_temp
begin atomic
  select jobs_internal.failures_in_a_row(s.id)
  from jobs_internal.schedule as s
  where s.id = p_schedule and (s.owner = jobs_internal.viewer()
    or jobs_internal.caller_is('jobs_reader') or jobs_internal.caller_is('jobs_operator')
    or jobs_internal.caller_is('jobs_supervisor'));
end;

-- Pause a schedule. The occurrences of the pause are accounted for when it goes on. p_by: login, or
-- why. Writes: schedule, schedule_state.
create or replace function jobs_internal.stop_schedule(p_schedule integer, p_by text)
returns void
language sql volatile security definer
set search_path = pg_catalog, pg_temp
begin atomic
  update jobs_internal.schedule as s set paused_at = clock_timestamp(), paused_by = p_by
  where s.id = p_schedule;
  update jobs_internal.schedule_state as t set next_at = null where t.schedule_id = p_schedule;
end;

-- Decide of one schedule that is due, or whose last job has ended. The caller has locked its row of
-- schedule_state.
create or replace function jobs_internal.serve_schedule(p_state jobs_internal.schedule_state,
    p_now timestamptz)
returns void
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp
as $$
declare
  v_schedule jobs_internal.schedule;
  v_run jobs_internal.schedule_run;
begin
  select s.* into v_schedule from jobs_internal.schedule as s
  where s.id = (p_state).schedule_id and s.dropped_at is null
  for key share skip locked;
  if not found then
    return;  -- its owner changes it
  end if;
  if v_schedule.pause_after is not null
    and v_schedule.pause_after <= jobs_internal.failures_in_a_row(v_schedule.id)
  then
    perform jobs_internal.stop_schedule(v_schedule.id, format('%s runs failed one after the other',
      v_schedule.pause_after));
    return;
  end if;
  if (p_state).waits and not exists (select from jobs_internal.job as j
      where j.id = (p_state).last_job) then
    select r.* into v_run from jobs_internal.schedule_run as r
    where r.schedule_id = v_schedule.id and r.outcome = 'queued'
      -- while it is paused, what was asked for
      and (v_schedule.paused_at is null or r.rerun > 0)
    order by r.rerun > 0, r.due_at, r.rerun
    limit 1;
    if found then
      perform jobs_internal.fire_one(v_schedule, v_run.due_at, v_run.rerun, 'queued', p_now);
    elsif (v_schedule.timetable).after_end is not null and (p_state).last_job is not null then
      update jobs_internal.schedule_state as t
      set (next_due, next_at) = (select n.at, n.at + jobs_internal.jitter_of(v_schedule, n.at)
        from (select coalesce((select f.finished_at from jobs_internal.finished as f
            where f.id = (p_state).last_job limit 1), p_now)
          + (v_schedule.timetable).after_end as at) as n
        where v_schedule.ends_at is null or n.at < v_schedule.ends_at)
      where t.schedule_id = v_schedule.id;
    end if;
    update jobs_internal.schedule_state as t
    set waits = exists (select from jobs_internal.schedule_run as r
      where r.schedule_id = v_schedule.id and r.outcome = 'queued')
    where t.schedule_id = v_schedule.id and not (v_run.due_at is not null
      and (v_schedule.timetable).after_end is not null);
  end if;
  if (p_state).next_at <= p_now then
    perform jobs_internal.fire_schedule(v_schedule, (p_state).next_due, p_now);
  end if;
end
$$;

-- Fire what is due: forty schedules at most, each in a savepoint; the rest comes with the next
-- round, at once. p_now: for tests that play time. Returns whether more is due.
-- Locks: schedule_state (skip locked), schedule (key share, skip locked).
create or replace function jobs_internal.fire_schedules(p_now timestamptz default clock_timestamp())
returns boolean
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp
set enable_seqscan = off
set exit_on_error = off
as $$
declare
  v_state jobs_internal.schedule_state;
  v_count integer := 0;
begin
  for v_state in
    select t.* from jobs_internal.schedule_state as t
    where t.next_at <= p_now
      and not exists (select from jobs_internal.duty_failure as f where f.duty = 'schedule'
        and f.item = t.schedule_id::text and jobs_internal.is_future(f.retry_at))
    order by t.next_at
    limit 40
    for update skip locked
  loop
    v_count := v_count + 1;
    perform jobs_internal.try_schedule(v_state, p_now);
  end loop;
  for v_state in
    select t.* from jobs_internal.schedule_state as t
    where t.waits and not exists (select from jobs_internal.job as j where j.id = t.last_job)
      and not exists (select from jobs_internal.duty_failure as f where f.duty = 'schedule'
        and f.item = t.schedule_id::text and jobs_internal.is_future(f.retry_at))
    limit 40
    for update skip locked
  loop
    v_count := v_count + 1;
    perform jobs_internal.try_schedule(v_state, p_now);
  end loop;
  return v_count >= 40;
end
$$;

-- One schedule, so that an error in it costs the others nothing: it is noted, and tried again
-- later.
create or replace function jobs_internal.try_schedule(p_state jobs_internal.schedule_state,
    p_now timestamptz)
returns void
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp
set exit_on_error = off
as $$
begin
  perform jobs_internal.serve_schedule(p_state, p_now);
  perform jobs_internal.clear_failure('schedule', (p_state).schedule_id::text);
exception
  when query_canceled then
    raise;
  when others then
    perform jobs_internal.note_failure('schedule', (p_state).schedule_id::text,
      jobs_internal.error_object(sqlstate, sqlerrm));
end
$$;

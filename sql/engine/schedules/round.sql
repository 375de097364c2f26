-- The part of a supervisor's round that fires schedules.

-- How many runs of a schedule failed one after the other up to now, of the last hundred since it
-- was made, replaced or resumed.
create or replace function jobs_internal.failures_in_a_row(p_schedule integer)
returns bigint
language sql stable security definer
set search_path = pg_catalog, pg_temp
begin atomic
  select count(*) filter (where e.failed and e.good = 0)
  from (
    select r.failed,
      count(*) filter (where not r.failed) over (order by r.due_at desc, r.rerun desc) as good
    from (
      select r.due_at, r.rerun, f.state in ('failed', 'in_doubt')
        -- it was replaced before its next attempt
        or f.state = 'cancelled' and exists (select from jobs_internal.finished_attempt as a
          where a.job_id = r.job_id and a.bucket = f.bucket
            and a.outcome in ('failed', 'timed_out')) as failed
      from jobs_internal.schedule_run as r
      join jobs_internal.schedule as s on s.id = r.schedule_id and r.fired_at >= s.counts_from
      join lateral (select o.state, o.bucket from jobs_internal.finished as o
        where o.id = r.job_id limit 1) as f on true
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

-- Pause a schedule. The occurrences of the pause are accounted for when it goes on. p_by: the
-- login that does it; null: it pauses itself. p_why: then, why. Writes: schedule, schedule_state.
create or replace function jobs_internal.stop_schedule(p_schedule integer, p_by text,
    p_why text default null)
returns void
language sql volatile security definer
set search_path = pg_catalog, pg_temp
begin atomic
  update jobs_internal.schedule as s
  set paused_at = clock_timestamp(), paused_by = p_by, paused_why = p_why
  where s.id = p_schedule;
  update jobs_internal.schedule_state as t set next_at = null where t.schedule_id = p_schedule;
end;

-- Whether a schedule has queued occurrences that may be fired: while it is paused, those that were
-- asked for.
create or replace function jobs_internal.has_queued(p_schedule integer, p_paused boolean)
returns boolean
language sql stable security definer
set search_path = pg_catalog, pg_temp
begin atomic
  select exists (select from jobs_internal.schedule_run as r
    where r.schedule_id = p_schedule and r.outcome = 'queued' and (not p_paused or r.rerun > 0));
end;

-- Decide of one schedule whose last job has ended: what is queued comes, one at a time, or what
-- counts from that end is due after it. The caller has locked both rows.
-- Writes: schedule_state; see fire_one.
create or replace function jobs_internal.serve_waiting(p_schedule jobs_internal.schedule,
    p_state jobs_internal.schedule_state, p_now timestamptz)
returns void
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp
as $$
declare
  v_run jobs_internal.schedule_run;
  v_unfinished bigint[] := jobs_internal.unfinished_of((p_schedule).id);
begin
  if v_unfinished <> '{}' then  -- another one: it ran again, say
    update jobs_internal.schedule_state as t set last_job = v_unfinished[cardinality(v_unfinished)]
    where t.schedule_id = (p_schedule).id;
    return;
  end if;
  select r.* into v_run from jobs_internal.schedule_run as r
  where r.schedule_id = (p_schedule).id and r.outcome = 'queued'
    and ((p_schedule).paused_at is null or r.rerun > 0)
  -- what a person asked for, and what came by itself, in turn
  order by (r.rerun > 0) = coalesce((select l.rerun > 0 from jobs_internal.schedule_run as l
      where l.job_id = (p_state).last_job and l.schedule_id = r.schedule_id limit 1), false),
    r.due_at, r.rerun
  limit 1;
  if found then
    perform jobs_internal.fire_one(p_schedule, v_run.due_at, v_run.rerun, 'queued', p_now);
    return;
  end if;
  update jobs_internal.schedule_state as t
  set waits = jobs_internal.has_queued(t.schedule_id, false)
  where t.schedule_id = (p_schedule).id;
  if ((p_schedule).timetable).after_end is not null and (p_schedule).paused_at is null then
    update jobs_internal.schedule_state as t
    set (next_due, next_at) = (select n.at, n.at + jobs_internal.jitter_of(p_schedule, n.at)
      from (select coalesce((select f.finished_at from jobs_internal.finished as f
          where f.id = (p_state).last_job limit 1), p_now)
        + ((p_schedule).timetable).after_end as at) as n
      where (p_schedule).ends_at is null or n.at < (p_schedule).ends_at)
    where t.schedule_id = (p_schedule).id;
  end if;
end
$$;

-- Fire what is due, each schedule in a savepoint: two hundred at most of those that are due, and
-- as many whose last job has ended; the others come with the next round. Those that an owner
-- changes, or that failed a moment ago, are passed by and take no place of others.
-- p_now: for tests that play time. Returns how many were seen to.
-- Locks: schedule_state (skip locked), schedule (key share, skip locked).
create or replace function jobs_internal.fire_schedules(p_now timestamptz default clock_timestamp())
returns integer
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp
set enable_seqscan = off
set exit_on_error = off
as $$
declare
  v record;
  v_count integer := 0;
begin
  for v in
    select t as state, s as schedule
    from jobs_internal.schedule_state as t
    join jobs_internal.schedule as s on s.id = t.schedule_id
    where t.next_at <= p_now and s.dropped_at is null and s.paused_at is null
      and not jobs_internal.is_put_off('schedule', t.schedule_id::text)
    order by t.next_at
    limit 200
    for update of t skip locked for key share of s skip locked
  loop
    v_count := v_count + 1;
    perform jobs_internal.try_schedule(v.schedule, v.state, false, p_now);
  end loop;
  for v in
    select t as state, s as schedule
    from jobs_internal.schedule_state as t
    join jobs_internal.schedule as s on s.id = t.schedule_id
    where t.waits and s.dropped_at is null
      and not exists (select from jobs_internal.job as j where j.id = t.last_job)
      and (s.paused_at is null or jobs_internal.has_queued(s.id, true))
      and not jobs_internal.is_put_off('schedule', t.schedule_id::text)
    limit 200
    for update of t skip locked for key share of s skip locked
  loop
    v_count := v_count + 1;
    perform jobs_internal.try_schedule(v.schedule, v.state, true, p_now);
  end loop;
  return v_count;
end
$$;

-- When the next schedule is due that is neither paused nor put off after a failure; null: none.
create or replace function jobs_internal.next_schedule_at()
returns timestamptz
language sql volatile security definer
set search_path = pg_catalog, pg_temp
begin atomic
  select t.next_at
  from jobs_internal.schedule_state as t
  where t.next_at is not null and not jobs_internal.is_put_off('schedule', t.schedule_id::text)
  order by t.next_at
  limit 1;
end;

-- One schedule, so that an error in it costs the others nothing: it is noted, and tried again
-- later. p_waiting: its last job has ended; else it is due. One whose owner was dropped says so at
-- one occurrence, and is paused.
-- Writes: duty_failure; see serve_waiting, fire_schedule, stop_schedule.
create or replace function jobs_internal.try_schedule(p_schedule jobs_internal.schedule,
    p_state jobs_internal.schedule_state, p_waiting boolean, p_now timestamptz)
returns void
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp
set exit_on_error = off
as $$
begin
  if p_waiting then
    perform jobs_internal.serve_waiting(p_schedule, p_state, p_now);
  elsif (p_schedule).pause_after is not null
    and (p_schedule).pause_after <= jobs_internal.failures_in_a_row((p_schedule).id)
  then
    perform jobs_internal.stop_schedule((p_schedule).id, null, format(
      '%s runs failed one after the other', (p_schedule).pause_after));
  else
    perform jobs_internal.fire_schedule(p_schedule, (p_state).next_due, p_now);
    if not exists (select from pg_roles as r where r.oid = (p_schedule).owner) then
      perform jobs_internal.stop_schedule((p_schedule).id, null, 'its owner was dropped');
    end if;
  end if;
  perform jobs_internal.clear_failure('schedule', (p_schedule).id::text);
exception
  when query_canceled then
    raise;
  when others then
    perform jobs_internal.note_failure('schedule', (p_schedule).id::text,
      jobs_internal.error_object(sqlstate, sqlerrm));
end
$$;

-- At the end of jobs: wake a supervisor that sleeps where a schedule made one of them, because an
-- occurrence may wait for that end (queue, after). Not only where one is known to wait: the round
-- that notes it may just be under way.
create or replace function jobs_internal.wake_for_ends(p_jobs bigint[])
returns void
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp
set enable_seqscan = off
as $$
begin
  if exists (select from jobs_internal.supervisor where asleep) and exists (
      select from jobs_internal.schedule_run as r where r.job_id = any (p_jobs))
  then
    perform jobs_internal.wake(null);
  end if;
end
$$;

-- Keeping schedules, their next occurrences, and those that are not fired.

-- Keep a schedule, a new one or in place of the one that bears its name, whose history it keeps.
-- Locks: schedule. Writes: schedule, schedule_state, schedule_run. Returns its number.
-- Errors: PW017 (read-only), PW060 in a copy.
create or replace function jobs_internal.store_schedule(p_schedule jobs_internal.schedule)
returns bigint
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp
as $$
declare
  v jobs_internal.schedule := p_schedule;
  v_before jobs_internal.schedule;
begin
  if not jobs_internal.is_original() then
    perform jobs_internal.assert_not_copy();
  end if;
  v.owner := jobs_internal.caller();
  v.name := btrim(v.name);
  v.timetable := jobs_internal.parse_schedule(v.expression);
  v.timezone := jobs_internal.assert_zone(v.timezone);
  v.anchor := coalesce(v.starts_at, to_timestamp(0));
  perform jobs_internal.assert_schedule(v), jobs_internal.record_role_name(v.owner),
    jobs_internal.assert_comes(v);
  loop
    select s.* into v_before from jobs_internal.schedule as s
    where s.owner = v.owner and s.name = v.name and s.dropped_at is null
    for update;
    if found then
      perform jobs_internal.record_due(v_before, clock_timestamp(), 'skipped',
        'it was replaced before this occurrence was fired');
      update jobs_internal.schedule as s
      set (expression, timetable, timezone, anchor, task, call_template_id, args, statement,
          queue_id, priority, timeout, max_attempts, unique_key, settings, note, options, bytes,
          overlap, missed, missed_within, jitter, starts_at, ends_at, pause_after, paused_at,
          paused_by)
        = (v.expression, v.timetable, v.timezone, v.anchor, v.task, v.call_template_id, v.args,
          v.statement, v.queue_id, v.priority, v.timeout, v.max_attempts, v.unique_key, v.settings,
          v.note, v.options, v.bytes, v.overlap, v.missed, v.missed_within, v.jitter, v.starts_at,
          v.ends_at, v.pause_after, null, null)
      where s.id = v_before.id
      returning s.* into v;
      raise notice using message = format('the schedule "%s" was there: it is replaced, and keeps '
        'its history', v.name);
      exit;
    end if;
    v.id := nextval(pg_get_serial_sequence('jobs_internal.schedule', 'id'));
    v.created_at := clock_timestamp();
    insert into jobs_internal.schedule overriding system value select v.*
    on conflict do nothing;
    exit when found;
  end loop;
  perform jobs_internal.set_next_due(v, clock_timestamp());
  return v.id;
end
$$;

-- Set when a schedule comes next, after a moment. Writes: schedule_state.
create or replace function jobs_internal.set_next_due(p_schedule jobs_internal.schedule,
    p_after timestamptz)
returns void
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp
as $$
declare
  v_due timestamptz;
begin
  if (p_schedule).paused_at is null then
    v_due := case when ((p_schedule).timetable).after_end is not null
      then greatest(p_after, (p_schedule).starts_at)
      else jobs_internal.next_due(p_schedule, p_after) end;
  end if;
  insert into jobs_internal.schedule_state as t (schedule_id, next_due, next_at)
  values ((p_schedule).id, v_due, v_due + jobs_internal.jitter_of(p_schedule, v_due))
  on conflict (schedule_id) do update set next_due = excluded.next_due, next_at = excluded.next_at;
  if v_due is not null then
    perform jobs_internal.wake(null);
  end if;
end
$$;

-- Keep the occurrences of a schedule that were due up to a moment, and that will not be fired, as
-- one stretch. Writes: schedule_run.
create or replace function jobs_internal.record_due(p_schedule jobs_internal.schedule,
    p_until timestamptz, p_outcome text, p_reason text)
returns void
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp
as $$
declare
  v_first timestamptz := (select t.next_due from jobs_internal.schedule_state as t
    where t.schedule_id = (p_schedule).id);
begin
  if v_first <= p_until and ((p_schedule).timetable).after_end is null then
    perform jobs_internal.record_stretch(p_schedule, v_first,
      jobs_internal.last_due(p_schedule, v_first, p_until), p_outcome, p_reason);
  end if;
end
$$;

-- Keep a stretch of occurrences, from one to another, but for those that are accounted for already,
-- because the clock was set back meanwhile. Writes: schedule_run.
create or replace function jobs_internal.record_stretch(p_schedule jobs_internal.schedule,
    p_first timestamptz, p_last timestamptz, p_outcome text, p_reason text)
returns void
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp
as $$
declare
  v_from timestamptz := p_first;
  v_to timestamptz;
  v_next timestamptz;
begin
  while v_from <= p_last loop
    v_to := jobs_internal.recorded_until((p_schedule).id, v_from);
    if v_to is null then
      v_next := (select min(r.due_at) from jobs_internal.schedule_run as r
        where r.schedule_id = (p_schedule).id and r.rerun = 0 and r.due_at > v_from);
      v_to := case when v_next > p_last or v_next is null then p_last
        else jobs_internal.last_due(p_schedule, v_from, v_next - interval '1 microsecond') end;
      insert into jobs_internal.schedule_run (schedule_id, due_at, until, occurrences, outcome,
        reason)
      values ((p_schedule).id, v_from, nullif(v_to, v_from),
        jobs_internal.count_due(p_schedule, v_from, v_to), p_outcome, p_reason);
    end if;
    v_from := jobs_internal.next_due(p_schedule, v_to);
  end loop;
end
$$;

-- Up to when an occurrence and those behind it are accounted for, by one row; null: it is not.
create or replace function jobs_internal.recorded_until(p_schedule integer, p_due timestamptz)
returns timestamptz
language sql stable security definer
set search_path = pg_catalog, pg_temp
begin atomic
  select l.until
  from (
    select coalesce(r.until, r.due_at) as until
    from jobs_internal.schedule_run as r
    where r.schedule_id = p_schedule and r.rerun = 0 and r.due_at <= p_due
    order by r.due_at desc
    limit 1
  ) as l
  where l.until >= p_due;
end;

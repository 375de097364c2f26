-- Keeping schedules, their next occurrences, and those that are not fired.

-- Check a schedule and keep it, a new one or in place of the one that bears its name, whose history
-- it keeps. p_schedule: of it are taken name, expression, timezone, overlap, missed, missed_within,
-- jitter, starts_at, ends_at; of a call call_template_id and args. p_statement: null for a call.
-- Locks: schedule. Writes: schedule, schedule_state, schedule_run. Returns its number.
-- Errors: those of the enqueue functions, PW060 in a copy, PW100, PW101, PW102, PW111.
create or replace function jobs_internal.store_schedule(p_schedule jobs_internal.schedule,
    p_options jsonb, p_statement text, p_path text)
returns bigint
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp
as $$
declare
  v jobs_internal.schedule;
  v_before jobs_internal.schedule;
begin
  if not jobs_internal.is_original() then
    perform jobs_internal.assert_not_copy();
  end if;
  v.name := btrim((p_schedule).name);
  v.expression := (p_schedule).expression;
  v.overlap := (p_schedule).overlap;
  v.missed := (p_schedule).missed;
  v.missed_within := (p_schedule).missed_within;
  v.jitter := (p_schedule).jitter;
  v.starts_at := (p_schedule).starts_at;
  v.ends_at := (p_schedule).ends_at;
  if p_statement is not null then
    v.statement := jobs_internal.scheduled_statement(p_statement, p_options, p_path);
    v.task := concat_ws(' ', v.statement ->> 'command', v.statement ->> 'object');
    v := jobs_internal.checked_schedule(v, coalesce(p_options, '{}'), 'schedule_sql', true);
  else
    v.args := (p_schedule).args;
    select c.id, c.task into strict v.call_template_id, v.task
    from jobs_internal.call_template as c where c.id = (p_schedule).call_template_id;
    v := jobs_internal.checked_schedule(v, coalesce(p_options, '{}'), 'schedule', (
        select c.procedure from jobs_internal.call_template as c where c.id = v.call_template_id));
  end if;
  perform jobs_internal.hold_window(v.options ->> 'window');
  v.timetable := jobs_internal.parse_schedule(v.expression);
  v.timezone := jobs_internal.assert_zone((p_schedule).timezone);
  v.anchor := coalesce(v.starts_at, to_timestamp(0));
  v.counts_from := clock_timestamp();
  perform jobs_internal.record_role_name(v.owner), jobs_internal.assert_comes(v);
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
          overlap, missed, missed_within, jitter, starts_at, ends_at, pause_after, counts_from)
        = (v.expression, v.timetable, v.timezone, v.anchor, v.task, v.call_template_id, v.args,
          v.statement, v.queue_id, v.priority, v.timeout, v.max_attempts, v.unique_key, v.settings,
          v.note, v.options, v.bytes, v.overlap, v.missed, v.missed_within, v.jitter, v.starts_at,
          v.ends_at, v.pause_after, v.counts_from)
      where s.id = v_before.id
      returning s.* into v;
      raise notice using message = format('the schedule "%s" was there: it is replaced, and keeps '
        'its history%s', v.name, case when v.paused_at is not null then '; it stays paused' end);
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

-- Set when a schedule comes next, after a moment: also of one that is paused, which is not fired
-- then. What counts from the end of the last run waits for that end. Writes: schedule_state.
create or replace function jobs_internal.set_next_due(p_schedule jobs_internal.schedule,
    p_after timestamptz)
returns void
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp
as $$
declare
  v_due timestamptz;
  v_after interval := ((p_schedule).timetable).after_end;
  v_unfinished bigint[];
  v_ended timestamptz;
begin
  if v_after is null then
    v_due := jobs_internal.next_due(p_schedule, p_after);
  else
    v_unfinished := jobs_internal.unfinished_of((p_schedule).id);
    v_ended := (select max(f.finished_at)
      from jobs_internal.schedule_state as t
      join jobs_internal.finished as f on f.id = t.last_job
      where t.schedule_id = (p_schedule).id);
    v_due := case when v_unfinished = '{}'
      then greatest(p_after, (p_schedule).starts_at, v_ended + v_after) end;
  end if;
  insert into jobs_internal.schedule_state as t (schedule_id, next_due, next_at, waits)
  values ((p_schedule).id, v_due, case when (p_schedule).paused_at is null
      then v_due + jobs_internal.jitter_of(p_schedule, v_due) end, coalesce(v_unfinished <> '{}',
        false))
  on conflict (schedule_id) do update
  set next_due = excluded.next_due, next_at = excluded.next_at,
    waits = t.waits or excluded.waits,
    last_job = case when excluded.waits then v_unfinished[cardinality(v_unfinished)]
      else t.last_job end;
  perform jobs_internal.wake(null);
end
$$;

-- Keep the occurrences of a schedule that were due up to a moment, and that will not be fired, as
-- one stretch; of one that is paused as paused. Writes: schedule_run.
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
      jobs_internal.last_due(p_schedule, v_first, p_until),
      case when (p_schedule).paused_at is null then p_outcome else 'paused' end,
      case when (p_schedule).paused_at is null then p_reason
        else format('it was paused from %s on', (p_schedule).paused_at::timestamptz(0))
          || coalesce(', by ' || (p_schedule).paused_by, ': ' || (p_schedule).paused_why, '') end);
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

-- What is behind the functions that change schedules.

-- The schedule of a name that the caller may change: its own, or as an operator that of another
-- owner; one that was dropped as pg_get_userbyid names it. Locks: schedule. Errors: PW103, PW060 in
-- a copy.
create or replace function jobs_internal.schedule_named(p_name text, p_owner text)
returns jobs_internal.schedule
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp
as $$
declare
  v jobs_internal.schedule;
  v_owner oid := case when p_owner is null then jobs_internal.caller() else coalesce(
    (select r.oid from pg_roles as r where r.rolname = p_owner),
    (select s.owner from jobs_internal.schedule as s where s.name = btrim(p_name)
      and s.dropped_at is null and pg_get_userbyid(s.owner) = p_owner limit 1)) end;
begin
  if not jobs_internal.is_original() then
    perform jobs_internal.assert_not_copy();
  end if;
  if v_owner = jobs_internal.caller() or jobs_internal.caller_is('jobs_operator') then
    select s.* into v from jobs_internal.schedule as s
    where s.owner = v_owner and s.name = btrim(p_name) and s.dropped_at is null
    for update;
  end if;
  if v.id is null then
    raise exception using errcode = 'PW103', message = format('there is no schedule "%s"%s',
        coalesce(left(p_name, 200), 'null'), ' of ' || left(p_owner, 63)),
      detail = 'Or it belongs to another role. Names are those of one owner each; an operator '
        'names the owner.',
      hint = 'See jobs.schedules. A retry cannot help.';
  end if;
  return v;
end
$$;

-- Does the work of jobs.current_run.
create or replace function jobs_internal.current_occurrence()
returns table (job_id bigint, attempt integer, schedule text, due_at timestamptz, batch bigint)
language sql stable security definer
set search_path = pg_catalog, pg_temp
begin atomic
  select c.id, jobs_internal.current_attempt(), s.name, r.due_at,
    coalesce((select k.batch_id from jobs_internal.batch_call as k
        join jobs_internal.job as j on j.id = k.job_id and j.owner = jobs_internal.caller()
        where k.job_id = c.id),
      (select (j.options ->> 'batch')::bigint from jobs_internal.job as j
        where j.id = c.id and j.owner = jobs_internal.caller()))
  from (select jobs_internal.current_job() as id) as c
  left join jobs_internal.schedule_run as r on r.job_id = c.id
  left join jobs_internal.schedule as s on s.id = r.schedule_id;
end;

-- Does the work of jobs.alter_schedule. What is null stays. Locks: schedule, then schedule_state.
-- Writes: schedule, schedule_state, schedule_run, audit. Errors: PW060 in a copy, PW100 to PW103.
create or replace function jobs_internal.alter_schedule(p_schedule jobs_internal.schedule,
    p_owner text)
returns void
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp
as $$
declare
  v_before jobs_internal.schedule := jobs_internal.schedule_named((p_schedule).name, p_owner);
  v jobs_internal.schedule := v_before;
begin
  v.expression := coalesce((p_schedule).expression, v.expression);
  v.timezone := jobs_internal.assert_zone(coalesce((p_schedule).timezone, v.timezone));
  v.timetable := jobs_internal.parse_schedule(v.expression);
  v.overlap := coalesce((p_schedule).overlap, v.overlap);
  v.missed := coalesce((p_schedule).missed, v.missed);
  v.missed_within := coalesce((p_schedule).missed_within, v.missed_within);
  v.jitter := coalesce((p_schedule).jitter, v.jitter);
  v.starts_at := nullif(coalesce((p_schedule).starts_at, v.starts_at), '-infinity');
  v.ends_at := nullif(coalesce((p_schedule).ends_at, v.ends_at), 'infinity');
  v.pause_after := nullif(coalesce((p_schedule).pause_after, v.pause_after), 0);
  v.anchor := coalesce(v.starts_at, to_timestamp(0));
  perform jobs_internal.assert_schedule(v), jobs_internal.assert_comes(v),
    jobs_internal.record_due(v_before, clock_timestamp(), 'skipped',
      'it was changed before this occurrence was fired');
  update jobs_internal.schedule as s
  set (expression, timetable, timezone, anchor, overlap, missed, missed_within, jitter, starts_at,
      ends_at, pause_after)
    = (v.expression, v.timetable, v.timezone, v.anchor, v.overlap, v.missed, v.missed_within,
      v.jitter, v.starts_at, v.ends_at, v.pause_after)
  where s.id = v.id;
  perform jobs_internal.set_next_due(v, clock_timestamp()),
    jobs_internal.record_schedule('alter_schedule', v, to_jsonb(v_before), to_jsonb(v));
end
$$;

-- Keep that a role changed a schedule that is not its own. Writes: audit.
create or replace function jobs_internal.record_schedule(p_action text,
    p_schedule jobs_internal.schedule, p_before jsonb, p_after jsonb)
returns void
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp
as $$
declare
  v_hidden constant text[] := array['args', 'statement', 'settings', 'note', 'timetable'];
begin
  if (p_schedule).owner is distinct from jobs_internal.caller() then
    perform jobs_internal.record_audit(p_action, format('schedule %s of %s', (p_schedule).name,
        pg_get_userbyid((p_schedule).owner)), p_before - v_hidden, p_after - v_hidden);
  end if;
end
$$;

-- Does the work of jobs.unschedule. Its unfinished jobs go on; its history stays. Locks: schedule,
-- then schedule_state. Writes: schedule, schedule_state, schedule_run, audit. Errors: PW060 in a
-- copy, PW103.
create or replace function jobs_internal.unschedule(p_name text, p_owner text)
returns void
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp
as $$
declare
  v jobs_internal.schedule := jobs_internal.schedule_named(p_name, p_owner);
begin
  perform jobs_internal.record_due(v, clock_timestamp(), 'skipped',
      'it was removed before this occurrence was fired'),
    jobs_internal.record_schedule('unschedule', v, '{}', null);
  update jobs_internal.schedule_run as r
  set outcome = 'skipped', reason = 'it was removed before its turn came'
  where r.schedule_id = v.id and r.outcome = 'queued';
  delete from jobs_internal.schedule_state as t where t.schedule_id = v.id;
  update jobs_internal.schedule as s set dropped_at = clock_timestamp() where s.id = v.id;
end
$$;

-- Does the work of jobs.pause_schedule. Returns false when it was paused before. Locks: schedule,
-- then schedule_state. Writes: schedule, schedule_state, audit. Errors: PW060 in a copy, PW103.
create or replace function jobs_internal.pause_schedule(p_name text, p_owner text)
returns boolean
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp
as $$
declare
  v jobs_internal.schedule := jobs_internal.schedule_named(p_name, p_owner);
begin
  if v.paused_at is not null then
    return false;
  end if;
  perform jobs_internal.stop_schedule(v.id, session_user::text),
    jobs_internal.record_schedule('pause_schedule', v, '{"paused": false}', '{"paused": true}');
  return true;
end
$$;

-- Does the work of jobs.resume_schedule: what was due meanwhile is kept as paused, and not made up
-- for. Returns false when it was not paused. Locks: schedule, then schedule_state. Writes:
-- schedule, schedule_state, schedule_run, audit. Errors: PW060 in a copy, PW103.
create or replace function jobs_internal.resume_schedule(p_name text, p_owner text)
returns boolean
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp
as $$
declare
  v jobs_internal.schedule := jobs_internal.schedule_named(p_name, p_owner);
  v_now timestamptz := clock_timestamp();
begin
  if v.paused_at is null then
    return false;
  end if;
  perform jobs_internal.record_due(v, v_now, 'paused', null);
  update jobs_internal.schedule as s
  set paused_at = null, paused_by = null, paused_why = null, counts_from = v_now
  where s.id = v.id
  returning * into v;
  perform jobs_internal.set_next_due(v, v_now),
    jobs_internal.record_schedule('resume_schedule', v, '{"paused": true}', '{"paused": false}');
  return true;
end
$$;

-- Does the work of jobs.run_schedule: one run now, whatever runs, paused or not. Its job is
-- enqueued in the caller's transaction. Returns its number. Errors: PW103, those of
-- enqueue_scheduled, PW102 where an unfinished job has its unique key.
create or replace function jobs_internal.run_schedule(p_name text, p_owner text)
returns bigint
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp
as $$
declare
  v jobs_internal.schedule := jobs_internal.schedule_named(p_name, p_owner);
  v_now timestamptz := clock_timestamp();
  v_job bigint := jobs_internal.enqueue_scheduled(v, v_now);
begin
  if v_job is null then
    perform jobs_internal.refuse('PW102', format('an unfinished job has the unique key %s',
      v.unique_key), 'Two of them are never unfinished at once.');
  end if;
  insert into jobs_internal.schedule_run (schedule_id, due_at, rerun, outcome, reason, job_id)
  values (v.id, v_now, 1, 'fired', format('by run_schedule of %s', session_user), v_job);
  -- what is queued, or counts from the end of the last run, waits for this one too
  update jobs_internal.schedule_state as t set last_job = v_job where t.schedule_id = v.id;
  perform jobs_internal.wake(null),
    jobs_internal.record_schedule('run_schedule', v, null, jsonb_build_object('job', v_job));
  return v_job;
end
$$;

-- Does the work of jobs.rerun_schedule: the occurrences from one moment to another, once more, one
-- after the other. Returns how many. Errors: PW102, PW103.
create or replace function jobs_internal.rerun_schedule(p_name text, p_since timestamptz,
    p_until timestamptz, p_owner text)
returns integer
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp
as $$
declare
  v jobs_internal.schedule := jobs_internal.schedule_named(p_name, p_owner);
  v_at timestamptz;
  v_count integer := 0;
begin
  if not isfinite(p_since) or not isfinite(p_until) or p_until > clock_timestamp()
    or p_since > p_until or p_since is null or p_until is null then
    perform jobs_internal.refuse('PW102', 'since and until must be moments that are past, '
      'one after the other', format('They are %s and %s.', coalesce(p_since::text, 'null'),
        coalesce(p_until::text, 'null')));
  elsif (v.timetable).after_end is not null then
    perform jobs_internal.refuse('PW102', 'a schedule that counts from the end of its last '
      'run has no occurrences in the past', format('It is: %s.', v.expression));
  end if;
  v_at := jobs_internal.next_due(v, p_since - interval '1 microsecond');
  while v_at < p_until loop
    v_count := v_count + 1;
    if v_count > 1000 then
      perform jobs_internal.refuse('PW102', 'more than 1000 occurrences lie in that time',
        'Each would be a job.');
    end if;
    insert into jobs_internal.schedule_run (schedule_id, due_at, rerun, outcome, reason)
    select v.id, v_at, coalesce(max(r.rerun), 0) + 1, 'queued',
      format('by rerun_schedule of %s', session_user)
    from jobs_internal.schedule_run as r
    where r.schedule_id = v.id and r.due_at = v_at;
    v_at := jobs_internal.next_due(v, v_at);
  end loop;
  if v_count > 0 then
    update jobs_internal.schedule_state as t set waits = true where t.schedule_id = v.id;
    perform jobs_internal.wake(null),
      jobs_internal.record_schedule('rerun_schedule', v, null, jsonb_build_object('since', p_since,
        'until', p_until, 'occurrences', v_count));
  end if;
  return v_count;
end
$$;

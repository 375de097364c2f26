-- Firing: a round of a supervisor decides what becomes of the occurrences that are due. Occurrence,
-- job and the next time are one commit. Two supervisors never decide of one schedule at once: each
-- locks its row of schedule_state (skip locked), and an occurrence has one row (primary key).

-- The unfinished jobs of a schedule, of the last two hundred that it enqueued, in order.
create or replace function jobs_internal.unfinished_of(p_schedule integer)
returns bigint[]
language sql stable security definer
set search_path = pg_catalog, pg_temp
begin atomic
  select array(
    select j.id
    from (
      select r.job_id from jobs_internal.schedule_run as r
      where r.schedule_id = p_schedule and r.job_id is not null
      order by r.job_id desc
      limit 200
    ) as r
    join jobs_internal.job as j on j.id = r.job_id
    order by j.id);
end;

-- Those of some jobs of a schedule that a person did not ask for (rerun_schedule, run_schedule).
create or replace function jobs_internal.came_by_itself(p_schedule integer, p_jobs bigint[])
returns bigint[]
language sql stable security definer
set search_path = pg_catalog, pg_temp
begin atomic
  select array(
    select j.id
    from unnest(p_jobs) as j(id)
    join jobs_internal.schedule_run as r on r.job_id = j.id
    where r.schedule_id = p_schedule and r.rerun = 0
    order by j.id);
end;

-- Enqueue the job of an occurrence: data only. Returns its number; null: an unfinished job
-- has its unique key. Writes: job, statement, operation, rate_use.
-- Errors: PW007, PW008, PW019, PW070 to PW072.
create or replace function jobs_internal.enqueue_scheduled(p_schedule jobs_internal.schedule,
    p_now timestamptz)
returns bigint
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp
as $$
declare
  v_queue jobs_internal.queue;
  v_statement jsonb := (p_schedule).statement;
  v_row jobs_internal.statement;
  v_run_at timestamptz;
  v_job bigint;
begin
  if not exists (select from pg_roles as r where r.oid = (p_schedule).owner) then
    raise exception using errcode = 'PW019', message = 'its owner is gone';
  end if;
  perform jobs_internal.assert_admitted((p_schedule).owner);
  -- one that was dropped and made anew is the same to a person
  select q.* into v_queue
  from jobs_internal.queue as o
  join jobs_internal.queue as q on q.name = o.name
  where o.id = (p_schedule).queue_id
  order by q.dropped_at desc nulls first
  limit 1;
  if v_queue.dropped_at is not null then
    raise exception using errcode = 'PW007', message = 'its queue was dropped';
  elsif not v_queue.accepting then
    raise exception using errcode = 'PW008', message = 'its queue takes no jobs';
  end if;
  if (p_schedule).unique_key is not null and exists (select from jobs_internal.job as j
      where j.owner = (p_schedule).owner and j.queue_id = v_queue.id
        and j.unique_key = (p_schedule).unique_key and j.publication_id is null)
  then
    return null;  -- and is not charged
  end if;
  v_run_at := greatest(p_now, jobs_internal.charge((p_schedule).owner, 1, (p_schedule).bytes));
  insert into jobs_internal.job (id, queue_id, owner, priority, state, call_template_id,
      max_attempts, run_at, due_at, created_at, timeout, args, settings, note, options, unique_key)
  values (nextval('jobs_internal.job_id_seq'), v_queue.id, (p_schedule).owner,
    (p_schedule).priority, 'scheduled', (p_schedule).call_template_id,
    coalesce((p_schedule).max_attempts, v_queue.max_attempts), v_run_at, v_run_at, p_now,
    coalesce((p_schedule).timeout, v_queue.timeout), (p_schedule).args, (p_schedule).settings,
    (p_schedule).note, (p_schedule).options, (p_schedule).unique_key)
  on conflict do nothing
  returning id into v_job;
  if v_job is not null and v_statement is not null then
    v_row := jsonb_populate_record(null::jobs_internal.statement, v_statement);
    v_row.job_id := v_job;
    insert into jobs_internal.statement select v_row.*;
    if jsonb_typeof(v_statement -> 'operation') = 'object' then
      perform jobs_internal.store_operation(v_job, (p_schedule).owner, v_statement -> 'operation',
        v_statement #>> '{target,object}', v_statement ->> 'rollback_sql');
    end if;
  end if;
  return v_job;
end
$$;

-- Why an occurrence is not fired because of the window of its schedule; null: it is. While the
-- window is closed the job of the last occurrence before the next opening waits for that; those
-- before it are outside.
create or replace function jobs_internal.outside_window(p_schedule jobs_internal.schedule,
    p_due timestamptz, p_now timestamptz)
returns text
language sql stable security definer
set search_path = pg_catalog, pg_temp
begin atomic
  select format('window %s is closed until %s, and a later occurrence comes by then', s.name,
    s.next_opens_at::timestamptz(0))
  from jobs_internal.window_state as s
  where s.name = (p_schedule).options ->> 'window'
    and not coalesce(s.opened_at <= p_now and s.closes_at > p_now, false)
    and s.next_opens_at > p_now
    and s.next_opens_at >= jobs_internal.next_due(p_schedule, p_due);
end;

-- Fire one occurrence, or say why not. p_overlap: as the column; queued: it waits already, and its
-- turn has come. Where a running job is replaced its stop is requested. What a person asked for
-- loses nothing to an occurrence that comes by itself, nor takes its place: that waits for its end.
-- Writes: schedule_run, schedule_state, stop_request; see enqueue_scheduled, cancel_waiting.
create or replace function jobs_internal.fire_one(p_schedule jobs_internal.schedule,
    p_due timestamptz, p_rerun integer, p_overlap text, p_now timestamptz)
returns void
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp
set exit_on_error = off
as $$
declare
  v_overlap text := p_overlap;
  v_unfinished bigint[] := '{}';
  v_of_itself bigint[];
  v_outcome text := 'fired';
  v_reason text;
  v_job bigint;
  v_other bigint;
begin
  if p_rerun = 0 and p_overlap <> 'queued'
    and jobs_internal.recorded_until((p_schedule).id, p_due) is not null then
    return;  -- the clock was set back meanwhile
  end if;
  if p_rerun = 0 and p_overlap <> 'queued' and (p_schedule).options ? 'window' then
    v_reason := jobs_internal.outside_window(p_schedule, p_due, p_now);
    v_outcome := case when v_reason is null then 'fired' else 'outside window' end;
  end if;
  if v_outcome = 'fired' and p_overlap not in ('parallel', 'queued') then
    v_unfinished := jobs_internal.unfinished_of((p_schedule).id);
    if v_unfinished <> '{}' and p_overlap in ('skip', 'replace') then
      v_of_itself := jobs_internal.came_by_itself((p_schedule).id, v_unfinished);
      v_overlap := case when v_of_itself = '{}' then 'queue_one' else p_overlap end;
    end if;
  end if;
  if v_unfinished <> '{}' or v_outcome = 'fired' and v_overlap in ('queue', 'queue_one')
    and exists (select from jobs_internal.schedule_run as r
      where r.schedule_id = (p_schedule).id and r.outcome = 'queued')
  then
    v_reason := coalesce('job ' || v_unfinished[1] || ' of an earlier occurrence is not finished',
      'an earlier occurrence is queued');
    case v_overlap
      when 'skip' then v_outcome := 'skipped';
      when 'queue' then
        v_outcome := 'queued';
        if (select count(*) from jobs_internal.schedule_run as r
          where r.schedule_id = (p_schedule).id and r.outcome = 'queued' and r.rerun = 0) >= 100
        then
          v_outcome := 'skipped';
          v_reason := 'a hundred earlier occurrences are queued';
        end if;
      when 'queue_one' then
        v_outcome := 'queued';
        -- of those that wait the last one stays
        update jobs_internal.schedule_run as r
        set outcome = 'skipped', reason = 'a later occurrence took its place in the queue'
        where r.schedule_id = (p_schedule).id and r.outcome = 'queued' and r.rerun = 0;
      else  -- replace
        foreach v_other in array v_of_itself loop
          if not jobs_internal.cancel_waiting(v_other, 'a later occurrence of its schedule') then
            -- also of one whose message a session holds: a supervisor acts on it
            perform jobs_internal.request_cancel(j.id, case j.state when 'running' then j.attempt
              else j.attempt + 1 end, 'a later occurrence of its schedule')
            from jobs_internal.job as j where j.id = v_other;
          end if;
        end loop;
        v_reason := null;
    end case;
  end if;
  if v_outcome = 'fired' then
    begin
      v_job := jobs_internal.enqueue_scheduled(p_schedule, p_now);
      if v_job is null then
        v_outcome := 'skipped';
        v_reason := format('an unfinished job has the unique key %s', (p_schedule).unique_key);
      end if;
    exception
      when sqlstate 'PW007' or sqlstate 'PW008' or sqlstate 'PW019' or sqlstate 'PW070'
        or sqlstate 'PW071' or sqlstate 'PW072' then
        v_outcome := 'skipped';
        v_reason := format('%s (%s)', sqlerrm, sqlstate);
    end;
  end if;
  insert into jobs_internal.schedule_run as r (schedule_id, due_at, rerun, outcome, reason, job_id)
  values ((p_schedule).id, p_due, p_rerun, v_outcome, v_reason, v_job)
  on conflict (schedule_id, due_at, rerun) do update
  set outcome = excluded.outcome, reason = coalesce(excluded.reason, case when r.rerun > 0
      then r.reason end), job_id = excluded.job_id,
    fired_at = clock_timestamp()
  where r.outcome = 'queued';
  update jobs_internal.schedule_state as t
  set last_due = case when v_job is not null then greatest(t.last_due, p_due)
      else t.last_due end,
    last_job = coalesce(v_job, t.last_job),
    waits = t.waits or v_outcome = 'queued'
      or v_job is not null and ((p_schedule).timetable).after_end is not null
  where t.schedule_id = (p_schedule).id;
end
$$;

-- Decide of all occurrences of a schedule that are due. Those that could not be fired in time, for
-- a minute, are missed: the last one, all, or none of them are made up for.
create or replace function jobs_internal.fire_schedule(p_schedule jobs_internal.schedule,
    p_first timestamptz, p_now timestamptz)
returns void
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp
as $$
declare
  v_last timestamptz;
  v_next timestamptz;
  v_oldest timestamptz;  -- that is made up for
  v_at timestamptz;
  v_kept timestamptz[] := '{}';
  v_reason text := 'no supervisor was there, or it could not fire it';
begin
  if p_first > p_now then  -- the clock was set back
    update jobs_internal.schedule_state as t
    set next_at = p_first + jobs_internal.jitter_of(p_schedule, p_first)
    where t.schedule_id = (p_schedule).id;
    return;
  elsif ((p_schedule).timetable).after_end is not null then
    perform jobs_internal.fire_one(p_schedule, p_first, 0, (p_schedule).overlap, p_now);
    -- it waits for the end of a job; where there is none, it comes again as if it had ended now
    update jobs_internal.schedule_state as t
    set next_due = n.due, next_at = n.due + jobs_internal.jitter_of(p_schedule, n.due)
    from (
      select case when not k.waits
        then p_now + ((p_schedule).timetable).after_end end as due
      from jobs_internal.schedule_state as k where k.schedule_id = (p_schedule).id
    ) as n
    where t.schedule_id = (p_schedule).id;
    return;
  end if;
  v_last := jobs_internal.last_due(p_schedule, p_first, p_now);
  v_next := jobs_internal.next_due(p_schedule, v_last);
  v_oldest := p_now - jobs_internal.jitter_of(p_schedule, v_last) - greatest(interval '1 minute',
    case when (p_schedule).missed <> 'none' then
      coalesce((p_schedule).missed_within, least(v_next - v_last, interval '1 day')) end);
  if v_last >= v_oldest then
    v_kept := array[v_last];
    if (p_schedule).missed = 'all' then
      -- from the last one back: there may be millions
      v_at := v_last;
      while v_at > p_first and cardinality(v_kept) < 100 loop
        v_at := jobs_internal.last_due(p_schedule, p_first, v_at - interval '1 microsecond');
        exit when v_at < v_oldest;
        v_kept := v_at || v_kept;
      end loop;
    end if;
  end if;
  -- those before are accounted for together: what is too old, and what the last one stands for
  v_at := case when p_first >= v_oldest then p_first
    else jobs_internal.next_due(p_schedule, v_oldest - interval '1 microsecond') end;
  if v_kept = '{}' or (p_schedule).missed <> 'last' then
    v_at := coalesce(v_kept[1], v_next, 'infinity');
  end if;
  if p_first < v_at then
    perform jobs_internal.record_stretch(p_schedule, p_first, jobs_internal.last_due(p_schedule,
        p_first, least(v_at - interval '1 microsecond', v_last)), 'missed', v_reason);
  end if;
  if v_at < v_kept[1] then
    perform jobs_internal.record_stretch(p_schedule, v_at, jobs_internal.last_due(p_schedule, v_at,
        v_kept[1] - interval '1 microsecond'), 'coalesced', format('the occurrence of %s stands '
        'for it', v_kept[1]));
  end if;
  foreach v_at in array v_kept loop
    perform jobs_internal.fire_one(p_schedule, v_at, 0, case
        -- what is made up for is not skipped because of the one before it
        when cardinality(v_kept) > 1 and (p_schedule).overlap in ('skip', 'queue_one')
        then 'queue' else (p_schedule).overlap end, p_now);
  end loop;
  update jobs_internal.schedule_state as t
  set next_due = v_next, next_at = v_next + jobs_internal.jitter_of(p_schedule, v_next)
  where t.schedule_id = (p_schedule).id;
end
$$;

-- One round of a supervisor, in parts that fail by themselves. Everything here may be done twice,
-- by several supervisors, in any order.

-- One part of a round, in a savepoint: an error in it costs the other parts nothing. It is noted as
-- a failure of the round, and the part is tried again in the next one, or later where it was cut
-- off (a supervisor's session has a limit of time). Returns what the part gives; null when it
-- failed.
create or replace function jobs_internal.do_part(p_part text)
returns jsonb
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp
as $$
declare
  v_result jsonb;
begin
  -- What was cut off takes as long the next time: it waits its turn, as single items do.
  if exists (select from jobs_internal.duty_failure as f
    where f.duty = 'round' and f.item = p_part and f.error ->> 'sqlstate' = '57014'
      and jobs_internal.is_future(f.retry_at))
  then
    return null;
  end if;
  begin
    case p_part
      when 'roles' then perform jobs_internal.record_installation(), jobs_internal.follow_roles(),
        jobs_internal.note_refused();
      when 'quarantine' then perform jobs_internal.lift_quarantine();
      when 'rescue' then v_result := to_jsonb(jobs_internal.rescue());
      when 'slots' then perform jobs_internal.sweep_slots();
      when 'overdue' then perform jobs_internal.note_overdue();
      when 'claims' then perform jobs_internal.give_back_starts(),
        jobs_internal.reclaim_unstarted(), jobs_internal.reclaim_slots(),
        jobs_internal.end_idle_holders();
      when 'nameless' then perform jobs_internal.cancel_hidden_chunks(),
        jobs_internal.wake_after_clock_step();
      when 'clock' then perform jobs_internal.repair_clock_step();
      when 'lanes_ahead' then perform jobs_internal.make_lanes_ahead(true);
      when 'deadlines' then perform jobs_internal.cancel_late_jobs();
      when 'windows' then perform jobs_internal.move_windows();
      when 'window_stops' then perform jobs_internal.stop_outside_windows();
      when 'schedules' then perform jobs_internal.fire_schedules();
      when 'follow' then perform jobs_internal.follow();
      when 'batches' then perform jobs_internal.fold_batches();
      when 'keys' then perform jobs_internal.admit_waiting();
      when 'dispatch' then v_result := to_jsonb(jobs_internal.dispatch());
      when 'owners' then
        v_result := (select jsonb_agg(to_jsonb(w)) from jobs_internal.session_demand() as w);
      when 'failures' then
        perform jobs_internal.sweep_failures();
        v_result := jobs_internal.unlogged_failures();
      when 'operations' then perform jobs_internal.note_operations();
      when 'risks' then v_result := jobs_internal.unlogged_risks();
      when 'statements' then perform jobs_internal.note_statements();
      when 'sums' then perform jobs_internal.compact_daily_cost();
      when 'counters' then perform jobs_internal.sweep_counters();
      when 'call_templates' then perform jobs_internal.launch_call_template_sweep();
      when 'queues' then v_result := to_jsonb(jobs_internal.remove_dropped_queues());
      when 'vacuum' then v_result := to_jsonb(jobs_internal.launch_vacuum());
      when 'history' then v_result := jobs_internal.step_history();
    end case;
  exception
    when others or query_canceled or assert_failure then
      perform jobs_internal.note_failure('round', p_part,
          jobs_internal.error_object(sqlstate, sqlerrm));
      return null;
  end;
  perform jobs_internal.clear_failure('round', p_part);
  return v_result;
end
$$;

-- One round of a supervisor: open and close windows, fire schedules, follow dependencies, dispatch,
-- cancel what is late, note the overdue, rescue; says what there is to do. It waits for no row,
-- object or advisory lock: skip locked and nowait wherever a row is wanted. What has no such clause
-- it waits for, up to the lock timeout of 50 ms each time: a table that is locked as a whole, and a
-- key that an open transaction has inserted (the unique key of a schedule's job, the key of a
-- lane). What fails of that is put off, so that it waits seldom.
-- Returns: paused, must_poll, dispatched, rescued, stopping, sessions, opened (sessions, ever),
--   running, watched (those of them that a session watches in a child), queued, next_due_ms,
--   next_deadline_ms, outbox, owners, problems, failures, risks.
create or replace function jobs_internal.supervisor_tick(p_supervisor bigint)
returns jsonb
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp
set exit_on_error = off
set lock_timeout = '50ms'
as $$
declare
  v_paused boolean := (select s.paused from jobs_internal.switch as s);
  -- first: what is not seen below is committed later
  v_must_poll boolean := jobs_internal.must_poll(p_supervisor);
  -- Also before: of those that are counted here and are not among the living below, each came and
  -- went.
  v_opened bigint := coalesce(pg_sequence_last_value('jobs_internal.session_id_seq'), 0);
  v_rescued integer := 0;
  v_dispatched integer := 0;
  v_sessions integer;
  v_running integer := 0;
  v_watched integer := 0;
  v_deadline timestamptz;
  v_owners jsonb;
begin
  perform jobs_internal.assert_not_copy();
  perform jobs_internal.do_part('roles'), jobs_internal.do_part('quarantine');
  if exists (select from jobs_internal.session) then
    v_rescued := coalesce(jobs_internal.do_part('rescue')::integer, 0);
    perform jobs_internal.do_part('overdue'), jobs_internal.do_part('claims'),
      jobs_internal.do_part('nameless');
  else
    perform jobs_internal.do_part('slots');
  end if;
  if exists (select from jobs_internal.parent_event) then
    perform jobs_internal.do_part('follow');
  end if;
  if jobs_internal.has_changed_batches() then
    perform jobs_internal.do_part('batches');
  end if;
  v_must_poll := v_must_poll or exists (select from jobs_internal.parent_event)
    or exists (select from jobs_internal.batch_delta);
  if exists (select from jobs_internal.window_state) then
    -- before schedules, which ask whether a window is open, and before what has become due is moved
    perform jobs_internal.do_part('windows');
    if exists (select from jobs_internal.session) and jobs_internal.stops_jobs() then
      perform jobs_internal.do_part('window_stops');
    end if;
  end if;
  if not v_paused then
    perform jobs_internal.do_part('clock'), jobs_internal.do_part('schedules');
    v_dispatched := coalesce(jobs_internal.do_part('dispatch')::integer, 0);
    if v_dispatched = 0 and not exists (select from jobs_internal.session) then
      perform jobs_internal.do_part('lanes_ahead');  -- while jobs run, maintain does it
    end if;
  end if;
  if exists (select from jobs_internal.key_event) then
    perform jobs_internal.do_part('keys');
    v_must_poll := v_must_poll or exists (select from jobs_internal.key_event);
  end if;
  -- Behind what others wait for: those of one owner may take all the room of a round.
  if exists (select from jobs_internal.job_deadline as d where d.at < clock_timestamp()) then
    perform jobs_internal.do_part('deadlines');
  end if;
  if exists (select from jobs_internal.statement_look as k
    where coalesce(k.looked_at < clock_timestamp() - interval '5 minutes', true))
  then
    perform jobs_internal.do_part('statements');
  end if;
  v_owners := jobs_internal.do_part('owners');
  v_sessions := (select count(*) from jobs_internal.session);
  if v_sessions > 0 then
    perform jobs_internal.do_part('operations');
    -- Attempts that have their reason to stop already are signalled round after round: no deadline
    -- of theirs counts any more.
    select count(l.job_id), count(l.child_pid),
      min(l.started_at + j.timeout) filter (where x.job_id is null)
    into v_running, v_watched, v_deadline
    from jobs_internal.active_sessions() as l
    left join lateral (
      select o.timeout from jobs_internal.job as o
      where o.id = l.job_id and l.attempt = case o.state when 'running' then o.attempt
        else o.attempt + 1 end
      offset 0
    ) as j on true
    left join jobs_internal.stop_request as x on x.job_id = l.job_id and x.attempt = l.attempt;
  end if;
  return jsonb_build_object(
    'paused', v_paused,
    'must_poll', v_must_poll,
    'dispatched', v_dispatched,
    'rescued', v_rescued,
    'stopping', (select count(*) from jobs_internal.stop_request),
    'sessions', v_sessions,
    'opened', v_opened,
    'running', v_running,
    'watched', v_watched,
    'queued', jobs_internal.count_queued(),
    'next_due_ms', (select greatest(0,
          ceil(extract(epoch from j.due_at - clock_timestamp()) * 1000))::bigint
      from (select f.due_at from jobs_internal.first_due() as f
        union all
        select jobs_internal.next_deadline()
        union all
        select min(b.retry_at) from jobs_internal.batch as b where b.retry_at is not null
        union all
        select jobs_internal.next_window_change()
        union all
        select jobs_internal.next_schedule_at() where not v_paused) as j
      where isfinite(j.due_at) order by j.due_at limit 1),
    'next_deadline_ms', case when isfinite(v_deadline)
      then least(greatest(0, ceil(extract(epoch from v_deadline - clock_timestamp()) * 1000)),
          86400000)::bigint end,
    'outbox', (select count(*) from (select from jobs_internal.outbox limit 1000) as d),
    'owners', coalesce(v_owners, '[]'),
    'failures', coalesce(jobs_internal.do_part('failures'), '[]'),
    'risks', coalesce(jobs_internal.do_part('risks'), '[]'),
    'problems', coalesce((select jsonb_agg(jsonb_build_object('problem', 'lane_quarantined',
    'owner', pg_get_userbyid(l.owner)) || l.quarantine)
      from jobs_internal.lane as l where l.quarantine is not null), '[]'));
end
$$;

-- The signals that are due; to be called in a transaction after the tick that noted the reasons.
create or replace function jobs_internal.supervisor_send_stop_signals(p_supervisor bigint)
returns setof jsonb
language sql volatile security definer
set search_path = pg_catalog, pg_temp
set exit_on_error = off
set lock_timeout = '50ms'
begin atomic
  select p from jobs_internal.send_stop_signals(null) as p;
end;

-- Say that a supervisor falls asleep or woke up: enqueuers send a NOTIFY while one sleeps.
-- Returns: true when something is due after all.
create or replace function jobs_internal.supervisor_sleep(p_supervisor bigint, p_asleep boolean)
returns boolean
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp
set exit_on_error = off
set lock_timeout = '50ms'
as $$
begin
  update jobs_internal.supervisor set asleep = p_asleep, horizon_xid = null where id = p_supervisor
    and asleep <> p_asleep;
  return p_asleep and (exists (select from jobs_internal.first_due() as f
        where f.due_at <= clock_timestamp())
    or exists (select from jobs_internal.parent_event)
    or jobs_internal.has_changed_batches()
    or exists (select from jobs_internal.key_event)
    or jobs_internal.next_window_change() <= clock_timestamp()
    or jobs_internal.next_schedule_at() <= clock_timestamp()
      and not (select s.paused from jobs_internal.switch as s)
    or exists (select from jobs_internal.session_demand() as w
      where w.session_demand > w.active_sessions));
end
$$;

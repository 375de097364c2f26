-- A session that ends keeps its place in the queue.

-- Replaces jobs_internal.rescue, md5 2d16b3b2b4cbbedfdf04f319c4d4485f.
create or replace function jobs_internal.rescue(p_owner oid default null)
returns integer
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp
as $$
declare
  v_session jobs_internal.session;
  v_count integer := 0;
  v_dead bigint[];
  v_found timestamptz;
  v_until timestamptz := clock_timestamp() + interval '0.3 seconds';
  v_id bigint;
  v_seen_to boolean;
  v_error jsonb;
begin
  if p_owner is null then
    begin
      perform jobs_internal.note_crash();
      if exists (select from jobs_internal.server as s where s.epoch <> jobs_internal.epoch()) then
        return 0;  -- another session finds out just now what to blame
      end if;
    exception
      when others or query_canceled then
        -- No job can be blamed for the crash of the server, and that keeps none from help.
        perform jobs_internal.note_failure('round', 'crash',
            jobs_internal.error_object(sqlstate, sqlerrm));
    end;
  end if;
  v_dead := array(
    select s.id from jobs_internal.session as s
    left join jobs_internal.duty_failure as f on f.duty = 'rescue' and f.item = s.id::text
    where not jobs_internal.alive(s.pid, s.backend_start) and (p_owner is null or s.owner = p_owner)
      and (p_owner is not null or f.item is null or not jobs_internal.is_future(f.retry_at))
    order by f.retry_at nulls first, s.id);
  v_found := clock_timestamp();
  foreach v_id in array v_dead loop
    exit when p_owner is null and not jobs_internal.has_room(v_until);
    select s.* into v_session from jobs_internal.session as s
    where s.id = v_id for update skip locked;
    continue when not found;
    -- What we know of the processes may be older than that row: a session that has just opened is
    -- not dead.
    perform pg_stat_clear_snapshot();
    continue when jobs_internal.alive(v_session.pid, v_session.backend_start);
    v_error := null;
    begin
      v_seen_to := jobs_internal.rescue_one(v_session, v_found);
      if v_seen_to is null then
        v_error := jobs_internal.error_object('55P03', 'messages of a dead session are locked',
            'Another transaction of the same owner holds them.',
          'They are taken back when it ends, or when their lease does.');
      end if;
    exception
      when others then
        v_error := jobs_internal.error_object(sqlstate, sqlerrm);
      when query_canceled then
        if p_owner is not null then
          raise;
        end if;
        v_error := jobs_internal.error_object(sqlstate, sqlerrm);
    end;
    v_count := v_count + (v_error is null and v_seen_to)::integer;
    if v_error is not null and p_owner is not null then
      raise warning using message = format('session %s cannot be rescued now: %s', v_session.id,
          v_error ->> 'message');
    elsif v_error is not null then
      perform jobs_internal.note_failure('rescue', v_id::text, v_error,
        (select l.queue_id from jobs_internal.lane as l where l.id = v_session.lane_id),
          v_session.owner);
      -- The slot that it had is everybody's, unless its child still works.
      if not exists (select from jobs_internal.job as j
        where j.id = v_session.job_id and j.session_id = v_id and j.state = 'running'
          and jobs_internal.alive(j.child_pid, j.child_start))
      then
        perform jobs_internal.free_slots(v_id);
      end if;
    elsif p_owner is null then
      perform jobs_internal.clear_failure('rescue', v_id::text);
    end if;
  end loop;
  if p_owner is null then

  end if;
  return v_count;
end
$$;

-- Replaces jobs_internal.do_part, md5 26389b1b01d1761cbe13981cca213b32.
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
      when 'slots' then null;
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

-- Replaces jobs_internal.close_session, md5 78ccc7ef1cda0c816301382affcaea78.
create or replace function jobs_internal.close_session(p_session bigint,
    p_run_stats jobs_internal.run_stats[])
returns void
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp
as $$
declare
  v_session jobs_internal.session := jobs_internal.my_session(p_session);
begin
  perform jobs_internal.assert_between_jobs(v_session);
  perform jobs_internal.release(v_session, false);
  perform jobs_internal.record_run_stats(v_session, p_run_stats);

  delete from jobs_internal.session where id = p_session;
  perform jobs_internal.wake(null);
end
$$;

-- Replaces jobs_internal.claim, md5 b534b471d1a90645959c472f64d918e1.
create or replace function jobs_internal.claim(p_session bigint, p_jobs bigint,
    p_run_stats jobs_internal.run_stats[], p_release boolean, p_limit integer)
returns jobs_internal.claim
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp
set enable_seqscan = off
set enable_hashjoin = off
set enable_mergejoin = off
set plan_cache_mode = force_generic_plan
as $$
declare
  v_session jobs_internal.session := jobs_internal.my_session(p_session);
  v_claim jobs_internal.claim;
  v_lane record;
  v_now timestamptz := clock_timestamp();
  v_limit integer;
  v_after bigint;
  v_full_scan_at timestamptz;
  v_due boolean;
  v_scan_start bigint;
  v_began timestamptz;
  v_waits_for integer;
  v_followed boolean := false;
  v_start_at timestamptz;
  v_turns record;
  v_starts double precision[];  -- of the turns; null: nothing is shared
  v_owed double precision[];
begin
  if v_session.schema_version is distinct from jobs_internal.schema_version() then
    perform jobs_internal.assert_version(v_session.schema_version);
  end if;
  if p_release and v_session.msg_ids is not null then
    perform jobs_internal.release(v_session, false);
    v_session.last_msg_id := v_session.msg_ids[1] - 1;
    v_now := clock_timestamp();  -- what was given back is due for us too
  end if;
  v_claim.waiting := false;
  if exists (select from jobs_internal.parent_event as e where e.owner = v_session.owner) then
    v_followed := jobs_internal.follow_mine(v_session.owner);
    v_now := clock_timestamp();  -- what has become due is due for us too
  end if;
  -- While there is work, one claim in eight folds: sessions leave it to each other.
  if exists (select from jobs_internal.batch_delta as d where d.owner = v_session.owner)
    and random() < 0.125
  then
    v_followed := jobs_internal.fold_mine(v_session.owner) or v_followed;
    v_now := clock_timestamp();
  end if;
  if exists (select from jobs_internal.key_event as n where n.owner = v_session.owner) then
    v_followed := jobs_internal.admit_mine(v_session.owner) or v_followed;
    v_now := clock_timestamp();
  end if;
  perform jobs_internal.wake_lanes(v_session.owner);
  -- An owner that has become privileged meanwhile gets no other job: it would run with rights that
  -- no administrator has admitted.
  if not (select s.paused from jobs_internal.switch as s)
    and not jobs_internal.is_refused(v_session.owner) then
    if v_session.owed is not null then
      v_turns := jobs_internal.turns(v_session);
      v_starts := v_turns.starts;
    end if;
    for v_lane in
      select l.id, l.queue_id, l.pgmq_queue, l.avg_ms, l.scan_start, l.scan_start_at, l.priority,
        q.concurrency, case when q.rate_by is null then q.rate_limit end as rate_limit,
        q.rate_period, q.rate_by, q.rate_limit as by_limit
      from (
        -- Ordered before the join: of a thousand lanes only the first few are ever looked at.
        -- Without turns a lane that may have to share comes first: that is seen by it.
        select o.*, coalesce(v_starts[o.priority + 1], -abs(o.priority - 1)) as turn
        from jobs_internal.lane as o
        where o.owner = v_session.owner and o.idle_state <> 'idle' and o.quarantine is null
        order by turn, o.priority, o.served_at, o.id
      ) as l
      join jobs_internal.queue as q on q.id = l.queue_id
      where not q.paused and q.removed_at is null
        and (q.window_name is null or jobs_internal.window_is_open(q.window_name))
      order by l.turn, l.priority, l.served_at, l.id
    loop
      if v_lane.priority <> 1 and v_session.owed is null and v_scan_start is null  -- the first
        and jobs_internal.shares_turns(v_session.owner)
      then
        update jobs_internal.session set owed = '{0,0,0}' where id = p_session;
        return jobs_internal.claim(p_session, p_jobs, p_run_stats, false, p_limit);
      end if;
      v_scan_start := v_lane.scan_start;
      if v_scan_start > 0
        and v_lane.scan_start_at not between v_now - interval '1 second' and v_now then
        v_scan_start := jobs_internal.find_scan_start(v_lane.id, v_scan_start);
      end if;
      v_began := clock_timestamp();
      -- Where no slot is taken, the claim itself tells whether there is something; a session that
      -- has just had some here need not ask.
      v_due := v_lane.concurrency is null
        and coalesce(v_session.lane_id = v_lane.id
            and v_session.full_scan_at > v_now - interval '1 second', false);
      if not v_due then
        begin
          execute format('select exists (select from pgmq.%I as m where m.msg_id > $2 and m.vt <= '
            '$1 order by m.msg_id limit 1)',
            'q_' || v_lane.pgmq_queue) into v_due using v_now, v_scan_start;
        exception
          when undefined_table then
            v_due := false;  -- its queue was dropped meanwhile
        end;
      end if;
      if v_scan_start = 0 and clock_timestamp() - v_began > interval '5 milliseconds'
        and pg_relation_size(to_regclass('pgmq.q_' || v_lane.pgmq_queue)) > 1000000
      then
        v_scan_start := jobs_internal.find_scan_start(v_lane.id, 0);
      end if;
      continue when not v_due;
      if v_lane.rate_limit is not null then
        v_start_at := jobs_internal.next_start(v_lane.queue_id, v_lane.rate_limit,
            v_lane.rate_period, v_session.owner);
        if v_start_at > clock_timestamp() then
          -- A session that waits for longer than that is launched anew.
          if v_start_at < clock_timestamp() + interval '2 seconds' then
            v_claim.waiting := true;
            v_claim.start_at := least(v_claim.start_at, v_start_at);
            v_waits_for := coalesce(v_waits_for, v_lane.queue_id);
          end if;
          continue;
        end if;
      end if;
      if not jobs_internal.take_slot(p_session, v_lane.queue_id, v_lane.concurrency) then
        v_claim.waiting := true;
        v_waits_for := coalesce(v_waits_for, v_lane.queue_id);
        continue;
      end if;
      -- What no session has run yet is taken one at a time, or a few where all other lanes of this
      -- owner are quick.
      v_limit := 1;
      if p_limit > 1 then
        if v_lane.avg_ms is not null then
          v_limit := least(p_limit, jobs_internal.setting('claim_jobs')::integer,
            greatest(1, jobs_internal.setting('claim_ms')::double precision
              / greatest(v_lane.avg_ms, 0.01)));
        elsif (select max(l.avg_ms) from jobs_internal.lane as l where l.owner = v_session.owner)
          < 1 then
          v_limit := least(p_limit, 10);
        end if;
      end if;
      if v_lane.rate_limit is not null then
        v_limit := least(v_limit, jobs_internal.starts_at_once(v_lane.rate_limit,
              v_lane.rate_period, v_lane.avg_ms));
      end if;
      -- Dead entries at the beginning of the lane cost a walk at each claim, so a claim starts
      -- behind the last one; from scan_start again once a second, for messages that were committed
      -- late or came back.
      v_after := v_scan_start;
      v_full_scan_at := v_now;
      if v_session.lane_id = v_lane.id and v_session.full_scan_at > v_now - interval '1 second' then
        v_after := greatest(v_session.last_msg_id, v_scan_start);
        v_full_scan_at := v_session.full_scan_at;
      end if;
      v_claim.lease := v_now + make_interval(secs =>
          jobs_internal.setting('lease_seconds')::double precision);
      loop
        begin
          execute format(
            'select array_agg(c.msg_id) from ('
            '  select m.msg_id from pgmq.%I as m where m.msg_id > $1 and m.vt <= $2 order by '
            'm.msg_id limit $3 for update skip locked'
            ') as c', 'q_' || v_lane.pgmq_queue)
          into v_claim.msg_ids using v_after, v_now,
            case when v_lane.rate_by is null then v_limit else 200 end;
          if v_lane.rate_limit is not null and v_claim.msg_ids is not null then
            v_claim.msg_ids := v_claim.msg_ids[1 : jobs_internal.take_starts(v_lane.queue_id,
                v_lane.rate_limit, v_lane.rate_period, v_session.owner,
                cardinality(v_claim.msg_ids))];
          elsif v_lane.rate_by is not null and v_claim.msg_ids is not null then
            v_claim.msg_ids := jobs_internal.pass_rate_by(v_lane, v_session.owner,
              v_claim.msg_ids, v_limit);
          end if;
          -- in the subtransaction that locked them: two would make a MultiXact for each message
          if v_claim.msg_ids is not null then
            execute format('update pgmq.%I as m set vt = $2, read_ct = m.read_ct + 1, last_read_at '
              '= $3 where m.msg_id = any ($1)',
              'q_' || v_lane.pgmq_queue)
            using v_claim.msg_ids, v_claim.lease, v_now;
          end if;
        exception
          when undefined_table then
            null;  -- as above
        end;
        exit when v_claim.msg_ids is not null or v_after = v_scan_start;
        v_after := v_scan_start;
        v_full_scan_at := v_now;
      end loop;
      if v_claim.msg_ids = '{}' then
        -- another session took the starts just now, or these have left the lane
        v_claim.msg_ids := null;
        v_claim.waiting := true;
        v_claim.start_at := v_now;
        v_waits_for := coalesce(v_waits_for, v_lane.queue_id);
      end if;
      if v_claim.msg_ids is not null then
        v_claim.lane_id := v_lane.id;
        -- after jobs that others waited for, or with a key, more may come at once
        v_claim.full_up := v_followed or cardinality(v_claim.msg_ids) >= v_limit;
        if v_session.owed is null then
          update jobs_internal.lane set served_at = v_now
          where id = (select l.id from jobs_internal.lane as l
              where l.id = v_lane.id for no key update skip locked);
        else
          v_session.owed := jobs_internal.charge_turn(v_lane.id, v_lane.priority,
              cardinality(v_claim.msg_ids) * coalesce(v_lane.avg_ms, 1),
              coalesce(v_turns.keepers[v_lane.priority + 1], v_lane.id), v_turns.clock,
              -- what it owes may be of a priority that waits: others do not see it yet
              v_starts[v_lane.priority + 1] - v_session.owed[1] - v_session.owed[2]
                - v_session.owed[3],
              v_session.owed, v_now);
        end if;
        exit;
      end if;
    end loop;
  end if;
  if v_claim.lane_id is null
    and exists (select from jobs_internal.batch_delta as d where d.owner = v_session.owner)
    and jobs_internal.fold_mine(v_session.owner)
  then
    return jobs_internal.claim(p_session, p_jobs, p_run_stats, false, p_limit);
  end if;
  if v_claim.lane_id is null then
    v_owed := v_session.owed;
    if v_starts is not null and v_claim.lease is null and not v_claim.waiting then
      v_owed := jobs_internal.reset_turns(v_session.owner, v_turns.clock, v_starts);
    end if;
    v_claim.lease := null;
    v_claim.surplus := exists (select from jobs_internal.session as s
      where s.owner = v_session.owner and s.id < p_session and s.msg_ids is null
        and s.job_id is null and jobs_internal.alive(s.pid, s.backend_start));

    if v_session.msg_ids is not null or v_session.jobs <> p_jobs
      or v_session.owed is distinct from v_owed
      or v_session.waits_for is distinct from v_waits_for
      or p_run_stats is not null and v_session.new_template_ids is not null
      or v_waits_for is not null and v_session.asked_at not between v_now
        - interval '0.5 seconds' and v_now
    then
      update jobs_internal.session
      set msg_ids = null, lane_id = null, lease = null, jobs = p_jobs, waits_for = v_waits_for,
        asked_at = v_now, owed = v_owed,
        new_template_ids = case when p_run_stats is null then new_template_ids end,
        waits_since = case when v_session.waits_for = v_waits_for then v_session.waits_since
          when v_waits_for is not null then v_now end
      where id = p_session;
    end if;
  else
    v_claim.suspects := exists (select from jobs_internal.job as j where j.crashes > 0);
    update jobs_internal.session
    set lane_id = v_claim.lane_id, msg_ids = v_claim.msg_ids, lease = v_claim.lease, jobs = p_jobs,
      full_scan_at = v_full_scan_at,
      waits_for = null, waits_since = null, owed = v_session.owed,
      new_template_ids = case when p_run_stats is null then new_template_ids end,
      last_msg_id = v_claim.msg_ids[cardinality(v_claim.msg_ids)]
    where id = p_session;
  end if;
  -- Last, because all sessions write the same rows: with many dead entries in a lane, the search
  -- before it takes its time.
  if p_run_stats is not null then
    perform jobs_internal.record_run_stats(v_session, p_run_stats);
  end if;
  return v_claim;
end
$$;

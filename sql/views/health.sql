-- jobs.health: every check, with a figure and what to do.

-- Whether the jobs of a role wait for an administrator: it enqueues, and is no runner. The check
-- "owners" says so, and no part of the installation is at fault: who may enqueue cannot make it
-- critical.
create or replace function jobs_internal.is_no_runner(p_owner oid)
returns boolean
language sql stable security definer
set search_path = pg_catalog, pg_temp
begin atomic
  select exists (select from pg_roles as r where r.oid = p_owner)
    and not jobs_internal.is_runner(p_owner);
end;

-- Owners whose due jobs nothing has picked up for so long: silence, for whatever reason. Counted
-- are messages that are visible, in a lane that no session has claimed from, and jobs that are due
-- and in no lane. What is paused, quarantined (a check of its own), or waits because its queue's
-- slots or the sessions that its owner may have are all at work, or whose owner is no runner, is no
-- silence. Returns owner, how many lanes, and since how long.
create or replace function jobs_internal.unserved_owners(p_for interval)
returns table (owner name, lanes bigint, idle interval)
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp
set exit_on_error = off
as $$
declare
  v_lane record;
  v_since timestamptz;
  v_now timestamptz := clock_timestamp();
  v_most bigint := jobs_internal.setting('sessions_per_owner')::bigint;
begin
  if (select s.paused from jobs_internal.switch as s) then
    return;
  end if;
  lanes := 1;
  for v_lane in
    select l.pgmq_queue, l.served_at, pg_get_userbyid(l.owner) as owner
    from jobs_internal.lane as l
    join jobs_internal.queue as q on q.id = l.queue_id
    where (l.rest <> 'asleep' or l.id in (select n.lane_id from jobs_internal.wakeup_request as n))
      and l.quarantine is null and not q.paused and q.dropped_at is null
      and l.served_at < v_now - p_for
      and not jobs_internal.is_no_runner(l.owner)
      and (q.concurrency is null or q.concurrency > (select count(*) from jobs_internal.slot as t
        join jobs_internal.session as s on s.id = t.session_id
        where t.queue_id = q.id and (s.job_id is not null or s.msg_ids is not null)
          and jobs_internal.alive(s.pid, s.backend_start)))
      and least(v_most, (select u.running from jobs_internal.quota as u where u.owner = l.owner))
        > (select count(*) from jobs_internal.session as s
        where s.owner = l.owner and (s.job_id is not null or s.msg_ids is not null)
          and jobs_internal.alive(s.pid, s.backend_start))
    order by l.id
  loop
    begin
      execute format('select greatest(m.vt, m.enqueued_at) from pgmq.%I as m where m.vt <= $1 '
        'order by m.msg_id limit 1', 'q_' || v_lane.pgmq_queue)
      into v_since using v_now;
    exception
      when undefined_table then
        v_since := null;  -- its queue was dropped meanwhile
    end;
    if greatest(v_since, v_lane.served_at) < v_now - p_for and v_since is not null then
      owner := v_lane.owner;
      idle := v_now - greatest(v_since, v_lane.served_at);
      return next;
    end if;
  end loop;
  -- Of each owner the first one, from the index: there may be a million.
  return query
    select pg_get_userbyid(f.owner), 1::bigint, v_now - o.due_at
    from jobs_internal.first_due() as f
    cross join lateral (
      select j.due_at from jobs_internal.job as j
      where j.owner = f.owner and j.due_at < v_now - p_for
        and j.queue_id <> all (array(select q.id from jobs_internal.queue as q where q.paused))
      order by j.due_at limit 1
    ) as o
    where f.due_at < v_now - p_for and not exists (select from jobs_internal.quota as u
        where u.owner = f.owner and u.running = 0)
      and not jobs_internal.is_no_runner(f.owner);
end
$$;

-- The checks of jobs.health, each with a figure, and what to do. No names of others' jobs in them.
create or replace function jobs_internal.health()
returns table (n integer, "check" text, status text, detail text, remedy text)
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp
as $$
declare
  v_count bigint;
  v_text text;
  v_jobs text;
  v_again text;
  v_age interval;
  v_free bigint;
  v_awake bigint;
  v_dead bigint[];
  v_holding bigint;
  v_left bigint;
begin
  v_text := case when not jobs_internal.is_original() and not jobs_internal.is_unused()
    then 'this is ' || jobs_internal.copy_of() || ': nothing runs here' end;
  return query select 0, 'home', case when v_text is null then 'ok' else 'critical' end,
    coalesce(v_text, 'no copy of another installation'),
    case when v_text is not null then 'select jobs.reconcile();  where its jobs are to run here; '
      'see docs/operations.md: Backup, restore, copies' end;

  select format('by %s since %s', s.changed_by, s.changed_at::timestamptz(0)) into v_text
  from jobs_internal.switch as s where s.paused;
  return query select 1, 'switch', case when v_text is null then 'ok' else 'warning' end,
    coalesce('EVERYTHING IS PAUSED ' || v_text, 'not paused'), case when v_text is not null
      then 'select jobs.resume();' end;

  select string_agg(q.name, ', ' order by q.name) into v_text from jobs_internal.queue as q
  where q.paused and q.dropped_at is null;
  return query select 2, 'queues', case when v_text is null then 'ok' else 'warning' end,
    coalesce('paused: ' || v_text, 'none is paused'),
    case when v_text is not null then 'select jobs.resume(queue);' end;

  select count(*), count(*) filter (where l.last_seen > clock_timestamp() - interval '30 seconds')
  into v_count, v_awake
  from jobs_internal.live_supervisors() as l;
  return query select 3, 'supervisors', case when v_awake > 0 then 'ok' else 'warning' end,
    case when v_awake < v_count then format('%s connected, %s of them silent for 30 s', v_count,
        v_count - v_awake)
      else format('%s connected', v_count) end,
    case when v_count = 0 then 'start one: pyworker run; or: select jobs.start()'
      when v_awake = 0
        then 'look what its process does; another pyworker run may be started beside it' end;

  select coalesce(sum(o.lanes), 0), max(o.idle), string_agg(distinct o.owner::text, ', ')
  into v_count, v_age, v_text
  from jobs_internal.unserved_owners(interval '30 seconds') as o;
  return query select 4, 'due jobs', case when v_count > 0 then 'critical' else 'ok' end,
    case when v_count > 0 then format('nothing picks up jobs that are due, for %s, of: %s',
        date_trunc('second', v_age), v_text)
      else 'all are picked up, or wait for a session that works' end,
    case when v_count > 0 then 'start pyworker run, for these owners too (--owner, or grant '
      'jobs_runner); its log says what hinders it '
      '(jobs_stuck, owner_unreachable, launch_failed, no_worker_slot)' end;

  -- The remedy is the runbook itself, with the processes and jobs in it.
  select count(*),
    string_agg(format('job %s in process %s', l.quarantine ->> 'job_id', l.quarantine ->> 'pid'),
        ', ' order by l.id),
    string_agg(l.quarantine ->> 'job_id', ', ' order by l.id),
    string_agg(format('select pg_terminate_backend(%s);', l.quarantine ->> 'pid'), ' '
        order by l.id)
  into v_count, v_text, v_jobs, v_again
  from jobs_internal.lane as l where l.quarantine is not null;
  return query select 5, 'stubborn jobs', case when v_count > 0 then 'critical' else 'ok' end,
    case when v_count > 0 then format(
        'lanes quarantined: %s; cancelled and terminated, it goes on: %s', v_count, v_text)
        else 'none' end,
    case when v_count > 0 then format(
      '1. select pid, child_pid, wait_event, blocked_by from jobs.running where id in (%s); and '
      'end what blocks it. 2. %s '
      '3. Or leave it: other lanes go on, and its own comes back when it has ended; mend its '
      'function meanwhile. '
      '4. The last resort, planned: pg_ctl stop -m immediate. Never kill -9. See '
      'docs/operations.md: A job that will not stop', v_jobs, v_again) end;

  select count(*) into v_count from jobs_internal.finished as f
  where f.state <> 'succeeded' and f.state = 'in_doubt' and f.dismissed_at is null;
  return query select 6, 'in doubt', case when v_count > 0 then 'warning' else 'ok' end,
    jobs_internal.counted(v_count, 'job'),
    case when v_count > 0 then 'see jobs.failed where state = ''in_doubt''; look, then '
      'jobs.retry(id), or jobs.cancel(id) to leave it at that' end;

  v_dead := array(select s.id from jobs_internal.session as s
      where not jobs_internal.alive(s.pid, s.backend_start));
  if v_dead <> '{}' then
    -- What we know of the processes may be older than those rows: one that has just opened, or has
    -- left, is not dead.
    perform pg_stat_clear_snapshot();
  end if;
  v_left := (select count(*) from jobs_internal.orphaned_children());
  select count(*), count(*) filter (where s.job_id is not null or s.msg_ids is not null)
  into v_count, v_holding
  from jobs_internal.session as s
  where s.id = any (v_dead) and not jobs_internal.alive(s.pid, s.backend_start)
    and s.id not in (select c.session_id from jobs_internal.orphaned_children() as c);
  -- With no supervisor to rescue what they hold, it would wait for ever.
  return query select 7, 'dead sessions', case when v_count = 0 then 'ok' when v_awake = 0
    and v_holding > 0 then 'critical' else 'warning' end,
    jobs_internal.counted(v_count, 'waits for a rescue', 'wait for a rescue')
      || case when v_left > 0 then '; '
        || jobs_internal.counted(v_left, 'more has a child session that goes on alone',
            'more have child sessions that go on alone') || ': see jobs.running' else '' end,
    case when v_count > 0
      then 'a supervisor sees to them, or the next jobs.start() of their owner' end;

  v_free := jobs_internal.free_worker_slots();
  -- A role that may run jobs may also launch sessions that are none of ours: where slots are few,
  -- one says whose they are.
  v_text := case when v_free < jobs_internal.setting('worker_slot_reserve')::bigint then (
    select string_agg(format('%s (%s)', pg_get_userbyid(o.usesysid), o.n), ', ' order by o.n desc)
    from (
      select a.usesysid, count(*) as n
      from pg_stat_get_activity(null) as a
      where a.backend_type like 'pg\_background%'
        and not exists (
          select from jobs_internal.session as s
          left join jobs_internal.job as j on j.id = s.job_id
          where s.pid = a.pid and s.backend_start = a.backend_start or j.child_pid = a.pid
            and j.child_start = a.backend_start)
      group by a.usesysid
    ) as o) end;
  return query select 8, 'free worker slots', case when v_free <= 0 then 'critical'
    when v_free < jobs_internal.setting('worker_slot_reserve')::bigint then 'warning' else 'ok' end,
    format('%s of %s %s free', v_free, current_setting('max_worker_processes'), case when v_free = 1
        then 'is' else 'are' end) || coalesce('; launched by hand: ' || v_text, ''),
    case when v_free < jobs_internal.setting('worker_slot_reserve')::bigint
      then 'raise max_worker_processes (restart), or lower concurrency and sessions_per_owner' end;

  v_age := (select max(clock_timestamp() - a.xact_start) from pg_stat_get_activity(null) as a
    where a.backend_xmin is not null
      and a.datid = (select d.oid from pg_database as d where d.datname = current_database()));
  return query select 9, 'old snapshots', case when v_age > interval '1 hour' then 'warning'
    else 'ok' end,
    case when v_age is null then 'none'
      else format('the oldest is %s old', date_trunc('second', v_age)) end,
    case when v_age > interval '1 hour'
      then 'dead rows cannot be removed behind it: see pg_stat_activity.backend_xmin' end;

  -- A commit that waits so is not seen yet, not even as a job that runs.
  select count(*), max(clock_timestamp() - a.query_start) into v_count, v_age
  from pg_stat_get_activity(null) as a
  where a.wait_event = 'SyncRep'
    and a.datid = (select d.oid from pg_database as d where d.datname = current_database());
  return query select 16, 'commits', case when v_count > 0 and v_age > interval '10 seconds'
    then 'critical' else 'ok' end,
    case when v_count = 0 then 'none waits for a standby'
      else format('%s for a synchronous standby (SyncRep), the longest for %s',
          jobs_internal.counted(v_count, 'waits', 'wait'),
        date_trunc('second', v_age)) end,
    case when v_count > 0
      then 'bring the standby back, or change synchronous_standby_names (now: '
        || current_setting('synchronous_standby_names') || ') and reload' end;

  select count(*) into v_count from (select from jobs_internal.outbox limit 100001) as f;
  return query select 10, 'unlogged outcomes', case when v_count > 100000 then 'warning'
    else 'ok' end, jobs_internal.counted(v_count, 'commit'),
    case when v_count > 100000 then 'a supervisor logs them; they are dropped after 7 days' end;

  select string_agg(distinct coalesce(
    (select format('%s (there is no such role here)', k.name) from jobs_internal.known_role as k
        where k.role = j.owner and jobs_internal.is_placeholder_role(k.role) limit 1),
    pg_get_userbyid(j.owner)::text), ', ') into v_text
  from (select l.owner from jobs_internal.lane as l union select f.owner
      from jobs_internal.first_due() as f) as j
  where case when not exists (select from pg_roles as r
      where r.oid = j.owner and r.rolcanlogin and pg_has_role(r.oid, 'jobs_runner', 'member'))
    -- "case": the jobs are looked at last
    then exists (select from jobs_internal.job as l where l.owner = j.owner) end;
  select string_agg(pg_get_userbyid(u.owner)::text, ', ') into v_jobs
  from jobs_internal.quota as u
  where case when u.running = 0
    then exists (select from jobs_internal.job as j where j.owner = u.owner) end;
  return query select 11, 'owners', case when v_text is null and v_jobs is null then 'ok'
    else 'warning' end,
    coalesce(nullif(concat_ws('; ', 'not a login member of jobs_runner, their jobs do not run: '
          || v_text,
      'their quota allows no worker session: ' || v_jobs), ''), 'all can run'),
    nullif(concat_ws('; ',
      case when v_text is not null then 'grant jobs_runner to role; or cancel their jobs; a role '
        'that is missing: create it, then select jobs.reconcile()' end,
      case when v_jobs is not null
        then 'select jobs.set_quota(role, running => ...); see jobs.quotas' end), '') || ';';

  select count(*) into v_count from jobs_internal.job as j where j.crashes > 0;
  return query select 12, 'crashes', case when v_count > 0 then 'warning' else 'ok' end,
    case when v_count > 0 then jobs_internal.counted(v_count,
        'unfinished job ran when the server crashed; it runs by itself',
        'unfinished jobs ran when the server crashed; they run one at a time')
      else 'no unfinished job ran when the server crashed' end,
    case when v_count > 0 then 'look in the server log for what was ended by a signal; a job that '
      'crashes the server is set aside by itself' end;

  select string_agg(format('%s (%s)', pg_get_userbyid(o.owner),
        jobs_internal.privileges_seen(o.owner)),
      ', ') into v_text
  from (select l.owner from jobs_internal.lane as l union select f.owner
      from jobs_internal.first_due() as f) as o
  where case when jobs_internal.is_refused(o.owner)
    then exists (select from jobs_internal.job as j where j.owner = o.owner) end;
  return query select 13, 'powerful owners', case when v_text is null then 'ok' else 'warning' end,
    coalesce('their jobs are refused: ' || v_text,
        'no owner of jobs is powerful without being admitted'),
    case when v_text is not null then 'take the rights from the role, or cancel its jobs; or an '
      'administrator: select jobs.admit_role(role);' end;

  select string_agg(o.said, '; ' order by o.refused) into v_text
  from (
    select e.refused, case when e.refused then 'a supervisor cannot start a session of: '
      else 'a supervisor cannot connect as: ' end
      || string_agg(format('%s since %s (%s says: %s)', pg_get_userbyid(u.owner),
            u.since::timestamptz(0), s.name,
        u.reason), ', ' order by u.since) as said
    from jobs_internal.unreached_owner as u
    join jobs_internal.supervisor as s on s.id = u.supervisor_id
      and jobs_internal.alive(s.pid, s.backend_start)
    cross join lateral (select u.reason like 'launch refused: %' as refused) as e
    group by e.refused
  ) as o;
  return query select 14, 'unreached owners', case when v_text is null then 'ok' else 'warning' end,
    coalesce(v_text, 'none that a supervisor tried'),
    case when v_text is not null then 'let the supervisor connect as them, and them start '
      'sessions: see docs/operations.md: How the supervisor connects as'
      ' each owner; `pyworker check`' end;

  v_count := (select count(*) from jobs_internal.lasting_failures());
  return query select 15, 'rounds', case when v_count > 0 then 'warning' else 'ok' end,
    case when v_count > 0 then format('%s tried again, all else goes on: %s',
      jobs_internal.counted(v_count, 'item of a supervisor''s round fails and is',
          'items of a supervisor''s round fail and are'),
      (select string_agg(jobs_internal.failure_text(f.*), '; ')
        from (select l.* from jobs_internal.lasting_failures() as l order by l.since, l.duty, l.item
            limit 5) as f)) else 'nothing in them fails' end,
    case when v_count > 0 then 'mend what the error names: end the transaction that holds a row or '
      'table (pg_stat_activity), drop or correct the '
      'event trigger; see docs/operations.md: What fails in a round' end;

  select count(*), min(f.finished_at)::timestamptz(0)::text into v_count, v_text
  from jobs_internal.finished as f
  where f.state <> 'succeeded' and f.state = 'failed' and f.dismissed_at is null;
  return query select 20, 'failures', case when v_count > 0 then 'warning' else 'ok' end,
    case when v_count > 0 then format('%s, the oldest since %s',
        jobs_internal.counted(v_count, 'job'), v_text) else 'none that is not dismissed' end,
    case when v_count > 0 then 'see jobs.failed; mend and jobs.retry(id), or jobs.dismiss(id); of '
      'a whole queue: select jobs.dismiss_failed(queue);' end;

  v_jobs := case when jobs_internal.statement_statistics() is null
    or jobs_internal.measures_no_cost() then jobs_internal.why_child_costs_are_unknown() end;
  return query select 21, 'costs', 'ok', case when v_jobs is null
    then 'statements at top level are measured, by pg_stat_statements'
    else 'of statements at top level WAL and buffers are not known: '
      || regexp_replace(v_jobs, '^it ran at top level, and ', '') end, null::text;

  select l.count, l.names, l.remedy into v_count, v_text, v_again
  from jobs_internal.left_indexes() as l;
  return query select 22, 'invalid indexes', case when v_count > 0 then 'warning' else 'ok' end,
    case when v_count > 0 then format('%s left by jobs: %s', v_count, v_text)
      else 'none that a job left' end, v_again;
end
$$;

create or replace view jobs.health with (security_barrier) as
select h."check", h.status, h.detail, h.remedy from jobs_internal.health() as h order by h.n;
comment on view jobs.health is 'One row per check: is everything well, and if not, what to do';
comment on column jobs.health."check" is 'What is checked';
comment on column jobs.health.status is 'ok, warning or critical';
comment on column jobs.health.detail is 'What was found';
comment on column jobs.health.remedy is 'What to do; null: nothing';

-- All reasons of one job.

-- What a job that runs is at. n as in wait_codes. Which processes block it is shown to those who
-- see it in jobs.running.
create or replace function jobs_internal.at_work(p_job jobs_internal.job)
returns table (n integer, code text, reason text, since timestamptz, until timestamptz,
    pids integer[], jobs bigint[])
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp
rows 3
as $$
begin
  return query
  with live as materialized (
    select l.pid, l.child_pid, l.started_at from jobs_internal.active_sessions() as l
    where l.job_id = p_job.id
    union all
    select c.pid, c.child_pid, c.started_at from jobs_internal.orphaned_children() as c
    where c.job_id = p_job.id
  ), active as materialized (
    select a.pid, a.child_pid, a.wait_event, a.blocked_by,
      (select min(k.waitstart) from pg_locks as k where k.pid = coalesce(a.child_pid, a.pid)
          and not k.granted) as waits_since,
      (select array_agg(o.job_id order by o.job_id) from jobs_internal.activity() as o
        where o.job_id is not null and (o.pid = any (a.blocked_by)
            or o.child_pid = any (a.blocked_by))) as jobs
    from jobs_internal.activity() as a
    where a.job_id = p_job.id
  )
  select 31, 'child_alone', 'its session died, and its child session goes on alone', l.started_at,
    null::timestamptz, array[l.child_pid], null::bigint[]
  from live as l where l.pid is null
  union all
  select 32, 'lock', format('it waits for a lock of process %s',
      array_to_string(a.blocked_by, ', ')), a.waits_since, null,
    a.blocked_by, a.jobs
  from active as a where a.blocked_by is not null and a.wait_event <> 'Lock:virtualxid'
  union all
  select 33, 'snapshot', format('it waits for the transaction of process %s to end',
      array_to_string(a.blocked_by, ', ')),
    a.waits_since, null, a.blocked_by, a.jobs
  from active as a where a.blocked_by is not null and a.wait_event = 'Lock:virtualxid'
  union all
  select 33, 'snapshot', 'before it begins, it waits for old transactions to end: '
      || string_agg(coalesce('process ' || t.pid, 'a prepared transaction'), ', ' order by t.since),
    min(t.since), null, array_agg(t.pid) filter (where t.pid is not null), null
  from active as a
  cross join lateral jobs_internal.awaited_before_start(p_job.id) as t
  where a.child_pid is null
  having count(*) > 0
  union all
  select 34, 'standby', 'its commit waits for a synchronous standby', null, null, null, null
  from active as a where a.wait_event = 'IPC:SyncRep'
  union all
  select 35, 'sleep', 'it sleeps (pg_sleep)', null, null, null, null from active as a
  where a.wait_event = 'Timeout:PgSleep'
  union all
  select 36, 'running', 'it runs', coalesce(l.started_at, p_job.started_at),
    l.started_at + p_job.timeout, null, null from live as l
  union all
  select 30, 'session_lost', 'its session died, and has not been seen to yet', p_job.started_at,
    null, null, null
  where p_job.state = 'running' and not exists (select from live);
end
$$;

-- Where a job that nothing hinders stands in its lane. Its message is read without a lock.
create or replace function jobs_internal.turn_of(p_job jobs_internal.job)
returns table (reason text, until timestamptz, pids integer[], jobs bigint[])
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp
as $$
declare
  v_queue text := 'q_pyworker_' || p_job.lane_id;
  v_before bigint;
  v_vt timestamptz;
  v_taken_by xid;  -- a transaction that has changed the message, and may not be committed yet
  v_ms double precision;
  v_sessions bigint;
  v_holders integer[];  -- who keeps the session that has taken it from starting anything
begin
  if p_job.state <> 'queued' or to_regclass('pgmq.' || v_queue) is null then
    reason := 'it is due: the next round of a supervisor puts it into its lane';
    return next;
    return;
  end if;
  execute format('select (select count(*) from (select from pgmq.%1$I as m where m.msg_id < $1 '
    'limit 100001) as b),'
    ' m.vt, m.xmax from (select) as one left join pgmq.%1$I as m on m.msg_id = $1', v_queue)
  into v_before, v_vt, v_taken_by using p_job.msg_id;
  select array_agg(l.pid order by l.pid),
    array_agg(l.job_id order by l.job_id) filter (where l.job_id is not null)
  into pids, jobs
  from jobs_internal.active_sessions() as l
  join jobs_internal.session as s on s.id = l.session_id
  where s.lane_id = p_job.lane_id and p_job.msg_id = any (s.msg_ids);
  if pids is null and v_taken_by <> '0' then
    -- Of one message the claim and the start of its job are one commit: a session that waits in
    -- between has noted nothing yet, but it has changed the message. The number is that of a
    -- subtransaction, which comes after its transaction's.
    select array_agg(distinct s.pid order by s.pid) into pids
    from pg_locks as k
    join jobs_internal.session as s on s.pid = k.pid
      and jobs_internal.alive(s.pid, s.backend_start)
    where k.locktype = 'transactionid' and k.granted and age(k.transactionid) >= age(v_taken_by)
      and s.owner = p_job.owner and s.msg_ids is null and s.job_id is null
      and cardinality(pg_blocking_pids(s.pid)) > 0;
  end if;
  if pids is not null then
    reason := 'a session has taken it, with those before it';
    if jobs is null then
      select array_agg(distinct b.pid order by b.pid) into v_holders
      from unnest(pids) as s(pid)
      cross join unnest(pg_blocking_pids(s.pid)) as b(pid);
      if v_holders is not null then
        pids := v_holders;
        reason := format('a session has taken it, and waits for a lock of process %s',
            array_to_string(pids, ', '));
      end if;
    end if;
    return next;
    return;
  end if;
  if v_vt > clock_timestamp() then
    until := v_vt;
    reason := 'it was given back, and is looked at again a little later';
    return next;
    return;
  end if;
  v_ms := (select l.avg_ms from jobs_internal.lane as l where l.id = p_job.lane_id);
  v_sessions := (select count(*) from jobs_internal.session as s where s.lane_id = p_job.lane_id
      and s.msg_ids is not null);
  reason := case
    when v_before = 0 then 'it is the next of its lane'
    when v_before > 100000 then 'its turn comes after more than 100000 jobs of its lane'
    else format('its turn comes after %s of its lane', jobs_internal.counted(v_before, 'job')) end;
  if jobs_internal.shares_turns(p_job.owner) then
    reason := reason || format(', which has %s of 4 + 2 + 1 parts of the time of its owner''s '
      'sessions while other priorities wait beside it', 4 >> p_job.priority);
  elsif v_before > 0 and v_sessions > 0 and v_ms is not null then
    v_ms := least(v_before * v_ms / v_sessions, 1e13);
    until := clock_timestamp() + make_interval(secs => v_ms / 1000);
    reason := reason || format(', in about %s s', ceil(v_ms / 1000));
  end if;
  return next;
end
$$;

-- All that can be said of an unfinished job, each with its n in wait_codes. The caller has seen to
-- it that the login may see the job.
create or replace function jobs_internal.reasons_of(p_job jobs_internal.job)
returns table (n integer, code text, reason text, since timestamptz, until timestamptz,
    pids integer[], jobs bigint[], remedy text)
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp
as $$
declare
  v_now timestamptz := clock_timestamp();
  v_hindered boolean;
  v_awaits boolean;
  v_shut boolean;  -- a window keeps it outside
  v_gone text := coalesce(jobs_internal.why_function_gone(p_job.call_template_id),
    case when p_job.publication_id is not null then jobs_internal.why_not_published(p_job.id) end);
begin
  return query select a.n, a.code, a.reason, a.since, a.until, a.pids, a.jobs, null::text
    from jobs_internal.at_work(p_job) as a;
  if found then
    return query
      select 39, 'running', format('it was asked to stop (%s)', x.reason), x.requested_at,
        null::timestamptz, null::integer[], null::bigint[], null::text
      from jobs_internal.stop_request as x
      where x.job_id = p_job.id and x.attempt = case p_job.state when 'running' then p_job.attempt
        else p_job.attempt + 1 end;
    return;
  end if;
  return query
    select case when d.at < v_now then 25 else 170 end, 'deadline',
      format(case when d.at < v_now then 'its deadline has passed: %s'
        else 'it is cancelled if it has not started by %s' end, d.at::timestamptz(0)),
      null::timestamptz, d.at, null::integer[], null::bigint[], null::text
    from jobs_internal.job_deadline as d where d.job_id = p_job.id;
  return query select o.n, o.code, o.reason, o.since, o.until, o.pids, o.jobs, null::text
    from jobs_internal.put_off(p_job) as o;
  if found then
    return;
  end if;
  return query select a.n, a.code, a.reason, p_job.created_at, null::timestamptz, null::integer[],
      a.jobs, a.remedy
    from jobs_internal.awaited_jobs(p_job) as a;
  v_awaits := found;
  return query select w.n, w.code, w.reason, null::timestamptz, w.until, null::integer[],
      null::bigint[], w.remedy
    from jobs_internal.window_reasons(p_job) as w;
  v_shut := found;
  if v_awaits then
    if p_job.run_at > v_now then
      return query select 45, 'time', format('it is not due before %s',
          p_job.run_at::timestamptz(0)),
        null::timestamptz, null::timestamptz, null::integer[], null::bigint[], null::text;
    end if;
  elsif v_shut then
    null;
  elsif p_job.due_at = 'infinity' and exists (select from jobs_internal.key_wait as w
      where w.job_id = p_job.id) then
    return query select a.n, a.code, a.reason, a.since, null::timestamptz, null::integer[],
        a.jobs, a.remedy
      from jobs_internal.awaited_key(p_job) as a;
  elsif p_job.due_at > v_now and exists (select from jobs_internal.rate_wait as w
      where w.job_id = p_job.id and w.at = p_job.due_at) then
    return query select r.n, r.code, r.reason, null::timestamptz, p_job.due_at,
        null::integer[], null::bigint[], r.remedy
      from jobs_internal.awaited_rate(p_job) as r;
  elsif p_job.due_at > v_now and p_job.snoozes > 0 and p_job.error is null then
    return query select 42, 'snoozed',
      format('its function said that it comes back at %s; it has done so %s',
        p_job.due_at::timestamptz(0), jobs_internal.counted(p_job.snoozes, 'time')),
      null::timestamptz, p_job.due_at, null::integer[], null::bigint[], null::text;
  elsif p_job.due_at > v_now and p_job.attempt > 0 then
    return query select 50, 'retry',
      format('attempt %s of %s %s; the next one is due at %s', p_job.attempt, p_job.max_attempts,
        coalesce('ended with ' || (p_job.error ->> 'sqlstate'), 'did not succeed'),
          p_job.due_at::timestamptz(0)),
      null::timestamptz, p_job.due_at, null::integer[], null::bigint[], null::text;
  elsif p_job.due_at > v_now then
    return query select 40, 'time',
      case when p_job.due_at = 'infinity' then 'it has no time: it waits for jobs.run_now(id)'
        else format('it is not due before %s', p_job.due_at::timestamptz(0)) end,
      p_job.created_at, p_job.due_at, null::integer[], null::bigint[], null::text;
  end if;
  return query
    select h.n, h.code, h.reason, h.since, h.until, h.pids, h.jobs, h.remedy
    from jobs_internal.hindrances(p_job.queue_id, p_job.owner, p_job.priority) as h;
  v_hindered := found or v_shut;
  if v_gone is not null then
    v_hindered := true;
    return query select 145, 'function_gone', format('it will fail at its turn: %s', v_gone),
      null::timestamptz, null::timestamptz, null::integer[], null::bigint[], null::text;
  end if;
  if p_job.crashes > 0 then
    return query select 150, 'suspect',
      'it ran when the server crashed, so it runs by itself, one such job at a time',
        null::timestamptz,
      s.isolated_until, null::integer[],
      case when s.isolated_job <> p_job.id then array[s.isolated_job] end,
        null::text
    from jobs_internal.server as s;
  end if;
  if not v_hindered and p_job.crashes = 0 and (p_job.due_at is null or p_job.due_at <= v_now)
    and not exists (select from jobs_internal.job_deadline as d
      where d.job_id = p_job.id and d.at < v_now)
  then
    return query select 160, 'turn', t.reason, null::timestamptz, t.until, t.pids, t.jobs,
      null::text from jobs_internal.turn_of(p_job) as t;
  end if;
end
$$;

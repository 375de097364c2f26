-- jobs.explain: the one reason why a job waits, or what it is at, from jobs_internal.hindrances (40_internal/76_reasons.sql) and the job itself.

-- Purpose: what a job that runs is at. n as in wait_codes. Which processes block it is told to those who see it in jobs.running.
create or replace function jobs_internal.at_work(p_job jobs_internal.job)
returns table (n integer, code text, reason text, since timestamptz, until timestamptz, pids integer[], jobs bigint[])
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp
rows 3
as $$
begin
  return query
  with live as materialized (
    select l.pid, l.child_pid, l.started_at from jobs_internal.live() as l where l.job_id = p_job.id
    union all
    select c.pid, c.child_pid, c.started_at from jobs_internal.left_children() as c where c.job_id = p_job.id
  ), active as materialized (
    select a.pid, a.child_pid, a.wait_event, a.blocked_by,
      (select pg_catalog.min(k.waitstart) from pg_catalog.pg_locks as k where k.pid = coalesce(a.child_pid, a.pid) and not k.granted) as waits_since,
      (select pg_catalog.array_agg(o.job_id order by o.job_id) from jobs_internal.activity() as o
        where o.job_id is not null and (o.pid = any (a.blocked_by) or o.child_pid = any (a.blocked_by))) as jobs
    from jobs_internal.activity() as a
    where a.job_id = p_job.id
  )
  select 31, 'child_alone', 'its session died, and its child session goes on alone', l.started_at, null::timestamptz, array[l.child_pid], null::bigint[]
  from live as l where l.pid is null
  union all
  select 32, 'lock', pg_catalog.format('it waits for a lock of process %s', pg_catalog.array_to_string(a.blocked_by, ', ')), a.waits_since, null,
    a.blocked_by, a.jobs
  from active as a where a.blocked_by is not null and a.wait_event <> 'Lock:virtualxid'
  union all
  select 33, 'snapshot', pg_catalog.format('it waits for the transaction of process %s to end', pg_catalog.array_to_string(a.blocked_by, ', ')),
    a.waits_since, null, a.blocked_by, a.jobs
  from active as a where a.blocked_by is not null and a.wait_event = 'Lock:virtualxid'
  union all
  select 34, 'standby', 'its commit waits for a synchronous standby', null, null, null, null from active as a where a.wait_event = 'IPC:SyncRep'
  union all
  select 35, 'sleep', 'it sleeps (pg_sleep)', null, null, null, null from active as a where a.wait_event = 'Timeout:PgSleep'
  union all
  select 36, 'running', 'it runs', coalesce(l.started_at, p_job.started_at), l.started_at + p_job.timeout, null, null from live as l
  union all
  select 30, 'session_lost', 'its session died, and has not been seen to yet', p_job.started_at, null, null, null
  where p_job.state = 'running' and not exists (select from live);
end
$$;
comment on function jobs_internal.at_work(jobs_internal.job) is 'What a job that runs is at: all that holds';

-- Purpose: where a job that nothing hinders stands in its lane. Its message is read without a lock.
create or replace function jobs_internal.turn_of(p_job jobs_internal.job)
returns table (reason text, until timestamptz, pids integer[], jobs bigint[])
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp
as $$
declare
  v_queue text := 'q_pyworker_' || p_job.lane_id;
  v_before bigint;
  v_vt timestamptz;
  v_ms double precision;
  v_sessions bigint;
begin
  if p_job.state <> 'queued' or pg_catalog.to_regclass('pgmq.' || v_queue) is null then
    reason := 'it is due: the next round of a supervisor puts it into its lane';
    return next;
    return;
  end if;
  execute pg_catalog.format('select (select count(*) from (select from pgmq.%1$I as m where m.msg_id < $1 limit 100001) as b),'
    ' (select m.vt from pgmq.%1$I as m where m.msg_id = $1)', v_queue)
  into v_before, v_vt using p_job.msg_id;
  select pg_catalog.array_agg(l.pid order by l.pid), pg_catalog.array_agg(l.job_id order by l.job_id) filter (where l.job_id is not null)
  into pids, jobs
  from jobs_internal.live() as l
  join jobs_internal.session as s on s.id = l.session_id
  where s.lane_id = p_job.lane_id and p_job.msg_id = any (s.msg_ids);
  if pids is not null then
    reason := 'a session has taken it, with those before it';
    return next;
    return;
  end if;
  if v_vt > pg_catalog.clock_timestamp() then
    until := v_vt;
    reason := 'it was given back, and is looked at again a little later';
    return next;
    return;
  end if;
  v_ms := (select l.avg_ms from jobs_internal.lane as l where l.id = p_job.lane_id);
  v_sessions := (select pg_catalog.count(*) from jobs_internal.session as s where s.lane_id = p_job.lane_id and s.msg_ids is not null);
  reason := case
    when v_before = 0 then 'it is the next of its lane'
    when v_before > 100000 then 'its turn comes after more than 100000 jobs of its lane'
    else pg_catalog.format('its turn comes after %s of its lane', jobs_internal.counted(v_before, 'job')) end;
  if v_before > 0 and v_sessions > 0 and v_ms is not null then
    v_ms := least(v_before * v_ms / v_sessions, 1e13);
    until := pg_catalog.clock_timestamp() + pg_catalog.make_interval(secs => v_ms / 1000);
    reason := reason || pg_catalog.format(', in about %s s', pg_catalog.ceil(v_ms / 1000));
  end if;
  return next;
end
$$;
comment on function jobs_internal.turn_of(jobs_internal.job) is 'Where a job that nothing hinders stands in its lane';

-- Purpose: all that can be said of an unfinished job, each with its n in wait_codes. The caller has seen to it that the login may see the job.
create or replace function jobs_internal.reasons_of(p_job jobs_internal.job)
returns table (n integer, code text, reason text, since timestamptz, until timestamptz, pids integer[], jobs bigint[], remedy text)
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp
as $$
declare
  v_now timestamptz := pg_catalog.clock_timestamp();
  v_hindered boolean;
begin
  return query select a.n, a.code, a.reason, a.since, a.until, a.pids, a.jobs, null::text from jobs_internal.at_work(p_job) as a;
  if found then
    return query
      select 39, 'running', pg_catalog.format('it was asked to stop (%s)', x.reason), x.requested_at, null::timestamptz, null::integer[], null::bigint[], null::text
      from jobs_internal.stop as x
      where x.job_id = p_job.id and x.attempt = case p_job.state when 'running' then p_job.attempt else p_job.attempt + 1 end;
    return;
  end if;
  if p_job.due_at > v_now and p_job.attempt > 0 then
    return query select 50, 'retry',
      pg_catalog.format('attempt %s of %s %s; the next one is due at %s', p_job.attempt, p_job.max_attempts,
        coalesce('ended with ' || (p_job.error ->> 'sqlstate'), 'did not succeed'), p_job.due_at::timestamptz(0)),
      null::timestamptz, p_job.due_at, null::integer[], null::bigint[], null::text;
  elsif p_job.due_at > v_now then
    return query select 40, 'time',
      case when p_job.due_at = 'infinity' then 'it has no time: it waits for jobs.run_now(id)'
        else pg_catalog.format('it is not due before %s', p_job.due_at::timestamptz(0)) end,
      p_job.created_at, p_job.due_at, null::integer[], null::bigint[], null::text;
  end if;
  return query
    select h.n, h.code, h.reason, h.since, h.until, h.pids, h.jobs, h.remedy
    from jobs_internal.hindrances(p_job.queue_id, p_job.owner, p_job.priority) as h;
  v_hindered := found;
  if p_job.crashes > 0 then
    return query select 150, 'suspect', 'it ran when the server crashed, so it runs by itself, one such job at a time', null::timestamptz,
      s.trial_until, null::integer[], case when s.trial_job <> p_job.id then array[s.trial_job] end, null::text
    from jobs_internal.server as s;
  end if;
  if not v_hindered and p_job.crashes = 0 and (p_job.due_at is null or p_job.due_at <= v_now) then
    return query select 160, 'turn', t.reason, null::timestamptz, t.until, t.pids, t.jobs, null::text from jobs_internal.turn_of(p_job) as t;
  end if;
end
$$;
comment on function jobs_internal.reasons_of(jobs_internal.job) is 'All that can be said of why an unfinished job waits, or what it is at';

create or replace function jobs.explain(id bigint)
returns table (
  state text, reason text, code text, since timestamptz, until timestamptz,
  blocked_by_pids integer[], blocked_by_jobs bigint[], remedy text, also text[]
)
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp
rows 1
as $$
declare
  v_job jobs_internal.job;
  v_finished record;
  v_me oid := jobs_internal.viewer();
  v_all boolean := jobs_internal.may('jobs_reader') or jobs_internal.may('jobs_operator');
  v_first boolean := true;
  v record;
begin
  select j.* into v_job from jobs_internal.job as j
  where j.id = explain.id and (v_all or v_me in (j.owner, j.enqueued_by));
  if not found then
    select f.state, f.outcome, f.finished_at into v_finished from jobs_internal.finished as f
    where f.id = explain.id and (v_all or v_me in (f.owner, f.enqueued_by));
    if found then
      state := v_finished.state;
      code := 'finished';
      reason := pg_catalog.format('it is finished: %s', pg_catalog.concat_ws(', outcome ', v_finished.state, nullif(v_finished.outcome, v_finished.state)));
      since := v_finished.finished_at;
    else
      code := 'not_there';
      reason := pg_catalog.format('there is no job %s, or you may not see it', coalesce(explain.id::text, 'null'));
    end if;
    remedy := (select c.remedy from jobs_internal.wait_codes() as c where c.code = explain.code);
    return next;
    return;
  end if;
  state := v_job.state;
  for v in select r.* from jobs_internal.reasons_of(v_job) as r order by r.n, r.since loop
    if not v_first then
      if v.n <> 36 then  -- that it runs is said where nothing else is
        also := also || v.reason;
      end if;
      continue;
    end if;
    v_first := false;
    also := '{}';
    code := v.code;
    reason := v.reason;
    since := v.since;
    until := v.until;
    blocked_by_pids := v.pids;
    blocked_by_jobs := (select pg_catalog.array_agg(u.id order by u.id) from pg_catalog.unnest(v.jobs) as u(id)
      where u.id <> v_job.id and (v_all or exists (select from jobs_internal.job as j where j.id = u.id and v_me in (j.owner, j.enqueued_by))));
    remedy := coalesce(v.remedy, (select c.remedy from jobs_internal.wait_codes() as c where c.code = v.code));
    if v.n between 30 and 39 then
      state := 'running';
    end if;
  end loop;
  if v_job.shape_id is null and (v_job.owner = v_me or jobs_internal.reads(v_job.owner)) then
    also := also || array(
      select 'its search_path is ' || coalesce(v_job.settings ->> 'search_path', s.path)
      from jobs_internal.statement as s
      where s.job_id = v_job.id and coalesce(v_job.settings ->> 'search_path', s.path) is not null);
  end if;
  return next;
end
$$;
comment on function jobs.explain(bigint) is
'Says why a job waits, or what it is at: state; reason, in words; code, the first that holds of jobs.wait_reasons; since and until, where they are
known; the processes and the jobs that are in the way, as far as the caller may see them; remedy; and what else holds (also), with the
search_path of a statement. One row, always.';

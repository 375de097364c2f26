-- Sending the signals of committed requests to stop.

-- What runs now, from the sessions that live. Identity is (pid, backend_start) of our own session
-- rows; what a session says of itself in application_name counts only for a job of its own owner.
create or replace function jobs_internal.active_sessions()
returns table (
  session_id bigint,
  owner oid,
  pid integer,
  backend_start timestamptz,
  job_id bigint,
  attempt integer,
  started_at timestamptz,
  done numeric,
  total numeric,
  child_pid integer,
  session_started_at timestamptz,
  jobs bigint,
  lane_id integer,
  alone boolean
)
language sql volatile security definer
set search_path = pg_catalog, pg_temp
as $$
  select
    s.id, s.owner, s.pid, s.backend_start,
    coalesce(s.job_id, n.job_id), coalesce(s.attempt, n.attempt),
    coalesce(j.started_at, to_timestamp(n.started_ms / 1000.0)),
    c.done, c.total, j.child_pid, s.started_at, s.jobs, s.lane_id, s.job_id is not null
  from jobs_internal.session as s
  join pg_stat_get_activity(null) as a on a.pid = s.pid and a.backend_start = s.backend_start
    and a.datid = (select d.oid from pg_database as d where d.datname = current_database())
  left join lateral (
    select m[1]::bigint as job_id, m[2]::integer as attempt, m[3]::bigint as started_ms,
      m[4]::numeric as done, m[5]::numeric as total
    from regexp_match(a.application_name, '^pw ([0-9]{1,18})/([0-9]{1,9}) ([0-9]{1,13})(?: '
      '([0-9]{1,19}[.]?[0-9]{0,2})/([0-9]{1,19}[.]?[0-9]{0,2})(?: [0-9.]+@[0-9]+)?)?$') as m
    where m is not null
  ) as n on true
  -- By key, and not as a join of tables: with many jobs that would read all of them.
  left join lateral (
    select o.owner, o.started_at, o.child_pid, o.child_start
    from jobs_internal.job as o
    where o.id = coalesce(s.job_id, n.job_id)
    offset 0
  ) as j on true
  left join pg_stat_get_activity(j.child_pid) as ca on j.child_pid is not null
    and ca.backend_start = j.child_start
  left join lateral (
    select m[1]::numeric as done, m[2]::numeric as total
    from regexp_match(coalesce(ca.application_name, a.application_name),
        '^pw [0-9/]+ [0-9]+ ([0-9]{1,19}[.]?[0-9]{0,2})/([0-9]{1,19}[.]?[0-9]{0,2})(?: '
        '[0-9.]+@[0-9]+)?$') as m
  ) as c on true
  where n.job_id is null or s.job_id is not null or j.owner = s.owner
$$;

-- Child sessions whose watcher died: they go on alone, and their job runs until they have ended.
-- The same columns as active_sessions(); pid is null, because no worker session is there.
create or replace function jobs_internal.orphaned_children()
returns table (
  session_id bigint,
  owner oid,
  pid integer,
  backend_start timestamptz,
  job_id bigint,
  attempt integer,
  started_at timestamptz,
  done numeric,
  total numeric,
  child_pid integer,
  session_started_at timestamptz,
  jobs bigint,
  lane_id integer,
  alone boolean
)
language sql volatile security definer
set search_path = pg_catalog, pg_temp
as $$
  select
    s.id, s.owner, null::integer, null::timestamptz, j.id, j.attempt, j.started_at, c.done, c.total,
      j.child_pid, s.started_at, s.jobs, s.lane_id, true
  from jobs_internal.session as s
  cross join lateral (
    select o.id, o.attempt, o.started_at, o.child_pid, o.child_start
    from jobs_internal.job as o
    where o.id = s.job_id and o.attempt = s.attempt and o.session_id = s.id and o.state = 'running'
    offset 0
  ) as j
  join pg_stat_get_activity(null) as a on a.pid = j.child_pid and a.backend_start = j.child_start
  left join lateral (
    select m[1]::numeric as done, m[2]::numeric as total
    from regexp_match(a.application_name, '^pw [0-9/]+ [0-9]+ '
      '([0-9]{1,19}[.]?[0-9]{0,2})/([0-9]{1,19}[.]?[0-9]{0,2})(?: [0-9.]+@[0-9]+)?$') as m
  ) as c on true
  where not jobs_internal.alive(s.pid, s.backend_start)
$$;

-- Whether a job runs in a child of its session, which only watches it.
create or replace function jobs_internal.is_watched(p_job bigint)
returns boolean
language sql stable security definer
set search_path = pg_catalog, pg_temp
begin atomic
  select coalesce(t.top_level, h.procedure, false)
  from jobs_internal.job as j
  left join jobs_internal.statement as t on t.job_id = j.id
  left join jobs_internal.call_template as h on h.id = j.call_template_id
  where j.id = p_job;
end;

-- Signal a process. False where that is refused: a superuser's job, say, which only a superuser may
-- signal. No other signal waits for it.
-- p_owner: whose job it is; null in a session of an owner's own, which notes nothing.
create or replace function jobs_internal.signal(p_pid integer, p_terminate boolean, p_item text,
    p_owner oid)
returns boolean
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp
as $$
begin
  if p_terminate then
    perform pg_terminate_backend(p_pid);
  else
    perform pg_cancel_backend(p_pid);
  end if;
  return true;
exception
  when others then
    if p_owner is not null then
      perform jobs_internal.note_failure('signal', p_item,
          jobs_internal.error_object(sqlstate, sqlerrm), null, p_owner);
    end if;
    return false;
end
$$;

-- Send the signals that are due for committed reasons. Ladder: cancel at once, cancel again after a
-- second, terminate after three; after ten the lane is quarantined, and jobs.health says so. Never
-- anything stronger. A child is signalled before its watcher would be: the watcher is never
-- signalled while it has one, nor for two seconds while none is known. Returns: one object
-- per signal. p_job null: for all. The caller has committed the reasons in an earlier transaction.
-- Locks: session (skip locked), then stop_request (skip locked), lane (skip locked). Several
-- callers
--   signal at the same time, in any order, and sessions that end a chunk delete the reasons of its
--   jobs: so no session waits here. A reason that another supervisor holds is seen to by it, or
--   over.
create or replace function jobs_internal.send_stop_signals(p_job bigint default null)
returns setof jsonb
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp
as $$
declare
  v record;
  v_age interval;
  v_signal text;
  v_pid integer;
begin
  -- Reasons whose attempt is over are of no use any more.
  delete from jobs_internal.stop_request as o
  where o.ctid = any (array(
    select x.ctid from jobs_internal.stop_request as x
    where not exists (select from jobs_internal.job as j
        where j.id = x.job_id and x.attempt >= case j.state when 'running' then j.attempt
          else j.attempt + 1 end)
      and x.requested_at < clock_timestamp() - interval '5 seconds'
    for update skip locked));
  for v in
    select x.job_id, x.attempt, x.reason, x.signals_sent, x.signalled_at, x.requested_at,
      l.session_id, l.pid, l.alone, j.child_pid, j.child_start, j.lane_id,
      pg_get_userbyid(j.owner) as owner, j.owner as owner_id,
      j.state = 'running' and jobs_internal.is_watched(j.id) as watches
    from jobs_internal.stop_request as x
    cross join lateral (
      select o.id, o.owner, o.state, o.lane_id, o.child_pid, o.child_start
      from jobs_internal.job as o
      where o.id = x.job_id
      offset 0
    ) as j
    left join jobs_internal.active_sessions() as l on l.job_id = x.job_id and l.attempt = x.attempt
    where (p_job is null or x.job_id = p_job)
      and (l.pid is not null or (j.child_pid is not null
            and jobs_internal.alive(j.child_pid, j.child_start)))
  loop
    v_age := clock_timestamp() - v.requested_at;
    -- Its child is being launched, or not noted yet: a signal that hits its watcher now would leave
    -- it to run to its end unseen.
    continue when v.watches and v.child_pid is null
      and v_age between interval '0' and interval '2 seconds';
    v_signal := case
      when v.signals_sent = 0 then 'cancel'
      when v.signals_sent = 1 and v_age > interval '1 second' then 'cancel'
      when v.signals_sent >= 2 and v_age > interval '3 seconds'
        and v.signalled_at < clock_timestamp() - interval '2 seconds' then 'terminate'
    end;
    if v_age > interval '10 seconds' and v.lane_id is not null then
      update jobs_internal.lane
      set quarantine = jsonb_build_object('job_id', v.job_id, 'attempt', v.attempt, 'pid',
          coalesce(v.child_pid, v.pid), 'since', clock_timestamp())
      where id = (select l.id from jobs_internal.lane as l where l.id = v.lane_id
          and l.quarantine is null for no key update skip locked);
    end if;
    continue when v_signal is null;
    v_pid := case when v.child_pid is not null and jobs_internal.alive(v.child_pid, v.child_start)
      then v.child_pid else v.pid end;
    continue when v_pid is null;  -- its child has just ended, and its watcher before it
    if v_pid = v.pid then
      -- The session may have gone on since we looked. With its row locked it cannot start another
      -- job alone before our signal is there: a signal that ends it while that one is being
      -- started, or written down, would be charged to it.
      perform from jobs_internal.session as s
      where s.id = v.session_id and case when v.alone then s.job_id = v.job_id
        and s.attempt = v.attempt else s.job_id is null end
      for update skip locked;
      continue when not found;
    end if;
    update jobs_internal.stop_request
    set signals_sent = signals_sent + 1, signalled_at = clock_timestamp()
    where ctid = (select x.ctid from jobs_internal.stop_request as x
      where x.job_id = v.job_id and x.attempt = v.attempt
        and x.signals_sent = v.signals_sent for update skip locked);
    continue when not found;
    continue when not jobs_internal.signal(v_pid, v_signal = 'terminate', v.job_id::text,
        case when p_job is null then v.owner_id end);
    return next jsonb_build_object('job_id', v.job_id, 'attempt', v.attempt, 'owner', v.owner,
        'pid', v_pid, 'signal', v_signal, 'reason', v.reason);
  end loop;
  perform jobs_internal.lift_quarantine();
end
$$;

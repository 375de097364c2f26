-- Check of jobs.health: jobs that are due, and that no session picks up.

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
-- and in no lane. What is paused, outside a window, quarantined (a check of its own), or waits
-- because its queue has had the starts of its rate, or its queue's slots or the sessions that its
-- owner may have are all at work, or whose owner is no runner, is no silence. Returns owner, how
-- many lanes, and since how long.
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
    select l.pgmq_queue, greatest(l.served_at, w.opened_at, r.free_since) as served_at,
      pg_get_userbyid(l.owner) as owner
    from jobs_internal.lane as l
    join jobs_internal.queue as q on q.id = l.queue_id
    left join jobs_internal.window_state as w on w.name = q.window_name
    cross join lateral (select case when q.rate_limit is not null and q.rate_by is null
      then jobs_internal.next_start(q.id, q.rate_limit, q.rate_period, null, false)
      end) as r(free_since)
    where (l.idle_state <> 'idle'
      or l.id in (select n.lane_id from jobs_internal.wakeup_request as n))
      and l.quarantine is null and not q.paused and q.removed_at is null
      and greatest(l.served_at, w.opened_at, r.free_since) < v_now - p_for
      and (q.window_name is null or w.closes_at > v_now)
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

-- Silence of 30 seconds, whatever its cause.
create or replace function jobs_internal.health_due_jobs(out status text, out detail text,
    out remedy text)
language sql volatile
set search_path = pg_catalog, pg_temp
begin atomic
  select case when u.lanes > 0 then 'critical' else 'ok' end,
    case when u.lanes > 0 then format('nothing picks up jobs that are due, for %s, of: %s',
        date_trunc('second', u.idle), u.owners)
      else 'all are picked up, or wait for a session that works' end,
    case when u.lanes > 0 then 'start pyworker run, for these owners too (--owner, or grant '
      'jobs_runner); its log says what hinders it '
      '(jobs_stuck, owner_unreachable, launch_failed, no_worker_slot)' end
  from (
    select sum(o.lanes), max(o.idle), string_agg(distinct o.owner::text, ', ')
    from jobs_internal.unserved_owners(interval '30 seconds') as o
  ) as u (lanes, idle, owners);
end;

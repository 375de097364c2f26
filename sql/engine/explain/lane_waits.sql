-- Why jobs wait: the one place that knows. What holds for a queue, an owner, a lane or all of them
-- is found once a query (hindrances), and joined to the jobs of jobs.job and jobs.queued; what
-- holds for one job alone is added by jobs.explain (reasons.sql). Nothing here locks or writes.

-- How many worker slots of the server are free. Everything that is no process of the server's own
-- takes one.
create or replace function jobs_internal.free_worker_slots()
returns bigint
language sql volatile security definer
set search_path = pg_catalog, pg_temp
begin atomic
  select current_setting('max_worker_processes')::integer - count(*)
  from pg_stat_get_activity(null) as a
  where a.backend_type not in ('client backend', 'autovacuum launcher', 'autovacuum worker',
      'background writer', 'checkpointer', 'startup',
    'walreceiver', 'walsender', 'walwriter', 'archiver', 'walsummarizer', 'slotsync worker',
    'io worker', 'standalone backend');
end;

-- What keeps jobs from starting, for each lane (queue, owner, priority): all that holds, n as in
-- wait_codes. Of one lane, where given; it need not be there yet. Which jobs and processes hold
-- what is kept to those that the caller may see. Not granted: who calls it (lane_waits,
-- jobs.explain) shows only lanes whose jobs the caller may see.
create or replace function jobs_internal.hindrances(
  p_queue integer default null,
  p_owner oid default null,
  p_priority smallint default null
)
returns table (
  queue_id integer, owner oid, priority smallint, n integer, code text, reason text,
    since timestamptz, until timestamptz, pids integer[],
  jobs bigint[], remedy text
)
language sql volatile security definer
set search_path = pg_catalog, pg_temp
rows 20
as $$
  with viewer as materialized (
    select jobs_internal.viewer() as me, jobs_internal.caller_is('jobs_reader')
      or jobs_internal.caller_is('jobs_operator') as sees_all
  ), everywhere as materialized (
    select 'copy' as code, format('this is %s: nothing runs here', jobs_internal.copy_of())
      as reason, null::timestamptz as since
    where not jobs_internal.is_original() and not jobs_internal.is_unused()
    union all
    select 'paused_all', 'everything is paused', s.changed_at from jobs_internal.switch as s
    where s.paused
  ), due as materialized (
    select f.owner from jobs_internal.first_due() as f where p_queue is null
      and f.due_at <= statement_timestamp()
  ), lanes as materialized (
    select l.queue_id, l.owner, l.priority, l.quarantine from jobs_internal.lane as l
    where p_queue is null or (l.queue_id = p_queue and l.owner = p_owner
        and l.priority = p_priority)
    union all
    select m.queue_id, m.owner, m.priority, null
    from (
      -- Due, and in no lane yet. Where nothing goes on anyway, all of them may be: so every lane
      -- that they may need is listed, and none of the jobs is read, unless those would be
      -- thousands.
      select q.id as queue_id, d.owner, p.priority from due as d
      cross join jobs_internal.queue as q
      cross join (values (0::smallint), (1), (2)) as p(priority)
      where (select count(*) from due) * (select count(*) from jobs_internal.queue) <= 1000
      union all
      select j.queue_id, j.owner, j.priority from jobs_internal.job as j
      where p_queue is null and j.due_at <= statement_timestamp()
        and (select count(*) from due) * (select count(*) from jobs_internal.queue) > 1000
      group by j.queue_id, j.owner, j.priority
      union all
      select p_queue, p_owner, p_priority where p_queue is not null
    ) as m
    where not exists (select from jobs_internal.lane as l where l.queue_id = m.queue_id
        and l.owner = m.owner and l.priority = m.priority)
  ), sessions as materialized (
    select s.id, s.owner, s.pid, s.job_id is not null or s.msg_ids is not null as works, l.job_id,
      v.sees_all or s.owner = v.me as seen
    from jobs_internal.active_sessions() as l
    join jobs_internal.session as s on s.id = l.session_id
    cross join viewer as v
  ), supervisors as materialized (
    select s.id, s.name, s.serves from jobs_internal.supervisor as s
    where jobs_internal.alive(s.pid, s.backend_start)
  ), queues as materialized (
    select q.id, q.name, q.paused, q.window_name, q.concurrency, t.held, t.pids, t.jobs,
      format('select jobs.alter_queue(%L, concurrency => %s);  -- as a member of jobs_operator; or '
        'wait for one of those jobs', q.name, least(q.concurrency + 1, 1000)) as remedy
    from jobs_internal.queue as q
    left join (
      select f.queue_id, count(f.session_id) as held,
        array_agg(s.pid order by s.pid) filter (where s.seen and s.works) as pids,
        array_agg(s.job_id order by s.job_id) filter (where s.seen and s.job_id is not null) as jobs
      from jobs_internal.slot as f
      left join sessions as s on s.id = f.session_id
      group by f.queue_id
    ) as t on t.queue_id = q.id
    where q.id in (select l.queue_id from lanes as l)
  ), owners as materialized (
    select o.owner, pg_get_userbyid(o.owner)::text as name, r.oid is not null as is_there,
      r.rolcanlogin,
      coalesce(s.live, 0) as live, coalesce(s.works, 0) as works, s.pids, s.jobs,
      (select u.running from jobs_internal.quota as u where u.owner = o.owner) as quota
    from (select l.owner from lanes as l group by l.owner) as o
    left join pg_roles as r on r.oid = o.owner
    left join (
      select c.owner, count(*) as live, count(*) filter (where c.works) as works,
        array_agg(c.pid order by c.pid) filter (where c.seen and c.works) as pids,
        array_agg(c.job_id order by c.job_id) filter (where c.seen and c.job_id is not null) as jobs
      from sessions as c
      group by c.owner
    ) as s on s.owner = o.owner
  ), committing as materialized (
    select a.usesysid as owner, min(a.xact_start) as since,
      array_agg(a.pid order by a.pid) filter (where v.sees_all or a.usesysid = v.me) as pids
    from pg_stat_get_activity(null) as a
    cross join viewer as v
    where a.wait_event = 'SyncRep' and a.backend_type = 'pg_background'
      and a.datid = (select d.oid from pg_database as d where d.datname = current_database())
    group by a.usesysid
  ), slots as materialized (
    select jobs_internal.free_worker_slots() as free
  ), of_owners as (
    select o.owner, x.code, x.reason, null::timestamptz as since, x.pids, x.jobs, x.remedy
    from owners as o
    cross join lateral (
      select 'quota' as code,
        case when o.quota = 0 then format('the quota of its owner %s allows no worker session',
            o.name)
          else format('its owner %s has the %s', o.name, jobs_internal.counted(o.quota,
            'worker session that its quota allows, and it works',
            'worker sessions that its quota allows, and all work')) end as reason,
        o.pids, o.jobs, jobs_internal.larger_quota(o.owner) as remedy
      where o.quota <= o.works
      union all
      select 'owner_sessions', format('its owner %s has the %s', o.name,
          jobs_internal.counted(o.works,
          'worker session that sessions_per_owner allows, and it works',
          'worker sessions that sessions_per_owner allows, and all work')),
        o.pids, o.jobs, format('select jobs.configure(''sessions_per_owner'', ''%s'');  -- as a '
          'member of jobs_operator; or wait for one of those jobs', o.works + 1)
      where o.works >= jobs_internal.setting('sessions_per_owner')::bigint
      union all
      select 'owner_gone', format('its owner %s does not exist any more', o.name), null, null, null
      where not o.is_there
      union all
      select 'owner_no_login', format('its owner %s may not log in', o.name), null, null,
        format('alter role %I login;  -- as a superuser, or who administers the role', o.name)
      where o.is_there and not o.rolcanlogin
      union all
      select 'owner_no_runner', format('its owner %s is no member of jobs_runner', o.name), null,
        null,
        format('grant jobs_runner to %I;  -- as a superuser, or who may grant jobs_runner', o.name)
      where case when o.is_there then not jobs_internal.is_runner(o.owner) end
      union all
      select 'owner_refused',
        format('jobs of %s are refused: it has %s, and no administrator has admitted it', o.name,
            jobs_internal.privileges_seen(o.owner)), null, null,
        format('select jobs.admit_role(%L);  -- as an administrator: a superuser, or who may act '
          'as jobs_owner; or take the rights from the role', o.name)
      where o.is_there and jobs_internal.is_refused(o.owner)
      union all
      -- A session of the owner that lives can take it, however it was started.
      select 'no_supervisor', 'no supervisor is connected', null, null, null where o.live = 0
        and not exists (select from supervisors)
      union all
      select 'not_served', format('no supervisor that is connected serves its owner %s', o.name),
        null, null,
        format('select jobs.start();  -- as %s; or start a supervisor that serves it: pyworker '
          'run --owner %1$s', o.name)
      where o.live = 0 and exists (select from supervisors)
        and not exists (select from supervisors as s where s.serves is null
            or o.name = any (s.serves))
      union all
      select 'no_worker_slot',
        format('the server has no free worker slot: max_worker_processes is %s, and all are used',
            current_setting('max_worker_processes')),
        null, null, null
      from slots as s
      where s.free <= 0 and o.live = o.works
    ) as x
    union all
    select c.owner, 'standby_session',
      format('a session of its owner %s waits for a synchronous standby at a commit',
          pg_get_userbyid(c.owner)), c.since, c.pids, null, null
    from committing as c
    union all
    select u.owner, 'owner_unreached',
      format(case when u.reason like 'launch refused: %'
          then 'supervisor %s cannot start a session of its owner %s: %s'
        else 'supervisor %s cannot connect as its owner %s: %s' end, u.name,
          pg_get_userbyid(u.owner), u.reason), u.since, null, null, null
    from (
      select distinct on (u.owner) u.owner, u.reason, u.since, s.name
      from jobs_internal.unreached_owner as u
      join supervisors as s on s.id = u.supervisor_id
      join owners as o on o.owner = u.owner and o.live = 0
      order by u.owner, u.since
    ) as u
  ), found as (
    select l.queue_id, l.owner, l.priority, e.code, e.reason, e.since, null::timestamptz as until,
      null::integer[] as pids, null::bigint[] as jobs,
      null::text as remedy
    from lanes as l
    cross join everywhere as e
    union all
    select l.queue_id, l.owner, l.priority, 'paused_queue', 'its queue is paused',
      (select a.at from jobs_internal.audit as a where a.action = 'pause'
          and a.object = 'queue ' || q.name order by a.id desc limit 1), null, null, null,
      format('select jobs.resume(%L);  -- as a member of jobs_operator', q.name)
    from lanes as l
    join queues as q on q.id = l.queue_id and q.paused
    union all
    select l.queue_id, l.owner, l.priority, 'queue_window',
      format('window %s of its queue %s is closed%s', q.window_name, q.name,
        coalesce(format(': it opens at %s', w.next_opens_at::timestamptz(0)), '')),
      null, w.next_opens_at, null, null,
      format('select jobs.open_window(%L, ''1 hour'');  -- as a member of jobs_operator; or wait',
        q.window_name)
    from lanes as l
    join queues as q on q.id = l.queue_id and q.window_name is not null
    left join jobs_internal.window_state as w on w.name = q.window_name
    where not coalesce(w.opened_at <= clock_timestamp() and w.closes_at > clock_timestamp(), false)
    union all
    select l.queue_id, l.owner, l.priority, 'concurrency', case when q.concurrency = 1
      then format('the one slot of its queue %s is held', q.name)
        else format('all %s slots of its queue %s are held', q.concurrency, q.name) end, null, null,
          q.pids,
            q.jobs, q.remedy
    from lanes as l
    join queues as q on q.id = l.queue_id and q.held >= q.concurrency
    union all
    -- The last slot of a shared queue is not for an owner that holds all others (take_slot).
    select l.queue_id, l.owner, l.priority, 'concurrency',
      format(
          'its owner holds %s of the %s slots of its queue %s, and the last one is left to others',
            q.concurrency - 1, q.concurrency, q.name),
      null, null, q.pids, q.jobs, q.remedy
    from lanes as l
    join queues as q on q.id = l.queue_id and q.concurrency > 1 and q.held = q.concurrency - 1
    where jobs_internal.is_shared(l.queue_id, l.owner)
      and (select count(*) from jobs_internal.slot as t
          join jobs_internal.session as s on s.id = t.session_id
        where t.queue_id = l.queue_id and s.owner = l.owner) = q.concurrency - 1
    union all
    select l.queue_id, l.owner, l.priority, 'rate', r.reason, null, r.next_at, null, null, r.remedy
    from lanes as l
    join jobs_internal.rate_waits() as r on r.queue_id = l.queue_id
    union all
    select l.queue_id, l.owner, l.priority, o.code, o.reason, o.since, null, o.pids, o.jobs,
      o.remedy
    from lanes as l
    join of_owners as o on o.owner = l.owner
    union all
    select l.queue_id, l.owner, l.priority, 'lane_failed',
      format('its lane cannot be made or filled: %s (%s)', f.error ->> 'message',
          f.error ->> 'sqlstate'), f.since, f.retry_at, null, null, null
    from lanes as l
    join jobs_internal.duty_failure as f on f.queue_id = l.queue_id and f.owner = l.owner
      or f.owner is null and f.queue_id is null and f.duty = 'round'
      and f.item in ('dispatch', 'lanes')
    union all
    select l.queue_id, l.owner, l.priority, 'quarantined',
      'its lane is quarantined: a job in it was cancelled and terminated, and goes on',
        (l.quarantine ->> 'since')::timestamptz, null,
      case when v.sees_all or l.owner = v.me then array[(l.quarantine ->> 'pid')::integer] end,
      case when v.sees_all or l.owner = v.me then array[(l.quarantine ->> 'job_id')::bigint] end,
        null
    from lanes as l
    cross join viewer as v
    where l.quarantine is not null
  )
  select f.queue_id, f.owner, f.priority, c.n, f.code, f.reason, f.since, f.until, f.pids, f.jobs,
    coalesce(f.remedy, c.remedy)
  from found as f
  join jobs_internal.wait_codes() as c on c.code = f.code
$$;

-- For jobs.job and jobs.queued: the first hindrance of each lane that has one, of the owners whose
-- jobs the caller may see, as one object. An object and no rows: looked up job by job it leaves the
-- plan of "order by id desc limit 20" as it is, and costs the same for any number of lanes.
create or replace function jobs_internal.lane_waits()
returns jsonb
language sql volatile security definer
set search_path = pg_catalog, pg_temp
as $$
  select coalesce(jsonb_object_agg(w.queue_id || ' ' || w.owner || ' ' || w.priority, w.reason),
      '{}')
  from (
    select distinct on (h.queue_id, h.owner, h.priority) h.queue_id, h.owner, h.priority, h.reason
    from jobs_internal.hindrances() as h
    where h.owner = (select jobs_internal.viewer())
      or (select jobs_internal.caller_is('jobs_reader') or jobs_internal.caller_is('jobs_operator'))
      or h.owner in (select j.owner from jobs_internal.job as j where j.publication_id is not null
          and j.enqueued_by = (select jobs_internal.viewer()))
    order by h.queue_id, h.owner, h.priority, h.n, h.since
  ) as w
$$;

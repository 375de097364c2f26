-- What a supervisor calls, round after round. Everything here may be done twice, by several supervisors, in any order.

-- Purpose: the pgmq queue of a lane. Locks: pgmq's queue lock, until commit. It is an advisory lock, which any role may hold: nobody waits long
-- for it. Errors: 55P03 when somebody holds it.
create or replace function jobs_internal.make_lane_queue(p_lane integer)
returns void
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp
set standard_conforming_strings = on  -- pgmq needs it
set lock_timeout = '100ms'
as $$
begin
  perform pgmq.create('pyworker_' || p_lane);
  execute pg_catalog.format('alter table pgmq.%I set (autovacuum_vacuum_scale_factor = 0.02, autovacuum_vacuum_threshold = 2000, fillfactor = 80)',
    'q_pyworker_' || p_lane);
end
$$;
comment on function jobs_internal.make_lane_queue(integer) is 'Makes the pgmq queue of a lane';

-- Purpose: make one lane. Returns its number; null when another session has made it.
-- Errors: 55P03 when an open transaction has made it, or somebody holds pgmq's lock; whatever a trigger on DDL raises. Locks: pgmq's queue lock.
create or replace function jobs_internal.make_lane(p_queue integer, p_owner oid, p_priority smallint)
returns integer
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp
set standard_conforming_strings = on  -- pgmq needs it
set lock_timeout = '50ms'
as $$
declare
  v_lane integer;
begin
  -- Of pgmq's locks any role may hold some thousands: numbers whose lock is held are left out. make_lane_queue waits no more then.
  for v_try in 1 .. 100000 loop
    v_lane := pg_catalog.nextval('jobs_internal.lane_id_seq');
    exit when pg_catalog.pg_try_advisory_xact_lock(pg_catalog.hashtext('pgmq.queue_pyworker_' || v_lane));
  end loop;
  insert into jobs_internal.lane (id, queue_id, owner, priority, pgmq_queue)
  overriding system value
  values (v_lane, p_queue, p_owner, p_priority, 'pyworker_' || v_lane)
  on conflict do nothing;
  if not found then
    return null;
  end if;
  perform jobs_internal.know_role(p_owner), jobs_internal.make_lane_queue(v_lane);
  return v_lane;
end
$$;
comment on function jobs_internal.make_lane(integer, oid, smallint) is 'Makes one lane; returns its number';

-- Purpose: the owners of scheduled jobs, each with the time of its first one: from one owner to the next in the index, so that it costs what the
-- owners are, however many jobs each has.
create or replace function jobs_internal.first_due()
returns table (owner oid, due_at timestamptz)
language sql stable security definer
set search_path = pg_catalog, pg_temp
set enable_seqscan = off
begin atomic
  with recursive f (owner, due_at) as (
    (select j.owner, j.due_at from jobs_internal.job as j where j.due_at is not null order by j.owner, j.due_at limit 1)
    union all
    select n.owner, n.due_at
    from f
    cross join lateral (
      select j.owner, j.due_at from jobs_internal.job as j
      where j.due_at is not null and j.owner > f.owner
      order by j.owner, j.due_at limit 1) as n
  )
  select f.owner, f.due_at from f;
end;
comment on function jobs_internal.first_due() is 'The owners of scheduled jobs, each with the time of its first one';

-- Purpose: lanes for jobs that have none yet. Made here and never inside a caller's enqueue, because pgmq.create holds a lock until commit.
-- p_owner null: for all owners, the first of each before the second of any; those that failed a moment ago are left out, and one session makes
-- them at a time. Of an owner's jobs only those are looked at that a round could move: one that comes behind so many others of its own is not moved
-- before them either, lane or no lane. Returns how many. Locks: duty (skip locked), pgmq's queue lock.
create or replace function jobs_internal.make_lanes(p_owner oid default null)
returns integer
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp
set enable_seqscan = off
set enable_bitmapscan = off
as $$
declare
  v record;
  v_count integer := 0;
  v_until timestamptz := pg_catalog.clock_timestamp() + interval '0.3 seconds';
  v_error jsonb;
  v_but text[] := '{}';
begin
  if p_owner is null and not jobs_internal.takes_duty('lanes') then
    return 0;
  end if;
  if p_owner is null then
    -- However many jobs wait for one that fails, they hide no other.
    v_but := array(select f.item from jobs_internal.duty_failure as f where f.duty = 'lanes' and jobs_internal.is_future(f.retry_at));
  end if;
  for v in
    select m.*, pg_catalog.format('%s/%s/%s', m.queue_id, m.owner, m.priority) as item
    from (
      select distinct j.queue_id, f.owner, j.priority
      from jobs_internal.first_due() as f
      cross join lateral (
        select o.queue_id, o.priority
        from jobs_internal.job as o
        where o.owner = f.owner and o.due_at <= pg_catalog.clock_timestamp()
          and (v_but = '{}' or pg_catalog.format('%s/%s/%s', o.queue_id, o.owner, o.priority) <> all (v_but))
        order by o.due_at
        limit 5000
      ) as j
      where f.due_at <= pg_catalog.clock_timestamp() and (p_owner is null or f.owner = p_owner)
        and not exists (select from jobs_internal.lane as l where l.queue_id = j.queue_id and l.owner = f.owner and l.priority = j.priority)
    ) as m
    left join jobs_internal.duty_failure as f on f.duty = 'lanes' and f.item = pg_catalog.format('%s/%s/%s', m.queue_id, m.owner, m.priority)
    where p_owner is not null or f.item is null or not jobs_internal.is_future(f.retry_at)
    order by f.retry_at nulls first, pg_catalog.row_number() over (partition by m.owner order by m.queue_id, m.priority), m.queue_id, m.owner
  loop
    exit when p_owner is null and not jobs_internal.has_room(v_until);
    v_error := null;
    begin
      v_count := v_count + (jobs_internal.make_lane(v.queue_id, v.owner, v.priority) is not null)::integer;
    exception
      when others then
        v_error := jobs_internal.error_object(sqlstate, sqlerrm);
      when query_canceled then
        if p_owner is not null then
          raise;
        end if;
        v_error := jobs_internal.error_object(sqlstate, sqlerrm);
    end;
    if v_error is not null and p_owner is not null then
      raise warning using message = pg_catalog.format('a lane cannot be made now: %s', v_error ->> 'message');
    elsif v_error is not null then
      perform jobs_internal.note_failure('lanes', v.item, v_error, v.queue_id, v.owner);
    elsif p_owner is null then
      perform jobs_internal.clear_failure('lanes', v.item);
    end if;
  end loop;
  return v_count;
end
$$;
comment on function jobs_internal.make_lanes(oid) is 'Makes the lanes that due jobs need; returns how many';

-- Purpose: move due jobs of one owner into their lanes. p_lane null: into all of them but those named in p_but. p_duty: a supervisor's duty does
-- it, whose failures end with this. Returns how many. Locks: job (skip locked).
create or replace function jobs_internal.move_due_of(p_owner oid, p_lane integer, p_but integer[], p_limit integer, p_duty boolean)
returns integer
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp
set enable_seqscan = off
set enable_hashjoin = off
set enable_mergejoin = off
set standard_conforming_strings = on  -- pgmq needs it
as $$
declare
  v_lane record;
  v_ids bigint[];
  v_msg_ids bigint[];
  v_count integer := 0;
begin
  for v_lane in
    with due as (
      select j.id, j.queue_id, j.owner, j.priority
      from jobs_internal.job as j
      where j.due_at <= pg_catalog.clock_timestamp() and j.owner = p_owner
        -- What has no lane, or one that fails, does not count: it would keep all others from their turn.
        and exists (select from jobs_internal.lane as o where o.queue_id = j.queue_id and o.owner = j.owner and o.priority = j.priority
          and o.id <> all (p_but) and (p_lane is null or o.id = p_lane))
      order by j.due_at
      limit p_limit
      for update skip locked
    )
    select l.id, l.pgmq_queue, pg_catalog.array_agg(d.id order by d.id) as ids
    from due as d
    join jobs_internal.lane as l on l.queue_id = d.queue_id and l.owner = d.owner and l.priority = d.priority
    group by l.id, l.pgmq_queue
  loop
    v_ids := v_lane.ids;
    v_msg_ids := array(select m from pgmq.send_batch(v_lane.pgmq_queue,
      array(select pg_catalog.jsonb_build_object('job', u.id) from pg_catalog.unnest(v_ids) with ordinality as u(id, n) order by u.n)) as m);
    update jobs_internal.job as j
    set state = 'queued', due_at = null, lane_id = v_lane.id, msg_id = u.msg_id
    from unnest(v_ids, v_msg_ids) as u(id, msg_id)
    where j.id = u.id;
    perform jobs_internal.wake(v_lane.id);
    if p_duty then
      perform jobs_internal.clear_failure('dispatch', v_lane.id::text);
    end if;
    v_count := v_count + pg_catalog.cardinality(v_ids);
  end loop;
  return v_count;
end
$$;
comment on function jobs_internal.move_due_of(oid, integer, integer[], integer, boolean) is 'Moves due jobs of one owner into its lanes; returns how many';

-- Purpose: move due jobs into their lanes, in turn by owner: what one has due does not keep another from its turn. Each gets an equal share of
-- p_limit, and what some leave goes to those that have more. p_owner null: of all owners; p_lane null: into all lanes but those named in p_but.
-- Returns how many. Locks: job (skip locked).
create or replace function jobs_internal.move_due(p_owner oid, p_lane integer, p_but integer[], p_limit integer)
returns integer
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp
as $$
declare
  v_owner oid;
  v_owners oid[] := array(
    select f.owner from jobs_internal.first_due() as f
    where f.due_at <= pg_catalog.clock_timestamp() and (p_owner is null or f.owner = p_owner)
    order by f.due_at);
  v_more oid[];
  v_share integer;
  v_moved integer;
  v_count integer := 0;
begin
  while pg_catalog.cardinality(v_owners) > 0 and v_count < p_limit loop
    v_share := greatest(1, (p_limit - v_count) / pg_catalog.cardinality(v_owners));
    v_more := '{}';
    foreach v_owner in array v_owners loop
      exit when v_count >= p_limit;
      v_moved := jobs_internal.move_due_of(v_owner, p_lane, p_but, v_share, p_owner is null);
      v_count := v_count + v_moved;
      if v_moved >= v_share then
        v_more := v_more || v_owner;
      end if;
    end loop;
    v_owners := v_more;
  end loop;
  return v_count;
end
$$;
comment on function jobs_internal.move_due(oid, integer, integer[], integer) is 'Moves due jobs into their lanes, or into one; returns how many';

-- Purpose: make the lanes that due jobs need, and move the jobs into their lanes. p_owner null: of all owners. All at once; where that fails, lane by
-- lane, so that the one that fails (its table is locked, or gone) is known and left out for a while. Returns how many. Locks: job (skip locked).
create or replace function jobs_internal.dispatch(p_owner oid default null, p_limit integer default 5000)
returns integer
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp
as $$
declare
  v_lane record;
  v_count integer := 0;
  v_but integer[];
  v_until timestamptz;
begin
  if not exists (select from jobs_internal.first_due() as f where f.due_at <= pg_catalog.clock_timestamp()) then
    return 0;
  end if;
  perform jobs_internal.make_lanes(p_owner);
  if p_owner is not null then
    return jobs_internal.move_due(p_owner, null, '{}', p_limit);
  end if;
  v_but := array(select f.item::integer from jobs_internal.duty_failure as f where f.duty = 'dispatch' and jobs_internal.is_future(f.retry_at));
  begin
    return jobs_internal.move_due(null, null, v_but, p_limit);
  exception
    when others or query_canceled then
      null;  -- which lane it was is seen below
  end;
  v_until := pg_catalog.clock_timestamp() + interval '0.5 seconds';
  for v_lane in
    select l.id, l.queue_id, l.owner from jobs_internal.lane as l
    left join jobs_internal.duty_failure as f on f.duty = 'dispatch' and f.item = l.id::text
    where l.id <> all (v_but) and l.id in (
      select o.id from jobs_internal.job as j
      join jobs_internal.lane as o on o.queue_id = j.queue_id and o.owner = j.owner and o.priority = j.priority
      where j.due_at <= pg_catalog.clock_timestamp())
    order by f.retry_at nulls first, l.id
  loop
    exit when not jobs_internal.has_room(v_until);
    begin
      v_count := v_count + jobs_internal.move_due(null, v_lane.id, '{}', p_limit);
    exception
      when others or query_canceled then
        perform jobs_internal.note_failure('dispatch', v_lane.id::text, jobs_internal.error_object(sqlstate, sqlerrm), v_lane.queue_id, v_lane.owner);
    end;
  end loop;
  return v_count;
end
$$;
comment on function jobs_internal.dispatch(oid, integer) is 'Moves due jobs into their lanes; returns how many';

-- Purpose: what runs now, from the sessions that live. Identity is (pid, backend_start) of our own session rows; what a session says of
-- itself in application_name counts only for a job of its own owner.
create or replace function jobs_internal.live()
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
    coalesce(j.started_at, pg_catalog.to_timestamp(n.started_ms / 1000.0)),
    c.done, c.total, j.child_pid, s.started_at, s.jobs, s.lane_id, s.job_id is not null
  from jobs_internal.session as s
  join pg_catalog.pg_stat_get_activity(null) as a on a.pid = s.pid and a.backend_start = s.backend_start
    and a.datid = (select d.oid from pg_catalog.pg_database as d where d.datname = pg_catalog.current_database())
  left join lateral (
    select m[1]::bigint as job_id, m[2]::integer as attempt, m[3]::bigint as started_ms, m[4]::numeric as done, m[5]::numeric as total
    from pg_catalog.regexp_match(a.application_name, '^pw ([0-9]{1,18})/([0-9]{1,9}) ([0-9]{1,13})(?: ([0-9]{1,19}[.]?[0-9]{0,2})/([0-9]{1,19}[.]?[0-9]{0,2})(?: [0-9.]+@[0-9]+)?)?$') as m
    where m is not null
  ) as n on true
  left join jobs_internal.job as j on j.id = coalesce(s.job_id, n.job_id)
  left join pg_catalog.pg_stat_get_activity(j.child_pid) as ca on j.child_pid is not null and ca.backend_start = j.child_start
  left join lateral (
    select m[1]::numeric as done, m[2]::numeric as total
    from pg_catalog.regexp_match(coalesce(ca.application_name, a.application_name), '^pw [0-9/]+ [0-9]+ ([0-9]{1,19}[.]?[0-9]{0,2})/([0-9]{1,19}[.]?[0-9]{0,2})(?: [0-9.]+@[0-9]+)?$') as m
  ) as c on true
  where n.job_id is null or s.job_id is not null or j.owner = s.owner
$$;
comment on function jobs_internal.live() is 'What the living worker sessions run now';

-- Purpose: child sessions whose watcher died: they go on alone, and their job runs until they have ended. The same columns as live(); pid is
-- null, because no worker session is there.
create or replace function jobs_internal.left_children()
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
    s.id, s.owner, null::integer, null::timestamptz, j.id, j.attempt, j.started_at, c.done, c.total, j.child_pid, s.started_at, s.jobs, s.lane_id, true
  from jobs_internal.session as s
  join jobs_internal.job as j on j.id = s.job_id and j.attempt = s.attempt and j.session_id = s.id and j.state = 'running'
  join pg_catalog.pg_stat_get_activity(null) as a on a.pid = j.child_pid and a.backend_start = j.child_start
  left join lateral (
    select m[1]::numeric as done, m[2]::numeric as total
    from pg_catalog.regexp_match(a.application_name, '^pw [0-9/]+ [0-9]+ ([0-9]{1,19}[.]?[0-9]{0,2})/([0-9]{1,19}[.]?[0-9]{0,2})(?: [0-9.]+@[0-9]+)?$') as m
  ) as c on true
  where not jobs_internal.alive(s.pid, s.backend_start)
$$;
comment on function jobs_internal.left_children() is 'Child sessions whose watcher died, with the job that they run';

-- Purpose: note a reason to stop for every attempt that is overdue. Returns how many were noted.
-- A session that is overdue may be writing the same row itself (press_late_child), under the lock of its own row and in a transaction that may stay
-- open: so that row is locked first. Where it is locked, the reason is written all the same, and not waited for for long (the tick's lock timeout).
-- Locks: duty (skip locked: one supervisor at a time), session (key share, skip locked). Writes: stop.
create or replace function jobs_internal.note_overdue()
returns integer
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp
as $$
declare
  v record;
  v_count integer := 0;
  v_until timestamptz := pg_catalog.clock_timestamp() + interval '0.3 seconds';
begin
  for v in
    select l.job_id, l.attempt, l.session_id, l.owner, j.queue_id
    from jobs_internal.live() as l
    join jobs_internal.job as j on j.id = l.job_id
    where j.timeout is not null and l.started_at + j.timeout <= pg_catalog.clock_timestamp()
      and l.attempt = case j.state when 'running' then j.attempt else j.attempt + 1 end
      and not exists (select from jobs_internal.stop as x where x.job_id = l.job_id and x.attempt = l.attempt)
    union all
    -- A watcher that died leaves a child: its time is over all the same.
    select j.id, j.attempt, s.id, j.owner, j.queue_id
    from jobs_internal.session as s
    join jobs_internal.job as j on j.id = s.job_id and j.attempt = s.attempt and j.session_id = s.id and j.state = 'running'
    where j.child_pid is not null and j.timeout is not null and j.started_at + j.timeout <= pg_catalog.clock_timestamp()
      and not exists (select from jobs_internal.stop as x where x.job_id = j.id and x.attempt = j.attempt)
      and not jobs_internal.alive(s.pid, s.backend_start)
    order by 1, 2
  loop
    exit when v_count = 0 and not jobs_internal.takes_duty('overdue');
    perform from jobs_internal.session as s where s.id = v.session_id for key share skip locked;
    if found then
      insert into jobs_internal.stop (job_id, attempt, reason, requested_by) values (v.job_id, v.attempt, 'timed_out', session_user)
      on conflict do nothing;
      v_count := v_count + 1;
    elsif not jobs_internal.is_put_off('overdue', v.job_id::text) and jobs_internal.has_room(v_until) then
      begin
        insert into jobs_internal.stop (job_id, attempt, reason, requested_by) values (v.job_id, v.attempt, 'timed_out', session_user)
        on conflict do nothing;
        v_count := v_count + 1;
      exception
        when lock_not_available then  -- the tick's own limit
          perform jobs_internal.note_failure('overdue', v.job_id::text, jobs_internal.error_object(sqlstate, sqlerrm), v.queue_id, v.owner);
      end;
    end if;
  end loop;
  return v_count;
end
$$;
comment on function jobs_internal.note_overdue() is 'Notes a reason to stop for every attempt that is overdue';

-- Purpose: give back the lanes whose stubborn job is over. p_owner: only those of this owner, whose transaction may stay open; null: all.
-- Locks: lane (skip locked), only where there is one to give back.
create or replace function jobs_internal.lift_quarantine(p_owner oid default null)
returns void
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp
as $$
begin
  if not exists (select from jobs_internal.lane as l where l.quarantine is not null) then
    return;
  end if;
  update jobs_internal.lane as l set quarantine = null
  where l.id in (
    select o.id from jobs_internal.lane as o
    where o.quarantine is not null and (p_owner is null or o.owner = p_owner)
      and not exists (select from jobs_internal.stop as x join jobs_internal.job as j on j.id = x.job_id
        where x.job_id = (o.quarantine ->> 'job_id')::bigint and x.attempt = (o.quarantine ->> 'attempt')::integer
          and x.attempt >= case j.state when 'running' then j.attempt else j.attempt + 1 end)
    for no key update skip locked);
end
$$;
comment on function jobs_internal.lift_quarantine(oid) is 'Gives back the lanes whose stubborn job is over';

-- Purpose: whether a job runs in a child of its session, which only watches it.
create or replace function jobs_internal.is_watched(p_job bigint)
returns boolean
language sql stable security definer
set search_path = pg_catalog, pg_temp
begin atomic
  select coalesce(t.top_level, h.procedure, false)
  from jobs_internal.job as j
  left join jobs_internal.statement as t on t.job_id = j.id
  left join jobs_internal.shape as h on h.id = j.shape_id
  where j.id = p_job;
end;
comment on function jobs_internal.is_watched(bigint) is 'The job runs in a child of its session, which only watches it';

-- Purpose: signal a process. False where that is refused: a superuser's job, say, whom only a superuser may signal. Nobody else's signal waits for it.
-- p_owner: whose job it is; null in a session of an owner's own, which notes nothing.
create or replace function jobs_internal.signal(p_pid integer, p_terminate boolean, p_item text, p_owner oid)
returns boolean
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp
as $$
begin
  if p_terminate then
    perform pg_catalog.pg_terminate_backend(p_pid);
  else
    perform pg_catalog.pg_cancel_backend(p_pid);
  end if;
  return true;
exception
  when others then
    if p_owner is not null then
      perform jobs_internal.note_failure('press', p_item, jobs_internal.error_object(sqlstate, sqlerrm), null, p_owner);
    end if;
    return false;
end
$$;
comment on function jobs_internal.signal(integer, boolean, text, oid) is 'Signals a process; false where that is refused';

-- Purpose: send the signals that are due for committed reasons. Ladder: cancel at once, cancel again after a second, terminate after three;
-- after ten the lane is quarantined, and jobs.health says so. Never anything stronger. A child is signalled before its watcher would be:
-- the watcher is never signalled while it has one, nor for two seconds while nobody knows of one. Returns: one object per signal.
-- p_job null: for all. The caller has committed the reasons in an earlier transaction.
-- Locks: session (skip locked), then stop (skip locked), lane (skip locked).
-- Several press at the same time, in any order, and sessions that end a chunk delete the reasons of its jobs: so nobody waits here. A reason
-- that somebody else holds is pressed by him, or over.
create or replace function jobs_internal.press(p_job bigint default null)
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
  delete from jobs_internal.stop as o
  where o.ctid = any (array(
    select x.ctid from jobs_internal.stop as x
    where not exists (select from jobs_internal.job as j
        where j.id = x.job_id and x.attempt >= case j.state when 'running' then j.attempt else j.attempt + 1 end)
      and x.requested_at < pg_catalog.clock_timestamp() - interval '5 seconds'
    for update skip locked));
  for v in
    select x.job_id, x.attempt, x.reason, x.presses, x.pressed_at, x.requested_at,
      l.session_id, l.pid, l.alone, j.child_pid, j.child_start, j.lane_id,
      pg_catalog.pg_get_userbyid(j.owner) as owner, j.owner as owner_id,
      j.state = 'running' and jobs_internal.is_watched(j.id) as watches
    from jobs_internal.stop as x
    join jobs_internal.job as j on j.id = x.job_id
    left join jobs_internal.live() as l on l.job_id = x.job_id and l.attempt = x.attempt
    where (p_job is null or x.job_id = p_job)
      and (l.pid is not null or (j.child_pid is not null and jobs_internal.alive(j.child_pid, j.child_start)))
  loop
    v_age := pg_catalog.clock_timestamp() - v.requested_at;
    -- Its child is being launched, or not noted yet: a signal that hits its watcher now would leave it to run to its end unseen.
    continue when v.watches and v.child_pid is null and v_age between interval '0' and interval '2 seconds';
    v_signal := case
      when v.presses = 0 then 'cancel'
      when v.presses = 1 and v_age > interval '1 second' then 'cancel'
      when v.presses >= 2 and v_age > interval '3 seconds' and v.pressed_at < pg_catalog.clock_timestamp() - interval '2 seconds' then 'terminate'
    end;
    if v_age > interval '10 seconds' and v.lane_id is not null then
      update jobs_internal.lane
      set quarantine = pg_catalog.jsonb_build_object('job_id', v.job_id, 'attempt', v.attempt, 'pid', coalesce(v.child_pid, v.pid), 'since', pg_catalog.clock_timestamp())
      where id = (select l.id from jobs_internal.lane as l where l.id = v.lane_id and l.quarantine is null for no key update skip locked);
    end if;
    continue when v_signal is null;
    v_pid := case when v.child_pid is not null and jobs_internal.alive(v.child_pid, v.child_start) then v.child_pid else v.pid end;
    continue when v_pid is null;  -- its child has just ended, and its watcher before it
    if v_pid = v.pid then
      -- The session may have gone on since we looked. With its row locked it cannot start another job alone before our signal is there: a
      -- signal that ends it while that one is being started, or written down, would be charged to it.
      perform from jobs_internal.session as s
      where s.id = v.session_id and case when v.alone then s.job_id = v.job_id and s.attempt = v.attempt else s.job_id is null end
      for update skip locked;
      continue when not found;
    end if;
    update jobs_internal.stop set presses = presses + 1, pressed_at = pg_catalog.clock_timestamp()
    where ctid = (select x.ctid from jobs_internal.stop as x
      where x.job_id = v.job_id and x.attempt = v.attempt and x.presses = v.presses for update skip locked);
    continue when not found;
    continue when not jobs_internal.signal(v_pid, v_signal = 'terminate', v.job_id::text, case when p_job is null then v.owner_id end);
    return next pg_catalog.jsonb_build_object('job_id', v.job_id, 'attempt', v.attempt, 'owner', v.owner, 'pid', v_pid, 'signal', v_signal, 'reason', v.reason);
  end loop;
  perform jobs_internal.lift_quarantine();
end
$$;
comment on function jobs_internal.press(bigint) is 'Sends the signals that are due for committed reasons to stop';

-- Purpose: record a cancel, commit it, and press until the attempt is over. Runs in an autonomous session that jobs.cancel launches, so
-- that it works with no supervisor and a rollback of the caller does not undo it.
create or replace procedure jobs_internal.stop_job(p_job bigint, p_attempt integer, p_by text)
language plpgsql
as $$
declare
  v_until timestamptz := pg_catalog.clock_timestamp() operator(pg_catalog.+) interval '15 seconds';
begin
  perform pg_catalog.set_config('search_path', 'pg_catalog, pg_temp', false);
  insert into jobs_internal.stop (job_id, attempt, reason, requested_by) values (p_job, p_attempt, 'cancelled', p_by) on conflict do nothing;
  commit;
  -- The reason goes with the attempt that heeds it. As long as it is there, the job goes on, or went on before it was written: back into
  -- the queue after a failure of its own, say.
  while pg_catalog.clock_timestamp() < v_until
    and exists (select from jobs_internal.job as j where j.id = p_job and j.attempt <= p_attempt)
    and exists (select from jobs_internal.stop as x where x.job_id = p_job and x.attempt = p_attempt)
  loop
    exit when jobs_internal.cancel_waiting(p_job, p_by);
    perform jobs_internal.press(p_job);
    commit;
    -- A signal that comes while the job is being written down ends its session.
    perform jobs_internal.rescue();
    commit;
    perform pg_catalog.pg_sleep(0.02);
    commit;
  end loop;
end
$$;
comment on procedure jobs_internal.stop_job(bigint, integer, text) is 'Records a cancel, commits it, and presses until the attempt is over';

-- Purpose: launch that session. It inherits the settings of whoever calls jobs.cancel: none that limits time, none that forbids it to write.
create or replace function jobs_internal.launch_stop(p_job bigint, p_attempt integer, p_by text)
returns void
language plpgsql volatile
set search_path = pg_catalog, pg_temp
set statement_timeout = 0
set transaction_timeout = 0
set lock_timeout = 0
set idle_in_transaction_session_timeout = 0
set default_transaction_isolation = 'read committed'
set default_transaction_read_only = off
set default_transaction_deferrable = off
as $$
declare
  v_handle record;
begin
  execute pg_catalog.format('select h.pid, h.cookie from %s($1, 0, %L) as h', jobs_internal.background('submit'), 'pyworker cancel')
  into v_handle using pg_catalog.format('call jobs_internal.stop_job(%s, %s, %L)', p_job, p_attempt, p_by);
  execute pg_catalog.format('select %s($1, $2)', jobs_internal.background('detach')) using v_handle.pid, v_handle.cookie;
end
$$;
comment on function jobs_internal.launch_stop(bigint, integer, text) is 'Launches the session that records a cancel and presses';

-- Purpose: register a supervisor's control connection. Returns its number. Jobs whose message was lost are due again. Errors: PW060 in a copy.
create or replace function jobs_internal.supervisor_open(p_name text, p_host text, p_os_pid integer, p_version text)
returns bigint
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp
set exit_on_error = off
set lock_timeout = '1s'
as $$
declare
  v_id bigint;
begin
  if pg_catalog.pg_is_in_recovery() then
    raise exception using errcode = '25006', message = 'this server is a standby', detail = 'Jobs run on the primary.', hint = 'Connect to the primary.';
  end if;
  perform jobs_internal.assert_home();
  -- A second for 100,000 jobs, and as much for each further lane with so many; where there is more, that is for a person to ask for
  -- (jobs.reconcile).
  if (select pg_catalog.count(*) from (select from jobs_internal.job limit 100001) as j)
    * (select pg_catalog.count(*) from jobs_internal.lane) <= 1000000 and (select pg_catalog.count(*) from jobs_internal.lane) <= 200
  then
    begin
      perform jobs_internal.mend_lanes();
    exception
      when others or query_canceled then
        perform jobs_internal.note_failure('round', 'mend', jobs_internal.error_object(sqlstate, sqlerrm));
    end;
  end if;
  delete from jobs_internal.supervisor as d
  where d.ctid = any (array(
    select s.ctid from jobs_internal.supervisor as s
    where s.pid = pg_catalog.pg_backend_pid() or not jobs_internal.alive(s.pid, s.backend_start)
    for update skip locked));
  delete from jobs_internal.unreached_owner as d
  where d.ctid = any (array(
    select u.ctid from jobs_internal.unreached_owner as u
    where not exists (select from jobs_internal.supervisor as s where s.id = u.supervisor_id)
    for update skip locked));
  insert into jobs_internal.supervisor (name, host, os_pid, version, pid, backend_start)
  select p_name, p_host, p_os_pid, p_version, a.pid, a.backend_start
  from pg_catalog.pg_stat_get_activity(pg_catalog.pg_backend_pid()) as a
  returning id into v_id;
  return v_id;
end
$$;
comment on function jobs_internal.supervisor_open(text, text, integer, text) is 'Registers a supervisor''s control connection';

-- Purpose: a supervisor says whose jobs it runs, where it was told to run only some. Writes: supervisor.
create or replace function jobs_internal.supervisor_serves(p_supervisor bigint, p_owners text[])
returns void
language sql volatile security definer
set search_path = pg_catalog, pg_temp
set lock_timeout = '50ms'
as $$
  update jobs_internal.supervisor as s set serves = p_owners where s.id = p_supervisor
$$;
comment on function jobs_internal.supervisor_serves(bigint, text[]) is 'A supervisor says whose jobs it runs';

-- Purpose: the end of a supervisor.
create or replace function jobs_internal.supervisor_close(p_supervisor bigint)
returns void
language sql volatile security definer
set search_path = pg_catalog, pg_temp
set lock_timeout = '50ms'
as $$
  delete from jobs_internal.supervisor as s where s.id = p_supervisor
$$;
comment on function jobs_internal.supervisor_close(bigint) is 'The end of a supervisor';

-- Purpose: how many worker sessions an owner should have now: for each lane as many as do what is due and what is claimed in half a second, and
-- where nobody knows how long its jobs take one more than work; besides those that run a job alone. No more than the slots of the queues, than
-- the setting sessions_per_owner and the owner's quota. A server without a free worker slot refuses the launch itself.
-- Owners for whom nothing is due are listed too while sessions of theirs live, so that a supervisor sees those that it launched.
create or replace function jobs_internal.wanted()
returns table (owner name, wanted integer, live integer)
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp
as $$
declare
  v_owner record;
  v_lane record;
  v_due bigint;
  v_claimed bigint;
  v_busy bigint;
  v_lanes integer[];  -- those where something is due
  v_sum integer;
  v_free integer;
  v_limit integer := jobs_internal.setting('sessions_per_owner')::integer;
  v_most integer;
  v_but text[] := array(select f.item from jobs_internal.duty_failure as f where f.duty = 'lanes' and jobs_internal.is_future(f.retry_at));
  v_rested integer := 0;
begin
  if (select s.paused from jobs_internal.switch as s) then
    return;
  end if;
  perform jobs_internal.stir_lanes();
  for v_owner in
    select r.oid, r.rolname, least(v_limit, jobs_internal.most_sessions(r.oid)) as most from pg_catalog.pg_roles as r
    where r.oid in (select l.owner from jobs_internal.lane as l) and jobs_internal.is_runner(r.oid)
      and not jobs_internal.is_refused(r.oid)
  loop
    v_most := v_owner.most;
    v_sum := 0;
    v_lanes := '{}';
    for v_lane in
      select l.id, l.pgmq_queue, l.avg_ms, l.front, l.front_at, l.served_at, q.concurrency, q.id as queue_id
      from jobs_internal.lane as l
      join jobs_internal.queue as q on q.id = l.queue_id
      where l.owner = v_owner.oid and l.rest <> 'asleep' and l.quarantine is null and not q.paused and q.dropped_at is null
        and l.id::text <> all (v_but)
    loop
      if v_lane.front > 0 and v_rested < 12 and v_lane.front_at not between pg_catalog.clock_timestamp() - interval '1 second' and pg_catalog.clock_timestamp() then
        v_lane.front := jobs_internal.look_for_front(v_lane.id, v_lane.front);
        v_rested := v_rested + 1;  -- each is a subtransaction
      end if;
      begin
        if v_lane.front = 0 then
          execute pg_catalog.format('select count(*) from (select from pgmq.%I as m where m.vt <= clock_timestamp() limit 10000) as d', 'q_' || v_lane.pgmq_queue)
          into v_due;
        else
          execute pg_catalog.format('select count(*) from (select from pgmq.%I as m where m.msg_id > $1 and m.vt <= clock_timestamp() order by m.msg_id limit 10000) as d',
            'q_' || v_lane.pgmq_queue)
          into v_due using v_lane.front;
        end if;
      exception
        when undefined_table then
          v_due := 0;  -- its queue was dropped meanwhile
        when lock_not_available then
          perform jobs_internal.note_failure('lanes', v_lane.id::text, jobs_internal.error_object(sqlstate, sqlerrm), v_lane.queue_id, v_owner.oid);
          continue;
      end;
      if v_but <> '{}' or exists (select from jobs_internal.duty_failure as f where f.duty = 'lanes' and f.item = v_lane.id::text) then
        perform jobs_internal.clear_failure('lanes', v_lane.id::text);
      end if;
      if v_due = 0 then
        if v_lane.served_at < pg_catalog.clock_timestamp() - interval '5 seconds' and v_rested < 12 then
          perform jobs_internal.rest_lane(v_lane.id);
          v_rested := v_rested + 1;
        end if;
        continue;
      end if;
      v_lanes := v_lanes || v_lane.id;
      select coalesce(pg_catalog.sum(pg_catalog.cardinality(s.msg_ids)), 0), pg_catalog.count(*) into v_claimed, v_busy
      from jobs_internal.session as s
      where s.lane_id = v_lane.id and s.msg_ids is not null and s.job_id is null and jobs_internal.alive(s.pid, s.backend_start);
      -- Where nobody knows how long they take: one more session in each round. Otherwise those at work take the rest as well, if it is little.
      v_due := case when v_lane.avg_ms is null then v_busy + 1
        else greatest(1, least(v_due + v_claimed, pg_catalog.ceil((v_due + v_claimed) * greatest(v_lane.avg_ms, 0.001) / 500))) end;
      if v_lane.concurrency is not null then
        v_free := jobs_internal.unused_slots(v_lane.queue_id, v_lane.concurrency);
        if v_free > 0 and v_lane.concurrency > 1 and jobs_internal.is_shared(v_lane.queue_id, v_owner.oid) then
          -- Not the last one of a shared queue (take_slot).
          v_free := greatest(0, least(v_free, v_lane.concurrency - 1 - (
            select pg_catalog.count(*) from jobs_internal.slot as t join jobs_internal.session as s on s.id = t.session_id
            where t.queue_id = v_lane.queue_id and s.owner = v_owner.oid)));
        end if;
        -- An owner who has no slot at all needs a session that waits for one (take_slot); as many owners as there are slots wait at a time.
        if v_free = 0 and v_busy = 0 and not exists (
            select from jobs_internal.slot as t join jobs_internal.session as s on s.id = t.session_id
            where t.queue_id = v_lane.queue_id and s.owner = v_owner.oid)
          and v_lane.concurrency > (select pg_catalog.count(*) from jobs_internal.waiters(v_lane.queue_id) as w where w.owner <> v_owner.oid)
        then
          v_free := 1;
        end if;
        v_due := least(v_due, v_free + v_busy);
      end if;
      v_sum := v_sum + least(v_due, v_most)::integer;
      exit when v_sum >= v_most;
    end loop;
    owner := v_owner.rolname;
    live := jobs_internal.live_sessions(v_owner.oid);
    -- Sessions that live and are idle take the new work themselves; those that run a job alone, or work for other lanes, do not.
    wanted := least(v_most, v_sum + (select pg_catalog.count(*) from jobs_internal.session as s
      where s.owner = v_owner.oid and (s.job_id is not null or s.msg_ids is not null and s.lane_id <> all (v_lanes))
        and jobs_internal.alive(s.pid, s.backend_start)))::integer;
    if v_sum = 0 then
      wanted := 0;
    end if;
    if v_sum > 0 or live > 0 then
      return next;
    end if;
  end loop;
end
$$;
comment on function jobs_internal.wanted() is 'How many worker sessions each owner should have (0: nothing is due) and has';

-- Purpose: take back what sessions claimed and do not get to, because the job that they run takes longer than anybody knew. Locked messages
-- are in an open chunk and stay. The session finds its token gone and leaves them to others. Locks: message (skip locked).
create or replace function jobs_internal.take_back()
returns void
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp
as $$
declare
  v_session jobs_internal.session;
  v_until timestamptz := pg_catalog.clock_timestamp() + interval '0.3 seconds';
begin
  for v_session in
    select s.* from jobs_internal.session as s
    join jobs_internal.live() as l on l.session_id = s.id
    where s.msg_ids is not null and l.started_at < pg_catalog.clock_timestamp() - interval '1 second'
  loop
    continue when pg_catalog.to_regclass('pgmq.q_pyworker_' || v_session.lane_id) is null;  -- it was dropped meanwhile
    exit when not jobs_internal.has_room(v_until);
    begin
      execute pg_catalog.format(
        'update pgmq.%I as m set vt = pg_catalog.clock_timestamp(), read_ct = m.read_ct - 1 where m.msg_id in ('
        '  select q.msg_id from pgmq.%1$I as q where q.msg_id = any ($1) and q.vt = $2 for update skip locked)',
        'q_pyworker_' || v_session.lane_id)
      using v_session.msg_ids, v_session.lease;
    exception
      when lock_not_available or undefined_table then
        null;  -- somebody has locked the whole table: the next round looks again
    end;
  end loop;
end
$$;
comment on function jobs_internal.take_back() is 'Takes back what sessions claimed and do not get to';

-- Purpose: after the server's clock was set back, what entered a lane before would stay out of sight until the clock is there again. No
-- message waits longer than a lease: one that would is visible now, as if its lease were over. Nor do the signals of a reason to stop wait.
-- The lanes are looked at every ten seconds, and at once when the last look lies in the future.
-- Locks: server (skip locked), stop (skip locked), message (skip locked).
create or replace function jobs_internal.heed_clock()
returns void
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp
set enable_seqscan = off
as $$
declare
  v_lane record;
  v_until timestamptz := pg_catalog.clock_timestamp() + interval '0.5 seconds';
  v_latest timestamptz := pg_catalog.clock_timestamp()
    + pg_catalog.make_interval(secs => jobs_internal.setting('lease_seconds')::double precision + 60);
begin
  update jobs_internal.stop as o
  set requested_at = pg_catalog.clock_timestamp(), pressed_at = least(o.pressed_at, pg_catalog.clock_timestamp())
  where o.ctid = any (array(
    select x.ctid from jobs_internal.stop as x where x.requested_at > pg_catalog.clock_timestamp() + interval '1 minute' for update skip locked));
  if (select v.clock between pg_catalog.clock_timestamp() - interval '10 seconds' and pg_catalog.clock_timestamp() from jobs_internal.server as v) then
    return;
  end if;
  update jobs_internal.server set clock = pg_catalog.clock_timestamp() where id = (select v.id from jobs_internal.server as v for update skip locked);
  if not found then
    return;  -- somebody else looks
  end if;
  for v_lane in
    select l.pgmq_queue from jobs_internal.lane as l
    where l.rest <> 'asleep' and pg_catalog.to_regclass('pgmq.q_' || l.pgmq_queue) is not null
  loop
    exit when not jobs_internal.has_room(v_until);
    begin
      execute pg_catalog.format(
        'update pgmq.%I as m set vt = pg_catalog.clock_timestamp() where m.msg_id in ('
        '  select q.msg_id from pgmq.%1$I as q where q.vt > $1 limit 5000 for update skip locked)',
        'q_' || v_lane.pgmq_queue)
      using v_latest;
    exception
      when undefined_table or lock_not_available then
        null;  -- its queue was dropped meanwhile, or somebody has locked the whole table: the next look is soon
    end;
  end loop;
end
$$;
comment on function jobs_internal.heed_clock() is 'Makes visible what the clock hides because it was set back';

-- Purpose: whether a session in a chunk says truly which of its jobs runs, as far as anybody can tell: one of those that it has claimed, begun while
-- the chunk was young enough to begin one. "pw idle" is true while none of its messages is locked: an open chunk holds them.
-- Locks: message (skip locked).
create or replace function jobs_internal.is_seen(p_session jobs_internal.session, p_name text, p_xact_start timestamptz)
returns boolean
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp
as $$
declare
  v_named text[] := pg_catalog.regexp_match(p_name, '^pw ([0-9]{1,18})/([0-9]{1,9}) ([0-9]{1,13})(?: |$)');
  v_idle boolean := p_name = 'pw idle';
begin
  if v_idle then
    execute pg_catalog.format('select (select count(*) from pgmq.%1$I as m where m.msg_id = any ($1) and m.vt = $2)'
      ' = (select count(*) from (select from pgmq.%1$I as m where m.msg_id = any ($1) and m.vt = $2 for key share skip locked) as f)',
      'q_pyworker_' || p_session.lane_id)
    into v_idle using p_session.msg_ids, p_session.lease;
    return v_idle;
  end if;
  return v_named is not null
    and exists (
      select from jobs_internal.job as j
      where j.id = v_named[1]::bigint and j.owner = p_session.owner and j.state = 'queued' and j.attempt + 1 = v_named[2]::integer
        and j.lane_id = p_session.lane_id and j.msg_id = any (p_session.msg_ids))
    and pg_catalog.to_timestamp(v_named[3]::bigint / 1000.0) between p_xact_start - interval '1 second'
      and p_xact_start + jobs_internal.setting('chunk_ms')::bigint * interval '1 millisecond' + interval '1 second';
exception
  when undefined_table then
    return true;  -- its queue was dropped meanwhile
end
$$;
comment on function jobs_internal.is_seen(jobs_internal.session, text, timestamptz) is 'A session in a chunk says truly which of its jobs runs, as far as anybody can tell';

-- Purpose: shake off a chunk in which nobody can see which job runs, because that job has set application_name: no timeout, no cancel and nobody
-- who waits behind it would reach it. Its session is cancelled without a reason after two seconds, and terminated later: what the others of the
-- chunk did is kept where it can be, the job is run again, alone and uncharged, and is seen from then on. Returns how many were signalled.
-- Locks: session (skip locked), message (skip locked). Writes: session.
create or replace function jobs_internal.end_nameless()
returns integer
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp
as $$
declare
  v record;
  v_session jobs_internal.session;
  v_count integer := 0;
begin
  for v in
    select s as session, s.id, s.pid, a.application_name, a.xact_start, s.nudged_at > a.xact_start as nudged
    from jobs_internal.session as s
    join pg_catalog.pg_stat_get_activity(null) as a on a.pid = s.pid and a.backend_start = s.backend_start
    where s.job_id is null and s.msg_ids is not null
      and a.xact_start < pg_catalog.clock_timestamp() - interval '2 seconds'
      and (s.nudged_at is null or s.nudged_at < greatest(a.xact_start, pg_catalog.clock_timestamp() - interval '3 seconds'))
  loop
    continue when jobs_internal.is_seen(v.session, v.application_name, v.xact_start);
    select s.* into v_session from jobs_internal.session as s where s.id = v.id and s.job_id is null and s.msg_ids is not null for update skip locked;
    continue when not found;
    -- What we know of the processes may be older than that row: it may be in another chunk by now, which is nobody's fault.
    perform pg_catalog.pg_stat_clear_snapshot();
    continue when not exists (select from pg_catalog.pg_stat_get_activity(v.pid) as a
      where a.xact_start = v.xact_start and not jobs_internal.is_seen(v_session, a.application_name, a.xact_start));
    update jobs_internal.session as s set nudged_at = pg_catalog.clock_timestamp() where s.id = v.id;
    v_count := v_count + jobs_internal.signal(v.pid, v.nudged, 'session ' || v.id, (v.session).owner)::integer;
  end loop;
  return v_count;
end
$$;
comment on function jobs_internal.end_nameless() is 'Shakes off chunks in which nobody can see which job runs; returns how many';

-- Purpose: wake the sessions that were taking a nap when the clock was set back: pg_sleep waits by the wall clock, and would go on for as long
-- as the step was. They are known by a transaction that began in the future. Only those are signalled that run no job (and say so, where the
-- claim that they have worked off is still on their row), or watch a child, noted or about to be: the nap of a job is its own. A
-- launch that is hit finds its child or begins again, uncharged. With its row locked a session cannot start a job before the signal is there. Returns how many.
-- Locks: session (skip locked).
create or replace function jobs_internal.end_naps()
returns integer
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp
as $$
declare
  v_id bigint;
  v_pid integer;
  v_count integer := 0;
begin
  for v_id in
    select s.id from jobs_internal.session as s
    join pg_catalog.pg_stat_get_activity(null) as a on a.pid = s.pid and a.backend_start = s.backend_start
    where a.xact_start > pg_catalog.clock_timestamp() + interval '1 second'
  loop
    perform from jobs_internal.session as s where s.id = v_id for update skip locked;
    continue when not found;
    perform pg_catalog.pg_stat_clear_snapshot();
    select s.pid into v_pid
    from jobs_internal.session as s
    join pg_catalog.pg_stat_get_activity(null) as a on a.pid = s.pid and a.backend_start = s.backend_start
    where s.id = v_id and a.xact_start > pg_catalog.clock_timestamp() + interval '1 second'
      and (s.job_id is null and (s.msg_ids is null or a.application_name = 'pw nap')
        or exists (select from jobs_internal.job as j where j.id = s.job_id
          and (j.child_pid is not null or jobs_internal.is_watched(j.id))));
    if found then
      v_count := v_count + jobs_internal.signal(v_pid, false, 'session ' || v_id, null)::integer;
    end if;
  end loop;
  return v_count;
end
$$;
comment on function jobs_internal.end_naps() is 'Wakes the sessions that were taking a nap when the clock was set back; returns how many';

-- Purpose: whether somebody may still be about to commit a job who saw this supervisor awake, and so sends no NOTIFY. Such a transaction had its
-- number before the sleep was there for all to see: as long as one of those is in progress, the supervisor looks again soon. Afterwards it may
-- sleep deep: who enqueues rings. On a server where nobody may ring (may_ring) it never does. Writes: supervisor, once per sleep.
create or replace function jobs_internal.may_be_missed(p_supervisor bigint)
returns boolean
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp
as $$
begin
  update jobs_internal.supervisor set mark = pg_catalog.pg_snapshot_xmax(pg_catalog.pg_current_snapshot())
  where id = p_supervisor and asleep and mark is null;
  return found or exists (
    select from jobs_internal.supervisor as s
    where s.id = p_supervisor and s.asleep
      and (pg_catalog.pg_snapshot_xmin(pg_catalog.pg_current_snapshot()) < s.mark or not jobs_internal.may_ring()));
end
$$;
comment on function jobs_internal.may_be_missed(bigint) is 'Somebody may still commit a job who saw this supervisor awake, and sends no NOTIFY';

-- Purpose: one part of a round, in a savepoint: an error in it costs the other parts nothing. It is noted as a failure of the round, and the part is
-- tried again in the next one, or later where it was cut off (a supervisor's session has a limit of time). Returns what the part gives; null when it failed.
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
    where f.duty = 'round' and f.item = p_part and f.error ->> 'sqlstate' = '57014' and jobs_internal.is_future(f.retry_at))
  then
    return null;
  end if;
  begin
    case p_part
      when 'roles' then perform jobs_internal.note_home(), jobs_internal.follow_roles(), jobs_internal.note_refused();
      when 'quarantine' then perform jobs_internal.lift_quarantine();
      when 'rescue' then v_result := pg_catalog.to_jsonb(jobs_internal.rescue());
      when 'slots' then perform jobs_internal.sweep_slots();
      when 'overdue' then perform jobs_internal.note_overdue();
      when 'claims' then perform jobs_internal.take_back(), jobs_internal.reclaim_slots(), jobs_internal.end_idle_holders();
      when 'nameless' then perform jobs_internal.end_nameless(), jobs_internal.end_naps();
      when 'clock' then perform jobs_internal.heed_clock();
      when 'dispatch' then v_result := pg_catalog.to_jsonb(jobs_internal.dispatch());
      when 'owners' then
        v_result := (select pg_catalog.jsonb_agg(pg_catalog.jsonb_build_object('owner', w.owner, 'wanted', w.wanted, 'live', w.live))
          from jobs_internal.wanted() as w);
      when 'failures' then
        perform jobs_internal.sweep_failures();
        v_result := jobs_internal.untold_failures();
      when 'sums' then perform jobs_internal.sum_up();
      when 'counters' then perform jobs_internal.sweep_counters();
      when 'shapes' then perform jobs_internal.launch_shape_sweep();
      when 'vacuum' then v_result := pg_catalog.to_jsonb(jobs_internal.launch_vacuum());
      when 'history' then v_result := jobs_internal.keep_history();
    end case;
  exception
    when others or query_canceled or assert_failure then
      perform jobs_internal.note_failure('round', p_part, jobs_internal.error_object(sqlstate, sqlerrm));
      return null;
  end;
  perform jobs_internal.clear_failure('round', p_part);
  return v_result;
end
$$;
comment on function jobs_internal.do_part(text) is 'Does one part of a round in a savepoint; null when it failed';

-- Purpose: one round of a supervisor: dispatch, note the overdue, rescue; says what there is to do. Nothing in it waits for a row, an object or an
-- advisory lock: skip locked and nowait wherever a row is wanted. The lock timeout is for the locks that have no such clause, of whole tables.
-- Returns: paused, watchful, dispatched, rescued, stopping, sessions, opened (sessions, ever), running, queued, next_due_ms, next_deadline_ms, feed, owners, problems, failures.
create or replace function jobs_internal.supervisor_tick(p_supervisor bigint)
returns jsonb
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp
set exit_on_error = off
set lock_timeout = '50ms'
as $$
declare
  v_paused boolean := (select s.paused from jobs_internal.switch as s);
  v_watchful boolean := jobs_internal.may_be_missed(p_supervisor);  -- first: what is not seen below is committed later
  -- Also before: of those that are counted here and are not among the living below, each came and went.
  v_opened bigint := coalesce(pg_catalog.pg_sequence_last_value('jobs_internal.session_id_seq'), 0);
  v_rescued integer := 0;
  v_dispatched integer := 0;
  v_sessions integer;
  v_running integer := 0;
  v_deadline timestamptz;
  v_owners jsonb;
begin
  perform jobs_internal.assert_home();
  perform jobs_internal.do_part('roles'), jobs_internal.do_part('quarantine');
  if exists (select from jobs_internal.session) then
    v_rescued := coalesce(jobs_internal.do_part('rescue')::integer, 0);
    perform jobs_internal.do_part('overdue'), jobs_internal.do_part('claims'), jobs_internal.do_part('nameless');
  else
    perform jobs_internal.do_part('slots');
  end if;
  if not v_paused then
    perform jobs_internal.do_part('clock');
    v_dispatched := coalesce(jobs_internal.do_part('dispatch')::integer, 0);
  end if;
  v_owners := jobs_internal.do_part('owners');
  v_sessions := (select pg_catalog.count(*) from jobs_internal.session);
  if v_sessions > 0 then
    -- Attempts that have their reason to stop already are pressed round after round: no deadline of theirs counts any more.
    select pg_catalog.count(l.job_id), pg_catalog.min(l.started_at + j.timeout) filter (where x.job_id is null)
    into v_running, v_deadline
    from jobs_internal.live() as l
    left join lateral (
      select o.timeout from jobs_internal.job as o
      where o.id = l.job_id and l.attempt = case o.state when 'running' then o.attempt else o.attempt + 1 end
      offset 0
    ) as j on true
    left join jobs_internal.stop as x on x.job_id = l.job_id and x.attempt = l.attempt;
  end if;
  return pg_catalog.jsonb_build_object(
    'paused', v_paused,
    'watchful', v_watchful,
    'dispatched', v_dispatched,
    'rescued', v_rescued,
    'stopping', (select pg_catalog.count(*) from jobs_internal.stop),
    'sessions', v_sessions,
    'opened', v_opened,
    'running', v_running,
    'queued', (select pg_catalog.count(*) from (select from jobs_internal.job as j where j.state = 'queued' limit 1000) as d),
    'next_due_ms', (select greatest(0, pg_catalog.ceil(extract(epoch from j.due_at - pg_catalog.clock_timestamp()) * 1000))::bigint
      from jobs_internal.first_due() as j where pg_catalog.isfinite(j.due_at) order by j.due_at limit 1),
    'next_deadline_ms', case when pg_catalog.isfinite(v_deadline)
      then least(greatest(0, pg_catalog.ceil(extract(epoch from v_deadline - pg_catalog.clock_timestamp()) * 1000)), 86400000)::bigint end,
    'feed', (select pg_catalog.count(*) from (select from jobs_internal.feed limit 1000) as d),
    'owners', coalesce(v_owners, '[]'),
    'failures', coalesce(jobs_internal.do_part('failures'), '[]'),
    'problems', coalesce((select pg_catalog.jsonb_agg(pg_catalog.jsonb_build_object('problem', 'lane_quarantined', 'owner', pg_catalog.pg_get_userbyid(l.owner)) || l.quarantine)
      from jobs_internal.lane as l where l.quarantine is not null), '[]'));
end
$$;
comment on function jobs_internal.supervisor_tick(bigint) is 'One round of a supervisor: dispatch, overdue, rescue; says what there is to do';

-- Purpose: the signals that are due; to be called in a transaction after the tick that noted the reasons.
create or replace function jobs_internal.supervisor_press(p_supervisor bigint)
returns setof jsonb
language sql volatile security definer
set search_path = pg_catalog, pg_temp
set exit_on_error = off
set lock_timeout = '50ms'
begin atomic
  select p from jobs_internal.press(null) as p;
end;
comment on function jobs_internal.supervisor_press(bigint) is 'The signals that are due for committed reasons';

-- Purpose: say that a supervisor falls asleep or woke up: enqueuers send a NOTIFY while one sleeps.
-- Returns: true when something is due after all.
create or replace function jobs_internal.supervisor_sleep(p_supervisor bigint, p_asleep boolean)
returns boolean
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp
set exit_on_error = off
set lock_timeout = '50ms'
as $$
begin
  update jobs_internal.supervisor set asleep = p_asleep, mark = null where id = p_supervisor and asleep <> p_asleep;
  return p_asleep and (exists (select from jobs_internal.first_due() as f where f.due_at <= pg_catalog.clock_timestamp())
    or exists (select from jobs_internal.wanted() as w where w.wanted > w.live));
end
$$;
comment on function jobs_internal.supervisor_sleep(bigint, boolean) is 'A supervisor falls asleep or woke up; true when something is due after all';

-- Purpose: take outcomes for the log, as many as p_limit and some megabytes allow: the caller asks until there are none. They are gone when it
-- commits: a crash before that repeats lines and loses none. None where somebody has locked the whole table: they stay for the next round.
-- Locks: feed (skip locked).
create or replace function jobs_internal.take_outcomes(p_limit integer)
returns setof jsonb
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp
set exit_on_error = off
set lock_timeout = '50ms'
as $$
begin
  return query
  with seen as (
    select o.id, o.bytes from jobs_internal.feed as o order by o.id limit p_limit for update skip locked
  ), taken as (
    select r.id
    from (select s.id, pg_catalog.sum(s.bytes) over (order by s.id) - s.bytes as before from seen as s) as r
    where r.before < 4000000  -- the first one always
  )
  delete from jobs_internal.feed as f
  where f.id in (select t.id from taken as t)
  returning f.body || pg_catalog.jsonb_build_object('at', f.at);
  perform jobs_internal.clear_failure('round', 'outcomes');
exception
  when lock_not_available then
    perform jobs_internal.note_failure('round', 'outcomes', jobs_internal.error_object(sqlstate, sqlerrm));
end
$$;
comment on function jobs_internal.take_outcomes(integer) is 'Takes outcomes for the log; gone when the caller commits';

-- Purpose: the roles that a supervisor serves when it is not told which: members of jobs_runner that can log in and whose jobs are not refused.
create or replace function jobs_internal.runners()
returns setof text
language sql stable security definer
set search_path = pg_catalog, pg_temp
set lock_timeout = '50ms'
begin atomic
  select r.rolname::text
  from pg_catalog.pg_roles as r
  where r.rolcanlogin and jobs_internal.is_runner(r.oid) and not jobs_internal.is_refused(r.oid)
  order by r.rolname;
end;
comment on function jobs_internal.runners() is 'Login members of jobs_runner whose jobs are not refused';

-- Purpose: counters older than an hour, outcomes that nobody logged for a week, and what else is of no use any more, is removed. What another
-- transaction has locked stays for the next time. Locks: all skip locked.
create or replace function jobs_internal.sweep_counters()
returns void
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp
as $$
begin
  delete from jobs_internal.minute as d
  where d.ctid = any (array(
    select m.ctid from jobs_internal.minute as m where m.minute < pg_catalog.now() - interval '1 hour' for update skip locked));
  delete from jobs_internal.feed as d
  where d.ctid = any (array(select f.ctid from jobs_internal.feed as f where f.at < pg_catalog.now() - interval '7 days' for update skip locked));
  delete from jobs_internal.rate_use as d
  where d.ctid = any (array(select u.ctid from jobs_internal.rate_use as u where u.at < pg_catalog.now() - interval '1 minute' for update skip locked));
  -- A lane that sleeps has no message. Should one have got there by a way that leaves no nudge, it does not wait longer than to here.
  update jobs_internal.lane as l set rest = 'awake', mark = null
  where l.id = any (array(
    select o.id from jobs_internal.lane as o
    where o.rest = 'asleep' and o.id in (select j.lane_id from jobs_internal.job as j where j.state = 'queued')
    for no key update skip locked));
  delete from jobs_internal.progress_message as d
  where d.ctid = any (array(
    select p.ctid from jobs_internal.progress_message as p
    where not exists (select from jobs_internal.job as j where j.id = p.job_id) for update skip locked));
end
$$;
comment on function jobs_internal.sweep_counters() is 'Removes counters and messages that are of no use any more';

-- Purpose: vacuum of the hot tables in a session of its own, because long worker sessions hide their work from autovacuum. Returns the tables.
create or replace function jobs_internal.launch_vacuum()
returns text[]
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp
as $$
declare
  v_tables text;
begin
  select pg_catalog.string_agg(pg_catalog.format('%I.%I', n.nspname, c.relname), ', ' order by c.relname)
  into v_tables
  from pg_catalog.pg_class as c
  join pg_catalog.pg_namespace as n on n.oid = c.relnamespace
  where c.relkind = 'r' and c.relowner = pg_catalog.quote_ident(current_user)::regrole::oid
    and ((n.nspname = 'jobs_internal' and c.relname in ('job', 'attempt', 'log_line', 'statement', 'nudge', 'rate_use', 'session', 'slot', 'lane', 'duration', 'stop',
        'feed', 'minute', 'spent', 'supervisor', 'progress_message', 'duty_failure'))
      or (n.nspname = 'pgmq' and c.relname like 'q\_pyworker\_%'))
    -- With what is toasted: the claims of sessions are. A table that somebody has locked has no size now, and would be waited for.
    and not exists (select from pg_catalog.pg_locks as l
      where l.relation = c.oid and l.locktype = 'relation' and l.mode = 'AccessExclusiveLock' and l.granted
        and l.database = (select d.oid from pg_catalog.pg_database as d where d.datname = pg_catalog.current_database()))
    and pg_catalog.pg_table_size(c.oid) > 65536;
  if v_tables is null or not jobs_internal.launch_upkeep('vacuum (skip_locked, analyze, truncate false, parallel 0) ' || v_tables, 'pyworker vacuum') then
    return null;
  end if;
  return pg_catalog.string_to_array(v_tables, ', ');
end
$$;
comment on function jobs_internal.launch_vacuum() is 'Vacuums the hot tables in a session of its own; returns them';

-- Purpose: upkeep: one round for the history (73_history.sql), counters and sums, vacuum of the hot tables. One session does it at a time, and each part
-- is in a savepoint of its own.
-- Returns {removed: stretches of history that are gone, more: history has more to do at once, vacuumed: [tables]}. Locks: duty (skip locked).
create or replace function jobs_internal.maintain()
returns jsonb
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp
set exit_on_error = off
set lock_timeout = '100ms'
as $$
declare
  v_history jsonb;
  v_vacuumed jsonb;
begin
  if jobs_internal.takes_duty('upkeep') then
    perform jobs_internal.do_part('sums'), jobs_internal.do_part('counters'), jobs_internal.do_part('shapes');
    v_vacuumed := jobs_internal.do_part('vacuum');
    v_history := jobs_internal.do_part('history');
  end if;
  return pg_catalog.jsonb_build_object('removed', coalesce(v_history -> 'dropped', '0'), 'more', coalesce(v_history -> 'more', 'false'),
    'vacuumed', v_vacuumed);
end
$$;
comment on function jobs_internal.maintain() is 'Upkeep: one round for the history, and vacuum of the hot tables in a session of its own';

-- Making lanes, one pgmq queue each.

-- The pgmq queue of a lane. Its messages are found by their number alone, in the order in which
-- they are done, so it has no index of vt: a lease changes nothing that is indexed, and where its
-- page has room for the new version, no index is written. A page is filled by less than half for
-- that.
-- Locks: pgmq's queue lock (until commit). It is an advisory lock, which any role may hold: it is
-- not waited for long. Errors: 55P03 when another session holds it.
create or replace function jobs_internal.make_lane_queue(p_lane integer)
returns void
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp
set standard_conforming_strings = on  -- pgmq needs it
set lock_timeout = '100ms'
as $$
begin
  perform pgmq.create('pyworker_' || p_lane);
  execute format('drop index if exists pgmq.%I', 'q_pyworker_' || p_lane || '_vt_idx');
  execute format('alter table pgmq.%I set (autovacuum_vacuum_scale_factor = 0.02, '
    'autovacuum_vacuum_threshold = 2000, fillfactor = 45)',
    'q_pyworker_' || p_lane);
end
$$;

-- Make one lane. p_served_at: -infinity where nothing waits for it yet, so that it does not count
-- as one of a shared queue. Returns its number; null when another session has made it.
-- Errors: 55P03 when an open transaction has made it, or another session holds pgmq's lock;
--   whatever a trigger on DDL raises. Locks: pgmq's queue lock.
create or replace function jobs_internal.make_lane(p_queue integer, p_owner oid,
    p_priority smallint, p_served_at timestamptz default now())
returns integer
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp
set standard_conforming_strings = on  -- pgmq needs it
set lock_timeout = '50ms'
as $$
declare
  v_lane integer;
begin
  -- Of pgmq's locks any role may hold some thousands: numbers whose lock is held are left out.
  -- make_lane_queue waits no more then.
  for v_try in 1 .. 100000 loop
    v_lane := nextval('jobs_internal.lane_id_seq');
    exit when pg_try_advisory_xact_lock(hashtext('pgmq.queue_pyworker_' || v_lane));
  end loop;
  insert into jobs_internal.lane (id, queue_id, owner, priority, pgmq_queue, served_at)
  overriding system value
  values (v_lane, p_queue, p_owner, p_priority, 'pyworker_' || v_lane, p_served_at)
  on conflict do nothing;
  if not found then
    return null;
  end if;
  perform jobs_internal.record_role_name(p_owner), jobs_internal.make_lane_queue(v_lane);
  return v_lane;
end
$$;

-- Make one lane as a supervisor's duty, in a savepoint; that it fails is noted. Returns whether it
-- was made. Locks: pgmq's queue lock. Writes: duty_failure.
create or replace function jobs_internal.make_lane_or_note(p_queue integer, p_owner oid,
    p_priority smallint, p_served_at timestamptz default now())
returns boolean
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp
as $$
declare
  v_item text := format('%s/%s/%s', p_queue, p_owner, p_priority);
  v_made boolean;
begin
  begin
    v_made := jobs_internal.make_lane(p_queue, p_owner, p_priority, p_served_at) is not null;
  exception
    when others or query_canceled then
      perform jobs_internal.note_failure('lanes', v_item,
          jobs_internal.error_object(sqlstate, sqlerrm), p_queue, p_owner);
      return false;
  end;
  perform jobs_internal.clear_failure('lanes', v_item);
  return v_made;
end
$$;

-- The owners of scheduled jobs, each with the time of its first one: from one owner to the next in
-- the index, so that it costs what the owners are, however many jobs each has.
create or replace function jobs_internal.first_due()
returns table (owner oid, due_at timestamptz)
language sql stable security definer
set search_path = pg_catalog, pg_temp
set enable_seqscan = off
begin atomic
  with recursive f (owner, due_at) as (
    (select j.owner, j.due_at from jobs_internal.job as j where j.due_at is not null
        order by j.owner, j.due_at limit 1)
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

-- Lanes for jobs that have none yet. Made here and never inside a caller's enqueue, because
-- pgmq.create holds a lock until commit. p_owner null: for all owners, the first of each before the
-- second of any; those that failed a moment ago are left out, and one session makes them at a time.
-- Of an owner's jobs only those are looked at that a round could move: one that comes behind so
-- many others of its own is not moved before them either, lane or no lane. Returns how many. Locks:
-- duty (skip locked), pgmq's queue lock.
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
  v_until timestamptz := clock_timestamp() + interval '0.3 seconds';
  v_but text[] := '{}';
begin
  if p_owner is null and not jobs_internal.takes_duty('lanes') then
    return 0;
  end if;
  if p_owner is null then
    -- However many jobs wait for one that fails, they hide no other.
    v_but := array(select f.item from jobs_internal.duty_failure as f where f.duty = 'lanes'
        and jobs_internal.is_future(f.retry_at));
  end if;
  for v in
    select m.*, format('%s/%s/%s', m.queue_id, m.owner, m.priority) as item
    from (
      select distinct j.queue_id, f.owner, j.priority
      from jobs_internal.first_due() as f
      cross join lateral (
        select o.queue_id, o.priority
        from jobs_internal.job as o
        where o.owner = f.owner and o.due_at <= clock_timestamp()
          and (v_but = '{}' or format('%s/%s/%s', o.queue_id, o.owner, o.priority) <> all (v_but))
        order by o.due_at
        limit 5000
      ) as j
      where f.due_at <= clock_timestamp() and (p_owner is null or f.owner = p_owner)
        and not exists (select from jobs_internal.lane as l where l.queue_id = j.queue_id
            and l.owner = f.owner and l.priority = j.priority)
    ) as m
    left join jobs_internal.duty_failure as f on f.duty = 'lanes'
      and f.item = format('%s/%s/%s', m.queue_id, m.owner, m.priority)
    where p_owner is not null or f.item is null or not jobs_internal.is_future(f.retry_at)
    order by f.retry_at nulls first, row_number() over (partition by m.owner order by m.queue_id,
        m.priority), m.queue_id, m.owner
  loop
    if p_owner is null then
      exit when not jobs_internal.has_room(v_until);
      v_count := v_count + jobs_internal.make_lane_or_note(v.queue_id, v.owner,
          v.priority)::integer;
      continue;
    end if;
    begin
      v_count := v_count + (jobs_internal.make_lane(v.queue_id, v.owner,
            v.priority) is not null)::integer;
    exception
      when others then
        raise warning using message = format('a lane cannot be made now: %s', sqlerrm);
    end;
  end loop;
  return v_count;
end
$$;

-- Put scheduled jobs that nothing holds back into their lanes; one whose lane is not there yet is
-- due, and a supervisor's round makes that. The caller has locked them, or made them.
-- Writes: job, the lane's pgmq queue, wakeup_request.
create or replace function jobs_internal.fill_lanes(p_jobs bigint[])
returns void
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp
set standard_conforming_strings = on  -- pgmq needs it
set enable_seqscan = off
as $$
declare
  v_lane record;
begin
  for v_lane in
    select l.id, l.pgmq_queue, array_agg(j.id order by j.id) as jobs
    from jobs_internal.job as j
    left join jobs_internal.lane as l on l.queue_id = j.queue_id and l.owner = j.owner
      and l.priority = j.priority
    where j.id = any (p_jobs) and j.state = 'scheduled'
    group by l.id
  loop
    if v_lane.id is null then
      update jobs_internal.job as j set due_at = clock_timestamp()
      where j.id = any (v_lane.jobs) and j.due_at > clock_timestamp();
    else
      update jobs_internal.job as j set state = 'queued', due_at = null, lane_id = v_lane.id,
        msg_id = u.msg_id
      from unnest(v_lane.jobs, jobs_internal.send_messages(v_lane.pgmq_queue, v_lane.jobs))
        as u(id, msg_id)
      where j.id = u.id;
    end if;
    perform jobs_internal.wake(v_lane.id);
  end loop;
end
$$;

-- Put due jobs into their lanes now: those that no option holds back, and whose lane is there; the
-- others wait for that, or for the next tick. The caller has locked them, or made them.
-- Writes: job; see pass_gates and fill_lanes.
create or replace function jobs_internal.enter_lanes(p_jobs bigint[])
returns void
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp
as $$
begin
  perform jobs_internal.fill_lanes(jobs_internal.pass_gates(p_jobs));
end
$$;

-- The same for one job.
create or replace function jobs_internal.enter_lane(p_id bigint)
returns void
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp
set standard_conforming_strings = on  -- pgmq needs it
as $$
declare
  v_lane record;
  v_msg_id bigint;
begin
  select l.id, l.pgmq_queue, jobs_internal.is_gated(j.options) as gated into v_lane
  from jobs_internal.job as j
  join jobs_internal.lane as l on l.queue_id = j.queue_id and l.owner = j.owner
    and l.priority = j.priority
  where j.id = p_id;
  if v_lane.gated then
    perform jobs_internal.enter_lanes(array[p_id]);
    return;
  elsif found then
    v_msg_id := pgmq.send(v_lane.pgmq_queue, jsonb_build_object('job', p_id), null::jsonb,
        clock_timestamp());
    update jobs_internal.job set state = 'queued', due_at = null, lane_id = v_lane.id,
      msg_id = v_msg_id where id = p_id;
  end if;
  perform jobs_internal.wake(v_lane.id);
end
$$;

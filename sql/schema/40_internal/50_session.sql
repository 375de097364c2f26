-- Worker sessions: opening, closing, claiming. All are definer functions that a worker session of the owner calls; each checks that the
-- caller is that session (pid and backend_start).

-- Purpose: wait until somebody has found out what the last end of the server means (note_crash): in this life of it no job starts before. A session
-- of our own does that and commits at once; the caller, whose transaction may stay open, would hold up everybody. Errors: PW078.
create or replace function jobs_internal.await_crash_noted()
returns void
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp
as $$
declare
  v_until timestamptz;
begin
  loop
    if exists (select from jobs_internal.server as s where s.epoch = jobs_internal.epoch()) then
      return;
    end if;
    if v_until is null and jobs_internal.launch_upkeep('select jobs_internal.note_crash()', 'pyworker crash') then
      v_until := pg_catalog.clock_timestamp() + interval '5 seconds';
    end if;
    if v_until is null or pg_catalog.clock_timestamp() not between v_until - interval '5 seconds' and v_until then
      raise exception using errcode = 'PW078', message = 'the server has just started, and its last end is not looked into yet',
        detail = 'A session of pyworker''s own does that, in a background worker slot; or a supervisor.', hint = 'Retry in a moment, or start pyworker run.';
    end if;
    perform pg_catalog.pg_sleep(0.002);
  end loop;
end
$$;
comment on function jobs_internal.await_crash_noted() is 'Waits until it is known what the last end of the server means';

-- Purpose: register the calling backend as a worker session of its login. Returns its number. Sees to the dead ones of its owner first, so that
-- jobs go on with no supervisor at all. Locks: none that others wait for. Writes: session. Errors: PW019, PW060, PW073, PW078.
create or replace function jobs_internal.open_session()
returns bigint
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp
as $$
declare
  v_id bigint;
  v_me oid := jobs_internal.me();
begin
  perform jobs_internal.assert_home(), jobs_internal.assert_admitted(v_me), jobs_internal.assert_session_allowed(v_me);
  perform jobs_internal.await_crash_noted();
  perform jobs_internal.rescue(v_me);
  perform jobs_internal.lift_quarantine(v_me);
  insert into jobs_internal.session (owner, pid, backend_start, epoch)
  select v_me, a.pid, a.backend_start, jobs_internal.epoch()
  from pg_catalog.pg_stat_get_activity(pg_catalog.pg_backend_pid()) as a
  returning id into v_id;
  return v_id;
end
$$;
comment on function jobs_internal.open_session() is 'Registers the calling backend as a worker session of its login';

-- Purpose: refuse what only a session between two jobs may do: its job would be running for ever. Errors: PW050.
create or replace function jobs_internal.assert_between_jobs(p_session jobs_internal.session)
returns void
language plpgsql stable security definer
set search_path = pg_catalog, pg_temp
as $$
begin
  if p_session.job_id is not null then
    raise exception using errcode = 'PW050', message = pg_catalog.format('this session runs job %s', p_session.job_id),
      detail = 'It ends that job first.', hint = 'Use the functions of schema jobs.';
  end if;
end
$$;
comment on function jobs_internal.assert_between_jobs(jobs_internal.session) is 'PW050 when the session runs a job alone';

-- Purpose: the session row of the calling backend, locked. Errors: PW050 when it is no worker session of ours.
create or replace function jobs_internal.my_session(p_session bigint)
returns jobs_internal.session
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp
as $$
declare
  v_session jobs_internal.session;
begin
  select s.* into v_session from jobs_internal.session as s
  where s.id = p_session and s.pid = pg_catalog.pg_backend_pid() and s.owner = jobs_internal.me()
  for update;
  if not found then
    raise exception using errcode = 'PW050', message = 'this backend is not that worker session',
      detail = 'Only a worker session calls this.', hint = 'Use the functions of schema jobs.';
  end if;
  return v_session;
end
$$;
comment on function jobs_internal.my_session(bigint) is 'The session row of the calling backend, locked';

-- Purpose: refuse a lane that is not the caller's: its messages would be within reach otherwise. Errors: PW050.
create or replace function jobs_internal.assert_my_lane(p_lane integer)
returns void
language plpgsql stable security definer
set search_path = pg_catalog, pg_temp
as $$
begin
  if not exists (select from jobs_internal.lane as l where l.id = p_lane and l.owner = jobs_internal.me()) then
    raise exception using errcode = 'PW050', message = pg_catalog.format('lane %s is not the caller''s', p_lane),
      detail = 'Only a worker session of its owner works on a lane.', hint = 'Use the functions of schema jobs.';
  end if;
end
$$;
comment on function jobs_internal.assert_my_lane(integer) is 'PW050 unless the lane is the caller''s';

-- Purpose: give back what a session has claimed and not worked off. Messages that carry another token belong to others.
-- p_suspect: the session died; what it had is delivered again and counts as such (read_ct), so that each job runs alone. Otherwise nothing
-- happened, and the delivery is not counted.
-- A claim whose snapshot is older than ours locks our messages for a moment, only to find that they are taken: for a message that is locked
-- we wait, because a token that nobody remembers would hold its job up until the lease ends. Whoever calls this holds no lock yet that a claim
-- waits for (lane, duration, minute), and an open chunk that holds ours for longer is given up on.
create or replace function jobs_internal.release(p_session jobs_internal.session, p_suspect boolean)
returns void
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp
set lock_timeout = '3s'
as $$
declare
  v_back text;
begin
  if p_session.msg_ids is not null then
    v_back := pg_catalog.format(
      'update pgmq.%I as m set vt = pg_catalog.clock_timestamp(), read_ct = m.read_ct - $3 where m.msg_id = any ($1) and m.vt = $2',
      'q_pyworker_' || p_session.lane_id);
    -- The next claim begins where this one did: what comes behind it does not overtake.
    update jobs_internal.session set msg_ids = null, lease = null, last_msg_id = p_session.msg_ids[1] - 1 where id = p_session.id;
    begin
      execute v_back using p_session.msg_ids, p_session.lease, (not p_suspect)::integer;
    exception
      when lock_not_available then
        execute v_back || pg_catalog.format(' and m.msg_id in (select q.msg_id from pgmq.%I as q where q.msg_id = any ($1) for update skip locked)',
          'q_pyworker_' || p_session.lane_id)
        using p_session.msg_ids, p_session.lease, (not p_suspect)::integer;
    end;
  end if;
exception
  when undefined_table then
    null;  -- the queue was dropped meanwhile, and its lanes with it
end
$$;
comment on function jobs_internal.release(jobs_internal.session, boolean) is 'Gives back a session''s claim';

-- Purpose: end of a worker session: its last figures, its claim and slot given back, its row removed.
create or replace function jobs_internal.close_session(p_session bigint, p_learned jobs_internal.lesson[])
returns void
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp
as $$
declare
  v_session jobs_internal.session := jobs_internal.my_session(p_session);
begin
  perform jobs_internal.assert_between_jobs(v_session);
  perform jobs_internal.release(v_session, false);
  perform jobs_internal.learn(v_session, p_learned);
  perform jobs_internal.free_slots(p_session);
  delete from jobs_internal.session where id = p_session;
  perform jobs_internal.wake(null);
end
$$;
comment on function jobs_internal.close_session(bigint, jobs_internal.lesson[]) is 'Ends a worker session: gives back its claim and slot';

-- Purpose: keep what a session learned since its last claim.
-- Several sessions write the same rows of duration; each holds them for the moment of a claim only, and in the same order.
-- The figures come from a session of the owner's: only functions that it may execute are measured, something new only of what it has run alone
-- (finish_alone), as all is that nothing is known of, and no figure is so large, or so small, that what is reckoned with it overflows.
create or replace function jobs_internal.learn(p_session jobs_internal.session, p_learned jobs_internal.lesson[])
returns void
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp
as $$
begin
  if p_learned is null then
    return;
  end if;
  p_learned := p_learned[1:1000];  -- there is one for each function of a claim at most
  insert into jobs_internal.duration as d (shape_id, owner, runs, avg_ms, renames)
  select h.id, p_session.owner, pg_catalog.sum(m.runs), pg_catalog.sum(m.ms) / pg_catalog.sum(m.runs), coalesce(pg_catalog.bool_or(l.renames), false)
  from pg_catalog.unnest(p_learned) as l
  cross join lateral (select o.* from jobs_internal.shape as o where o.id = l.shape_id offset 0) as h
  cross join lateral (select least(l.runs, 1000000000) as runs, least(greatest(l.ms, 0.001), 1e12) as ms) as m
  where m.runs > 0 and pg_catalog.has_function_privilege(p_session.owner, h.func, 'EXECUTE')
    and (h.id = any (p_session.shapes) or exists (select from jobs_internal.duration as o where o.shape_id = h.id and o.owner = p_session.owner))
  group by h.id
  order by h.id
  on conflict (shape_id, owner) do update set
    runs = d.runs + excluded.runs,
    avg_ms = d.avg_ms * 0.7 + excluded.avg_ms * 0.3,
    renames = d.renames or excluded.renames,
    seen_at = excluded.seen_at;
  -- Nobody waits for a lane's row: sessions that go from lane to lane would wait for each other in a circle. Whoever holds it keeps a
  -- measurement of its own.
  update jobs_internal.lane as l set avg_ms = coalesce(l.avg_ms * 0.7 + m.avg_ms * 0.3, m.avg_ms)
  from (
    select o.lane_id, pg_catalog.sum(least(greatest(o.ms, 0.001), 1e12)) / pg_catalog.sum(least(o.runs, 1000000000)) as avg_ms
    from pg_catalog.unnest(p_learned) as o where o.runs > 0
    group by o.lane_id
  ) as m
  where l.id = m.lane_id and l.id in (
    select o.id from jobs_internal.lane as o
    where o.owner = p_session.owner and o.id in (select e.lane_id from pg_catalog.unnest(p_learned) as e)
    for no key update skip locked);
  insert into jobs_internal.minute as m (queue_id, minute, session_id, succeeded, failed)
  select l.queue_id, pg_catalog.date_trunc('minute', pg_catalog.clock_timestamp()), p_session.id,
    pg_catalog.sum(greatest(least(o.runs, 1000000000) - greatest(least(o.failed, 1000000000), 0), 0)),
    pg_catalog.sum(greatest(least(o.failed, 1000000000), 0))
  from pg_catalog.unnest(p_learned) as o
  join jobs_internal.lane as l on l.id = o.lane_id and l.owner = p_session.owner
  group by l.queue_id
  on conflict (queue_id, minute, session_id) do update set
    succeeded = m.succeeded + excluded.succeeded, failed = m.failed + excluded.failed;
  perform jobs_internal.spend(p_session, p_learned);
end
$$;
comment on function jobs_internal.learn(jobs_internal.session, jobs_internal.lesson[]) is 'Keeps the durations, counts and costs that a session measured';

-- Purpose: give back the slots of a session. Nobody waits for a slot: a row that an operator's open transaction has changed is left as it is,
-- for sweep_slots. Locks: slot (skip locked).
create or replace function jobs_internal.free_slots(p_session bigint)
returns void
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp
as $$
begin
  if exists (select from jobs_internal.slot as s where s.session_id = p_session) then
    update jobs_internal.slot as s set session_id = null
    from (select f.queue_id, f.n from jobs_internal.slot as f where f.session_id = p_session for update skip locked) as f
    where s.queue_id = f.queue_id and s.n = f.n;
  end if;
end
$$;
comment on function jobs_internal.free_slots(bigint) is 'Gives back the slots of a session';

-- Purpose: give back the slots of sessions that are not there any more. Locks: slot (skip locked).
create or replace function jobs_internal.sweep_slots()
returns void
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp
as $$
declare
  v_session bigint;
begin
  -- By its number, which never comes again: the slot may be somebody else's by the time that it is locked.
  for v_session in
    select distinct s.session_id from jobs_internal.slot as s
    where s.session_id is not null and not exists (select from jobs_internal.session as o where o.id = s.session_id)
  loop
    perform jobs_internal.free_slots(v_session);
  end loop;
end
$$;
comment on function jobs_internal.sweep_slots() is 'Gives back the slots of sessions that are not there any more';

-- Purpose: give others the slots of sessions that claimed something two seconds ago or longer, and do not work on it: opened by hand, say. Only where
-- a session waits for a slot of that queue. Their claim goes back with the slot, under a new token, so that they cannot run anything without one;
-- what has a message locked, in an open chunk, works, and so does a session that runs a job alone. Returns how many sessions.
-- Locks: session (skip locked), message (skip locked), slot (skip locked).
create or replace function jobs_internal.reclaim_slots()
returns integer
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp
set exit_on_error = off
as $$
declare
  v_id bigint;
  v_session jobs_internal.session;
  v_before timestamptz := pg_catalog.clock_timestamp() - interval '2 seconds'
    + pg_catalog.make_interval(secs => jobs_internal.setting('lease_seconds')::double precision);
  v_free boolean;
  v_count integer := 0;
begin
  if not exists (select from jobs_internal.session as w where w.waits_for is not null) then
    return 0;
  end if;
  for v_id in
    select s.id
    from jobs_internal.slot as t
    join jobs_internal.session as s on s.id = t.session_id
    where s.job_id is null and (s.lease is null or s.lease < v_before) and exists (select from jobs_internal.waiters(t.queue_id))
  loop
    select s.* into v_session from jobs_internal.session as s
    where s.id = v_id and s.job_id is null and (s.lease is null or s.lease < v_before) for update skip locked;
    continue when not found;
    v_free := true;
    begin
      if v_session.msg_ids is not null then
        execute pg_catalog.format('select (select count(*) from pgmq.%1$I as m where m.msg_id = any ($1) and m.vt = $2)'
          ' = (select count(*) from (select from pgmq.%1$I as m where m.msg_id = any ($1) and m.vt = $2 for update skip locked) as f)',
          'q_pyworker_' || v_session.lane_id)
        into v_free using v_session.msg_ids, v_session.lease;
        if v_free then
          execute pg_catalog.format('update pgmq.%I as m set vt = pg_catalog.clock_timestamp(), read_ct = m.read_ct - 1'
            ' where m.msg_id = any ($1) and m.vt = $2', 'q_pyworker_' || v_session.lane_id)
          using v_session.msg_ids, v_session.lease;
        end if;
      end if;
    exception
      when undefined_table then
        null;  -- its queue was dropped meanwhile
    end;
    continue when not v_free;
    update jobs_internal.session as s set msg_ids = null, lease = null, lane_id = null where s.id = v_id;
    perform jobs_internal.free_slots(v_id);
    v_count := v_count + 1;
  end loop;
  return v_count;
end
$$;
comment on function jobs_internal.reclaim_slots() is 'Gives others the slots of sessions that do not work on what they claimed';

-- Purpose: end sessions that keep a slot that others wait for, for the time of a lease, and run nothing: opened by hand, they have left a transaction
-- open in which they claimed, or opened a chunk, or have begun a job and sit there. A worker session is never idle between its first and its last
-- statement, and commits a claim at once. Their jobs come back as those of any session that died. Whose claim is not committed, the lock of the slot
-- says; an operator's is none. Returns how many were signalled. Locks: session (skip locked).
create or replace function jobs_internal.end_idle_holders()
returns integer
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp
as $$
declare
  v record;
  v_before timestamptz := pg_catalog.clock_timestamp() - pg_catalog.make_interval(secs => jobs_internal.setting('lease_seconds')::double precision);
  v_count integer := 0;
begin
  if not exists (select from jobs_internal.session as w where w.waits_for is not null and w.waits_since < v_before) then
    return 0;
  end if;
  for v in
    select a.pid, a.usesysid, s.id
    from jobs_internal.slot as t
    join jobs_internal.session as s on s.id = t.session_id
    join pg_catalog.pg_stat_get_activity(null) as a on a.pid = s.pid and a.backend_start = s.backend_start
    where a.state like 'idle%' and a.state_change < v_before and exists (select from jobs_internal.waiters(t.queue_id) as w where w.owner <> s.owner)
      and not exists (select from jobs_internal.job as j where j.id = s.job_id and jobs_internal.alive(j.child_pid, j.child_start))
    union all
    select a.pid, a.usesysid, null
    from jobs_internal.slot as t
    join pg_catalog.pg_locks as l on l.locktype = 'transactionid' and l.granted and l.mode = 'ExclusiveLock' and l.transactionid = t.xmax
    join pg_catalog.pg_stat_get_activity(null) as a on a.pid = l.pid
    where t.xmax <> '0' and a.xact_start < v_before and exists (select from jobs_internal.waiters(t.queue_id) as w where w.owner <> a.usesysid)
      and exists (select from jobs_internal.lane as o where o.queue_id = t.queue_id and o.owner = a.usesysid)
      and (exists (select from jobs_internal.session as s where s.pid = a.pid and s.backend_start = a.backend_start)
        or not pg_catalog.pg_has_role(a.usesysid, 'jobs_operator', 'member'))
  loop
    if v.id is not null then
      perform from jobs_internal.session as s where s.id = v.id for update skip locked;
      continue when not found;
      perform pg_catalog.pg_stat_clear_snapshot();
      continue when not exists (select from pg_catalog.pg_stat_get_activity(v.pid) as a where a.state like 'idle%' and a.state_change < v_before);
    end if;
    v_count := v_count + jobs_internal.signal(v.pid, true, 'process ' || v.pid, v.usesysid)::integer;
  end loop;
  return v_count;
end
$$;
comment on function jobs_internal.end_idle_holders() is 'Ends sessions that run nothing and keep a slot that others wait for; returns how many';

-- Purpose: slots of a queue that nobody holds. After the concurrency was lowered, slots beyond it are held until they are given back: those count
-- as well.
create or replace function jobs_internal.unused_slots(p_queue integer, p_concurrency integer)
returns bigint
language sql volatile security definer
set search_path = pg_catalog, pg_temp
begin atomic
  select greatest(0, least(p_concurrency, pg_catalog.count(*)) - pg_catalog.count(s.session_id))
  from jobs_internal.slot as s
  where s.queue_id = p_queue;
end;
comment on function jobs_internal.unused_slots(integer, integer) is 'Slots of a queue that nobody holds';

-- Purpose: the sessions that wait for a slot of a queue. One that waits asks all the time; one that asks no more, and only lives, is none.
create or replace function jobs_internal.waiters(p_queue integer)
returns setof jobs_internal.session
language sql stable security definer
set search_path = pg_catalog, pg_temp
begin atomic
  select s.* from jobs_internal.session as s where s.waits_for = p_queue and s.asked_at > clock_timestamp() - interval '2 seconds';
end;
comment on function jobs_internal.waiters(integer) is 'The sessions that wait for a slot of a queue, and ask for it';

-- Purpose: owners other than a session's who have no slot of a queue at all and a session that waits for one, for longer than this session does.
create or replace function jobs_internal.slotless_owners(p_session bigint, p_queue integer)
returns bigint
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp
as $$
begin
  if not exists (select from jobs_internal.session as w where w.waits_for = p_queue and w.id <> p_session) then
    return 0;
  end if;
  return (
    select pg_catalog.count(distinct w.owner)
    from jobs_internal.waiters(p_queue) as w
    join jobs_internal.session as i on i.id = p_session and i.owner <> w.owner
    where (i.waits_for is distinct from p_queue or w.waits_since < i.waits_since)
      and jobs_internal.alive(w.pid, w.backend_start)
      and not exists (
        select from jobs_internal.slot as s join jobs_internal.session as h on h.id = s.session_id
        where s.queue_id = p_queue and h.owner = w.owner));
end
$$;
comment on function jobs_internal.slotless_owners(bigint, integer) is 'Other owners who wait for a slot of a queue and have none';

-- Purpose: whether a queue is shared: another owner than this one has a lane in it.
create or replace function jobs_internal.is_shared(p_queue integer, p_owner oid)
returns boolean
language sql stable security definer
set search_path = pg_catalog, pg_temp
begin atomic
  select exists (select from jobs_internal.lane as l where l.queue_id = p_queue and l.owner <> p_owner);
end;
comment on function jobs_internal.is_shared(integer, oid) is 'Another owner than this one has a lane in the queue';

-- Purpose: whether a session of an owner holds this slot.
create or replace function jobs_internal.slot_is_owned(p_queue integer, p_n integer, p_owner oid)
returns boolean
language sql volatile security definer
set search_path = pg_catalog, pg_temp
begin atomic
  select exists (
    select from jobs_internal.slot as s join jobs_internal.session as h on h.id = s.session_id
    where s.queue_id = p_queue and s.n = p_n and h.owner = p_owner);
end;
comment on function jobs_internal.slot_is_owned(integer, integer, oid) is 'A session of the owner holds this slot of the queue';

-- Purpose: be the only session of an owner that takes the first or the last slot of a queue, until the transaction ends. What locks the owner out is a
-- row of its own: a claim that stays open keeps no slot from others but the one that it takes. Under an isolation level whose snapshot may be old
-- nothing here can be told. Locks: a lane of the owner in the queue (skip locked).
create or replace function jobs_internal.takes_edge(p_queue integer, p_owner oid)
returns boolean
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp
as $$
begin
  if pg_catalog.current_setting('transaction_isolation') <> 'read committed' then
    return false;
  end if;
  perform from jobs_internal.lane as l
  where l.id = (select pg_catalog.min(o.id) from jobs_internal.lane as o where o.queue_id = p_queue and o.owner = p_owner)
  for no key update skip locked;
  return found;
end
$$;
comment on function jobs_internal.takes_edge(integer, oid) is 'The caller alone takes the first or the last slot for this owner';

-- Purpose: take a slot of a queue for a session. Returns false when none is free. A slot belongs to a session until it claims elsewhere, or until
-- there is an owner who waits and has none: the next session that claims leaves it its own, so that no flood keeps others from starting.
-- In a shared queue of two slots and more no owner holds them all, so that what others have is not behind its long jobs: nobody takes the first
-- while its owner holds the last, nor the other way round, and one session of an owner at a time takes one of them (takes_edge).
-- Locks: slot (skip locked), lane (skip locked).
create or replace function jobs_internal.take_slot(p_session bigint, p_queue integer, p_concurrency integer)
returns boolean
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp
as $$
declare
  v_slotless bigint;
  v_owner oid;
  v_n integer;
  v_shared boolean := false;
begin
  if p_concurrency is null then
    perform jobs_internal.free_slots(p_session);
    return true;
  end if;
  v_slotless := jobs_internal.slotless_owners(p_session, p_queue);
  select s.n into v_n from jobs_internal.slot as s where s.queue_id = p_queue and s.session_id = p_session and s.n <= p_concurrency;
  if found then
    if v_n = p_concurrency and v_n > 1 then
      -- It was the only owner when it took it, or the queue had more slots then.
      v_owner := (select i.owner from jobs_internal.session as i where i.id = p_session);
      v_shared := jobs_internal.is_shared(p_queue, v_owner) and jobs_internal.slot_is_owned(p_queue, 1, v_owner);
    end if;
    if not v_shared and (v_slotless = 0 or v_slotless <= jobs_internal.unused_slots(p_queue, p_concurrency)) then
      return true;
    end if;
    perform jobs_internal.free_slots(p_session);
    return false;
  end if;
  perform jobs_internal.free_slots(p_session);
  if jobs_internal.unused_slots(p_queue, p_concurrency) <= v_slotless then
    return false;
  end if;
  if p_concurrency > 1 then
    v_owner := (select i.owner from jobs_internal.session as i where i.id = p_session);
    v_shared := jobs_internal.is_shared(p_queue, v_owner);
  end if;
  if not v_shared then
    update jobs_internal.slot as s set session_id = p_session
    from (
      select f.queue_id, f.n from jobs_internal.slot as f
      where f.queue_id = p_queue and f.session_id is null and f.n <= p_concurrency
      order by f.n limit 1 for update skip locked
    ) as f
    where s.queue_id = f.queue_id and s.n = f.n;
    return found;
  end if;
  for v_n in
    select f.n from jobs_internal.slot as f
    where f.queue_id = p_queue and f.session_id is null and f.n <= p_concurrency
    order by f.n in (1, p_concurrency), f.n
  loop
    continue when v_n in (1, p_concurrency) and not jobs_internal.takes_edge(p_queue, v_owner);
    continue when v_n in (1, p_concurrency) and jobs_internal.slot_is_owned(p_queue, 1 + p_concurrency - v_n, v_owner);
    update jobs_internal.slot as s set session_id = p_session
    from (
      select f.n from jobs_internal.slot as f
      where f.queue_id = p_queue and f.n = v_n and f.session_id is null for update skip locked
    ) as f
    where s.queue_id = p_queue and s.n = f.n;
    if found then
      return true;
    end if;
  end loop;
  return false;
end
$$;
comment on function jobs_internal.take_slot(bigint, integer, integer) is 'Takes a slot of a queue for a session; false when none is free';

-- Purpose: whether nobody is in the middle of a claim that decides who has a slot the calling session could take: what its own claim finds afterwards
-- stands, because whoever has a slot then looks for work again before giving it up. A claim has its session's row locked before it looks at anything.
-- Locks: session (key share, skip locked), given back at once: a caller whose transaction stays open holds up nobody.
create or replace function jobs_internal.slots_settled()
returns boolean
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp
set exit_on_error = off
as $$
declare
  v_ids bigint[];
  v_count bigint;
begin
  v_ids := array(
    select s.id from jobs_internal.session as s
    where s.pid <> pg_catalog.pg_backend_pid() and s.owner in (
      select o.owner
      from jobs_internal.lane as l
      join jobs_internal.queue as q on q.id = l.queue_id and q.concurrency is not null
      join jobs_internal.lane as o on o.queue_id = l.queue_id
      where l.owner = jobs_internal.me() and l.rest <> 'asleep'));
  begin
    select pg_catalog.count(*) into v_count
    from (select from jobs_internal.session as s where s.id = any (v_ids) for key share skip locked) as f;
    raise exception using errcode = 'PW000', message = 'undo';
  exception
    when sqlstate 'PW000' then
      null;
  end;
  return v_count = pg_catalog.cardinality(v_ids);
end
$$;
comment on function jobs_internal.slots_settled() is 'Nobody is in the middle of a claim that decides who has a slot';

-- Purpose: look where a lane's messages begin. While an old snapshot keeps dead entries from being removed, they gather in front of those that
-- live, and each look from the beginning walks over all of them. So one session looks once a second, and the others begin where it found
-- the first. A message that is committed later with a lower number is found by the next look. Returns the front; 0 when it costs nothing to
-- begin at the beginning. p_front: what is known. Locks: lane (skip locked: somebody else looks). Writes: lane.
create or replace function jobs_internal.look_for_front(p_lane integer, p_front bigint)
returns bigint
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp
set enable_seqscan = off
as $$
declare
  v_began timestamptz := pg_catalog.clock_timestamp();
  v_front bigint;
begin
  perform from jobs_internal.lane as l where l.id = p_lane for no key update skip locked;
  if not found then
    return p_front;
  end if;
  execute pg_catalog.format('select m.msg_id - 1 from pgmq.%I as m order by m.msg_id limit 1', 'q_pyworker_' || p_lane) into v_front;
  if pg_catalog.clock_timestamp() - v_began < interval '2 milliseconds' then
    v_front := 0;
  elsif v_front is null then
    v_front := pg_catalog.pg_sequence_last_value(pg_catalog.pg_get_serial_sequence(pg_catalog.format('pgmq.%I', 'q_pyworker_' || p_lane), 'msg_id')::regclass);
  end if;
  v_front := coalesce(v_front, 0);
  update jobs_internal.lane set front = v_front, front_at = pg_catalog.clock_timestamp() where id = p_lane;
  return v_front;
exception
  when undefined_table then
    return 0;  -- its queue was dropped meanwhile
end
$$;
comment on function jobs_internal.look_for_front(integer, bigint) is 'Looks where a lane''s messages begin; 0 when it costs nothing to begin at the beginning';

-- Purpose: lease work to the calling session: up to a second's worth of messages of one lane of its owner, high priority first, among
-- equals the lane that waited longest. The caller commits before it works. Also keeps what the session measured since its last claim, and
-- gives back what is left of that claim when asked (p_release). p_limit: no more messages than this.
-- Returns: the claim; lane_id null when there is nothing (waiting says whether something is due that no slot is free for).
-- Locks: session, messages (skip locked), slot (skip locked), lane (skip locked).
create or replace function jobs_internal.claim(p_session bigint, p_jobs bigint, p_learned jobs_internal.lesson[], p_release boolean, p_limit integer)
returns jobs_internal.claim
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp
set enable_seqscan = off
set enable_hashjoin = off
set enable_mergejoin = off
as $$
declare
  v_session jobs_internal.session := jobs_internal.my_session(p_session);
  v_claim jobs_internal.claim;
  v_lane record;
  v_now timestamptz := pg_catalog.clock_timestamp();
  v_limit integer;
  v_after bigint;
  v_swept timestamptz;
  v_due boolean;
  v_front bigint;
  v_began timestamptz;
  v_waits_for integer;
begin
  if p_release and v_session.msg_ids is not null then
    perform jobs_internal.release(v_session, false);
    v_session.last_msg_id := v_session.msg_ids[1] - 1;
    v_now := pg_catalog.clock_timestamp();  -- what was given back is due for us too
  end if;
  v_claim.waiting := false;
  perform jobs_internal.stir_lanes(v_session.owner);
  -- An owner that has become powerful meanwhile gets no other job: it would run with rights that nobody has admitted.
  if not (select s.paused from jobs_internal.switch as s) and not jobs_internal.is_refused(v_session.owner) then
    for v_lane in
      select l.id, l.queue_id, l.pgmq_queue, l.avg_ms, l.front, l.front_at, q.concurrency
      from (
        -- Ordered before the join: of a thousand lanes only the first few are ever looked at.
        select o.* from jobs_internal.lane as o
        where o.owner = v_session.owner and o.rest <> 'asleep' and o.quarantine is null
        order by o.priority, o.served_at, o.id
      ) as l
      join jobs_internal.queue as q on q.id = l.queue_id
      where not q.paused and q.dropped_at is null
      order by l.priority, l.served_at, l.id
    loop
      v_front := v_lane.front;
      if v_front > 0 and v_lane.front_at not between v_now - interval '1 second' and v_now then
        v_front := jobs_internal.look_for_front(v_lane.id, v_front);
      end if;
      v_began := pg_catalog.clock_timestamp();
      -- Where no slot is taken, the claim itself tells whether there is something; a session that has just had some here need not ask.
      v_due := v_lane.concurrency is null and coalesce(v_session.lane_id = v_lane.id and v_session.swept_at > v_now - interval '1 second', false);
      if not v_due then
        begin
          if v_front = 0 then
            execute pg_catalog.format('select exists (select from pgmq.%I as m where m.vt <= $1)', 'q_' || v_lane.pgmq_queue) into v_due using v_now;
          else
            execute pg_catalog.format('select exists (select from pgmq.%I as m where m.msg_id > $2 and m.vt <= $1 order by m.msg_id limit 1)',
              'q_' || v_lane.pgmq_queue) into v_due using v_now, v_front;
          end if;
        exception
          when undefined_table then
            v_due := false;  -- its queue was dropped meanwhile
        end;
      end if;
      if v_front = 0 and pg_catalog.clock_timestamp() - v_began > interval '5 milliseconds'
        and pg_catalog.pg_relation_size(pg_catalog.to_regclass('pgmq.q_' || v_lane.pgmq_queue)) > 1000000
      then
        v_front := jobs_internal.look_for_front(v_lane.id, 0);
      end if;
      continue when not v_due;
      if not jobs_internal.take_slot(p_session, v_lane.queue_id, v_lane.concurrency) then
        v_claim.waiting := true;
        v_waits_for := coalesce(v_waits_for, v_lane.queue_id);
        continue;
      end if;
      -- What nobody has seen yet is taken one at a time, or a few where all other lanes of this owner are quick.
      v_limit := 1;
      if p_limit > 1 then
        if v_lane.avg_ms is not null then
          v_limit := least(p_limit, jobs_internal.setting('claim_jobs')::numeric,
            greatest(1, jobs_internal.setting('claim_ms')::numeric / greatest(v_lane.avg_ms, 0.01)::numeric))::integer;
        elsif (select pg_catalog.max(l.avg_ms) from jobs_internal.lane as l where l.owner = v_session.owner) < 1 then
          v_limit := least(p_limit, 10);
        end if;
      end if;
      -- Dead entries at the front of the lane cost a walk at each claim, so a claim starts behind the last one; from the front again once
      -- a second, for messages that were committed late or came back.
      v_after := v_front;
      v_swept := v_now;
      if v_session.lane_id = v_lane.id and v_session.swept_at > v_now - interval '1 second' then
        v_after := greatest(v_session.last_msg_id, v_front);
        v_swept := v_session.swept_at;
      end if;
      v_claim.lease := v_now + pg_catalog.make_interval(secs => jobs_internal.setting('lease_seconds')::double precision);
      loop
        begin
          execute pg_catalog.format(
            'select array_agg(c.msg_id) from ('
            '  select m.msg_id from pgmq.%I as m where m.msg_id > $1 and m.vt <= $2 order by m.msg_id limit $3 for update skip locked'
            ') as c', 'q_' || v_lane.pgmq_queue)
          into v_claim.msg_ids using v_after, v_now, v_limit;
          if v_claim.msg_ids is not null then  -- in the subtransaction that locked them: two would make a MultiXact for each message
            execute pg_catalog.format('update pgmq.%I as m set vt = $2, read_ct = m.read_ct + 1, last_read_at = $3 where m.msg_id = any ($1)',
              'q_' || v_lane.pgmq_queue)
            using v_claim.msg_ids, v_claim.lease, v_now;
          end if;
        exception
          when undefined_table then
            null;  -- as above
        end;
        exit when v_claim.msg_ids is not null or v_after = v_front;
        v_after := v_front;
        v_swept := v_now;
      end loop;
      if v_claim.msg_ids is not null then
        v_claim.lane_id := v_lane.id;
        v_claim.full_up := pg_catalog.cardinality(v_claim.msg_ids) >= v_limit;
        update jobs_internal.lane set served_at = v_now
        where id = (select l.id from jobs_internal.lane as l where l.id = v_lane.id for no key update skip locked);
        exit;
      end if;
    end loop;
  end if;
  if v_claim.lane_id is null then
    v_claim.lease := null;
    v_claim.surplus := exists (select from jobs_internal.session as s
      where s.owner = v_session.owner and s.id < p_session and s.msg_ids is null and s.job_id is null and jobs_internal.alive(s.pid, s.backend_start));
    perform jobs_internal.free_slots(p_session);
    if v_session.msg_ids is not null or v_session.jobs <> p_jobs or v_session.waits_for is distinct from v_waits_for
      or p_learned is not null and v_session.shapes is not null
      or v_waits_for is not null and v_session.asked_at not between v_now - interval '0.5 seconds' and v_now
    then
      update jobs_internal.session
      set msg_ids = null, lane_id = null, lease = null, jobs = p_jobs, waits_for = v_waits_for, asked_at = v_now,
        shapes = case when p_learned is null then shapes end,
        waits_since = case when v_session.waits_for = v_waits_for then v_session.waits_since when v_waits_for is not null then v_now end
      where id = p_session;
    end if;
  else
    v_claim.suspects := exists (select from jobs_internal.job as j where j.crashes > 0);
    update jobs_internal.session
    set lane_id = v_claim.lane_id, msg_ids = v_claim.msg_ids, lease = v_claim.lease, jobs = p_jobs, swept_at = v_swept,
      waits_for = null, waits_since = null, shapes = case when p_learned is null then shapes end,
      last_msg_id = v_claim.msg_ids[pg_catalog.cardinality(v_claim.msg_ids)]
    where id = p_session;
  end if;
  -- Last, because all sessions write the same rows: with many dead entries in a lane, the search before it takes its time.
  if p_learned is not null then
    perform jobs_internal.learn(v_session, p_learned);
  end if;
  return v_claim;
end
$$;
comment on function jobs_internal.claim(bigint, bigint, jobs_internal.lesson[], boolean, integer) is 'Leases up to a second''s worth of messages of one lane to the calling session';

-- Purpose: a number that grows with each message that enters a lane of the calling login which is awake, committed or not, and with each nudge: a
-- session without work asks for it every few milliseconds, and claims when it has changed. Null where there are too many lanes to ask.
create or replace function jobs_internal.head()
returns numeric
language sql volatile security definer
set search_path = pg_catalog, pg_temp
begin atomic
  select case when (select pg_catalog.count(*) from jobs_internal.lane as o where o.owner = jobs_internal.me() and o.rest <> 'asleep') <= 10 then (
    select pg_catalog.sum(coalesce(pg_catalog.pg_sequence_last_value(pg_catalog.to_regclass('pgmq.q_' || l.pgmq_queue || '_msg_id_seq')), 0))
    from jobs_internal.lane as l
    where l.owner = jobs_internal.me() and l.rest <> 'asleep') + (select pg_catalog.count(*) from jobs_internal.nudge) end;
end;
comment on function jobs_internal.head() is 'A number that changes when a message enters a lane of the calling login';

-- Purpose: whether the server shuts down: the walwriter goes first. Asked after long jobs and while idle; a job may have swallowed the signal.
create or replace function jobs_internal.shutting_down()
returns boolean
language sql volatile security definer
set search_path = pg_catalog, pg_temp
begin atomic
  select not exists (select from pg_catalog.pg_stat_get_activity(null) as a where a.backend_type = 'walwriter');
end;
comment on function jobs_internal.shutting_down() is 'The server shuts down (its walwriter is gone)';

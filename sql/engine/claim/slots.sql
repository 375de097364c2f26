-- Slots: how many jobs of a queue run at once; given back, and reclaimed.

-- One row in slot for each job that the queue may run at once. A slot that a session holds stays,
-- also beyond a lower number: its job counts until it is given back, and no session takes it then.
-- Who takes or gives one back at this moment is not waited for.
create or replace function jobs_internal.fit_slots(p_queue integer)
returns void
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp
as $$
declare
  v_concurrency integer := (select q.concurrency from jobs_internal.queue as q
      where q.id = p_queue);
begin
  delete from jobs_internal.slot as s
  where s.queue_id = p_queue and s.n in (
    select f.n from jobs_internal.slot as f
    where f.queue_id = p_queue and f.session_id is null and f.n > coalesce(v_concurrency, 0)
    for update skip locked
  );
  insert into jobs_internal.slot (queue_id, n) select p_queue, g
    from generate_series(1, v_concurrency) as g on conflict do nothing;
end
$$;

-- Give back the slots of a session. No session waits for a slot: a row that an operator's open
-- transaction has changed is left as it is, for sweep_slots. Locks: slot (skip locked).
create or replace function jobs_internal.free_slots(p_session bigint)
returns void
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp
as $$
begin
  if exists (select from jobs_internal.slot as s where s.session_id = p_session) then
    update jobs_internal.slot as s set session_id = null
    from (select f.queue_id, f.n from jobs_internal.slot as f
    where f.session_id = p_session for update skip locked) as f
    where s.queue_id = f.queue_id and s.n = f.n;
  end if;
end
$$;

-- Give back the slots of sessions that are not there any more. Locks: slot (skip locked).
create or replace function jobs_internal.sweep_slots()
returns void
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp
as $$
declare
  v_session bigint;
begin
  -- By its number, which never comes again: the slot may be another session's by the time that it
  -- is locked.
  for v_session in
    select distinct s.session_id from jobs_internal.slot as s
    where s.session_id is not null and not exists (select from jobs_internal.session as o
        where o.id = s.session_id)
  loop
    perform jobs_internal.free_slots(v_session);
  end loop;
end
$$;

-- Whether no session is in the middle of a claim that decides who has a slot the calling session
-- could take: what its own claim finds afterwards stands, because a session that has a slot then
-- looks for work again before giving it up. A claim has its session's row locked before it looks at
-- anything.
-- Locks: session (key share, skip locked; given back at once: a caller whose transaction stays
--   open holds up no other session).
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
    where s.pid <> pg_backend_pid() and s.owner in (
      select o.owner
      from jobs_internal.lane as l
      join jobs_internal.queue as q on q.id = l.queue_id and q.concurrency is not null
      join jobs_internal.lane as o on o.queue_id = l.queue_id
      where l.owner = jobs_internal.caller() and l.idle_state <> 'idle'));
  begin
    select count(*) into v_count
    from (select from jobs_internal.session as s where s.id = any (v_ids) for key share skip locked)
      as f;
    raise exception using errcode = 'PW999', message = 'undo';
  exception
    when sqlstate 'PW999' then
      null;
  end;
  return v_count = cardinality(v_ids);
end
$$;

-- Give others the slots of sessions that claimed something two seconds ago or longer, and do not
-- work on it: opened by hand, say. Only where a session waits for a slot of that queue. Their claim
-- goes back with the slot, under a new token, so that they cannot run anything without one; what
-- has a message locked, in an open chunk, works, and so does a session that runs a job alone.
-- Returns how many sessions.
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
  v_before timestamptz := clock_timestamp() - interval '2 seconds'
    + make_interval(secs => jobs_internal.setting('lease_seconds')::double precision);
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
    where s.job_id is null and (s.lease is null or s.lease < v_before)
      and exists (select from jobs_internal.waiters(t.queue_id))
  loop
    select s.* into v_session from jobs_internal.session as s
    where s.id = v_id and s.job_id is null and (s.lease is null or s.lease < v_before)
    for update skip locked;
    continue when not found;
    v_free := true;
    begin
      if v_session.msg_ids is not null then
        execute format(
            'select (select count(*) from pgmq.%1$I as m where m.msg_id = any ($1) and m.vt = $2)'
          ' = (select count(*) from (select from pgmq.%1$I as m where m.msg_id = any ($1) and m.vt '
          '= $2 for update skip locked) as f)',
          'q_pyworker_' || v_session.lane_id)
        into v_free using v_session.msg_ids, v_session.lease;
        if v_free then
          execute format(
              'update pgmq.%I as m set vt = pg_catalog.clock_timestamp(), read_ct = m.read_ct - 1'
            ' where m.msg_id = any ($1) and m.vt = $2', 'q_pyworker_' || v_session.lane_id)
          using v_session.msg_ids, v_session.lease;
          perform jobs_internal.return_starts(v_session.lane_id,
              cardinality(v_session.msg_ids));
        end if;
      end if;
    exception
      when undefined_table then
        null;  -- its queue was dropped meanwhile
    end;
    continue when not v_free;
    update jobs_internal.session as s set msg_ids = null, lease = null, lane_id = null
      where s.id = v_id;
    perform jobs_internal.free_slots(v_id);
    v_count := v_count + 1;
  end loop;
  return v_count;
end
$$;

-- Slots of a queue that are free. After the concurrency was lowered, slots beyond it are held
-- until they are given back: those count as well.
create or replace function jobs_internal.unused_slots(p_queue integer, p_concurrency integer)
returns bigint
language sql volatile security definer
set search_path = pg_catalog, pg_temp
begin atomic
  select greatest(0, least(p_concurrency, count(*)) - count(s.session_id))
  from jobs_internal.slot as s
  where s.queue_id = p_queue;
end;

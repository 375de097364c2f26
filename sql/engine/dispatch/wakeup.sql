-- Waking supervisors and lanes.
--
-- A look at a lane costs a statement and locks of its table and indexes, so a thousand empty lanes
-- must not be looked at round after round. A lane that was empty for some seconds becomes idle in
-- three steps, each a round of a supervisor:
--   active      every session looks at it
--   going_idle  every session looks at it, and an enqueuer leaves a wakeup request; horizon_xid:
--               transactions from this number on are sure to have seen that
--   idle        all older transactions are over and it is still empty: no session looks, until a
--               wakeup request names it
-- A wakeup request is a row of its own in the enqueuer's transaction: no two enqueuers wait for
-- each other, and a rollback takes it away. A session that looks for work sees to the requests
-- first. With a mistake here jobs would wait unseen, so the request is decided after the message is
-- written, when the transaction has its number, and always left by one whose snapshot may be too
-- old to tell.

-- Whether enqueuers may notify a supervisor that sleeps. A transaction that notified cannot be
-- prepared (PREPARE TRANSACTION), and which ones will be is not known: where the server allows any,
-- no enqueuer notifies, and a supervisor that sleeps looks once a second (must_poll).
create or replace function jobs_internal.may_notify()
returns boolean
language sql stable
set search_path = pg_catalog, pg_temp
begin atomic
  select current_setting('max_prepared_transactions') = '0';
end;

-- After a message was written: wake its lane if it is idle, and a supervisor if one sleeps. NOTIFY
-- takes a lock of the whole database at commit, so it is sent only then. p_lane null: only a
-- supervisor. Writes: wakeup_request; once for each lane and transaction: the row itself says
-- whether it is there, and no setting, which a session may change.
create or replace function jobs_internal.wake(p_lane integer)
returns void
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp
as $$
begin
  if exists (select from jobs_internal.supervisor where asleep) and jobs_internal.may_notify() then
    perform pg_notify('pyworker', '');
  end if;
  if p_lane is not null and (exists (select from jobs_internal.lane as l where l.id = p_lane
        and l.idle_state <> 'active')
    or current_setting('transaction_isolation') <> 'read committed')
  then
    -- with a row of this very transaction
    insert into jobs_internal.wakeup_request (lane_id) values (p_lane) on conflict do nothing;
  end if;
end
$$;

-- Serve the wakeup requests: their lanes are looked at again. A request goes only when its lane is
-- active; where another session holds the lane's row for a moment, it stays for the next look.
-- p_owner: only those of this owner, whose transaction may stay open; null: all.
-- Locks: lane (skip locked), wakeup_request (skip locked).
create or replace function jobs_internal.wake_lanes(p_owner oid default null)
returns void
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp
as $$
begin
  if not exists (select from jobs_internal.wakeup_request) then
    return;
  end if;
  update jobs_internal.lane as l set idle_state = 'active', horizon_xid = null
  where l.id in (
    select o.id from jobs_internal.lane as o
    where o.idle_state <> 'active' and (p_owner is null or o.owner = p_owner)
      and o.id in (select n.lane_id from jobs_internal.wakeup_request as n)
    for no key update skip locked);
  delete from jobs_internal.wakeup_request as d
  where d.ctid = any (array(
    select n.ctid from jobs_internal.wakeup_request as n
    where not exists (select from jobs_internal.lane as l where l.id = n.lane_id
        and (l.idle_state <> 'active' or l.owner <> p_owner))
    for update skip locked));
end
$$;

-- One step towards idle for a lane where nothing was due, if it is empty. Locks: lane (skip
-- locked).
create or replace function jobs_internal.set_lane_idle(p_lane integer)
returns void
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp
as $$
declare
  v_lane jobs_internal.lane;
  v_empty boolean;
begin
  select l.* into v_lane from jobs_internal.lane as l
  where l.id = p_lane for no key update skip locked;
  if not found or v_lane.idle_state = 'idle' then
    return;
  end if;
  execute format('select not exists (select from pgmq.%I)', 'q_' || v_lane.pgmq_queue) into v_empty;
  if not v_empty then
    update jobs_internal.lane set idle_state = 'active', horizon_xid = null
    where id = p_lane and idle_state <> 'active';
  elsif v_lane.idle_state = 'active' then
    update jobs_internal.lane set idle_state = 'going_idle', horizon_xid = null where id = p_lane;
  elsif v_lane.horizon_xid is null then
    update jobs_internal.lane set horizon_xid = pg_snapshot_xmax(pg_current_snapshot())
    where id = p_lane;
  elsif pg_snapshot_xmin(pg_current_snapshot()) >= v_lane.horizon_xid then
    -- Looked at once more, now that all transactions that saw it active have ended.
    execute format('select not exists (select from pgmq.%I)', 'q_' || v_lane.pgmq_queue)
      into v_empty;
    if v_empty then
      update jobs_internal.lane set idle_state = 'idle' where id = p_lane;
    end if;
  end if;
exception
  when undefined_table then
    null;  -- its queue was dropped meanwhile
end
$$;

-- Whether an enqueuer may still be about to commit a job that saw this supervisor awake, and so
-- sends no NOTIFY. Such a transaction had its number before the sleep was there for all to see: as
-- long as one of those is in progress, the supervisor looks again soon. Afterwards it may sleep
-- deep: each enqueuer notifies it. On a server where no enqueuer may notify (may_notify) it never
-- does. Writes: supervisor (once per sleep).
create or replace function jobs_internal.must_poll(p_supervisor bigint)
returns boolean
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp
as $$
begin
  update jobs_internal.supervisor set horizon_xid = pg_snapshot_xmax(pg_current_snapshot())
  where id = p_supervisor and asleep and horizon_xid is null;
  return found or exists (
    select from jobs_internal.supervisor as s
    where s.id = p_supervisor and s.asleep
      and (pg_snapshot_xmin(pg_current_snapshot()) < s.horizon_xid
        or not jobs_internal.may_notify()));
end
$$;

-- Waking supervisors and lanes.
--
-- A look at a lane costs a statement and locks of its table and indexes, so a thousand empty lanes
-- must not be looked at round after round. A lane that was empty for some seconds goes to sleep in
-- three steps, each a round of a supervisor:
--   awake    every session looks at it
--   dozing   every session looks at it, and an enqueuer leaves a wakeup request; mark: transactions
--            from this number on are sure to have seen that
--   asleep   all older transactions are over and it is still empty: no session looks, until a
--            wakeup request names it
-- A wakeup request is a row of its own in the enqueuer's transaction: no two enqueuers wait for
-- each other, and a rollback takes it away. A session that looks for work sees to the requests
-- first. With a mistake here jobs would wait unseen, so the request is decided after the message is
-- written, when the transaction has its number, and always left by one whose snapshot may be too
-- old to tell.

-- Whether enqueuers may ring for a supervisor that sleeps. A transaction that rang cannot be
-- prepared (PREPARE TRANSACTION), and which ones will be is not known: where the server allows any,
-- no enqueuer notifies, and a supervisor that sleeps looks once a second (must_poll).
create or replace function jobs_internal.may_notify()
returns boolean
language sql stable
set search_path = pg_catalog, pg_temp
begin atomic
  select current_setting('max_prepared_transactions') = '0';
end;

-- After a message was written: wake its lane if it rests, and a supervisor if one sleeps. NOTIFY
-- takes a lock of the whole database at commit, so it is sent only then. p_lane null: only a
-- supervisor. Writes: nudge, once for each lane and transaction: the row itself says whether it is
-- there, and no setting, which a session may change.
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
        and l.rest <> 'awake')
    or current_setting('transaction_isolation') <> 'read committed')
  then
    -- with a row of this very transaction
    insert into jobs_internal.wakeup_request (lane_id) values (p_lane) on conflict do nothing;
  end if;
end
$$;

-- See to the nudges: their lanes are looked at again. A nudge goes only when its lane is awake;
-- where another session holds the lane's row for a moment, it stays for the next look. p_owner:
-- only those of this owner, whose transaction may stay open; null: all.
-- Locks: lane (skip locked), nudge (skip locked).
create or replace function jobs_internal.wake_lanes(p_owner oid default null)
returns void
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp
as $$
begin
  if not exists (select from jobs_internal.wakeup_request) then
    return;
  end if;
  update jobs_internal.lane as l set rest = 'awake', mark = null
  where l.id in (
    select o.id from jobs_internal.lane as o
    where o.rest <> 'awake' and (p_owner is null or o.owner = p_owner)
      and o.id in (select n.lane_id from jobs_internal.wakeup_request as n)
    for no key update skip locked);
  delete from jobs_internal.wakeup_request as d
  where d.ctid = any (array(
    select n.ctid from jobs_internal.wakeup_request as n
    where not exists (select from jobs_internal.lane as l where l.id = n.lane_id
        and (l.rest <> 'awake' or l.owner <> p_owner))
    for update skip locked));
end
$$;

-- One step towards sleep for a lane where nothing was due, if it is empty. Locks: lane (skip
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
  if not found or v_lane.rest = 'asleep' then
    return;
  end if;
  execute format('select not exists (select from pgmq.%I)', 'q_' || v_lane.pgmq_queue) into v_empty;
  if not v_empty then
    update jobs_internal.lane set rest = 'awake', mark = null where id = p_lane and rest <> 'awake';
  elsif v_lane.rest = 'awake' then
    update jobs_internal.lane set rest = 'dozing', mark = null where id = p_lane;
  elsif v_lane.mark is null then
    update jobs_internal.lane set mark = pg_snapshot_xmax(pg_current_snapshot()) where id = p_lane;
  elsif pg_snapshot_xmin(pg_current_snapshot()) >= v_lane.mark then
    -- Looked at once more, now that all who saw it awake have ended.
    execute format('select not exists (select from pgmq.%I)', 'q_' || v_lane.pgmq_queue)
      into v_empty;
    if v_empty then
      update jobs_internal.lane set rest = 'asleep' where id = p_lane;
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
-- deep: who enqueues rings. On a server where no enqueuer may notify (may_notify) it never does.
-- Writes: supervisor, once per sleep.
create or replace function jobs_internal.must_poll(p_supervisor bigint)
returns boolean
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp
as $$
begin
  update jobs_internal.supervisor set mark = pg_snapshot_xmax(pg_current_snapshot())
  where id = p_supervisor and asleep and mark is null;
  return found or exists (
    select from jobs_internal.supervisor as s
    where s.id = p_supervisor and s.asleep
      and (pg_snapshot_xmin(pg_current_snapshot()) < s.mark or not jobs_internal.may_notify()));
end
$$;

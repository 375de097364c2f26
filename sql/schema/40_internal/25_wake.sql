-- Who rests, and what wakes him: supervisors, and lanes.
--
-- A look at a lane costs a statement and locks of its table and indexes, so a thousand empty lanes must not be looked at round after round.
-- A lane that was empty for some seconds goes to sleep in three steps, each a round of a supervisor:
--   awake    everybody looks at it
--   dozing   everybody looks at it, and who enqueues leaves a nudge; mark: transactions from this number on are sure to have seen that
--   asleep   all older transactions are over and it is still empty: nobody looks, until a nudge names it
-- A nudge is a row of its own in the enqueuer's transaction: no two enqueuers wait for each other, and a rollback takes it away. Whoever
-- looks for work sees to the nudges first. With a mistake here jobs would wait unseen, so: the nudge is decided after the message is
-- written, when the transaction has its number, and always left by one whose snapshot may be too old to tell.

-- Purpose: whether enqueuers may ring for a supervisor that sleeps. A transaction that rang cannot be prepared (PREPARE TRANSACTION), and which
-- ones will be is not known: where the server allows any, nobody rings, and a supervisor that sleeps looks once a second (may_be_missed).
create or replace function jobs_internal.may_ring()
returns boolean
language sql stable
set search_path = pg_catalog, pg_temp
begin atomic
  select pg_catalog.current_setting('max_prepared_transactions') = '0';
end;
comment on function jobs_internal.may_ring() is 'No transaction of this server can be prepared, so enqueuers ring';

-- Purpose: after a message was written: wake its lane if it rests, and a supervisor if one sleeps. NOTIFY takes a lock of the whole database at
-- commit, so it is sent only then. p_lane null: only a supervisor. Writes: nudge, once for each lane and transaction: the row itself says whether
-- it is there, and no setting, which a session may change.
create or replace function jobs_internal.wake(p_lane integer)
returns void
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp
as $$
begin
  if exists (select from jobs_internal.supervisor where asleep) and jobs_internal.may_ring() then
    perform pg_catalog.pg_notify('pyworker', '');
  end if;
  if p_lane is not null and (exists (select from jobs_internal.lane as l where l.id = p_lane and l.rest <> 'awake')
    or pg_catalog.current_setting('transaction_isolation') <> 'read committed')
  then
    insert into jobs_internal.nudge (lane_id) values (p_lane) on conflict do nothing;  -- with a row of this very transaction
  end if;
end
$$;
comment on function jobs_internal.wake(integer) is 'Wakes a lane that rests, and at commit by NOTIFY pyworker a supervisor that sleeps';

-- Purpose: see to the nudges: their lanes are looked at again. A nudge goes only when its lane is awake; where somebody else holds the lane's
-- row for a moment, it stays for the next look. p_owner: only those of this owner, whose transaction may stay open; null: all.
-- Locks: lane (skip locked), nudge (skip locked).
create or replace function jobs_internal.stir_lanes(p_owner oid default null)
returns void
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp
as $$
begin
  if not exists (select from jobs_internal.nudge) then
    return;
  end if;
  update jobs_internal.lane as l set rest = 'awake', mark = null
  where l.id in (
    select o.id from jobs_internal.lane as o
    where o.rest <> 'awake' and (p_owner is null or o.owner = p_owner) and o.id in (select n.lane_id from jobs_internal.nudge as n)
    for no key update skip locked);
  delete from jobs_internal.nudge as d
  where d.ctid = any (array(
    select n.ctid from jobs_internal.nudge as n
    where not exists (select from jobs_internal.lane as l where l.id = n.lane_id and (l.rest <> 'awake' or l.owner <> p_owner))
    for update skip locked));
end
$$;
comment on function jobs_internal.stir_lanes(oid) is 'Wakes the lanes that nudges name';

-- Purpose: one step towards sleep for a lane where nothing was due, if it is empty. Locks: lane (skip locked).
create or replace function jobs_internal.rest_lane(p_lane integer)
returns void
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp
as $$
declare
  v_lane jobs_internal.lane;
  v_empty boolean;
begin
  select l.* into v_lane from jobs_internal.lane as l where l.id = p_lane for no key update skip locked;
  if not found or v_lane.rest = 'asleep' then
    return;
  end if;
  execute pg_catalog.format('select not exists (select from pgmq.%I)', 'q_' || v_lane.pgmq_queue) into v_empty;
  if not v_empty then
    update jobs_internal.lane set rest = 'awake', mark = null where id = p_lane and rest <> 'awake';
  elsif v_lane.rest = 'awake' then
    update jobs_internal.lane set rest = 'dozing', mark = null where id = p_lane;
  elsif v_lane.mark is null then
    update jobs_internal.lane set mark = pg_catalog.pg_snapshot_xmax(pg_catalog.pg_current_snapshot()) where id = p_lane;
  elsif pg_catalog.pg_snapshot_xmin(pg_catalog.pg_current_snapshot()) >= v_lane.mark then
    -- Looked at once more, now that all who saw it awake have ended.
    execute pg_catalog.format('select not exists (select from pgmq.%I)', 'q_' || v_lane.pgmq_queue) into v_empty;
    if v_empty then
      update jobs_internal.lane set rest = 'asleep' where id = p_lane;
    end if;
  end if;
exception
  when undefined_table then
    null;  -- its queue was dropped meanwhile
end
$$;
comment on function jobs_internal.rest_lane(integer) is 'One step towards sleep for a lane where nothing was due, if it is empty';

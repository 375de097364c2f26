-- Turns: the high, normal and low jobs of an owner get 4, 2 and 1 parts of the time that its
-- sessions lease while they wait beside each other. The rule, and what would break it:
-- docs/limits.md. An owner whose lanes in use have one priority pays nothing for it: a session
-- that finds more has session.owed from then on, and asks for the turns at each claim.

-- Whether the lanes in use of an owner have more than one priority.
create or replace function jobs_internal.shares_turns(p_owner oid)
returns boolean
language sql stable security definer
set search_path = pg_catalog, pg_temp
begin atomic
  select min(l.priority) < max(l.priority) from jobs_internal.lane as l
  where l.owner = p_owner and l.idle_state <> 'idle';
end;

-- The turns of a session's owner, by priority (high, normal, low). Returns:
--   clock: how far its virtual clock has come, ms
--   starts: where on it the next turn of each begins; the least is next. What the session owes
--     counts as leased
--   keepers: the lane whose row counts; null: none yet
create or replace function jobs_internal.turns(p_session jobs_internal.session,
    out clock double precision, out starts double precision[], out keepers integer[])
returns record
language plpgsql stable security definer
set search_path = pg_catalog, pg_temp
as $$
declare
  v_lane record;
begin
  clock := 0;
  for v_lane in
    select l.id, l.priority + 1 as n, l.turn_start, l.turn_end from jobs_internal.lane as l
    where l.owner = p_session.owner and l.turn_start is not null
  loop
    clock := greatest(clock, v_lane.turn_start);
    starts[v_lane.n] := greatest(starts[v_lane.n], v_lane.turn_end);
    keepers[v_lane.n] := least(keepers[v_lane.n], v_lane.id);
  end loop;
  starts := array[
    greatest(starts[1], clock - 1000) + p_session.owed[1],
    greatest(starts[2], clock - 500) + p_session.owed[2],
    greatest(starts[3], clock) + p_session.owed[3]];
end
$$;

-- Charge a turn to its priority: p_ms are leased from a lane at p_at. p_keeper: the lane whose row
-- counts for it; p_start: where the turn begins, as the session that chose it saw it, less what
-- that one owes. The clock comes to that and no further: sessions that chose by the same figures,
-- or by what only they know, would put it ahead of a priority that waits, which would lose what
-- lies between. No session waits for that row: while
-- another one holds it, this one owes. Returns what the session owes now, in virtual ms by
-- priority. Locks: lane (skip locked).
create or replace function jobs_internal.charge_turn(p_lane integer, p_priority smallint,
    p_ms double precision, p_keeper integer, p_clock double precision, p_start double precision,
    p_owed double precision[], p_at timestamptz)
returns double precision[]
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp
as $$
declare
  v_cost double precision := p_ms / (4 >> p_priority) + p_owed[p_priority + 1];
begin
  update jobs_internal.lane as l
  set turn_start = greatest(p_clock, l.turn_start, p_start),
    turn_end = greatest(l.turn_end, p_clock - 500 * (2 - p_priority)) + v_cost,
    served_at = case when l.id = p_lane then p_at else l.served_at end
  where l.id = (select o.id from jobs_internal.lane as o
      where o.id = p_keeper for no key update skip locked);
  p_owed[p_priority + 1] := case when found then 0 else v_cost end;
  if p_keeper <> p_lane then
    update jobs_internal.lane set served_at = p_at
    where id = (select l.id from jobs_internal.lane as l
        where l.id = p_lane for no key update skip locked);
  end if;
  return p_owed;
end
$$;

-- Nothing of an owner is due: each priority has its start ahead of the others again. Nothing is
-- written while little of that is used up, so a short job now and then costs nothing more. Returns
-- what the session owes now; null: nothing is shared any more. Locks: lane (skip locked).
create or replace function jobs_internal.reset_turns(p_owner oid, p_clock double precision,
    p_starts double precision[])
returns double precision[]
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp
as $$
begin
  if greatest(p_starts[1] + 1000, p_starts[2] + 500, p_starts[3]) > p_clock + 50 then
    update jobs_internal.lane set turn_end = null
    where id in (select l.id from jobs_internal.lane as l
        where l.owner = p_owner and l.turn_end is not null
        order by l.id for no key update skip locked);
  end if;
  return case when jobs_internal.shares_turns(p_owner) then '{0,0,0}'::double precision[] end;
end
$$;

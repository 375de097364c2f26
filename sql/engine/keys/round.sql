-- When places of keys are given: before a claim, and in a supervisor's round.

-- Give places of one owner's keys, for so many seconds at most. Returns how many jobs got one.
-- Locks: key_turn (skip locked); see admit_once.
create or replace function jobs_internal.admit_owner(p_owner oid, p_seconds double precision)
returns integer
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp
set exit_on_error = off
set lock_timeout = '50ms'
as $$
declare
  v_until timestamptz := clock_timestamp() + make_interval(secs => p_seconds);
  v_pass record;
  v_admitted integer := 0;
begin
  if not jobs_internal.takes_key_turn(p_owner) then
    return 0;
  end if;
  loop
    v_pass := jobs_internal.admit_once(p_owner);
    v_admitted := v_admitted + v_pass.admitted;
    exit when not v_pass.more or not jobs_internal.has_room(v_until);
  end loop;
  return v_admitted;
end
$$;

-- Before a claim: give places of the keys of the session's owner. Returns whether a job got one.
-- What cannot be done now is left to a supervisor's round.
create or replace function jobs_internal.admit_mine(p_owner oid)
returns boolean
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp
set exit_on_error = off
as $$
begin
  return jobs_internal.admit_owner(p_owner, 0.25) > 0;
exception
  when others then
    return false;
end
$$;

-- In a supervisor's round: give places of the keys of all owners. Returns how many jobs got one.
-- Writes: duty_failure; see admit_owner.
create or replace function jobs_internal.admit_waiting()
returns integer
language sql volatile security definer
set search_path = pg_catalog, pg_temp
begin atomic
  select jobs_internal.serve_owners('keys', array(
    select distinct o.owner from jobs_internal.key_event as o));
end;

-- When the consequences of ended jobs are drawn: before a claim, and in a supervisor's round.

-- Follow for one owner, for so many seconds at most. Returns how many jobs have become due.
-- Locks: follower (skip locked); see follow_once.
create or replace function jobs_internal.follow_owner(p_owner oid, p_seconds double precision)
returns integer
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp
set exit_on_error = off
set lock_timeout = '50ms'
as $$
declare
  v_until timestamptz := clock_timestamp() + make_interval(secs => p_seconds);
  v_pass record;
  v_released integer := 0;
begin
  if not jobs_internal.become_follower(p_owner) then
    return 0;
  end if;
  loop
    v_pass := jobs_internal.follow_once(p_owner);
    v_released := v_released + v_pass.released;
    exit when not v_pass.more or not jobs_internal.has_room(v_until);
  end loop;
  return v_released;
end
$$;

-- Before a claim: follow for the session's owner, and put into its lanes what has become due.
-- Returns whether there was any. What cannot be done now is left to a supervisor's round.
create or replace function jobs_internal.follow_mine(p_owner oid)
returns boolean
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp
set exit_on_error = off
as $$
declare
  v_released integer;
begin
  begin
    v_released := jobs_internal.follow_owner(p_owner, 0.25);
  exception
    when others then
      return false;
  end;
  if v_released = 0 then
    return false;
  end if;
  begin
    perform jobs_internal.move_due_of(p_owner, null, '{}', v_released, false);
  exception
    when others then
      return false;
  end;
  return true;
end
$$;

-- In a supervisor's round: follow for all owners. Returns how many jobs have become due. Writes:
-- duty_failure; see follow_owner.
create or replace function jobs_internal.follow()
returns integer
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp
as $$
begin
  if not exists (select from jobs_internal.parent_event) then
    return 0;
  end if;
  perform jobs_internal.share_events();
  return jobs_internal.serve_owners('follow', array(
    select distinct o.owner from jobs_internal.parent_event as o where o.owner is not null));
end
$$;

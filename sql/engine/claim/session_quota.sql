-- How many worker sessions an owner may have.

-- Worker sessions that an owner may have at once; null: no limit of its own.
create or replace function jobs_internal.most_sessions(p_owner oid)
returns integer
language sql stable security definer
set search_path = pg_catalog, pg_temp
begin atomic
  select u.running from jobs_internal.quota as u where u.owner = p_owner;
end;

-- How many worker sessions of an owner live.
create or replace function jobs_internal.live_sessions(p_owner oid)
returns bigint
language sql stable security definer
set search_path = pg_catalog, pg_temp
begin atomic
  select count(*) from jobs_internal.session as s where s.owner = p_owner
    and jobs_internal.alive(s.pid, s.backend_start);
end;

-- Refuse a worker session beyond the quota of its owner. Two that open at the same moment come one
-- after the other, to their commit, by a row of the owner's own: an operator who gives it another
-- quota waits for none of them. Locks: lane (the owner's first). Errors: PW073.
create or replace function jobs_internal.assert_session_allowed(p_owner oid)
returns void
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp
as $$
declare
  v_most integer;
  v_live bigint;
begin
  -- Most installations have no quota: a new session asks the row that it has just read.
  if not exists (select from jobs_internal.installation as h where h.quotas) then
    return;
  end if;
  select u.running into v_most from jobs_internal.quota as u where u.owner = p_owner;
  if v_most is null then
    return;
  end if;
  perform from jobs_internal.lane as l where l.owner = p_owner order by l.id
    limit 1 for no key update;
  v_live := jobs_internal.live_sessions(p_owner);
  if v_live >= v_most then
    raise exception using errcode = 'PW073',
      message = format('%s has as many worker sessions as its quota allows',
          pg_get_userbyid(p_owner)),
      detail = format('%s, %s allowed.', jobs_internal.counted(v_live, 'lives', 'live'),
          jobs_internal.counted(v_most, 'is', 'are')),
          hint = 'Retry when one has ended; see jobs.quotas.';
  end if;
end
$$;

-- How many worker sessions more the quota of the calling login allows; null: as many as it likes.
-- Errors: PW019.
create or replace function jobs_internal.my_free_sessions()
returns bigint
language plpgsql stable security definer
set search_path = pg_catalog, pg_temp
as $$
declare
  v_me oid := jobs_internal.caller();
begin
  perform jobs_internal.assert_admitted(v_me);
  return (
    select greatest(0, u.running - jobs_internal.live_sessions(v_me))
    from jobs_internal.quota as u
    where u.owner = v_me and u.running is not null);
end
$$;
